//! Drives one discipline over the ports, up to the handler and from there to the end.

use std::time::Duration;

use crate::Guarantee;
use crate::discipline::{self, Discipline, Next, Outcome, Signal, Step};
use crate::engine::order::Turn;
use crate::engine::ports::{Delivered, Failure, Ports, Sent};
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::output::Output;

/// Told after every step that was taken; `ksem demo` and crash tests kill the process here.
pub(crate) trait Probe: Send + Sync {
    fn after(&self, guarantee: Guarantee, step: Step);
}

/// What an attempt works with.
pub(crate) struct Means<'a> {
    pub(crate) ports: &'a mut dyn Ports,
    pub(crate) turn: &'a Turn,
    /// Whether units behind this one may follow: not while more is to come in front of them.
    pub(crate) leads: bool,
    pub(crate) probe: Option<&'a dyn Probe>,
}

/// One attempt at one unit: a machine, where it stands, and the last failure.
pub(crate) struct Drive {
    guarantee: Guarantee,
    machine: Box<dyn Discipline + Send>,
    at: Next,
    failure: Option<Error>,
    delivered: Delivered,
    /// How often the same step was repeated, for the backoff.
    repeats: u32,
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) delivered: Delivered,
    /// The failure that decided the outcome, if one did.
    pub(crate) failure: Option<Error>,
    /// Whether it was given up for a unit in front of it.
    pub(crate) has_fallen: bool,
}

impl Drive {
    pub(crate) fn new(guarantee: Guarantee) -> Self {
        let machine = discipline::machine(guarantee);
        let at = Next::Do(discipline::path(guarantee)[0]);
        Self { guarantee, machine, at, failure: None, delivered: Delivered::default(), repeats: 0 }
    }

    pub(crate) fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Takes the steps before the handler. Returns `None` when the handler is next.
    pub(crate) fn until_handler(&mut self, means: &mut Means<'_>, unit: &Unit) -> Option<Ended> {
        means.turn.begin();
        loop {
            match self.at {
                Next::Do(Step::Handle) => return None,
                Next::Do(step) => self.take(step, means, unit, &Output::default()),
                Next::Finish(outcome) => return Some(self.end(outcome, means)),
            }
        }
    }

    /// Tells how the handler ended and takes the steps behind it. `output` is what is not with the
    /// producer yet: that of the last batch.
    pub(crate) fn after_handler(
        &mut self,
        handled: Result<(), Failure>,
        means: &mut Means<'_>,
        unit: &Unit,
        output: &Output,
    ) -> Ended {
        debug_assert_eq!(self.at, Next::Do(Step::Handle), "the handler is not next");
        let signal = match handled {
            Ok(()) => self.done(Step::Handle, means, Signal::Done),
            Err(failure) => self.failed(failure),
        };
        self.at = self.machine.next(Step::Handle, signal);
        loop {
            match self.at {
                Next::Do(step) => self.take(step, means, unit, output),
                Next::Finish(outcome) => return self.end(outcome, means),
            }
        }
    }

    fn take(&mut self, step: Step, means: &mut Means<'_>, unit: &Unit, output: &Output) {
        let signal = match self.perform(step, means, unit, output) {
            Ok(signal) => self.done(step, means, signal),
            Err(failure) => self.failed(failure),
        };
        let next = self.machine.next(step, signal);
        self.at = self.paced(step, next, means.ports);
    }

    fn perform(&mut self, step: Step, means: &mut Means<'_>, unit: &Unit, output: &Output) -> Result<Signal, Failure> {
        let ports = &mut *means.ports;
        ports.wait_for_turn(means.turn, self.guarantee, step)?;
        match step {
            Step::CommitOffsets => ports.commit_offsets(unit).map(|()| Signal::Done),
            Step::BeginTransaction => ports.begin_transaction().map(|()| Signal::Done),
            Step::Enqueue => ports.enqueue(self.guarantee, unit.last(), output, means.turn).map(|()| Signal::Done),
            Step::Produce => {
                self.delivered = ports.flush(self.guarantee)?;
                Ok(Signal::Done)
            }
            Step::SendOffsets => ports.send_offsets(unit).map(|()| Signal::Done),
            Step::CommitTransaction => ports.commit_transaction().map(ended_by),
            Step::AbortTransaction => {
                means.turn.fall();
                ports.abort_transaction().map(ended_by)
            }
            Step::RebuildProducer => ports.rebuild_producer(self.guarantee).map(|()| Signal::Done),
            Step::ReadCommitted => {
                // The group's offsets are stable only when those behind have let go of theirs.
                means.turn.fall();
                ports.read_committed(unit).map(Signal::Found)
            }
            Step::Handle => Err(Failure::new(
                discipline::Fault::Permanent,
                Error::new(Code::Internal, "the handler was asked for where it has no place"),
            )),
        }
    }

    fn done(&mut self, step: Step, means: &Means<'_>, signal: Signal) -> Signal {
        if let Some(probe) = means.probe {
            probe.after(self.guarantee, step);
        }
        if means.leads {
            means.turn.done(self.guarantee, step);
        }
        signal
    }

    fn failed(&mut self, failure: Failure) -> Signal {
        tracing::debug!(fault = ?failure.fault, error = %failure.error, "a step failed");
        self.failure = Some(failure.error);
        Signal::Failed(failure.fault)
    }

    /// A step that is repeated waits first; a pipeline that is being stopped does not repeat it.
    fn paced(&mut self, step: Step, next: Next, ports: &mut dyn Ports) -> Next {
        if next != Next::Do(step) {
            self.repeats = 0;
            return next;
        }
        self.repeats += 1;
        if ports.wait(backoff(self.repeats)) { next } else { Next::Finish(Outcome::Stop) }
    }

    fn end(&mut self, outcome: Outcome, means: &Means<'_>) -> Ended {
        let has_fallen = means.turn.has_fallen();
        if !matches!(outcome, Outcome::Applied | Outcome::Lost) {
            means.turn.fall();
        }
        Ended { outcome, delivered: self.delivered, failure: self.failure.take(), has_fallen }
    }
}

fn ended_by(sent: Sent) -> Signal {
    match sent {
        Sent::Once => Signal::Done,
        Sent::Again => Signal::DoneResent,
    }
}

/// 20 ms, doubled up to 2.5 s: long enough to spare a broker that is starting.
pub(crate) fn backoff(repeats: u32) -> Duration {
    Duration::from_millis(10 << repeats.clamp(1, 8))
}
