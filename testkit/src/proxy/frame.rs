//! Frames of Kafka's protocol, as far as a proxy has to understand them: what a request is, and whose.

use std::io::{self, Read};

/// The requests of Kafka's protocol that a test may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    ApiVersions = 18,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::LeaveGroup,
        Self::SyncGroup,
        Self::ApiVersions,
        Self::InitProducerId,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::EndTxn,
        Self::TxnOffsetCommit,
    ];

    /// Finds it by Kafka's name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| format!("{api:?}") == name)
    }
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// To the broker.
    Request,
    /// To the client.
    Response,
}

/// What the head of a request says. A response is known by the request that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) api: i16,
    pub(super) correlation: i32,
    pub(super) client: String,
    pub(super) transactional_id: Option<String>,
    /// Whether the broker sends a response: not to a Produce with `acks=0`.
    pub(super) is_answered: bool,
}

impl Head {
    pub(super) fn of_request(frame: &[u8]) -> Option<Self> {
        let mut at = Cursor(frame.get(4..)?);
        let (api, version, correlation) = (at.short()?, at.short()?, at.int()?);
        let client = at.text(false)?.to_owned();
        let mut head = Self { api, correlation, client, transactional_id: None, is_answered: true };
        // In all of these the id is the first field of the body, so nothing else of it has to be understood.
        let (first, flexible) = match api {
            _ if api == Api::Produce as i16 => (3, 9),
            _ if api == Api::InitProducerId as i16 => (0, 2),
            // From version 4 on it is a request between brokers, for many ids.
            _ if api == Api::AddPartitionsToTxn as i16 && version < 4 => (0, 3),
            _ if api == Api::AddOffsetsToTxn as i16 => (0, 3),
            _ if api == Api::EndTxn as i16 => (0, 3),
            _ if api == Api::TxnOffsetCommit as i16 => (0, 3),
            _ => return Some(head),
        };
        let is_flexible = version >= flexible;
        if is_flexible {
            at.tags()?;
        }
        if version >= first {
            head.transactional_id = Some(at.text(is_flexible)?.to_owned()).filter(|id| !id.is_empty());
        }
        if api == Api::Produce as i16 {
            head.is_answered = at.short()? != 0;
        }
        Some(head)
    }
}

/// The correlation id of a response.
pub(super) fn correlation(frame: &[u8]) -> Option<i32> {
    Cursor(frame.get(4..)?).int()
}

/// Reads a frame with its length. `false` at the end.
pub(super) fn read_frame(stream: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.resize(4, 0);
    if let Err(error) = stream.read_exact(frame) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(false) } else { Err(error) };
    }
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    let read = stream.take(u64::from(length)).read_to_end(frame)?;
    Ok(read == length as usize)
}

/// What is left of a frame.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.bytes(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A nullable text, null as an empty one: a compact one counts from 1, and 0 is null.
    fn text(&mut self, is_compact: bool) -> Option<&'a str> {
        let length = if is_compact { self.varint()?.checked_sub(1) } else { usize::try_from(self.short()?).ok() };
        std::str::from_utf8(self.bytes(length.unwrap_or(0))?).ok()
    }

    /// Passes tagged fields.
    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            let (_, size) = (self.varint()?, self.varint()?);
            self.bytes(size)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(api: Api, version: i16, client: Option<&str>, rest: &[u8]) -> Vec<u8> {
        let mut body = [(api as i16).to_be_bytes(), version.to_be_bytes()].concat();
        body.extend(7_i32.to_be_bytes());
        body.extend(client.map_or(-1, |client| client.len() as i16).to_be_bytes());
        body.extend(client.unwrap_or_default().as_bytes());
        body.extend(rest);
        [&(body.len() as u32).to_be_bytes(), &body[..]].concat()
    }

    fn id(frame: &[u8]) -> Option<String> {
        Head::of_request(frame).expect("a head").transactional_id
    }

    #[test]
    fn transactional_ids_are_found_in_both_layouts() {
        assert_eq!(id(&request(Api::EndTxn, 1, Some("me"), b"\x00\x03t-1rest")), Some("t-1".into()));
        assert_eq!(id(&request(Api::EndTxn, 3, Some("me"), b"\x00\x04t-1rest")), Some("t-1".into()));
        assert_eq!(id(&request(Api::TxnOffsetCommit, 3, None, b"\x01\x05\x02ab\x02xrest")), Some("x".into()));
        assert_eq!(id(&request(Api::Produce, 8, Some("me"), b"\xff\xff\xff\xffrest")), None);
        assert_eq!(id(&request(Api::Produce, 7, Some("me"), b"\x00\x02ab\x00\x01")), Some("ab".into()));
        assert_eq!(id(&request(Api::Fetch, 4, Some("me"), b"")), None);
    }

    #[test]
    fn a_produce_that_wants_no_answer_is_told_from_one_that_does() {
        let answered = |acks: &[u8]| {
            let rest = [b"\xff\xff", acks].concat();
            Head::of_request(&request(Api::Produce, 7, Some("me"), &rest)).expect("a head").is_answered
        };
        assert!(!answered(b"\x00\x00") && answered(b"\x00\x01") && answered(b"\xff\xff"));
    }

    #[test]
    fn what_is_no_request_has_no_head() {
        let whole = request(Api::EndTxn, 1, Some("me"), b"\x00\x03t-1");
        for end in 0..whole.len() {
            assert_eq!(Head::of_request(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(Head::of_request(&whole).map(|head| (head.api, head.correlation)), Some((26, 7)));
    }
}
