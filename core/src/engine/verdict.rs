//! What the end of an attempt means for its unit.

use std::time::{Duration, Instant};

use crate::discipline::Outcome;
use crate::engine::attempt::{self, Ended};
use crate::engine::lane::Lane;
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::metrics::{Applied, Counters};

/// What becomes of a unit.
pub(super) enum Verdict {
    /// It is settled, or it moved to another member.
    Over { applied: Applied, cause: Option<String> },
    /// Another attempt, after a while.
    Again { after: Duration, failure: Option<Error>, handler: bool },
    /// The pipeline can't go on.
    Stop(Error),
}

/// What happened to one unit so far.
#[derive(Default)]
pub(super) struct Tally {
    /// Calls of the handler, for the same batch.
    pub(super) handled: u32,
    /// Attempts that the handler failed.
    failures: u32,
    /// Attempts that failed otherwise.
    retries: u32,
}

impl Lane {
    /// Decides what an attempt's end means, and counts it.
    pub(super) fn judge(&self, unit: &Unit, ended: Ended, tally: &mut Tally) -> Verdict {
        let counters = &self.shared.counters;
        let cause = ended.failure.as_ref().map(Error::to_string);
        match ended.outcome {
            Outcome::Applied => {
                Counters::add(&counters.records_in, (unit.records() - unit.lost()) as u64);
                Counters::add(&counters.records_lost, unit.lost() as u64);
                Counters::add(&counters.records_out, ended.delivered.acknowledged);
                Counters::add(&counters.batches, unit.parts().len() as u64);
                Counters::add(&counters.commits, 1);
                self.settled(unit);
                Verdict::Over { applied: Applied::Applied, cause }
            }
            Outcome::Lost => {
                Counters::add(&counters.records_lost, unit.records() as u64);
                tracing::warn!(batch = unit.describe(), cause, "an at-most-once batch was lost");
                self.settled(unit);
                Verdict::Over { applied: Applied::Lost, cause }
            }
            Outcome::Revoked => self.moved(cause),
            Outcome::Retry => {
                Counters::add(&counters.batches_retried, 1);
                if !self.shared.assignment.gate().covers(unit.runs()) {
                    return self.moved(cause);
                }
                if ended.has_fallen {
                    // Its turn comes when the one in front is done.
                    return Verdict::Again { after: Duration::ZERO, failure: ended.failure, handler: false };
                }
                tally.retries += 1;
                if let Some(error) = &ended.failure {
                    tracing::warn!(%error, batch = unit.describe(), "not applied; trying again");
                }
                Verdict::Again { after: attempt::backoff(tally.retries), failure: ended.failure, handler: false }
            }
            Outcome::HandlerFailed => {
                Counters::add(&counters.handler_failures, 1);
                self.after_handler_failure(unit, ended, tally)
            }
            Outcome::Stop => Verdict::Stop(self.stop_error(ended.failure)),
        }
    }

    fn moved(&self, cause: Option<String>) -> Verdict {
        Counters::add(&self.shared.counters.batches_revoked, 1);
        Verdict::Over { applied: Applied::Redelivered, cause }
    }

    fn after_handler_failure(&self, unit: &Unit, mut ended: Ended, tally: &mut Tally) -> Verdict {
        if let Some(error) = ended.failure.take_if(|error| error.code() == Code::HandlerCancelled) {
            return Verdict::Stop(error);
        }
        tally.failures += 1;
        let retry = &self.shared.config.retry;
        let cause = ended.failure.as_ref().map_or_else(String::new, |error| error.message().to_owned());
        // Of several batches it is not known yet which one fails for good.
        if tally.failures >= retry.max_attempts && unit.parts().len() == 1 {
            let timed_out = ended.failure.as_ref().is_some_and(|error| error.code() == Code::TransactionTimedOut);
            let error = Error::new(
                if timed_out { Code::TransactionTimedOut } else { Code::HandlerFailed },
                format!(
                    "the handler failed {} times on the same batch, which is `retry.max_attempts`; nothing of it \
                     was applied and no committed offset has passed it: {cause}",
                    tally.failures
                ),
            );
            let error = error.with("batch", unit.describe());
            // The handler's own error is at the end of the chain, for callers that want it back.
            return Verdict::Stop(match ended.failure {
                Some(failure) => error.caused_by(failure),
                None => error,
            });
        }
        tracing::warn!(attempt = tally.failures, cause, batch = unit.describe(), "the handler failed");
        let millis = retry.backoff_ms.saturating_mul(1 << (tally.failures - 1).min(20)).min(retry.max_backoff_ms);
        Verdict::Again { after: jittered(millis), failure: ended.failure, handler: true }
    }

    pub(super) fn stop_error(&self, failure: Option<Error>) -> Error {
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
}

/// Between half and all of it, so that lanes that failed together don't try again together.
fn jittered(millis: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(millis);
    Duration::from_millis(millis / 2 + random % (millis / 2 + 1))
}
