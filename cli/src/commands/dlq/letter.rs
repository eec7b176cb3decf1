//! What a dead letter's headers say.

use ksem::dead_letter as headers;
use ksem::{Header, Record};

/// A dead letter, as far as it has what one has.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    all: Vec<Header<'a>>,
}

/// What a record of the topic is.
pub(super) enum Kind<'a> {
    /// A dead letter.
    Letter(Letter<'a>),
    /// Tells that the dead letter at this partition and offset was replayed.
    Receipt(i32, i64),
    /// Something that ksem has not written.
    Other,
}

impl<'a> Letter<'a> {
    pub(super) fn kind(record: &Record<'a>) -> Kind<'a> {
        let letter = Self { all: record.headers() };
        if let Some(place) = letter.text(headers::REPLAYED) {
            return parse_place(place).map_or(Kind::Other, |(partition, offset)| Kind::Receipt(partition, offset));
        }
        if letter.text(headers::TOPIC).is_some() && letter.number(headers::OFFSET).is_some() {
            return Kind::Letter(letter);
        }
        Kind::Other
    }

    /// The last value of a header as text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.all.iter().rev().find(|(other, _)| *other == name)?;
        std::str::from_utf8((*value)?).ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn topic(&self) -> &'a str {
        self.text(headers::TOPIC).unwrap_or_default()
    }

    /// How often it was replayed before it died again.
    pub(super) fn replays(&self) -> u32 {
        self.number(headers::REPLAYS).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
    }

    /// Whether key and value are there.
    pub(super) fn is_whole(&self) -> bool {
        self.text(headers::PAYLOAD).is_none()
    }

    /// The headers that the record had before it died.
    pub(super) fn own(&self) -> impl Iterator<Item = Header<'a>> + '_ {
        self.all.iter().copied().filter(|(name, _)| !name.starts_with(headers::PREFIX))
    }
}

/// Reads `partition:offset`.
pub(super) fn parse_place(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    Some((partition.parse().ok().filter(|number| *number >= 0)?, offset.parse().ok().filter(|number| *number >= 0)?))
}
