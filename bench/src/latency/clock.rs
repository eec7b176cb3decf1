//! One clock for all processes of a run, and the records that carry its time.

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a record's value.
pub(super) const SIZE: usize = 200;
/// The number of a record that only shows that the way is open.
pub(super) const HELLO: u64 = u64::MAX;

/// Nanoseconds of the system's monotonic clock, which every process of a machine shares and nobody sets.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A record's value: its number and the time at which it had to be sent, whenever it was.
pub(super) fn stamp(value: &mut [u8; SIZE], number: u64, due: u64) {
    value[..8].copy_from_slice(&number.to_le_bytes());
    value[8..16].copy_from_slice(&due.to_le_bytes());
}

/// The number and the time that [`stamp`] wrote.
pub(super) fn read(value: &[u8]) -> Result<(u64, u64)> {
    let word = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(value.get(at..at + 8)?.try_into().ok()?)) };
    let whole = value.len() == SIZE;
    word(0).zip(word(8)).filter(|_| whole).context("a record in the output is none of the load's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_and_other_values_are_refused() {
        let mut value = [b'x'; SIZE];
        stamp(&mut value, 7, 123_456_789_012);
        assert_eq!(read(&value).expect("a stamp"), (7, 123_456_789_012));
        assert!(read(&value[..SIZE - 1]).is_err());
        assert!(read(b"").is_err());
    }

    #[test]
    fn the_clock_goes_on() {
        let before = now();
        assert!(before > 0 && now() >= before);
    }
}
