//! Drives one discipline over the ports, up to the handler and from there to the end.

use std::time::Duration;

use crate::Guarantee;
use crate::batch::Batch;
use crate::discipline::{self, Discipline, Fault, Next, Outcome, Signal, Step};
use crate::engine::ports::{Delivered, Failure, Ports, Sent};
use crate::error::{Code, Error};
use crate::output::Output;

/// Told after every step that was taken; `ksem demo` and crash tests kill the process here.
pub(crate) trait Probe: Send + Sync {
    fn after(&self, guarantee: Guarantee, step: Step, batch: &Batch);
}

/// One attempt at one batch: a machine, where it stands, and the last failure.
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
}

impl Drive {
    pub(crate) fn new(guarantee: Guarantee) -> Self {
        let machine = discipline::machine(guarantee);
        let at = Next::Do(machine.start());
        Self { guarantee, machine, at, failure: None, delivered: Delivered::default(), repeats: 0 }
    }

    pub(crate) fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// Takes the steps before the handler. Returns `None` when the handler is next.
    pub(crate) fn until_handler(
        &mut self,
        ports: &mut dyn Ports,
        probe: Option<&dyn Probe>,
        batch: &Batch,
    ) -> Option<Ended> {
        let nothing = Output::default();
        loop {
            match self.at {
                Next::Do(Step::Handle) => return None,
                Next::Do(step) => self.take(step, ports, probe, batch, &nothing),
                Next::Finish(outcome) => return Some(self.end(outcome)),
            }
        }
    }

    /// Tells how the handler ended and takes the steps behind it.
    pub(crate) fn after_handler(
        &mut self,
        handled: Result<(), Error>,
        ports: &mut dyn Ports,
        probe: Option<&dyn Probe>,
        batch: &Batch,
        output: &Output,
    ) -> Ended {
        debug_assert_eq!(self.at, Next::Do(Step::Handle), "the handler is not next");
        let signal = match handled {
            Ok(()) => self.done(Step::Handle, probe, batch, Signal::Done),
            Err(error) => self.failed(Failure::new(Fault::Handler, error)),
        };
        self.at = self.machine.next(Step::Handle, signal);
        loop {
            match self.at {
                Next::Do(step) => self.take(step, ports, probe, batch, output),
                Next::Finish(outcome) => return self.end(outcome),
            }
        }
    }

    fn take(&mut self, step: Step, ports: &mut dyn Ports, probe: Option<&dyn Probe>, batch: &Batch, output: &Output) {
        let result = match step {
            Step::CommitOffsets => ports.commit_offsets(batch).map(|()| Signal::Done),
            Step::BeginTransaction => ports.begin_transaction().map(|()| Signal::Done),
            Step::Produce => ports.produce(self.guarantee, batch, output).map(|delivered| {
                self.delivered = delivered;
                Signal::Done
            }),
            Step::SendOffsets => ports.send_offsets(batch).map(|()| Signal::Done),
            Step::CommitTransaction => ports.commit_transaction().map(ended_by),
            Step::AbortTransaction => ports.abort_transaction().map(ended_by),
            Step::RebuildProducer => ports.rebuild_producer(self.guarantee).map(|()| Signal::Done),
            Step::ReadCommitted => ports.read_committed(batch).map(Signal::Found),
            Step::Handle => Err(Failure::new(
                Fault::Permanent,
                Error::new(Code::Internal, "the handler was asked for where it has no place"),
            )),
        };
        let signal = match result {
            Ok(signal) => self.done(step, probe, batch, signal),
            Err(failure) => self.failed(failure),
        };
        let next = self.machine.next(step, signal);
        self.at = self.paced(step, next, ports);
    }

    fn done(&mut self, step: Step, probe: Option<&dyn Probe>, batch: &Batch, signal: Signal) -> Signal {
        if let Some(probe) = probe {
            probe.after(self.guarantee, step, batch);
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

    fn end(&mut self, outcome: Outcome) -> Ended {
        Ended { outcome, delivered: self.delivered, failure: self.failure.take() }
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
