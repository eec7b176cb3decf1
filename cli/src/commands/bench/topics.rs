//! The temporary topics, which are deleted whatever happens.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use ksem::error::Code;
use ksem::{Admin, Error};

use crate::commands::topic::settle;
use crate::exit::Done;

/// Topics with a prefix of their own. What is left of them is deleted when this is dropped.
pub(super) struct Topics<'a> {
    admin: &'a Admin,
    prefix: String,
    partitions: i32,
    replication: Option<i32>,
    created: Vec<String>,
}

impl<'a> Topics<'a> {
    pub(super) fn new(admin: &'a Admin, partitions: i32, replication: Option<i32>) -> Self {
        // The standard library's hashers start from random numbers of the system.
        let random = RandomState::new().hash_one(std::process::id());
        Self { admin, prefix: format!("ksem-bench-{random:016x}"), partitions, replication, created: Vec::new() }
    }

    /// A name that nobody else has.
    pub(super) fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// Creates a topic and waits until it can be used.
    pub(super) fn create(&mut self, what: &str) -> Done<String> {
        let name = self.name(what);
        let created = self.admin.create_topic(&name, self.partitions, self.replication, &BTreeMap::new());
        // An answer that was lost leaves a topic, too.
        if !matches!(&created, Err(error) if error.code() != Code::BrokerUnavailable) {
            self.created.push(name.clone());
        }
        created?;
        settle(|| Ok(self.admin.topic(&name)?.is_some_and(|topic| topic.partitions.iter().all(|p| p.leader >= 0))));
        Ok(name)
    }

    /// How many partitions a topic has, and how many brokers have a copy of each.
    pub(super) fn shape(&self, name: &str) -> Done<(usize, usize)> {
        let missing = || Error::new(Code::TopicUnknown, format!("the topic `{name}` is gone; somebody has deleted it"));
        let topic = self.admin.topic(name)?.ok_or_else(missing)?;
        let replicas = topic.partitions.iter().map(|partition| partition.replicas.len()).min();
        Ok((topic.partitions.len(), replicas.unwrap_or(0)))
    }

    /// Deletes a topic. Where that fails it is said, and the measurement goes on.
    pub(super) fn delete(&mut self, name: &str) {
        self.created.retain(|other| other != name);
        match self.admin.delete_topic(name) {
            Err(error) if error.code() != Code::TopicUnknown => {
                eprintln!("warning: a temporary topic is left: {error}; `ksem topic delete {name}` deletes it");
            }
            _ => {}
        }
    }
}

impl Drop for Topics<'_> {
    fn drop(&mut self) {
        for name in self.created.clone() {
            self.delete(&name);
        }
    }
}
