//! One batch at a time, for callers that poll: attempts at it until it is applied or given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::batch::{Batch, Content};
use crate::discipline::{Fault, Outcome};
use crate::engine::attempt::{Drive, Ended, Means};
use crate::engine::isolate::Piece;
use crate::engine::lane::Lane;
use crate::engine::ports::Failure;
use crate::engine::unit::Unit;
use crate::engine::verdict::{Tally, Verdict};
use crate::error::{Code, Error, Result};
use crate::handler::HandlerResult;
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
        let whole = Arc::clone(&batch.content);
        let lane = batch.lane();
        let handler = &mut |content: &Arc<Content>, output: &mut Output| {
            // Nearly always it is all of the batch, and the caller gets what it gave.
            if Arc::ptr_eq(content, &whole) {
                handler(&batch, output)
            } else {
                handler(&Batch::lent(content, lane), output)
            }
        };
        let mut pending = vec![Piece::new(Unit::new(Arc::clone(&whole)))];
        let mut tally = Tally::default();
        let mut applied = Applied::Applied;
        let mut why = None;
        let mut result = Ok(());
        while let Some(mut piece) = pending.pop() {
            let content = Arc::clone(piece.unit.last());
            let verdict = match self.ready(&mut piece) {
                Ok(()) => {
                    let ended = self.attempt(&mut slot, &turn, true, &mut piece, guarantee, None, handler, &mut tally);
                    self.judge(piece, ended, guarantee, &mut tally)
                }
                Err(error) => Verdict::Stop(error),
            };
            let verdict = match verdict {
                Verdict::Again { after, failure, .. } if !self.shared.wait(after) => {
                    Verdict::Stop(self.stop_error(failure))
                }
                other => other,
            };
            match verdict {
                Verdict::Over { applied: Applied::Applied, .. } => {}
                Verdict::Over { applied: other, cause } => (applied, why) = (other, cause),
                Verdict::Again { pieces, .. } => pending.extend(pieces.into_iter().rev()),
                Verdict::Moved { cause, .. } => {
                    (applied, why) = (Applied::Redelivered, cause);
                    self.keep(content, &pending);
                    break;
                }
                Verdict::Stop(error) => {
                    result = Err(error);
                    self.keep(content, &pending);
                    break;
                }
            }
        }
        let took = started.elapsed();
        Counters::add(&self.shared.counters.busy_us, took.as_micros() as u64);
        result?;
        let report = Report { took, ..report(&batch, guarantee, applied, &tally, why) };
        if applied != Applied::Redelivered {
            self.finish(&mut batch);
        }
        Ok(report)
    }

    /// What is not applied of the batch that a caller has: only that comes again.
    fn keep(&self, first: Arc<Content>, pending: &[Piece]) {
        let others = pending.iter().rev().map(|piece| Arc::clone(piece.unit.last()));
        let rest: Vec<_> = std::iter::once(first).chain(others).collect();
        self.leave_out(&rest);
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
        output: &mut Output,
    ) -> Result<Report> {
        let guarantee = drive.guarantee();
        let turn = self.polled()?;
        let mut slot = self.slots[0].lock();
        let mut means = Means { ports: &mut slot.ports, turn: &turn, leads: true, probe: self.shared.probe.as_deref() };
        let mut piece = Piece::new(Unit::new(Arc::clone(&batch.content)));
        let mut tally = Tally::of_one_call();
        let handled = handled.map_err(|error| Failure::new(Fault::Handler, error));
        let handled = handled.and_then(|()| self.carry_out(&mut piece, 0, guarantee, output, &mut tally.marks));
        let ended = drive.after_handler(handled, &mut means, &piece.unit, output);
        if !matches!(ended.outcome, Outcome::Applied | Outcome::Lost) {
            self.take_back(tally.marks);
            return self.conclude(batch, guarantee, ended);
        }
        match self.judge(piece, ended, guarantee, &mut tally) {
            Verdict::Over { applied, cause } => {
                let report = report(batch, guarantee, applied, &tally, cause);
                self.finish(batch);
                Ok(report)
            }
            Verdict::Stop(error) => Err(error),
            Verdict::Moved { .. } | Verdict::Again { .. } => {
                Err(Error::new(Code::Internal, "an attempt that was applied was to be made again"))
            }
        }
    }

    /// An attempt that was not applied; the batch's ticket gives it back when it is dropped.
    fn conclude(&self, batch: &Batch, guarantee: Guarantee, ended: Ended) -> Result<Report> {
        match ended.outcome {
            Outcome::Stop => Err(self.stop_error(ended.failure)),
            _ => {
                let cause = ended.failure.as_ref().map(Error::to_string);
                Ok(report(batch, guarantee, Applied::Redelivered, &Tally::of_one_call(), cause))
            }
        }
    }
}

fn report(batch: &Batch, guarantee: Guarantee, applied: Applied, tally: &Tally, cause: Option<String>) -> Report {
    let Tally { handled, outputs, dead_lettered, skipped, retried, .. } = *tally;
    Report {
        applied,
        guarantee,
        records: batch.len(),
        outputs,
        dead_lettered,
        skipped,
        retried,
        attempts: handled,
        offsets: if applied == Applied::Redelivered { Vec::new() } else { batch.offsets() },
        took: Duration::ZERO,
        cause,
    }
}
