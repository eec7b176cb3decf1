//! Configuration files, field by field.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use ksem::{Config, Guarantee};

/// A configuration. Fields keep the order in which they were first set.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Settings {
    fields: Vec<(String, String)>,
    routes: Vec<(String, Vec<String>)>,
}

impl Settings {
    /// An empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field such as `batch.max_records` to a number, a boolean, or any other text of TOML.
    pub fn set(mut self, field: &str, value: impl Display) -> Self {
        let value = value.to_string();
        match self.fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, old)) => *old = value,
            None => self.fields.push((field.to_owned(), value)),
        }
        self
    }

    /// Lets the handler get so many records at once, and commits them alone.
    pub fn batches_of(self, records: u64) -> Self {
        self.set("batch.max_records", records).set("commit.max_records", records)
    }

    /// Sets a field to a string.
    pub fn text(self, field: &str, value: impl Display) -> Self {
        let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.set(field, format!("\"{value}\""))
    }

    /// Sets a property of librdkafka.
    pub fn kafka(self, property: &str, value: impl Display) -> Self {
        self.text(&format!("kafka.\"{property}\""), value)
    }

    /// Sets the guarantee.
    pub fn guarantee(self, guarantee: Guarantee) -> Self {
        self.text("guarantee", guarantee)
    }

    /// Copies a topic to others.
    pub fn route(mut self, from: &str, to: &[String]) -> Self {
        self.routes.push((from.to_owned(), to.to_vec()));
        self
    }

    /// Removes the routes, for a handler of another kind.
    pub fn no_routes(mut self) -> Self {
        self.routes.clear();
        self
    }

    /// Removes a field.
    pub fn without(mut self, field: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        self
    }

    /// The configuration as TOML.
    pub fn toml(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("{name} = {value}\n"));
        let routes = self.routes.iter().map(|(from, to)| format!("\n[[route]]\nfrom = {from:?}\nto = {to:?}\n"));
        fields.chain(routes).collect()
    }

    /// The configuration for the library.
    ///
    /// # Panics
    /// If it has problems.
    pub fn config(&self) -> Config {
        Config::from_toml_str(&self.toml(), "settings").unwrap_or_else(|error| panic!("{error}\n{}", self.toml()))
    }

    /// Writes the configuration to a file of that name in a folder.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, self.toml()).expect("writing a configuration");
        path
    }
}
