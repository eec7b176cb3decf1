//! Records that always fail, against the same broker and the same accidents: the pieces of `isolate.rs`, each with an
//! attempt of its own, and dead letters instead of the handler's output.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;

use super::{RECORDS, Script, accidents};
use crate::Guarantee;
use crate::config::RetryConfig;
use crate::dead_letter;
use crate::discipline::{Fault, Outcome};
use crate::engine::attempt::{Drive, Ended, Means};
use crate::engine::isolate::{Piece, Policy};
use crate::engine::order::{Order, Turn};
use crate::engine::ports::Failure;
use crate::engine::simulation::ports::{Accident, SimPorts};
use crate::engine::simulation::world::World;
use crate::error::{Code, Error};
use crate::output::Output;

/// The topic for dead letters.
pub(super) const DEAD: &str = "dead";

/// What the log has for a record's dead letter.
pub(super) fn letter(id: i64) -> i64 {
    id + 1_000
}

const LETTERS: dead_letter::Policy<'static> = dead_letter::Policy { topic: DEAD, group: "g", payload: true };

struct Process {
    ports: SimPorts,
    guarantee: Guarantee,
    poison: BTreeSet<i64>,
}

impl Process {
    /// Works until it dies or all is done. Returns whether all is done.
    fn live(&mut self, world: &Rc<RefCell<World>>) -> bool {
        let order = Order::new(1, usize::MAX);
        let retry = RetryConfig { max_attempts: 3, backoff_ms: 0, max_backoff_ms: 0 };
        let mut position = world.borrow().committed;
        loop {
            let Some(unit) = world.borrow().unit(position) else { return true };
            position = unit.offsets()[0].1.offset;
            let mut pending = vec![Piece::new(unit)];
            let turn = order.enter_alone().expect("nothing else is in flight");
            while let Some(piece) = pending.pop() {
                let ended = self.attempt(&turn, &piece);
                if self.ports.is_dead() {
                    turn.leave();
                    return false;
                }
                match ended.outcome {
                    Outcome::Applied => {}
                    Outcome::Lost => world.borrow_mut().known_losses += piece.unit.records() as i64,
                    Outcome::Retry => pending.push(piece),
                    Outcome::HandlerFailed => {
                        let failure = ended.failure.expect("the handler's");
                        let policy = Policy { retry: &retry, sets_aside: true };
                        pending.extend(piece.failed(failure, Some(0), policy).into_iter().rev());
                    }
                    Outcome::Revoked | Outcome::Stop => {
                        turn.leave();
                        return false;
                    }
                }
            }
            turn.leave();
        }
    }

    fn attempt(&mut self, turn: &Turn, piece: &Piece) -> Ended {
        let mut drive = Drive::new(self.guarantee);
        let mut means = Means { ports: &mut self.ports, turn, leads: true, probe: None };
        if let Some(ended) = drive.until_handler(&mut means, &piece.unit) {
            return ended;
        }
        let mut output = Output::default();
        let content = piece.unit.last();
        let bad = (0..content.len()).any(|index| self.poison.contains(&content.record(index).offset));
        let handled = match piece.given_up() {
            Some(cause) => {
                LETTERS.write(&content.record(0), cause, &mut output);
                Ok(())
            }
            None if bad || self.ports.handler_fails() => {
                Err(Failure::new(Fault::Handler, Error::new(Code::HandlerFailed, "simulated")))
            }
            None => Ok(()),
        };
        let mut means = Means { ports: &mut self.ports, turn, leads: true, probe: None };
        drive.after_handler(handled, &mut means, &piece.unit, &output)
    }
}

/// Returns how often each record took effect, and how often its dead letter is there.
fn simulate(guarantee: Guarantee, accidents: Vec<Accident>, poison: &BTreeSet<i64>) -> (World, Vec<(usize, usize)>) {
    let world = Rc::new(RefCell::new(World::new(RECORDS)));
    let script: Script = Rc::new(RefCell::new(accidents.into_iter().rev().collect()));
    for _ in 0..1_000 {
        let ports = SimPorts::start(Rc::clone(&world), Rc::clone(&script), guarantee, false);
        let done = Process { ports, guarantee, poison: poison.clone() }.live(&world);
        if done {
            world.borrow_mut().release_stragglers();
            let world = Rc::into_inner(world).expect("every process has ended").into_inner();
            let effects = (0..RECORDS).map(|id| (world.times(id), world.times(letter(id)))).collect();
            return (world, effects);
        }
        world.borrow_mut().crashes += 1;
    }
    panic!("never done");
}

/// A paused process wakes a successor that knows of no poison: its part is covered without it.
fn accidents_of_one() -> impl Strategy<Value = Vec<Accident>> {
    accidents().prop_map(|all| all.into_iter().filter(|accident| *accident != Accident::Zombie).collect())
}

fn poison() -> impl Strategy<Value = BTreeSet<i64>> {
    prop::collection::btree_set(0..RECORDS, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn exactly_once_has_each_record_or_its_dead_letter_once(accidents in accidents_of_one(), poison in poison()) {
        let (world, effects) = simulate(Guarantee::ExactlyOnce, accidents.clone(), &poison);
        prop_assert_eq!(world.committed, RECORDS);
        // A handler that fails often enough for other reasons makes dead letters of good records.
        let calm = !accidents.contains(&Accident::Handler);
        for (id, (done, dead)) in (0..).zip(effects) {
            prop_assert_eq!(done + dead, 1, "record {}", id);
            prop_assert!(dead == 1 || !poison.contains(&id), "poison {} took effect", id);
            prop_assert!(!calm || dead == usize::from(poison.contains(&id)), "record {} is set aside", id);
        }
    }

    #[test]
    fn at_least_once_loses_neither_records_nor_dead_letters(accidents in accidents_of_one(), poison in poison()) {
        let calm = accidents.iter().all(|accident| *accident == Accident::None);
        let (_, effects) = simulate(Guarantee::AtLeastOnce, accidents, &poison);
        for (id, (done, dead)) in (0..).zip(effects) {
            prop_assert!(done + dead >= 1, "record {} is lost", id);
            prop_assert!(done == 0 || !poison.contains(&id), "poison {} took effect", id);
            prop_assert!(!calm || done + dead == 1, "record {} is there {} times", id, done + dead);
        }
    }

    #[test]
    fn at_most_once_sets_nothing_aside_and_repeats_nothing(accidents in accidents_of_one(), poison in poison()) {
        let (world, effects) = simulate(Guarantee::AtMostOnce, accidents, &poison);
        prop_assert!(effects.iter().all(|(done, dead)| *done <= 1 && *dead == 0));
        let lost = effects.iter().filter(|(done, _)| *done == 0).count() as i64;
        prop_assert!(lost <= world.known_losses + world.crashes * super::world::BATCH, "{} lost", lost);
    }
}
