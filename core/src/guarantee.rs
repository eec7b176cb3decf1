//! The three delivery guarantees: their names and numbers.

use std::fmt;
use std::str::FromStr;

/// What a pipeline promises about each input record's effect.
///
/// The numbers are the same in every language and never change.
///
/// ```
/// use ksem::Guarantee;
/// assert_eq!("exactly_once".parse(), Ok(Guarantee::ExactlyOnce));
/// assert_eq!(Guarantee::AtLeastOnce.to_string(), "at_least_once");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Guarantee {
    /// No input record has two committed effects. What is lost is at most what was in flight.
    AtMostOnce = 0,
    /// Every input record has an effect before its offset is committed. What is repeated is at
    /// most the work since the last commit.
    #[default]
    AtLeastOnce = 1,
    /// Under `read_committed`, a batch's outputs and its input offsets appear together, once, or
    /// not at all (KIP-98, KIP-447).
    ExactlyOnce = 2,
}

impl Guarantee {
    /// All guarantees, weakest promise about loss first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    /// Returns the name used in configuration, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at_most_once",
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }

    /// Reads a name; hyphens and capitals are accepted (`exactly-once`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|g| g.name() == text)
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no guarantee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no guarantee; use at_most_once, at_least_once or exactly_once")]
pub struct UnknownGuarantee(
    /// The text that was given.
    pub String,
);

impl FromStr for Guarantee {
    type Err = UnknownGuarantee;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| UnknownGuarantee(text.to_owned()))
    }
}
