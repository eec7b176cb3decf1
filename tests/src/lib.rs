//! What the tests of ksem on real Kafka share.
//!
//! A test file has one test of many [`Steps`], because a cluster takes seconds to start: they share it, and each has
//! a [`Scene`] of its own there, which is an input topic, two output topics and a group. What became of the records is
//! read by the testkit, which shares no code with ksem's consumer.
//!
//! | variable | meaning |
//! |---|---|
//! | `KSEM_TEST_SCALE` | multiplies records and kills; 1 is the default |
//! | `KSEM_TEST_SEED` | repeats a run's random choices; every run prints its seed |
//! | `KSEM_TEST_ONLY` | runs only the steps whose name has this text |
//! | `KSEM_LOG` | shows the log of ksem, in this process and in others |
//! | `KSEM_BIN` | the binary under test; without it, it is built |

mod binary;
pub mod conformance;
mod run;
mod scene;
mod settings;
mod steps;

use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use binary::ksem_binary;
pub use run::{Ended, Run};
pub use scene::Scene;
pub use settings::Settings;
pub use steps::Steps;

/// By how much tests are larger than they have to be.
pub fn scale() -> u64 {
    number("KSEM_TEST_SCALE").unwrap_or(1).max(1)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Waits until the condition holds.
///
/// # Panics
/// If it does not hold in time.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Random numbers that a seed repeats.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Takes the seed from the environment or the clock, and prints it.
    pub fn seeded() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
        let seed = number("KSEM_TEST_SEED").unwrap_or_else(|| clock() % 1_000_000);
        println!("KSEM_TEST_SEED={seed}");
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64: short, and good enough to choose moments.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// Returns a duration below that many milliseconds.
    pub fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}
