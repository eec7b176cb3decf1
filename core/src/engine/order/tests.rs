//! Every interleaving of units that fail at any step: what is committed is committed in order, and
//! nothing that has not been made again after one in front of it failed.

use proptest::prelude::*;

use super::{Flights, May};

const HANDLED: usize = 1;
const STEPS: usize = 4;
const DEPTH: usize = 4;

/// A unit as the engine would take it through its steps.
struct Walker {
    number: u64,
    /// Which of the records it has; they are given out in order.
    record: u32,
    step: usize,
    /// In which attempt of the one in front this attempt has begun.
    attempt: u32,
}

#[derive(Default)]
struct Run {
    flights: Flights,
    walkers: Vec<Walker>,
    next_record: u32,
    committed: Vec<u32>,
    /// The outputs of committed attempts in the order in which they were produced.
    produced: Vec<(u32, u32)>,
}

impl Run {
    fn open(&mut self) {
        if let Some(number) = self.flights.enter(DEPTH, usize::MAX, HANDLED) {
            self.walkers.push(Walker { number, record: self.next_record, step: 0, attempt: 0 });
            self.next_record += 1;
        }
    }

    /// One walker tries to take its next step; `fails` makes it fail there.
    fn step(&mut self, which: usize, fails: bool) {
        let Some(walker) = self.walkers.get_mut(which) else { return };
        match self.flights.may(walker.number, walker.step + 1) {
            May::Wait => {}
            May::Never => panic!("nothing was given up"),
            May::Go if !fails => {
                walker.step += 1;
                self.flights.done(walker.number, walker.step);
                if walker.step == 2 {
                    self.produced.push((walker.record, walker.attempt));
                }
                if walker.step == STEPS {
                    self.committed.push(walker.record);
                    self.flights.leave(walker.number);
                    self.walkers.remove(which);
                }
            }
            May::Go | May::Fall => {
                self.flights.fall(walker.number);
                self.produced.retain(|(record, _)| *record != walker.record);
                walker.step = 0;
                walker.attempt += 1;
                self.flights.begin(walker.number);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn units_commit_in_order_whatever_fails(
        script in prop::collection::vec((0_usize..6, prop::bool::weighted(0.2)), 1..400),
    ) {
        let mut run = Run::default();
        for (which, fails) in script {
            if which == 0 {
                run.open();
            } else {
                run.step(which - 1, fails);
            }
        }
        // And in the end all goes well.
        while !run.walkers.is_empty() {
            for which in (0..run.walkers.len()).rev() {
                run.step(which, false);
            }
        }
        let in_order: Vec<u32> = (0..run.next_record).collect();
        prop_assert_eq!(&run.committed, &in_order, "every unit once, in order");
        let outputs: Vec<u32> = run.produced.iter().map(|(record, _)| *record).collect();
        prop_assert_eq!(&outputs, &in_order, "and so are the outputs that count");
        prop_assert!(run.flights.queue.is_empty());
    }

    #[test]
    fn a_unit_is_opened_only_when_the_one_before_is_handled(steps in 0_usize..=STEPS) {
        let mut flights = Flights::default();
        let first = flights.enter(DEPTH, usize::MAX, HANDLED).expect("nothing is in flight");
        (1..=steps).for_each(|step| flights.done(first, step));
        prop_assert_eq!(flights.enter(DEPTH, usize::MAX, HANDLED).is_some(), steps >= HANDLED);
    }
}

#[test]
fn nothing_commits_behind_a_unit_that_was_given_up() {
    let mut flights = Flights::default();
    let first = flights.enter(DEPTH, usize::MAX, HANDLED).expect("nothing is in flight");
    flights.done(first, HANDLED);
    let second = flights.enter(DEPTH, usize::MAX, HANDLED).expect("there is room");
    flights.give_up(first, false);
    assert_eq!(flights.may(second, 1), May::Never);
    assert_eq!(flights.enter(DEPTH, usize::MAX, HANDLED), None);
}

/// The thread that ends a lane has not told the pipeline yet when another thread looks.
#[test]
fn nothing_is_opened_behind_a_unit_that_failed_for_good() {
    let mut flights = Flights::default();
    let first = flights.enter(DEPTH, usize::MAX, HANDLED).expect("nothing is in flight");
    flights.give_up(first, true);
    assert_eq!(flights.enter(DEPTH, usize::MAX, HANDLED), None);
}

#[test]
fn a_unit_that_is_given_up_alone_harms_nobody() {
    let mut flights = Flights::default();
    let first = flights.enter(DEPTH, usize::MAX, HANDLED).expect("nothing is in flight");
    flights.give_up(first, false);
    let second = flights.enter(DEPTH, usize::MAX, HANDLED).expect("nothing is in flight");
    assert_eq!(flights.may(second, STEPS), May::Go);
}

#[test]
fn a_large_unit_is_alone() {
    let order = super::Order::new(DEPTH, 100);
    let enter = || order.enter(crate::Guarantee::AtLeastOnce, std::time::Duration::ZERO);
    let take = |records| {
        let turn = enter().expect("there is room");
        turn.has(records);
        turn.done(crate::Guarantee::AtLeastOnce, crate::discipline::Step::Handle);
        turn
    };
    let (first, second) = (take(40), take(60));
    assert!(enter().is_none(), "100 records are in flight");
    first.leave();
    assert!(enter().is_some(), "60 are");
    second.leave();
    let _large = take(1_000);
    assert!(enter().is_none());
}
