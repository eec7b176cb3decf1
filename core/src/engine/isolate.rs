//! What follows from a failure of the handler: which records are tried again, in which company, and which one is given up.
//!
//! Pure but for the clock. With a dead-letter topic a batch that fails twice is halved until the record that is to blame
//! is alone. A half gets one try without a wait, so finding one record in n takes about log2(n) failures; that record
//! alone gets the attempts and waits of `[retry]`. Pieces keep the order of their records, and each is committed by
//! itself. Without a dead-letter topic nothing is gained by finding the record: the batch is tried as a whole.

use std::error::Error as _;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{Config, RetryConfig};
use crate::dead_letter::Cause;
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::handler::{HandlerFailure, Kind};

/// Tries of a whole batch before it is halved: an accident that is over by then costs no search.
const TOGETHER: u32 = 2;

/// Records that are attempted together, and what is known about them.
pub(crate) struct Piece {
    pub(crate) unit: Unit,
    /// How often exactly these records failed.
    failures: u32,
    /// How often the handler was called with them, in whatever company.
    tries: u32,
    first_failure: Option<SystemTime>,
    /// A piece of what has failed: it is not tried twice before it is split further.
    is_suspect: bool,
    /// When it may be tried.
    due: Option<Instant>,
    /// It failed for good.
    given_up: Option<Cause>,
    /// What failed it, for who is told of the end.
    pub(crate) failure: Option<Error>,
    /// How often the dead-letter topic has not taken what was written for it.
    pub(crate) refusals: u32,
}

/// What the configuration says about records that fail.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'a> {
    pub(crate) retry: &'a RetryConfig,
    /// Whether there is a dead-letter topic.
    pub(crate) sets_aside: bool,
}

impl<'a> Policy<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        Self { retry: &config.retry, sets_aside: config.dead_letter.topic.is_some() }
    }

    /// Doubles with each failure. Between half and all of it, so that lanes that failed together don't try again
    /// together.
    fn backoff(self, failures: u32) -> Duration {
        use std::hash::{BuildHasher, RandomState};
        let doubled = self.retry.backoff_ms.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let millis = doubled.min(self.retry.max_backoff_ms);
        Duration::from_millis(millis / 2 + RandomState::new().hash_one(millis) % (millis / 2 + 1))
    }
}

impl Piece {
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            failures: 0,
            tries: 0,
            first_failure: None,
            is_suspect: false,
            due: None,
            given_up: None,
            failure: None,
            refusals: 0,
        }
    }

    /// How often exactly these records failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait before it is tried.
    pub(crate) fn patience(&self) -> Duration {
        self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()))
    }

    /// Why it was given up, if it was.
    pub(crate) fn given_up(&self) -> Option<&Cause> {
        self.given_up.as_ref()
    }

    /// Why the handler gives a record of it up by a verdict, now.
    pub(crate) fn rejection(&self, reason: String) -> Cause {
        self.cause(Code::RecordRejected, reason, self.tries + 1)
    }

    fn cause(&self, code: Code, message: String, attempts: u32) -> Cause {
        let last = SystemTime::now();
        Cause { code, message, attempts, first: self.first_failure.unwrap_or(last), last }
    }

    /// The same without what moved to another member.
    pub(crate) fn retain(self, keep: impl Fn(&crate::batch::Run) -> bool) -> Option<Self> {
        let unit = self.unit.retain(keep)?;
        Some(Self { unit, ..self })
    }

    /// The handler has failed on batch `part` of it (or on an unknown one). Returns what is tried next, in order.
    pub(crate) fn failed(mut self, failure: Error, part: Option<usize>, policy: Policy<'_>) -> Vec<Self> {
        self.failures += 1;
        self.tries += 1;
        self.first_failure.get_or_insert_with(SystemTime::now);
        let (kind, named) = blame(&failure);
        let most = policy.retry.max_attempts;
        if let Some(part) = part
            && self.unit.records() > 1
        {
            let named = sorted(named, self.unit.parts()[part].len());
            if !named.is_empty() {
                return self.around(part, &named, failure, kind, policy);
            }
        }
        if self.unit.parts().len() > 1 {
            return self.parted(part, policy);
        }
        let together = match kind {
            _ if self.unit.records() == 1 || !policy.sets_aside => most,
            Kind::Retryable => most,
            Kind::Unknown if self.is_suspect => 1,
            Kind::Unknown => TOGETHER.min(most),
            Kind::Permanent => 1,
        };
        let is_final = kind == Kind::Permanent || self.failures >= together;
        if !is_final {
            self.due = Some(Instant::now() + policy.backoff(self.failures));
            self.failure = Some(failure);
            return vec![self];
        }
        if policy.sets_aside && self.unit.records() > 1 {
            return self.halves();
        }
        self.give_up(failure);
        vec![self]
    }

    fn give_up(&mut self, failure: Error) {
        self.given_up = Some(self.cause(failure.code(), failure.message().to_owned(), self.tries));
        self.failure = Some(failure);
    }

    fn child(&self, unit: Unit) -> Self {
        Self { tries: self.tries, first_failure: self.first_failure, ..Self::new(unit) }
    }

    fn halves(&self) -> Vec<Self> {
        let len = self.unit.records();
        let half = |range| Self { is_suspect: true, ..self.child(self.unit.slice(0, range)) };
        vec![half(0..len / 2), half(len / 2..len)]
    }

    /// Each batch for itself, so that what is in front of the bad one is committed.
    fn parted(&self, part: Option<usize>, policy: Policy<'_>) -> Vec<Self> {
        let known = |index| part == Some(index);
        let pieces = self.unit.split().enumerate().map(|(index, unit)| {
            // It gets another try, however few there are: the batches may have failed only together.
            let failures = if known(index) { self.failures.min(policy.retry.max_attempts - 1) } else { 0 };
            Self { failures, ..self.child(unit) }
        });
        let mut pieces: Vec<_> = pieces.collect();
        let wait = Instant::now() + policy.backoff(self.failures);
        pieces[part.unwrap_or(0)].due = Some(wait);
        pieces
    }

    /// Each named record for itself, and what is between them.
    fn around(&self, part: usize, named: &[usize], failure: Error, kind: Kind, policy: Policy<'_>) -> Vec<Self> {
        let (code, text) = (failure.code(), failure.message().to_owned());
        let mut failure = Some(failure);
        let mut pieces: Vec<_> = self.unit.some(0..part).map(|unit| self.child(unit)).into_iter().collect();
        let len = self.unit.parts()[part].len();
        let mut from = 0;
        for &index in named {
            pieces.extend((from < index).then(|| self.child(self.unit.slice(part, from..index))));
            let mut alone = Self { failures: 1, ..self.child(self.unit.slice(part, index..index + 1)) };
            if kind == Kind::Permanent || policy.retry.max_attempts <= 1 {
                alone.give_up(failure.take().unwrap_or_else(|| Error::new(code, text.clone())));
            } else {
                alone.due = Some(Instant::now() + policy.backoff(1));
            }
            pieces.push(alone);
            from = index + 1;
        }
        pieces.extend((from < len).then(|| self.child(self.unit.slice(part, from..len))));
        pieces.extend(self.unit.some(part + 1..self.unit.parts().len()).map(|unit| self.child(unit)));
        pieces
    }
}

/// Whether trying again can help, and which records are to blame.
fn blame(failure: &Error) -> (Kind, &[usize]) {
    match failure.source().and_then(|source| source.downcast_ref::<HandlerFailure>()) {
        Some(said) => (said.kind, &said.records),
        // What was sent for it is refused however often it is sent.
        None if failure.code() == Code::RecordInvalid => (Kind::Permanent, &[]),
        None => (Kind::Unknown, &[]),
    }
}

fn sorted(named: &[usize], len: usize) -> Vec<usize> {
    let mut named: Vec<usize> = named.iter().copied().filter(|index| *index < len).collect();
    named.sort_unstable();
    named.dedup();
    named
}

#[cfg(test)]
mod tests;
