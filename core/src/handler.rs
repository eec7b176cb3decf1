//! What a handler says when it fails.

use std::error::Error as StdError;
use std::fmt;

/// What a handler returns: an error fails the batch. A [`HandlerFailure`] says more than others.
pub type HandlerResult = Result<(), Box<dyn StdError + Send + Sync>>;

/// An error of a handler that says which records are to blame, or whether trying again can help.
///
/// Any other error names none: with `dead_letter.topic` the batch is tried once more, then split until the record is
/// found. What is marked `permanent` is not tried again; what is marked `retryable` is tried as often as
/// `retry.max_attempts` says before anything is split.
///
/// ```
/// use ksem::HandlerFailure;
/// let failure = HandlerFailure::new("no such currency").of(3).permanent();
/// assert_eq!(failure.to_string(), "no such currency");
/// ```
#[derive(Debug)]
pub struct HandlerFailure {
    pub(crate) records: Vec<usize>,
    pub(crate) kind: Kind,
    cause: Box<dyn StdError + Send + Sync>,
}

/// Whether another attempt can help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Unknown,
    Permanent,
    Retryable,
}

impl HandlerFailure {
    /// Makes a failure of which nothing more is known.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { records: Vec::new(), kind: Kind::Unknown, cause: cause.into() }
    }

    /// Names a record of the batch that is to blame. May be called for several.
    #[must_use]
    pub fn of(mut self, index: usize) -> Self {
        self.records.push(index);
        self
    }

    /// Trying again can't help: bad data.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.kind = Kind::Permanent;
        self
    }

    /// The data is good and something else is not: a service that is away.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.kind = Kind::Retryable;
        self
    }
}

impl fmt::Display for HandlerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl StdError for HandlerFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}
