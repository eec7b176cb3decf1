//! One batch at a time, for callers that poll: attempts at it until it is applied or given back.

use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::batch::Batch;
use crate::discipline::{Fault, Outcome};
use crate::engine::attempt::{Drive, Ended, Means};
use crate::engine::lane::{HandlerResult, Lane};
use crate::engine::ports::Failure;
use crate::engine::unit::Unit;
use crate::engine::verdict::{Tally, Verdict};
use crate::error::{Error, Result};
use crate::metrics::{Applied, Counters, Report};
use crate::output::Output;

impl Lane {
    /// Processes a batch until it is applied, lost, given back, or an error ends it.
    pub(crate) fn process(
        &self,
        mut batch: Batch,
        guarantee: Guarantee,
        handler: &mut dyn FnMut(&Batch, &mut Output) -> HandlerResult,
    ) -> Result<Report> {
        let started = Instant::now();
        let turn = self.polled()?;
        let mut slot = self.slots[0].lock();
        let mut unit = Unit::new(batch.content.clone());
        let mut tally = Tally::default();
        let result = loop {
            let handler = &mut |_: &_, output: &mut _| handler(&batch, output);
            let ended = self.attempt(&mut slot, &turn, true, &mut unit, guarantee, None, handler, &mut tally);
            let delivered = ended.delivered.acknowledged;
            match self.judge(&unit, ended, &mut tally) {
                Verdict::Over { applied, cause } => {
                    let report = report(&batch, guarantee, applied, delivered, tally.handled, cause);
                    if applied != Applied::Redelivered {
                        self.finish(&mut batch);
                    }
                    break Ok(report);
                }
                Verdict::Again { after, failure, .. } => {
                    if !self.shared.wait(after) {
                        break Err(self.stop_error(failure));
                    }
                }
                Verdict::Stop(error) => break Err(error),
            }
        };
        let took = started.elapsed();
        Counters::add(&self.shared.counters.busy_us, took.as_micros() as u64);
        result.map(|report| Report { took, ..report })
    }

    /// Starts an attempt whose handler runs elsewhere.
    pub(crate) fn begin(&self, batch: &Batch, guarantee: Guarantee) -> std::result::Result<Drive, Result<Report>> {
        let turn = self.polled().map_err(Err)?;
        let mut drive = Drive::new(guarantee);
        let mut slot = self.slots[0].lock();
        let mut means = Means { ports: &mut slot.ports, turn: &turn, leads: true, probe: self.shared.probe.as_deref() };
        match drive.until_handler(&mut means, &Unit::new(batch.content.clone())) {
            None => Ok(drive),
            Some(ended) => Err(self.conclude(batch, guarantee, ended)),
        }
    }

    /// Ends such an attempt. It is made once: what to do about a failure is the caller's.
    pub(crate) fn end(
        &self,
        batch: &mut Batch,
        mut drive: Drive,
        handled: Result<()>,
        output: &Output,
    ) -> Result<Report> {
        let guarantee = drive.guarantee();
        let turn = self.polled()?;
        let unit = Unit::new(batch.content.clone());
        let mut slot = self.slots[0].lock();
        let mut means = Means { ports: &mut slot.ports, turn: &turn, leads: true, probe: self.shared.probe.as_deref() };
        let handled = handled.map_err(|error| Failure::new(Fault::Handler, error));
        let ended = drive.after_handler(handled, &mut means, &unit, output);
        let delivered = ended.delivered.acknowledged;
        if !matches!(ended.outcome, Outcome::Applied | Outcome::Lost) {
            return self.conclude(batch, guarantee, ended);
        }
        match self.judge(&unit, ended, &mut Tally::default()) {
            Verdict::Over { applied, cause } => {
                let report = report(batch, guarantee, applied, delivered, 1, cause);
                self.finish(batch);
                Ok(report)
            }
            Verdict::Again { failure, .. } => Err(self.stop_error(failure)),
            Verdict::Stop(error) => Err(error),
        }
    }

    /// An attempt that was not applied; the batch's ticket gives it back when it is dropped.
    fn conclude(&self, batch: &Batch, guarantee: Guarantee, ended: Ended) -> Result<Report> {
        match ended.outcome {
            Outcome::Stop => Err(self.stop_error(ended.failure)),
            _ => {
                let cause = ended.failure.as_ref().map(Error::to_string);
                Ok(report(batch, guarantee, Applied::Redelivered, 0, 1, cause))
            }
        }
    }
}

fn report(
    batch: &Batch,
    guarantee: Guarantee,
    applied: Applied,
    outputs: u64,
    attempts: u32,
    cause: Option<String>,
) -> Report {
    let offsets = if applied == Applied::Redelivered { Vec::new() } else { batch.offsets() };
    Report { applied, guarantee, records: batch.len(), outputs, attempts, offsets, took: Duration::ZERO, cause }
}
