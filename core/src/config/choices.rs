//! The fields that take one of a few words or numbers.

/// Where a partition starts that never had a committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StartFrom {
    /// At its first record (`earliest`).
    #[default]
    Earliest,
    /// After its last record (`latest`).
    Latest,
    /// Nowhere: the pipeline ends with an error (`fail`).
    Fail,
}

/// What happens when a committed offset is no longer in the partition's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLostOffsets {
    /// The pipeline ends with an error (`fail`).
    #[default]
    Fail,
    /// Goes on at the first record that is left, and skips what was removed (`earliest`).
    Earliest,
    /// Goes on after the last record, and skips everything before it (`latest`).
    Latest,
}

/// How partitions are divided over the members of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Incremental: partitions that don't move are not stopped (`cooperative-sticky`).
    #[default]
    CooperativeSticky,
    /// Neighbouring partitions of each topic together (`range`).
    Range,
    /// One partition to each member in turn (`roundrobin`).
    RoundRobin,
}

/// How many acknowledgements an at-most-once producer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acks {
    /// None: a record counts as sent when it was written to the socket (`0`).
    Zero,
    /// The partition leader's (`1`).
    #[default]
    One,
}

impl StartFrom {
    pub(super) const WORDS: &'static [(&'static str, Self)] =
        &[("earliest", Self::Earliest), ("latest", Self::Latest), ("fail", Self::Fail)];

    /// The word that a configuration uses.
    pub fn name(self) -> &'static str {
        word(Self::WORDS, self)
    }
}

impl OnLostOffsets {
    pub(super) const WORDS: &'static [(&'static str, Self)] =
        &[("fail", Self::Fail), ("earliest", Self::Earliest), ("latest", Self::Latest)];

    /// The word that a configuration uses.
    pub fn name(self) -> &'static str {
        word(Self::WORDS, self)
    }
}

impl Strategy {
    pub(super) const WORDS: &'static [(&'static str, Self)] =
        &[("cooperative-sticky", Self::CooperativeSticky), ("range", Self::Range), ("roundrobin", Self::RoundRobin)];

    /// The word that a configuration and librdkafka use.
    pub fn name(self) -> &'static str {
        word(Self::WORDS, self)
    }
}

impl Acks {
    /// The number that a configuration and librdkafka use.
    pub fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }
}

/// The word of `value`. Every variant has one; a test goes through them.
fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}
