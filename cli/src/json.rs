//! Records as JSON, one object a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ksem::{OutputRecord, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An input record. What is not UTF-8 is written as base64, under another name.
#[derive(Serialize)]
pub(crate) struct InputLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Bytes::is_binary")]
    key: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Bytes::is_binary")]
    value: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderLine<'a>>,
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Bytes::is_binary")]
    value: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Text(&'a str),
    Null(()),
    #[serde(skip)]
    Binary,
}

impl Bytes<'_> {
    fn is_binary(&self) -> bool {
        matches!(self, Self::Binary)
    }
}

fn split(bytes: Option<&[u8]>) -> (Bytes<'_>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (Bytes::Null(()), None),
        Some((_, Ok(text))) => (Bytes::Text(text), None),
        Some((bytes, Err(_))) => (Bytes::Binary, Some(BASE64.encode(bytes))),
    }
}

impl<'a> InputLine<'a> {
    pub(crate) fn new(record: &Record<'a>) -> Self {
        let (key, key_base64) = split(record.key);
        let (value, value_base64) = split(record.value);
        let header = |(name, bytes)| {
            let (value, value_base64) = split(bytes);
            HeaderLine { name, value, value_base64 }
        };
        Self {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
            headers: record.headers().into_iter().map(header).collect(),
        }
    }
}

/// An output record as a handler or a user writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputLine {
    #[serde(default)]
    pub(crate) topic: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_base64: Option<String>,
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp: Option<i64>,
    /// Input lines may be answered as they came.
    #[serde(default, rename = "offset")]
    _offset: Option<i64>,
}

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// An output record with its own memory.
pub(crate) struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

impl OutputLine {
    /// Decodes it, or says what is wrong.
    pub(crate) fn decode(self) -> Result<Owned, String> {
        Ok(Owned {
            key: either(self.key, self.key_base64, "key")?,
            value: either(self.value, self.value_base64, "value")?,
            headers: headers(self.headers)?,
            partition: self.partition.filter(|partition| *partition >= 0),
            timestamp: self.timestamp,
        })
    }
}

impl Owned {
    /// Lets the key decide the partition: an answer that was made from its input record has that
    /// record's partition, which means nothing in another topic.
    pub(crate) fn by_key(mut self) -> Self {
        self.partition = None;
        self
    }

    pub(crate) fn send(&self, topic: &str, output: &mut ksem::Output) {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let record = OutputRecord {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
            partition: self.partition,
            timestamp: self.timestamp,
        };
        output.send_record(topic, &record);
    }
}

fn either(text: Option<String>, base64: Option<String>, name: &str) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("both `{name}` and `{name}_base64` are given")),
        (text, None) => Ok(text.map(String::into_bytes)),
        (None, Some(base64)) => {
            BASE64.decode(base64).map(Some).map_err(|error| format!("`{name}_base64` is not base64: {error}"))
        }
    }
}

/// Headers are a list of `{"name", "value"}`, a list of `[name, value]`, or an object.
fn headers(value: Value) -> Result<Headers, String> {
    const FORM: &str = "`headers` is a list of {\"name\": …, \"value\": …}, a list of [name, value], or an object";
    let bytes = |value: Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        _ => Err("a header's value is a string or null".to_owned()),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(map) => map.into_iter().map(|(name, value)| Ok((name, bytes(value)?))).collect(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Array(mut pair) if pair.len() == 2 => match (pair.remove(0), pair.remove(0)) {
                    (Value::String(name), value) => Ok((name, bytes(value)?)),
                    _ => Err(FORM.to_owned()),
                },
                Value::Object(mut map) => {
                    let Some(Value::String(name)) = map.remove("name") else { return Err(FORM.to_owned()) };
                    match map.remove("value_base64") {
                        Some(Value::String(text)) => Ok((name, either(None, Some(text), "value")?)),
                        _ => Ok((name, bytes(map.remove("value").unwrap_or(Value::Null))?)),
                    }
                }
                _ => Err(FORM.to_owned()),
            })
            .collect(),
        _ => Err(FORM.to_owned()),
    }
}
