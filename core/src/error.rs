//! The one table of errors: a stable number, a class, what to do about it, and what became of
//! the batch.

use std::error::Error as StdError;
use std::fmt;

/// Which part has to change for the error to go away. Decides the exit status of the command line
/// and the exception's type in the bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// The caller's configuration or call is wrong.
    Config = 1,
    /// A broker can't be reached or can't serve now.
    Unavailable = 2,
    /// The transaction or the group membership was lost.
    Transaction = 3,
    /// The handler failed.
    Handler = 4,
    /// The data is not where it was promised to be.
    Data = 5,
    /// A bug in ksem, or something nobody foresaw.
    Internal = 9,
}

impl Class {
    /// Returns the name used in every language, such as `transaction`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Unavailable => "unavailable",
            Self::Transaction => "transaction",
            Self::Handler => "handler",
            Self::Data => "data",
            Self::Internal => "internal",
        }
    }
}

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Retry {
    /// The same call would fail again: change something first.
    Never = 0,
    /// The same call may succeed later.
    Retry = 1,
    /// Open a new pipeline: the cluster knows what was applied and the new one resumes there.
    Reopen = 2,
}

impl Retry {
    /// Returns the name used in every language, such as `reopen`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Retry => "retry",
            Self::Reopen => "reopen",
        }
    }
}

/// What became of the batch, or of the call, that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Nothing of it has a committed effect, and its offsets were not committed.
    NotApplied = 0,
    /// It took effect, offsets included.
    Applied = 1,
    /// Outputs may be visible although the offsets were not committed (at-least-once), or the
    /// reverse (at-most-once).
    Unknown = 2,
}

impl Outcome {
    /// Returns the name used in every language, such as `not_applied`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApplied => "not_applied",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }
}

macro_rules! error_codes {
    ($($number:literal $name:ident $text:literal $class:ident $retry:ident $outcome:ident $doc:literal)*) => {
        /// A stable error code. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $doc] $name = $number,)* }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the stable name, such as `producer_fenced`.
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text),* } }
            /// Returns which part has to change.
            pub const fn class(self) -> Class { match self { $(Self::$name => Class::$class),* } }
            /// Returns what the caller should do.
            pub const fn retry(self) -> Retry { match self { $(Self::$name => Retry::$retry),* } }
            /// Returns what became of the batch.
            pub const fn outcome(self) -> Outcome { match self { $(Self::$name => Outcome::$outcome),* } }
            /// Returns one sentence about the code.
            pub const fn doc(self) -> &'static str { match self { $(Self::$name => $doc),* } }
        }
    };
}

error_codes! {
    1001 ConfigInvalid "config_invalid" Config Never NotApplied "The configuration has problems; each is listed with its line and what to set."
    1002 TopicUnknown "topic_unknown" Config Never NotApplied "An input topic does not exist."
    1003 OutputTopicMissing "output_topic_missing" Config Never NotApplied "An output topic does not exist and the cluster does not create it."
    1004 NotAuthorized "not_authorized" Config Never NotApplied "The cluster denies an operation: check the ACLs of the principal."
    1005 AuthenticationFailed "authentication_failed" Config Never NotApplied "SASL or TLS authentication failed: check credentials and certificates."
    1006 GuaranteeUnavailable "guarantee_unavailable" Config Never NotApplied "The cluster or the configuration can't give the guarantee that was asked for."
    1007 RecordInvalid "record_invalid" Config Never NotApplied "An output record is not acceptable to the cluster (too large, or invalid)."
    1008 Misuse "misuse" Config Never NotApplied "A call was made in a state that does not allow it."
    1009 ListenDenied "listen_denied" Config Never NotApplied "A server can't listen at the address that was given."
    2001 BrokerUnavailable "broker_unavailable" Unavailable Retry NotApplied "No broker answers at the bootstrap addresses."
    2002 DeliveryFailed "delivery_failed" Unavailable Retry Unknown "Output records were not acknowledged in time."
    2003 CommitFailed "commit_failed" Unavailable Retry Unknown "Offsets could not be committed."
    2004 ShutdownDeadline "shutdown_deadline" Unavailable Reopen Unknown "The shutdown deadline passed with work in flight; it is processed again after the next start."
    3001 ProducerFenced "producer_fenced" Transaction Never NotApplied "A newer instance with the same instance id is running."
    3002 TransactionTimedOut "transaction_timed_out" Transaction Retry NotApplied "The transaction was open for longer than `transactions.timeout_ms` and the coordinator aborted it."
    3003 PartitionRevoked "partition_revoked" Transaction Retry NotApplied "A partition of the batch moved to another member of the consumer group."
    3004 CommitOutcomeUnknown "commit_outcome_unknown" Transaction Reopen Unknown "The transaction's outcome could not be learned from the cluster."
    3005 TransactionFailed "transaction_failed" Transaction Retry NotApplied "A transactional request failed; the transaction was aborted."
    4001 HandlerFailed "handler_failed" Handler Never NotApplied "The handler failed on a batch as often as `retry.max_attempts` allows."
    4002 BatchLost "batch_lost" Handler Never Unknown "An at-most-once batch failed after its offsets were committed."
    4003 HandlerCancelled "handler_cancelled" Handler Retry NotApplied "The caller gave the batch up before its handler had an end; it comes again."
    4004 DeadLetterFailed "dead_letter_failed" Handler Never NotApplied "A record that keeps failing could not be written to `dead_letter.topic`."
    4005 TooManyDeadLetters "too_many_dead_letters" Handler Never NotApplied "A record would have been a dead letter more than `dead_letter.max_failures` allows."
    4006 RecordRejected "record_rejected" Handler Never NotApplied "The handler gave a record up: the code of its dead letter."
    5001 OffsetLost "offset_lost" Data Never NotApplied "The committed offset is no longer in the topic (retention, truncation or a recreated topic)."
    5002 OffsetMissing "offset_missing" Data Never NotApplied "A partition has no committed offset and start_from is \"fail\"."
    9001 Panic "panic" Internal Reopen Unknown "The handler or ksem panicked."
    9002 Internal "internal" Internal Reopen Unknown "Something happened that ksem does not expect; please report it."
}

impl Code {
    /// Returns the stable number.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// An error of ksem. `Display` is one line for logs; `Debug` is a report of several lines.
///
/// Its text never holds a secret: property values are never copied into messages.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    outcome: Outcome,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of a fallible call of ksem.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error. The message says what happened and what to set.
    #[cold]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            outcome: code.outcome(),
            message: message.into(),
            context: Vec::new(),
            source: None,
        }))
    }

    /// Adds a fact, such as `("topic", "orders")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Replaces the code's usual outcome where more is known.
    #[must_use]
    pub fn outcome_is(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the class, which decides the exit status and the exception's type.
    pub fn class(&self) -> Class {
        self.0.code.class()
    }

    /// Returns what the caller should do.
    pub fn retry(&self) -> Retry {
        self.0.code.retry()
    }

    /// Returns what became of the batch.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Returns the message without code and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the facts, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(k, v)| (*k, v.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, message, context, .. } = &*self.0;
        write!(f, "[{} {}] {message}", code.number(), code.name())?;
        for (i, (name, value)) in context.iter().enumerate() {
            let lead = if i == 0 { " (" } else { ", " };
            write!(f, "{lead}{name}: {value}")?;
        }
        if !context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, outcome, message, context, source } = &*self.0;
        writeln!(f, "{} {}: {message}", code.number(), code.name())?;
        writeln!(f, "  class: {:?}, retry: {:?}, outcome: {outcome:?}", code.class(), code.retry())?;
        for (name, value) in context {
            writeln!(f, "  {name}: {value}")?;
        }
        if let Some(source) = source {
            writeln!(f, "  caused by: {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}
