//! When a contestant commits.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A contestant commits by so many records, or by so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cadence {
    /// Exactly so many records in each commit; the last one takes what is left.
    Records(u64),
    /// A commit every so many milliseconds.
    Ms(u64),
}

impl Cadence {
    /// What a bench without options compares.
    pub(crate) const DEFAULTS: [Self; 4] =
        [Self::Records(100), Self::Records(1_000), Self::Records(10_000), Self::Ms(100)];

    /// How many records a run takes: some seconds of work for most contestants, at every cadence.
    pub(crate) fn records(self) -> u64 {
        match self {
            Self::Records(0..=100) => 100_000,
            Self::Records(101..=1_000) => 300_000,
            Self::Records(_) | Self::Ms(_) => 1_000_000,
        }
    }

    /// The number of records in a commit; `None` where time decides.
    pub(crate) fn batch(self) -> Option<u64> {
        match self {
            Self::Records(records) => Some(records),
            Self::Ms(_) => None,
        }
    }

    pub(crate) fn interval(self) -> Option<Duration> {
        match self {
            Self::Records(_) => None,
            Self::Ms(ms) => Some(Duration::from_millis(ms)),
        }
    }
}

/// As in names: `100`, `10k`, `100ms`.
impl Display for Cadence {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Records(records) if records >= 1000 && records.is_multiple_of(1000) => {
                write!(to, "{}k", records / 1000)
            }
            Self::Records(records) => write!(to, "{records}"),
            Self::Ms(ms) => write!(to, "{ms}ms"),
        }
    }
}

impl FromStr for Cadence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number of records (100, 10k) nor a time (100ms)");
        let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(wrong);
        if let Some(digits) = text.strip_suffix("ms") {
            return number(digits).map(Self::Ms);
        }
        match text.strip_suffix('k') {
            Some(digits) => number(digits)?.checked_mul(1000).ok_or_else(wrong).map(Self::Records),
            None => number(text).map(Self::Records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for cadence in [Cadence::Records(100), Cadence::Records(1_500), Cadence::Records(10_000), Cadence::Ms(100)] {
            assert_eq!(cadence.to_string().parse(), Ok(cadence));
        }
        assert_eq!("1000".parse(), Ok(Cadence::Records(1_000)));
        assert_eq!(Cadence::Records(10_000).to_string(), "10k");
        for wrong in ["", "0", "ms", "k", "-1", "1.5k", "100s", "99999999999999999999k"] {
            assert!(wrong.parse::<Cadence>().is_err(), "{wrong}");
        }
    }
}
