//! Fills the input.

use std::sync::atomic::AtomicBool;

use ksem::{Config, Guarantee, Output, Publisher};

use super::interrupted;
use crate::commands::connection::quiet;
use crate::exit::Done;
use crate::progress::Progress;

/// Records and bytes that are sent at once.
const RECORDS: u64 = 10_000;
const BYTES: usize = 16 << 20;

/// Sends records whose keys are their numbers.
pub(super) fn fill(base: &Config, topic: &str, records: u64, size: usize, stop: &AtomicBool) -> Done {
    let publisher = Publisher::new(base.clone(), "");
    let mut progress = Progress::start(quiet(), "loading");
    let result = send(&publisher, topic, records, size, stop, &mut progress);
    progress.finish();
    result
}

fn send(
    publisher: &Publisher,
    topic: &str,
    records: u64,
    size: usize,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Done {
    let each = RECORDS.min((BYTES / size).max(1) as u64);
    let mut text = Text::default();
    let (mut output, mut value) = (Output::default(), vec![0; size]);
    for start in (0..records).step_by(each as usize) {
        for number in start..(start + each).min(records) {
            text.fill(&mut value);
            output.send(topic, Some(number.to_string().as_bytes()), Some(&value));
        }
        publisher.publish(&output, Guarantee::AtLeastOnce)?;
        output.clear();
        interrupted(stop)?;
        progress.show((start + each).min(records), "");
    }
    Ok(())
}

/// Letters without a pattern: what compresses to nothing would flatter a cluster with compression.
struct Text(u64);

impl Default for Text {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Text {
    fn fill(&mut self, value: &mut [u8]) {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for chunk in value.chunks_mut(8) {
            // Marsaglia's xorshift.
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            for (byte, random) in chunk.iter_mut().zip(self.0.to_le_bytes()) {
                *byte = LETTERS[usize::from(random % 64)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn values_are_letters_and_differ() {
        let (mut text, mut a, mut b) = (Text::default(), [0; 30], [0; 30]);
        text.fill(&mut a);
        text.fill(&mut b);
        assert!(a.iter().chain(&b).all(u8::is_ascii_graphic));
        assert_ne!(a, b);
    }
}
