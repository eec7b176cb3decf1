//! Processing: attempts at a lane's batch, and what their ends mean for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::batch::Batch;
use crate::discipline::Outcome;
use crate::engine::attempt::{self, Drive, Ended};
use crate::engine::lane::{HandlerResult, Lane};
use crate::error::{Code, Error, Result};
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
        let mut tally = Tally::default();
        let mut output = self.output.lock();
        let result = loop {
            let ended = self.attempt(&batch, guarantee, &mut output, handler, &mut tally);
            if let Some(result) = self.settle(&mut batch, guarantee, ended, &mut tally) {
                break result;
            }
        };
        output.clear();
        let busy = started.elapsed();
        Counters::add(&self.shared.counters.busy_us, busy.as_micros() as u64);
        result.map(|report| Report { took: busy, ..report })
    }

    fn attempt(
        &self,
        batch: &Batch,
        guarantee: Guarantee,
        output: &mut Output,
        handler: &mut dyn FnMut(&Batch, &mut Output) -> HandlerResult,
        tally: &mut Tally,
    ) -> Ended {
        let mut ports = self.ports.lock();
        let probe = self.shared.probe.as_deref();
        let mut drive = Drive::new(guarantee);
        if let Some(ended) = drive.until_handler(&mut *ports, probe, batch) {
            return ended;
        }
        output.clear();
        tally.handled += 1;
        let started = Instant::now();
        let handled = guarded(|| handler(batch, output));
        let mut ended = drive.after_handler(handled, &mut *ports, probe, batch, output);
        if guarantee == Guarantee::ExactlyOnce && ended.outcome == Outcome::Retry {
            self.blame_slowness(&mut ended, started.elapsed());
        }
        ended
    }

    /// A batch that takes longer than its transaction may would fail for ever: it counts as one
    /// that the handler failed.
    fn blame_slowness(&self, ended: &mut Ended, took: Duration) {
        let allowed = Duration::from_millis(self.shared.config.transactions.timeout_ms);
        if took >= allowed {
            ended.outcome = Outcome::HandlerFailed;
            let error = Error::new(
                Code::TransactionTimedOut,
                format!(
                    "the batch took {:.1} s, longer than `transactions.timeout_ms` = {}; raise it, or make batches \
                     smaller with `batch.max_records`",
                    took.as_secs_f64(),
                    allowed.as_millis()
                ),
            );
            ended.failure = Some(error);
        }
    }

    /// Decides what an attempt's end means for the batch; `None` makes another attempt.
    fn settle(
        &self,
        batch: &mut Batch,
        guarantee: Guarantee,
        ended: Ended,
        tally: &mut Tally,
    ) -> Option<Result<Report>> {
        let counters = &self.shared.counters;
        let report = |applied, batch: &Batch, ended: &Ended, attempts| Report {
            applied,
            guarantee,
            records: batch.len(),
            outputs: ended.delivered.acknowledged,
            attempts,
            offsets: if applied == Applied::Redelivered { Vec::new() } else { batch.offsets() },
            took: Duration::ZERO,
            cause: ended.failure.as_ref().map(ToString::to_string),
        };
        match ended.outcome {
            Outcome::Applied => {
                let report = report(Applied::Applied, batch, &ended, tally.handled);
                Counters::add(&counters.records_in, report.records as u64);
                Counters::add(&counters.records_out, report.outputs);
                Counters::add(&counters.batches, 1);
                self.finish(batch);
                Some(Ok(report))
            }
            Outcome::Lost => {
                let report = report(Applied::Lost, batch, &ended, tally.handled);
                Counters::add(&counters.records_lost, report.records as u64);
                tracing::warn!(
                    batch = batch.content.describe(),
                    cause = report.cause,
                    "an at-most-once batch was lost"
                );
                self.finish(batch);
                Some(Ok(report))
            }
            Outcome::Revoked => {
                Counters::add(&counters.batches_revoked, 1);
                Some(Ok(report(Applied::Redelivered, batch, &ended, tally.handled)))
            }
            Outcome::Retry => {
                Counters::add(&counters.batches_retried, 1);
                tally.retries += 1;
                if !self.shared.assignment.gate().covers(&batch.content) {
                    Counters::add(&counters.batches_revoked, 1);
                    return Some(Ok(report(Applied::Redelivered, batch, &ended, tally.handled)));
                }
                if let Some(error) = &ended.failure {
                    tracing::warn!(%error, batch = batch.content.describe(), "not applied; trying again");
                }
                self.again(attempt::backoff(tally.retries), ended)
            }
            Outcome::HandlerFailed => {
                Counters::add(&counters.handler_failures, 1);
                self.after_handler_failure(batch, ended, tally)
            }
            Outcome::Stop => Some(Err(self.stop_error(ended.failure))),
        }
    }

    fn after_handler_failure(&self, batch: &Batch, ended: Ended, tally: &mut Tally) -> Option<Result<Report>> {
        tally.failures += 1;
        let retry = &self.shared.config.retry;
        let cause = ended.failure.as_ref().map_or_else(String::new, |error| error.message().to_owned());
        if tally.failures >= retry.max_attempts {
            let timed_out = ended.failure.as_ref().is_some_and(|error| error.code() == Code::TransactionTimedOut);
            let error = Error::new(
                if timed_out { Code::TransactionTimedOut } else { Code::HandlerFailed },
                format!(
                    "the handler failed {} times on the same batch, which is `retry.max_attempts`; nothing of it \
                     was applied and no committed offset has passed it: {cause}",
                    tally.failures
                ),
            );
            return Some(Err(error.with("batch", batch.content.describe())));
        }
        tracing::warn!(attempt = tally.failures, cause, batch = batch.content.describe(), "the handler failed");
        let millis = retry.backoff_ms.saturating_mul(1 << (tally.failures - 1).min(20)).min(retry.max_backoff_ms);
        self.again(jittered(millis), ended)
    }

    fn again(&self, backoff: Duration, ended: Ended) -> Option<Result<Report>> {
        if self.shared.wait(backoff) { None } else { Some(Err(self.stop_error(ended.failure))) }
    }

    fn stop_error(&self, failure: Option<Error>) -> Error {
        if self.shared.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let error = Error::new(
                Code::ShutdownDeadline,
                "`shutdown.deadline_ms` passed with a batch in flight; it is processed again after the next start",
            );
            return match failure {
                Some(cause) => error.caused_by(cause),
                None => error,
            };
        }
        failure.unwrap_or_else(|| Error::new(Code::Internal, "the pipeline stopped"))
    }

    /// Starts an attempt whose handler runs elsewhere.
    pub(crate) fn begin(&self, batch: &Batch, guarantee: Guarantee) -> std::result::Result<Drive, Result<Report>> {
        let mut drive = Drive::new(guarantee);
        let ended = drive.until_handler(&mut *self.ports.lock(), self.shared.probe.as_deref(), batch);
        match ended {
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
        let ended = drive.after_handler(handled, &mut *self.ports.lock(), self.shared.probe.as_deref(), batch, output);
        match ended.outcome {
            Outcome::Applied | Outcome::Lost => {
                let mut tally = Tally { handled: 1, ..Tally::default() };
                self.settle(batch, guarantee, ended, &mut tally)
                    .unwrap_or_else(|| Err(Error::new(Code::Internal, "a finished batch was not settled")))
            }
            _ => self.conclude(batch, guarantee, ended),
        }
    }

    /// An attempt that was not applied; the batch's ticket gives it back when it is dropped.
    fn conclude(&self, batch: &Batch, guarantee: Guarantee, ended: Ended) -> Result<Report> {
        match ended.outcome {
            Outcome::Stop => Err(self.stop_error(ended.failure)),
            _ => Ok(Report {
                applied: Applied::Redelivered,
                guarantee,
                records: batch.len(),
                outputs: 0,
                attempts: 1,
                offsets: Vec::new(),
                took: Duration::ZERO,
                cause: ended.failure.map(|error| error.to_string()),
            }),
        }
    }
}

/// What happened to one batch so far.
#[derive(Default)]
struct Tally {
    /// Calls of the handler.
    handled: u32,
    /// Attempts that the handler failed.
    failures: u32,
    /// Attempts that failed otherwise.
    retries: u32,
}

/// A panic of the handler fails its batch like an error.
fn guarded(handler: impl FnOnce() -> HandlerResult) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(Error::new(Code::HandlerFailed, cause.to_string()).caused_by(cause)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::new(Code::Panic, format!("the handler panicked: {text}")))
        }
    }
}

/// Between half and all of it, so that lanes that failed together don't try again together.
fn jittered(millis: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(millis);
    Duration::from_millis(millis / 2 + random % (millis / 2 + 1))
}
