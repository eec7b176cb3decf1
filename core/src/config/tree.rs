//! The one tree that TOML and JSON are read into. It has no `Debug`: its texts may be secrets.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::de::{DeTable, DeValue};

/// A table's fields, in the order of the source.
pub(super) type Table = Vec<Entry>;

/// A field of a table.
pub(super) struct Entry {
    /// Its name.
    pub(super) key: String,
    /// Where the name starts in the source, in bytes.
    pub(super) at: Option<usize>,
    /// Its value.
    pub(super) value: Value,
}

/// An element of an array.
pub(super) struct Element {
    /// Where it starts in the source, in bytes.
    pub(super) at: Option<usize>,
    /// The element.
    pub(super) value: Value,
}

/// A value.
pub(super) enum Value {
    Text(String),
    Integer(i128),
    /// Anything else that is a number: a fraction, or an integer of more than 127 bits.
    Number(String),
    Boolean(bool),
    /// A TOML date or time. No field takes one.
    Datetime,
    /// JSON's `null`: the field is left out.
    Null,
    Array(Vec<Element>),
    Table(Table),
}

impl Value {
    /// What it is, for a message that says what was found.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a number that is no integer",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date or time",
            Self::Null => "null",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A field's path from its table's path and its own name. A name that would garble a line of output is quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let key = if !key.is_empty() && key.chars().all(plain) {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(format!("\"{}\"", key.escape_debug()))
    };
    if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") }
}

/// The tree of a parsed TOML document.
pub(super) fn from_toml(table: &DeTable<'_>) -> Table {
    let mut entries: Table = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            at: Some(key.span().start),
            value: toml_value(value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn toml_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Number(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|element| Element { at: Some(element.span().start), value: toml_value(element.get_ref()) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(from_toml(table)),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Reads JSON as TOML would be read: a name that appears twice is an error.
struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = elements.next_element()? {
            array.push(Element { at: None, value });
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut table = Table::new();
        let mut seen = BTreeSet::new();
        while let Some((key, value)) = fields.next_entry::<String, Value>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate key `{}`", key.escape_debug())));
            }
            table.push(Entry { key, at: None, value });
        }
        Ok(Value::Table(table))
    }
}
