//! librdkafka properties that pass through, and how to show them without their secrets.

use std::collections::BTreeMap;
use std::fmt;

use super::properties;

/// What stands for a value that isn't shown.
const MASK: &str = "***";

/// librdkafka properties by name: the table `[kafka]`.
///
/// Only values known to be harmless appear in `Debug` and `Display`; a name that isn't on that list is masked.
///
/// ```
/// let mut kafka = ksem::config::KafkaProperties::new();
/// kafka.set("bootstrap.servers", "localhost:9092").set("sasl.password", "canary");
/// assert_eq!(kafka.to_string(), "bootstrap.servers=localhost:9092, sasl.password=***");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaProperties(BTreeMap<String, String>);

impl KafkaProperties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a property. Careful: it may be a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a property.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Removes a property and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The properties in the order of their names. Careful: values may be secrets.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many properties there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a property under any of its aliases.
    pub(super) fn get_canonical(&self, name: &str) -> Option<&str> {
        let wanted = properties::canonical(name);
        self.iter().find(|(name, _)| properties::canonical(name) == wanted).map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = (&str, &mut String)> {
        self.0.iter_mut().map(|(name, value)| (name.as_str(), value))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for KafkaProperties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

impl fmt::Display for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{name}={}", shown(name, value))?;
        }
        Ok(())
    }
}

/// What a person may see of a property: its value, or `***`.
pub fn shown(name: &str, value: &str) -> String {
    if properties::is_harmless(name) { without_credentials(value) } else { MASK.to_owned() }
}

/// Replaces everything up to the last `@`: `user:password@host` becomes `***@host`. A password may hold
/// commas and colons, so no part before it is safe to show.
fn without_credentials(value: &str) -> String {
    value.rsplit_once('@').map_or_else(|| value.to_owned(), |(_, rest)| format!("{MASK}@{rest}"))
}
