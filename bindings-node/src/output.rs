//! What a handler has sent: one piece of bytes that `lib/output.js` writes and that is read here.
//!
//! ```text
//! entry    0 text                                              the topic of what follows
//!          1 flags bytes bytes [i32] [f64] [i32 (text bytes)…]  key, value; if flagged: partition (1), timestamp (2), headers (4)
//!          2 i32                                               forwards this record of the batch
//!          3                                                   forwards every record
//!          4 i32                                               this record is to be handled again
//!          5 i32 text                                          this record is set aside, and why
//!          6 i32                                               this record is skipped
//! bytes    i32 length, -1 for null; then that many bytes
//! text     as bytes, in UTF-8
//! ```
//!
//! Numbers are little-endian.

use ksem::{Output, OutputRecord};
use napi::{Error, Result};

const PARTITION: u8 = 1;
const TIMESTAMP: u8 = 2;
const HEADERS: u8 = 4;

/// Adds everything that was sent to the output of a batch with so many records.
///
/// # Errors
/// If the bytes are not of this form.
pub fn read(bytes: &[u8], output: &mut Output, records: usize) -> Result<()> {
    let malformed = || Error::from_reason("what the handler has sent is malformed, which is a bug in ksem");
    read_all(bytes, output, records).ok_or_else(malformed)
}

fn read_all(bytes: &[u8], output: &mut Output, records: usize) -> Option<()> {
    let mut left = Left(bytes);
    let mut topic = "";
    let mut headers = Vec::new();
    while !left.0.is_empty() {
        match left.byte()? {
            0 => topic = left.text()?,
            1 => {
                let flags = left.byte()?;
                let mut record = OutputRecord { key: left.bytes()?, value: left.bytes()?, ..OutputRecord::default() };
                if flags & PARTITION != 0 {
                    record.partition = Some(left.integer()?);
                }
                if flags & TIMESTAMP != 0 {
                    record.timestamp = Some(left.number()? as i64);
                }
                headers.clear();
                if flags & HEADERS != 0 {
                    for _ in 0..left.integer()? {
                        headers.push((left.text()?, left.bytes()?));
                    }
                }
                output.send_record(topic, &OutputRecord { headers: &headers, ..record });
            }
            2 => output.forward(topic, left.index(records)?),
            3 => (0..records).for_each(|index| output.forward(topic, index)),
            4 => output.retry(left.index(records)?),
            5 => output.dead_letter(left.index(records)?, left.text()?),
            6 => output.skip(left.index(records)?),
            _ => return None,
        }
    }
    Some(())
}

/// What has not been read yet.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn integer(&mut self) -> Option<i32> {
        self.take(4)?.try_into().map(i32::from_le_bytes).ok()
    }

    /// The index of one of so many records.
    fn index(&mut self, records: usize) -> Option<usize> {
        usize::try_from(self.integer()?).ok().filter(|index| *index < records)
    }

    fn number(&mut self) -> Option<f64> {
        self.take(8)?.try_into().map(f64::from_le_bytes).ok()
    }

    /// Null is `Some(None)`, and `None` is the end.
    #[allow(clippy::option_option)]
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.integer()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()??).ok()
    }
}
