//! What a record's value is like. Either way it follows from the record's id, so that a copy can be checked byte by byte.

use std::fmt::Write;

use ksem_testkit::load;
use serde::{Deserialize, Serialize};

/// What the values of an input are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Payload {
    /// The id, and `x` up to the size: costs nothing to make, and shrinks to nothing.
    Filler,
    /// An order as JSON of 100 bytes or more, as services exchange them: names that come again and again, and numbers, identifiers and a
    /// trace that don't.
    Orders,
}

impl Payload {
    /// The value of a record, exactly so many bytes long.
    pub(crate) fn value(self, id: u64, size: usize) -> Vec<u8> {
        match self {
            Self::Filler => load::value(id, size),
            Self::Orders => order(id, size),
        }
    }
}

const ITEMS: [&str; 16] = [
    "ceramic mug",
    "desk lamp",
    "notebook A5",
    "USB-C cable",
    "wool socks",
    "espresso beans",
    "bicycle bell",
    "garden hose",
    "rain jacket",
    "chess set",
    "water bottle",
    "wall clock",
    "picture frame",
    "travel pillow",
    "tea strainer",
    "pocket knife",
];
const CURRENCIES: [&str; 4] = ["EUR", "USD", "KRW", "GBP"];

/// An order with as many lines as fit, and a trace in hexadecimal digits that fills the rest.
fn order(id: u64, size: usize) -> Vec<u8> {
    const TRACE: &str = r#"],"trace":""#;
    const END: &str = r#""}"#;
    let mut dice = Dice(id);
    let mut text = String::with_capacity(size + 128);
    // Writing to a string can't fail.
    let _ = write!(
        text,
        r#"{{"id":"{id:020}","customer":{},"currency":"{}","lines":["#,
        dice.below(5_000_000),
        CURRENCIES[dice.below(4) as usize],
    );
    let mut line = String::new();
    loop {
        line.clear();
        let separator = if text.ends_with('[') { "" } else { "," };
        let _ = write!(
            line,
            r#"{separator}{{"sku":"{:08X}","name":"{}","quantity":{},"cents":{}}}"#,
            dice.next() as u32,
            ITEMS[dice.below(16) as usize],
            1 + dice.below(9),
            99 + dice.below(50_000),
        );
        if text.len() + line.len() + TRACE.len() + END.len() > size {
            break;
        }
        text.push_str(&line);
    }
    text.push_str(TRACE);
    while text.len() + END.len() < size {
        text.push(char::from_digit(dice.below(16) as u32, 16).unwrap_or('0'));
    }
    text.push_str(END);
    text.into_bytes()
}

/// splitmix64: the same numbers for the same id, everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn orders_are_json_of_exactly_their_size() {
        for size in [100, 101, 200, 1_000, 10_000] {
            for id in [0, 7, u64::MAX] {
                let value = Payload::Orders.value(id, size);
                assert_eq!(value.len(), size, "{}", String::from_utf8_lossy(&value));
                let order: serde_json::Value = serde_json::from_slice(&value).expect("JSON");
                assert_eq!(order["id"], format!("{id:020}"));
                assert_eq!(value, Payload::Orders.value(id, size), "the same every time");
            }
        }
    }

    #[test]
    fn orders_differ_in_more_than_their_id() {
        let traces: BTreeSet<String> = (0..100)
            .map(|id| {
                let order: serde_json::Value = serde_json::from_slice(&Payload::Orders.value(id, 200)).expect("JSON");
                order["customer"].to_string() + order["trace"].as_str().expect("a trace")
            })
            .collect();
        assert_eq!(traces.len(), 100);
    }

    #[test]
    fn fillers_are_what_they_were() {
        assert_eq!(Payload::Filler.value(7, 50), load::value(7, 50));
    }
}
