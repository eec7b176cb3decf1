//! Dead letters: records that were set aside, with what is needed to find out why and to send them again.
//!
//! A dead letter has the raw key and value of its record and the record's own headers in their order. Behind those
//! come the headers of this module, as text in UTF-8. It is written with the batch's outputs: in the same transaction as
//! the offsets (exactly-once), or before their commit (at-least-once).

use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::output::{Output, OutputRecord};
use crate::record::{Header, Record};

/// What the names of all these headers begin with.
pub const PREFIX: &str = "ksem.dlq.";
/// The topic that the record was read from.
pub const TOPIC: &str = "ksem.dlq.topic";
/// Its partition.
pub const PARTITION: &str = "ksem.dlq.partition";
/// Its offset.
pub const OFFSET: &str = "ksem.dlq.offset";
/// Its timestamp in milliseconds since 1970; not there if it had none.
pub const TIMESTAMP: &str = "ksem.dlq.timestamp";
/// The consumer group that could not process it.
pub const GROUP: &str = "ksem.dlq.group";
/// Why: the name of an error code, such as `handler_failed`, `record_rejected` or `record_invalid`.
pub const ERROR_CODE: &str = "ksem.dlq.error.code";
/// The error in words, at most [`MESSAGE_MAX`] bytes.
pub const ERROR_MESSAGE: &str = "ksem.dlq.error.message";
/// How often the handler was called with it by the process that gave it up.
pub const ATTEMPTS: &str = "ksem.dlq.attempts";
/// When it failed first, in milliseconds since 1970.
pub const FIRST_FAILURE: &str = "ksem.dlq.first_failure";
/// When it failed last, in milliseconds since 1970.
pub const LAST_FAILURE: &str = "ksem.dlq.last_failure";
/// `omitted` where `dead_letter.payload` is off: key, value and the record's own headers are not there.
pub const PAYLOAD: &str = "ksem.dlq.payload";
/// How often the record was replayed. It is the only one of these headers that a replayed record keeps.
pub const REPLAYS: &str = "ksem.dlq.replays";

/// On a receipt: which dead letter of the same topic was replayed, as `partition:offset`. A receipt is written to the
/// dead-letter topic in the transaction of the replay, and is no dead letter itself.
pub const REPLAYED: &str = "ksem.dlq.replayed";

/// Longest [`ERROR_MESSAGE`].
pub const MESSAGE_MAX: usize = 1024;

/// Why and when a record failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) attempts: u32,
    pub(crate) first: SystemTime,
    pub(crate) last: SystemTime,
}

/// Where dead letters go and what they have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy<'a> {
    pub(crate) topic: &'a str,
    pub(crate) group: &'a str,
    pub(crate) payload: bool,
}

impl<'a> Policy<'a> {
    /// Returns what the configuration says.
    ///
    /// # Errors
    /// `misuse` if it names no dead-letter topic.
    pub(crate) fn of(config: &'a Config) -> Result<Self> {
        let topic = config.dead_letter.topic.as_deref().ok_or_else(|| {
            let text = "a record was to be a dead letter, and there is no topic for it; set `dead_letter.topic`";
            Error::new(Code::Misuse, text)
        })?;
        Ok(Self { topic, group: &config.group, payload: config.dead_letter.payload })
    }

    /// Adds the record's dead letter to the output.
    pub(crate) fn write(&self, record: &Record<'_>, cause: &Cause, output: &mut Output) {
        let texts = self.texts(record, cause);
        let mut headers: Vec<Header<'_>> = Vec::new();
        if self.payload {
            // Of an earlier life as a dead letter only the number of replays is kept.
            let own = |name: &str| name == REPLAYS || !name.starts_with(PREFIX);
            headers.extend(record.headers().into_iter().filter(|(name, _)| own(name)));
        }
        headers.extend(texts.iter().map(|(name, text)| (*name, Some(text.as_bytes()))));
        let (key, value) = if self.payload { (record.key, record.value) } else { (None, None) };
        output.send_record(self.topic, &OutputRecord { key, value, headers: &headers, ..OutputRecord::default() });
    }

    fn texts(&self, record: &Record<'_>, cause: &Cause) -> Vec<(&'static str, String)> {
        let mut texts = vec![
            (TOPIC, record.topic.to_owned()),
            (PARTITION, record.partition.to_string()),
            (OFFSET, record.offset.to_string()),
        ];
        texts.extend(record.timestamp.map(|timestamp| (TIMESTAMP, timestamp.to_string())));
        texts.extend([
            (GROUP, self.group.to_owned()),
            (ERROR_CODE, cause.code.name().to_owned()),
            (ERROR_MESSAGE, shortened(&cause.message).to_owned()),
            (ATTEMPTS, cause.attempts.to_string()),
            (FIRST_FAILURE, millis(cause.first)),
            (LAST_FAILURE, millis(cause.last)),
        ]);
        if !self.payload {
            texts.push((PAYLOAD, "omitted".to_owned()));
        }
        texts
    }
}

/// Cuts between two characters.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_MAX)]
}

fn millis(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Headers = Vec<(String, Option<Vec<u8>>)>;

    fn letter(policy: Policy<'_>, own: &Headers, message: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>, Headers) {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let cause = Cause {
            code: Code::HandlerFailed,
            message: message.to_owned(),
            attempts: 3,
            first: at(1_000),
            last: at(2_500),
        };
        let (key, value) = (Some(&b"\xff\x00"[..]), None);
        let record = Record { topic: "in", partition: 4, offset: 77, timestamp: Some(5), key, value, headers: own };
        let mut output = Output::default();
        policy.write(&record, &cause, &mut output);
        let mut written = None;
        let each = |view: crate::output::View<'_>| {
            let OutputRecord { key, value, headers, .. } = view.record;
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)));
            written = Some((key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec), headers.collect()));
            Ok::<(), ()>(())
        };
        output.try_for_each(None, each).expect("it never fails");
        assert_eq!(output.topics()[0].as_ref(), "dead");
        written.expect("one record")
    }

    fn text(headers: &Headers, name: &str) -> Option<String> {
        let value = headers.iter().find(|(other, _)| other == name)?.1.clone()?;
        Some(String::from_utf8(value).expect("text"))
    }

    const WHOLE: Policy<'static> = Policy { topic: "dead", group: "g", payload: true };

    #[test]
    fn a_dead_letter_has_the_record_as_it_was_and_says_where_when_and_why() {
        let own = vec![("a".to_owned(), Some(vec![0xfe])), ("a".to_owned(), None)];
        let (key, value, headers) = letter(WHOLE, &own, "no such customer");
        assert_eq!((key, value), (Some(vec![0xff, 0]), None), "a tombstone stays one");
        assert_eq!(headers[..2], own[..]);
        let expected = [
            (TOPIC, "in"),
            (PARTITION, "4"),
            (OFFSET, "77"),
            (TIMESTAMP, "5"),
            (GROUP, "g"),
            (ERROR_CODE, "handler_failed"),
            (ERROR_MESSAGE, "no such customer"),
            (ATTEMPTS, "3"),
            (FIRST_FAILURE, "1000"),
            (LAST_FAILURE, "2500"),
        ];
        let named: Vec<_> = headers[2..].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, expected.map(|(name, _)| name));
        for (name, value) in expected {
            assert_eq!(text(&headers, name).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn a_second_death_does_not_pile_headers_up_and_keeps_the_number_of_replays() {
        let first = letter(WHOLE, &Headers::new(), "first").2;
        let mut again = first.clone();
        again.push((REPLAYS.to_owned(), Some(b"1".to_vec())));
        let headers = letter(WHOLE, &again, "second").2;
        assert_eq!(headers.len(), first.len() + 1);
        assert_eq!(text(&headers, REPLAYS).as_deref(), Some("1"));
        assert_eq!(text(&headers, ERROR_MESSAGE).as_deref(), Some("second"));
    }

    #[test]
    fn without_payload_only_the_place_is_told() {
        let own = vec![("personal".to_owned(), Some(b"x".to_vec()))];
        let (key, value, headers) = letter(Policy { payload: false, ..WHOLE }, &own, "m");
        assert_eq!((key, value), (None, None));
        assert_eq!(text(&headers, PAYLOAD).as_deref(), Some("omitted"));
        assert!(headers.iter().all(|(name, _)| name.starts_with(PREFIX)));
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let headers = letter(WHOLE, &Headers::new(), &format!("x{}", "ü".repeat(MESSAGE_MAX))).2;
        let message = text(&headers, ERROR_MESSAGE).expect("there");
        assert_eq!(message.len(), MESSAGE_MAX - 1);
    }
}
