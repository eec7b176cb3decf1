//! From the files' values to those of the protocol: names of topics, bytes, records, handlers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ksem_testkit::{ReadRecord, load};
use serde_json::{Map, Value, json};
use toml::Table;

/// Bytes of the value of a numbered record.
pub(super) const SIZE: usize = 200;

/// What `$name` stands for in a scenario: topics, the group, addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Substitute(BTreeMap<String, String>);

impl Substitute {
    /// Says what a name stands for.
    pub(super) fn set(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), text.into());
    }

    /// Replaces every `$name` in a text.
    pub(super) fn text(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(part.len());
            match self.0.get(&part[..end]) {
                Some(text) => replaced.push_str(text),
                None => replaced.extend(["$", &part[..end]]),
            }
            replaced.push_str(&part[end..]);
        }
        replaced
    }

    /// The value as JSON.
    pub(super) fn value(&self, value: &toml::Value) -> Result<Value> {
        Ok(match value {
            toml::Value::String(text) => json!(self.text(text)),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Array(list) => list.iter().map(|value| self.value(value)).collect::<Result<Vec<_>>>()?.into(),
            toml::Value::Table(table) => self.table(table)?.into(),
            toml::Value::Datetime(time) => bail!("{time} has no place here"),
        })
    }

    fn table(&self, table: &Table) -> Result<Map<String, Value>> {
        table.iter().map(|(name, value)| Ok((name.clone(), self.value(value)?))).collect()
    }

    /// A configuration with some fields replaced, and those that are `""` left out.
    pub(super) fn merged(&self, config: &Value, changes: &toml::Value) -> Result<Value> {
        let mut config = config.clone();
        merge(&mut config, &self.value(changes)?);
        Ok(config)
    }

    /// A list of records to send.
    pub(super) fn records(&self, list: &toml::Value) -> Result<Value> {
        let list = list.as_array().context("records are a list")?;
        list.iter().map(|record| self.record(record)).collect()
    }

    /// A record to send. In the files, bytes are texts, or `hex:` and digits; `id = 5` is numbered record 5.
    pub(super) fn record(&self, record: &toml::Value) -> Result<Value> {
        let record = record.as_table().context("a record is a table")?;
        let mut sent = Map::new();
        for (name, value) in record {
            let (name, value) = match name.as_str() {
                "topic" => ("topic", self.value(value)?),
                "key" | "value" => (name.as_str(), encode(&bytes(value)?)),
                "id" => {
                    let id = value.as_integer().context("an id is a number")? as u64;
                    sent.insert("key".into(), encode(id.to_string().as_bytes()));
                    ("value", encode(&load::value(id, SIZE)))
                }
                "headers" => ("headers", headers(value)?.into_iter().map(header).collect()),
                "partition" | "timestamp" | "fill" => (name.as_str(), self.value(value)?),
                other => bail!("a record has no `{other}`"),
            };
            sent.insert(name.to_owned(), value);
        }
        Ok(sent.into())
    }

    /// The steps of a handler.
    pub(super) fn handler(&self, steps: &toml::Value) -> Result<Value> {
        let steps = steps.as_array().context("a handler is a list of steps")?;
        steps.iter().map(|step| self.handler_step(step)).collect()
    }

    /// A step of a handler: one entry that names it, and perhaps `calls` and `id`.
    fn handler_step(&self, step: &toml::Value) -> Result<Value> {
        let step = step.as_table().context("a step of a handler is a table")?;
        let mut done = Map::new();
        for (name, value) in step {
            match name.as_str() {
                "forward" | "copy" | "copy_columns" => {
                    done.insert("step".into(), json!(name));
                    done.insert("topic".into(), self.value(value)?);
                }
                "send" => {
                    done.insert("step".into(), json!(name));
                    done.insert("record".into(), self.record(value)?);
                }
                "sleep" => {
                    done.insert("step".into(), json!(name));
                    done.insert("ms".into(), self.value(value)?);
                }
                "pause" => {
                    done.insert("step".into(), json!(name));
                    done.insert("at".into(), self.value(value)?);
                }
                "fail" | "panic" => {
                    done.insert("step".into(), json!(name));
                    done.insert("text".into(), self.value(value)?);
                }
                "verdict" => {
                    done.insert("step".into(), json!(name));
                    done.insert(name.clone(), self.value(value)?);
                }
                "id" => {
                    let id = value.as_integer().context("an id is a number")? as u64;
                    done.insert("value".into(), encode(&load::value(id, SIZE)));
                }
                "calls" | "times" | "partition" | "reason" => {
                    done.insert(name.clone(), self.value(value)?);
                }
                other => bail!("a handler has no step `{other}`"),
            }
        }
        Ok(done.into())
    }
}

/// A record for the runner's own producer.
pub(super) fn input_record(record: &Table) -> Result<ReadRecord> {
    let optional = |name: &str| record.get(name).map(bytes).transpose();
    let number = |name: &str| record.get(name).and_then(toml::Value::as_integer);
    let fill = number("fill").map(|size| vec![b'x'; size as usize]);
    Ok(ReadRecord {
        partition: number("partition").unwrap_or(0) as i32,
        offset: 0,
        key: optional("key")?,
        value: optional("value")?.or(fill),
        headers: record.get("headers").map(headers).transpose()?.unwrap_or_default(),
        timestamp: number("timestamp").unwrap_or(1_700_000_000_000),
    })
}

fn headers(list: &toml::Value) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let list = list.as_array().context("headers are a list")?;
    let header = |header: &toml::Value| {
        let header = header.as_array().context("a header is a list of a name and perhaps a value")?;
        let name = header.first().and_then(toml::Value::as_str).context("a header has a name")?;
        Ok((name.to_owned(), header.get(1).map(bytes).transpose()?))
    };
    list.iter().map(header).collect()
}

fn header((name, value): (String, Option<Vec<u8>>)) -> Value {
    json!([name, value.map(|value| encode(&value))])
}

/// A text, or `hex:` and digits.
fn bytes(value: &toml::Value) -> Result<Vec<u8>> {
    let text = value.as_str().context("bytes are written as a text")?;
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.into()) };
    let pair = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len()).step_by(2).map(|at| pair(at).with_context(|| format!("`{digits}` is not hexadecimal"))).collect()
}

/// Bytes as the protocol has them.
pub(super) fn encode(bytes: &[u8]) -> Value {
    json!(BASE64_STANDARD.encode(bytes))
}

/// Bytes of the protocol; null is none.
pub(super) fn decode(value: &Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(BASE64_STANDARD.decode(text).context("base64")?)),
        other => bail!("{other} is not base64"),
    }
}

/// Replaces what is in `changes`, field by field; an empty text removes its field.
pub(super) fn merge(into: &mut Value, changes: &Value) {
    let (Value::Object(into), Value::Object(changes)) = (into, changes) else { return };
    for (name, change) in changes {
        match (into.get_mut(name), change) {
            (_, Value::String(text)) if text.is_empty() => drop(into.remove(name)),
            (Some(old @ Value::Object(_)), Value::Object(_)) => merge(old, change),
            _ => drop(into.insert(name.clone(), change.clone())),
        }
    }
}

/// What of `expected` is not in `found`: fields may be left out, and numbers and texts have to be equal.
pub(super) fn difference(expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(name, value)| {
            let inside = difference(value, found.get(name).unwrap_or(&Value::Null))?;
            Some(format!("`{name}` {inside}"))
        }),
        _ if expected == found => None,
        _ => Some(format!("is {found}, expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced() {
        let mut names = Substitute::default();
        names.set("out", "real-out");
        assert_eq!(names.text("a $out-b $other $"), "a real-out-b $other $");
    }

    #[test]
    fn bytes_are_texts_or_hexadecimal() {
        let read = |text: &str| bytes(&toml::Value::from(text));
        assert_eq!(read("é").expect("a text"), "é".as_bytes());
        assert_eq!(read("hex:00ff").expect("digits"), [0, 255]);
        assert!(read("hex:0").is_err() && read("hex:zz").is_err());
    }

    #[test]
    fn a_result_may_have_more_than_what_is_expected_and_not_less() {
        let found = json!({ "a": 1, "b": { "c": "x", "d": null } });
        assert_eq!(difference(&json!({ "a": 1, "b": { "c": "x" } }), &found), None);
        let other = difference(&json!({ "b": { "c": "y" } }), &found).expect("a difference");
        assert_eq!(other, "`b` `c` is \"x\", expected \"y\"");
        assert!(difference(&json!({ "e": 1 }), &found).is_some());
    }

    #[test]
    fn changes_replace_and_remove() {
        let mut config = json!({ "a": 1, "b": { "c": 2, "d": 3 } });
        merge(&mut config, &json!({ "a": "", "b": { "c": 5 }, "e": 6 }));
        assert_eq!(config, json!({ "b": { "c": 5, "d": 3 }, "e": 6 }));
    }
}
