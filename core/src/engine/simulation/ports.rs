//! A process in the simulation: its ports, and the accidents that happen at them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::world::{End, World};
use super::{Script, live, poison};
use crate::Guarantee;
use crate::batch::Content;
use crate::discipline::{Fault, Landed, Next, Signal, Step, machine, path};
use crate::engine::order::Turn;
use crate::engine::ports::{Delivered, Failure, Ports, Sent};
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::output::Output;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    None,
    /// The process dies before the call has an effect.
    CrashBefore,
    /// The process dies after it.
    CrashAfter,
    /// The call fails without an effect.
    FailBefore,
    /// The call has its effect and its reply is lost.
    FailAfter,
    /// The producer breaks, after the effect.
    Fatal,
    /// EndTxn: sent twice, and one copy stays under way.
    Resend,
    /// The copies that are under way arrive first.
    Release,
    /// The coordinator gives up on the open transaction first.
    Timeout,
    /// The next handler fails.
    Handler,
    /// The process is paused, a successor does all the work, and then it goes on.
    Zombie,
}

/// What the call does besides its effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Effect,
    EffectThen(After),
    Nothing(Fault),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Die,
    LoseReply,
    Break,
    Resend,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about one simulated process")]
pub(super) struct SimPorts {
    world: Rc<RefCell<World>>,
    script: Script,
    guarantee: Guarantee,
    epoch: u32,
    /// Ids that are with the producer.
    queued: Vec<i64>,
    dead: bool,
    /// A successor was started while this process was paused.
    superseded: bool,
    fail_handler: bool,
    hides_resends: bool,
}

impl SimPorts {
    pub(super) fn start(world: Rc<RefCell<World>>, script: Script, guarantee: Guarantee, hides_resends: bool) -> Self {
        let epoch = match guarantee {
            Guarantee::ExactlyOnce => world.borrow_mut().initialise(),
            _ => 0,
        };
        let queued = Vec::new();
        Self {
            world,
            script,
            guarantee,
            epoch,
            queued,
            dead: false,
            superseded: false,
            fail_handler: false,
            hides_resends,
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn handler_fails(&mut self) -> bool {
        std::mem::take(&mut self.fail_handler)
    }

    /// Decides what happens at this call.
    fn fate(&mut self) -> Fate {
        if self.dead {
            return Fate::Nothing(Fault::Permanent);
        }
        let accident = self.script.borrow_mut().pop().unwrap_or(Accident::None);
        match accident {
            Accident::None => Fate::Effect,
            Accident::CrashBefore => {
                self.dead = true;
                Fate::Nothing(Fault::Permanent)
            }
            Accident::CrashAfter => Fate::EffectThen(After::Die),
            Accident::FailBefore => Fate::Nothing(Fault::Transient),
            Accident::FailAfter => Fate::EffectThen(After::LoseReply),
            Accident::Fatal => Fate::EffectThen(After::Break),
            Accident::Resend => Fate::EffectThen(After::Resend),
            Accident::Release => {
                self.world.borrow_mut().release_stragglers();
                Fate::Effect
            }
            Accident::Timeout => {
                self.world.borrow_mut().time_out();
                Fate::Effect
            }
            Accident::Handler => {
                self.fail_handler = true;
                Fate::Effect
            }
            Accident::Zombie => {
                // Only a transaction's epoch fences; a plain commit is fenced by the group, which
                // is not part of this simulation.
                if self.guarantee == Guarantee::ExactlyOnce {
                    self.superseded = true;
                    if !live(&self.world, self.guarantee, &self.script, self.hides_resends) {
                        self.world.borrow_mut().crashes += 1;
                    }
                }
                Fate::Effect
            }
        }
    }

    fn call(&mut self, effect: impl FnOnce(&mut World, u32) -> Result<(), ()>) -> Result<Sent, Failure> {
        let fate = self.fate();
        if let Fate::Nothing(fault) = fate {
            return Err(failure(fault));
        }
        if effect(&mut self.world.borrow_mut(), self.epoch).is_err() {
            return Err(failure(Fault::Fenced));
        }
        match fate {
            Fate::EffectThen(After::Die) => {
                self.dead = true;
                Err(failure(Fault::Permanent))
            }
            Fate::EffectThen(After::LoseReply) => Err(failure(Fault::Unknown)),
            Fate::EffectThen(After::Break) => Err(failure(Fault::Fatal)),
            Fate::EffectThen(After::Resend) => Ok(Sent::Again),
            _ => Ok(Sent::Once),
        }
    }

    fn end(&mut self, end: End) -> Result<Sent, Failure> {
        let sent = self.call(|world, epoch| world.end(epoch, end))?;
        if sent == Sent::Again {
            self.world.borrow_mut().delay(self.epoch, end);
        }
        Ok(if self.hides_resends { Sent::Once } else { sent })
    }
}

fn failure(fault: Fault) -> Failure {
    Failure::new(fault, Error::new(Code::Internal, "simulated"))
}

fn next(unit: &Unit) -> i64 {
    unit.offsets()[0].1.offset
}

impl Ports for SimPorts {
    fn commit_offsets(&mut self, unit: &Unit) -> Result<(), Failure> {
        let result = self.call(|world, _| {
            world.committed = next(unit);
            Ok(())
        });
        match result {
            // A plain commit has no producer that could break.
            Err(failure) if failure.fault == Fault::Fatal => Err(Failure::new(Fault::Unknown, failure.error)),
            other => other.map(|_| ()),
        }
    }

    fn begin_transaction(&mut self) -> Result<(), Failure> {
        self.call(|_, _| Ok(())).map(|_| ())
    }

    fn enqueue(&mut self, _: Guarantee, batch: &Content, output: &Output, _: &Turn) -> Result<(), Failure> {
        if output.topics().iter().any(|topic| &**topic == poison::DEAD) {
            self.queued.push(poison::letter(batch.record(0).offset));
            return Ok(());
        }
        self.queued.extend((0..batch.len()).map(|index| batch.record(index).offset));
        Ok(())
    }

    fn flush(&mut self, guarantee: Guarantee) -> Result<Delivered, Failure> {
        let transactional = guarantee == Guarantee::ExactlyOnce;
        let queued = std::mem::take(&mut self.queued);
        let count = queued.len() as u64;
        self.call(|world, epoch| world.write(queued.into_iter(), transactional.then_some(epoch)))?;
        Ok(Delivered { acknowledged: count, failed: 0 })
    }

    fn send_offsets(&mut self, unit: &Unit) -> Result<(), Failure> {
        self.call(|world, epoch| world.add_offset(epoch, next(unit))).map(|_| ())
    }

    fn commit_transaction(&mut self) -> Result<Sent, Failure> {
        self.end(End::Commit)
    }

    fn abort_transaction(&mut self) -> Result<Sent, Failure> {
        self.queued.clear();
        self.end(End::Abort)
    }

    fn rebuild_producer(&mut self, guarantee: Guarantee) -> Result<(), Failure> {
        self.queued.clear();
        if self.superseded {
            self.dead = true;
            return Err(failure(Fault::Fenced));
        }
        if self.dead {
            return Err(failure(Fault::Permanent));
        }
        if guarantee == Guarantee::ExactlyOnce {
            self.epoch = self.world.borrow_mut().initialise();
        }
        Ok(())
    }

    fn read_committed(&mut self, unit: &Unit) -> Result<Landed, Failure> {
        let committed = self.world.borrow().committed;
        Ok(if committed >= next(unit) { Landed::Applied } else { Landed::NotApplied })
    }

    fn wait(&mut self, _: Duration) -> bool {
        !self.dead
    }

    fn wait_for_turn(&mut self, turn: &Turn, guarantee: Guarantee, step: Step) -> Result<(), Failure> {
        turn.wait_for(guarantee, step, &|| true)
    }
}

/// Counts the calls of the ports up to and including `step`, where nothing fails.
pub(super) fn calls_until(guarantee: Guarantee, step: Step) -> usize {
    let mut machine = machine(guarantee);
    let (mut at, mut calls) = (path(guarantee)[0], 0);
    loop {
        calls += usize::from(!matches!(at, Step::Handle | Step::Enqueue));
        if at == step {
            return calls;
        }
        match machine.next(at, Signal::Done) {
            Next::Do(next) => at = next,
            Next::Finish(outcome) => panic!("{guarantee} ends with {outcome:?} before {step:?}"),
        }
    }
}
