//! The disciplines against a simulated broker, with crashes, errors, lost replies, stragglers and
//! zombies at every step. The machines and their driver are the ones that run on Kafka.

mod poison;
mod ports;
mod world;

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use crate::Guarantee;
use crate::discipline::{CrashEffect, Fault, Outcome, Step, crash_points};
use crate::engine::attempt::{Drive, Ended, Means};
use crate::engine::order::{Order, Turn};
use crate::engine::ports::Failure;
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::output::Output;
use ports::{Accident, SimPorts};
use world::World;

/// What happens at the calls of the ports, one after the other; when it is used up, all goes well.
type Script = Rc<RefCell<Vec<Accident>>>;

const RECORDS: i64 = 40;

/// Runs one process until it dies or all is done. Returns whether all is done.
fn live(world: &Rc<RefCell<World>>, guarantee: Guarantee, script: &Script, hides_resends: bool) -> bool {
    let mut ports = SimPorts::start(Rc::clone(world), Rc::clone(script), guarantee, hides_resends);
    let order = Order::new(1, usize::MAX);
    let mut position = world.borrow().committed;
    for _ in 0..10_000 {
        let Some(unit) = world.borrow().unit(position) else { return true };
        let end = unit.offsets()[0].1.offset;
        let turn = order.enter_alone().expect("nothing else is in flight");
        let ended = attempt(&mut ports, &turn, guarantee, &unit);
        turn.leave();
        if ports.is_dead() {
            return false;
        }
        match ended.outcome {
            Outcome::Applied => position = end,
            Outcome::Lost => {
                world.borrow_mut().known_losses += end - position;
                position = end;
            }
            Outcome::Retry | Outcome::HandlerFailed => {}
            Outcome::Revoked | Outcome::Stop => return false,
        }
    }
    panic!("no progress");
}

fn attempt(ports: &mut SimPorts, turn: &Turn, guarantee: Guarantee, unit: &Unit) -> Ended {
    let mut drive = Drive::new(guarantee);
    if let Some(ended) = drive.until_handler(&mut Means { ports, turn, leads: true, probe: None }, unit) {
        return ended;
    }
    let failure = || Failure::new(Fault::Handler, Error::new(Code::HandlerFailed, "simulated"));
    let handled = if ports.handler_fails() { Err(failure()) } else { Ok(()) };
    drive.after_handler(handled, &mut Means { ports, turn, leads: true, probe: None }, unit, &Output::default())
}

fn simulate(guarantee: Guarantee, accidents: Vec<Accident>, hides_resends: bool) -> World {
    let world = Rc::new(RefCell::new(World::new(RECORDS)));
    let script: Script = Rc::new(RefCell::new(accidents.into_iter().rev().collect()));
    for _ in 0..1_000 {
        if live(&world, guarantee, &script, hides_resends) {
            world.borrow_mut().release_stragglers();
            return Rc::into_inner(world).expect("every process has ended").into_inner();
        }
        world.borrow_mut().crashes += 1;
    }
    panic!("never done");
}

fn accidents() -> impl Strategy<Value = Vec<Accident>> {
    let accident = prop_oneof![
        6 => Just(Accident::None),
        1 => Just(Accident::CrashBefore),
        1 => Just(Accident::CrashAfter),
        1 => Just(Accident::FailBefore),
        1 => Just(Accident::FailAfter),
        1 => Just(Accident::Fatal),
        1 => Just(Accident::Resend),
        1 => Just(Accident::Release),
        1 => Just(Accident::Timeout),
        1 => Just(Accident::Handler),
        1 => Just(Accident::Zombie),
    ];
    prop::collection::vec(accident, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn at_most_once_never_repeats_and_loses_only_what_was_in_flight(accidents in accidents()) {
        let world = simulate(Guarantee::AtMostOnce, accidents, false);
        for (id, effects) in world.effects().into_iter().enumerate() {
            prop_assert!(effects <= 1, "record {id} has {effects} effects");
        }
        let lost = world.effects().into_iter().filter(|effects| *effects == 0).count() as i64;
        prop_assert!(lost <= world.known_losses + world.crashes * world::BATCH, "{lost} lost");
    }

    #[test]
    fn at_least_once_never_loses_and_repeats_only_with_an_accident(accidents in accidents()) {
        let calm = accidents.iter().all(|accident| matches!(accident, Accident::None | Accident::Handler));
        let world = simulate(Guarantee::AtLeastOnce, accidents, false);
        for (id, effects) in world.effects().into_iter().enumerate() {
            prop_assert!(effects >= 1, "record {id} is lost");
            prop_assert!(!calm || effects == 1, "record {id} has {effects} effects and nothing happened");
        }
    }

    #[test]
    fn exactly_once_neither_loses_nor_repeats(accidents in accidents()) {
        let world = simulate(Guarantee::ExactlyOnce, accidents, false);
        prop_assert_eq!(world.committed, RECORDS);
        for (id, effects) in world.effects().into_iter().enumerate() {
            prop_assert_eq!(effects, 1, "record {}", id);
        }
    }
}

/// If this fails, the simulation has become too kind to find what it is for.
#[test]
fn an_ignored_resend_of_end_txn_is_caught() {
    let accidents = vec![
        // Begin, send offsets, produce; the commit is sent twice, and one copy stays under way.
        Accident::None,
        Accident::None,
        Accident::None,
        Accident::Resend,
        // The next transaction has its offsets and not its outputs when the copy arrives and commits it.
        Accident::None,
        Accident::None,
        Accident::Release,
        Accident::CrashBefore,
    ];
    let wrong = |world: &World| world.effects().into_iter().any(|effects| effects != 1);
    assert!(wrong(&simulate(Guarantee::ExactlyOnce, accidents.clone(), true)), "the bug is not seen");
    assert!(!wrong(&simulate(Guarantee::ExactlyOnce, accidents, false)));
}

/// Every row of the crash tables, as it is written there.
#[test]
fn every_crash_point_has_the_effect_of_its_table() {
    for guarantee in Guarantee::ALL {
        for point in crash_points(guarantee) {
            let calls = ports::calls_until(guarantee, point.after);
            let mut accidents = vec![Accident::None; calls];
            match accidents.last_mut() {
                Some(last) if !matches!(point.after, Step::Handle | Step::Enqueue) => *last = Accident::CrashAfter,
                // These are no calls to the broker: the process dies before the next one.
                _ => accidents.push(Accident::CrashBefore),
            }
            let world = simulate(guarantee, accidents, false);
            let first: Vec<_> = world.effects().into_iter().take(world::BATCH as usize).collect();
            let expected = match point.effect {
                CrashEffect::None => 1,
                CrashEffect::Lost => 0,
                CrashEffect::Repeated => 2,
            };
            assert!(first.iter().all(|effects| *effects == expected), "{guarantee} {}: {first:?}", point.name);
        }
    }
}
