//! What the end of an attempt means for its unit.

use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::discipline::Outcome;
use crate::engine::attempt::{self, Ended};
use crate::engine::isolate::{Piece, Policy};
use crate::engine::lane::Lane;
use crate::engine::marks::Marks;
use crate::engine::unit::Unit;
use crate::error::{Code, Error, Result};
use crate::metrics::{Applied, Counters};

/// What becomes of a piece of a unit.
pub(super) enum Verdict {
    /// It is settled.
    Over { applied: Applied, cause: Option<String> },
    /// It was not applied, and some of it is another member's now.
    Moved { piece: Piece, cause: Option<String> },
    /// Another attempt, after a while: at all of it, or at pieces of it in order.
    Again { after: Duration, failure: Option<Error>, pieces: Vec<Piece> },
    /// The pipeline can't go on.
    Stop(Error),
}

/// What happened to one unit so far.
#[derive(Default)]
pub(super) struct Tally {
    /// Calls of the handler.
    pub(super) handled: u32,
    /// Attempts at one piece that failed otherwise than by the handler.
    retries: u32,
    /// What this attempt does with single records.
    pub(super) marks: Marks,
    /// The batch on which the handler failed in this attempt.
    pub(super) part: Option<usize>,
    /// Of pieces that were applied.
    pub(super) outputs: u64,
    pub(super) dead_lettered: u64,
    pub(super) skipped: u64,
    pub(super) retried: u64,
}

impl Tally {
    pub(super) fn of_one_call() -> Self {
        Self { handled: 1, ..Self::default() }
    }

    /// A new attempt begins.
    pub(super) fn begin(&mut self) {
        self.marks = Marks::default();
        self.part = None;
    }

    fn applied(&mut self, acknowledged: u64) {
        self.retries = 0;
        self.outputs += acknowledged.saturating_sub(self.marks.dead_lettered);
        self.dead_lettered += self.marks.dead_lettered;
        self.skipped += self.marks.skipped;
    }
}

impl Lane {
    /// Waits until a piece may be tried.
    ///
    /// # Errors
    /// If it was given up and there is no topic for it, or the pipeline ends.
    pub(super) fn ready(&self, piece: &mut Piece) -> Result<()> {
        if piece.given_up().is_some() && self.shared.config.dead_letter.topic.is_none() {
            return Err(self.dead_end(piece));
        }
        let patience = piece.patience();
        if patience.is_zero() || self.shared.wait(patience) {
            return Ok(());
        }
        Err(self.stop_error(piece.failure.take()))
    }

    /// Decides what an attempt's end means, and counts it.
    pub(super) fn judge(&self, mut piece: Piece, ended: Ended, guarantee: Guarantee, tally: &mut Tally) -> Verdict {
        let counters = &self.shared.counters;
        let cause = ended.failure.as_ref().map(Error::to_string);
        match ended.outcome {
            Outcome::Applied => {
                self.applied(&piece.unit, ended.delivered.acknowledged, tally);
                Verdict::Over { applied: Applied::Applied, cause }
            }
            Outcome::Lost => {
                let unit = &piece.unit;
                Counters::add(&counters.records_lost, unit.records() as u64);
                tracing::warn!(batch = unit.describe(), cause, "an at-most-once batch was lost");
                self.settled(unit);
                match ended.failure {
                    // Going on would lose the next ones for the same reason.
                    Some(error) if matches!(error.code(), Code::TooManyDeadLetters | Code::Misuse) => {
                        Verdict::Stop(error)
                    }
                    _ => Verdict::Over { applied: Applied::Lost, cause },
                }
            }
            Outcome::Revoked => self.moved(piece, cause),
            Outcome::Retry => {
                Counters::add(&counters.batches_retried, 1);
                if !self.shared.assignment.gate().covers(piece.unit.runs()) {
                    return self.moved(piece, cause);
                }
                if ended.has_fallen {
                    // Its turn comes when the one in front is done.
                    return Verdict::Again { after: Duration::ZERO, failure: ended.failure, pieces: vec![piece] };
                }
                if ended.failure.as_ref().is_some_and(|failure| self.is_of_dead_letters(failure)) {
                    piece.refusals += 1;
                    if piece.refusals >= self.shared.config.retry.max_attempts {
                        return Verdict::Stop(not_buried(&piece.unit, ended.failure));
                    }
                }
                tally.retries += 1;
                if let Some(error) = &ended.failure {
                    tracing::warn!(%error, batch = piece.unit.describe(), "not applied; trying again");
                }
                let after = attempt::backoff(tally.retries);
                Verdict::Again { after, failure: ended.failure, pieces: vec![piece] }
            }
            Outcome::HandlerFailed => self.after_handler_failure(piece, ended.failure, tally),
            Outcome::Stop => self.after_refusal(piece, ended.failure, guarantee, tally),
        }
    }

    fn applied(&self, unit: &Unit, acknowledged: u64, tally: &mut Tally) {
        let counters = &self.shared.counters;
        let Marks { dead_lettered, skipped, .. } = tally.marks;
        Counters::add(&counters.records_in, (unit.records() - unit.lost()) as u64);
        Counters::add(&counters.records_lost, unit.lost() as u64);
        Counters::add(&counters.records_out, acknowledged.saturating_sub(dead_lettered));
        Counters::add(&counters.records_dead_lettered, dead_lettered);
        Counters::add(&counters.records_skipped, skipped);
        Counters::add(&counters.batches, unit.parts().len() as u64);
        Counters::add(&counters.commits, 1);
        tally.applied(acknowledged);
        self.settled(unit);
    }

    fn moved(&self, piece: Piece, cause: Option<String>) -> Verdict {
        Counters::add(&self.shared.counters.batches_revoked, 1);
        Verdict::Moved { piece, cause }
    }

    /// The handler failed: all of it again, or pieces of it.
    fn after_handler_failure(&self, piece: Piece, failure: Option<Error>, tally: &mut Tally) -> Verdict {
        let failure = failure.unwrap_or_else(|| Error::new(Code::HandlerFailed, "the handler failed"));
        Counters::add(&self.shared.counters.handler_failures, 1);
        if failure.code() == Code::HandlerCancelled {
            return Verdict::Stop(failure);
        }
        tracing::warn!(
            attempt = piece.failures() + 1,
            cause = failure.message(),
            batch = piece.unit.describe(),
            "the handler failed"
        );
        let pieces = piece.failed(failure, tally.part, Policy::of(&self.shared.config));
        for piece in &pieces {
            match piece.given_up() {
                Some(cause) if self.shared.config.dead_letter.topic.is_some() => {
                    tracing::warn!(record = piece.unit.describe(), cause = cause.message, "becomes a dead letter");
                }
                Some(_) => {}
                None => {
                    let records = piece.unit.records() as u64;
                    tally.retried += records;
                    Counters::add(&self.shared.counters.records_retried, records);
                }
            }
        }
        // Each piece knows by itself how long it waits.
        Verdict::Again { after: Duration::ZERO, failure: None, pieces }
    }

    /// A step was refused for good. Where a record is to blame and may be set aside, it is looked for.
    fn after_refusal(&self, piece: Piece, failure: Option<Error>, guarantee: Guarantee, tally: &mut Tally) -> Verdict {
        let Some(failure) = failure else { return Verdict::Stop(self.stop_error(None)) };
        if self.shared.is_overdue() {
            return Verdict::Stop(self.stop_error(Some(failure)));
        }
        if self.is_of_dead_letters(&failure) {
            return Verdict::Stop(not_buried(&piece.unit, Some(failure)));
        }
        let is_of_a_record = failure.code() == Code::RecordInvalid && guarantee != Guarantee::AtMostOnce;
        if is_of_a_record && self.shared.config.dead_letter.topic.is_some() {
            return self.after_handler_failure(piece, Some(failure), tally);
        }
        Verdict::Stop(self.stop_error(Some(failure)))
    }

    /// Whether it is the dead-letter topic that has not taken a record.
    fn is_of_dead_letters(&self, failure: &Error) -> bool {
        let Some(topic) = &self.shared.config.dead_letter.topic else { return false };
        failure.context().any(|(name, value)| name == "topic" && value == topic)
    }

    /// There is no topic for what was given up.
    fn dead_end(&self, piece: &mut Piece) -> Error {
        let failure = piece.failure.take();
        let cause = failure.as_ref().map_or("", Error::message);
        let timed_out = failure.as_ref().is_some_and(|error| error.code() == Code::TransactionTimedOut);
        let (failures, most) = (piece.failures(), self.shared.config.retry.max_attempts);
        let how = if failures >= most {
            format!("the handler failed {failures} times on the same batch, which is `retry.max_attempts`")
        } else {
            "the handler failed on the batch, and trying again can't help".to_owned()
        };
        let text = format!(
            "{how}; nothing of it was applied and no committed offset has passed it, because `dead_letter.topic` is \
             not set: {cause}"
        );
        let code = if timed_out { Code::TransactionTimedOut } else { Code::HandlerFailed };
        let error = Error::new(code, text).with("batch", piece.unit.describe());
        // The handler's own error is at the end of the chain, for callers that want it back.
        because_of(error, failure)
    }

    pub(super) fn stop_error(&self, failure: Option<Error>) -> Error {
        if self.shared.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let error = Error::new(
                Code::ShutdownDeadline,
                "`shutdown.deadline_ms` passed with a batch in flight; it is processed again after the next start",
            );
            return because_of(error, failure);
        }
        failure.unwrap_or_else(|| Error::new(Code::Internal, "the pipeline stopped"))
    }
}

/// A record is never dropped because its dead letter can't be written.
fn not_buried(unit: &Unit, failure: Option<Error>) -> Error {
    let cause = failure.as_ref().map_or_else(String::new, Error::to_string);
    let text = format!(
        "a dead letter could not be written to `dead_letter.topic`; nothing of its batch was applied and no committed \
         offset has passed it; make the topic take it, then start again: {cause}"
    );
    let error = Error::new(Code::DeadLetterFailed, text).with("batch", unit.describe());
    because_of(error, failure)
}

fn because_of(error: Error, failure: Option<Error>) -> Error {
    match failure {
        Some(failure) => error.caused_by(failure),
        None => error,
    }
}
