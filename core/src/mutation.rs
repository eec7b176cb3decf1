//! Bugs that can be planted in a pipeline, for the tests of what judges it.
//!
//! A checker that has never failed has shown nothing. Each of these is a mistake that a client of Kafka could make, and
//! that the checker has to find. They are chosen by the caller that opens the pipeline, so that no setting or variable of
//! a production process can ask for one, and they are asked about once a step, never for a record.

/// A planted bug.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// What a transaction that was aborted had taken in is not processed again, and the next one's offsets pass it.
    NoRewindAfterAbort,
    /// Offsets are committed before the outputs were delivered (at-least-once).
    CommitBeforeFlush,
    /// A transaction whose end was asked for twice is followed by another of the same producer.
    EndTxnRetryIgnored,
    /// The group's metadata is taken when offsets are sent, whoever owns the partitions then.
    GroupMetadataLate,
    /// The last record's own offset is committed instead of the next one.
    OffsetNotNext,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::NoRewindAfterAbort,
        Self::CommitBeforeFlush,
        Self::EndTxnRetryIgnored,
        Self::GroupMetadataLate,
        Self::OffsetNotNext,
    ];

    /// Finds it by its name here.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name)
    }
}
