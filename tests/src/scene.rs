//! Topics, a group and processes of one test.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::{Audit, Cluster, Isolation, Observed, load, reader};
use tempfile::TempDir;

use crate::{Run, Settings, ksem_binary};

/// Bytes of a record's value.
const SIZE: usize = 200;
/// How long the markers of the last transactions may take to be written.
const STABLE_WITHIN: Duration = Duration::from_secs(10);

/// An input topic, two output topics and a group that nothing else on the cluster uses.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    name: String,
    partitions: u32,
    folder: TempDir,
    started: AtomicUsize,
}

impl<'a> Scene<'a> {
    /// Makes the topics, each with so many partitions.
    ///
    /// # Panics
    /// If Kafka refuses.
    pub fn new(cluster: &'a Cluster, name: &str, partitions: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("ksem-test-").tempdir().expect("a folder");
        let scene = Self { cluster, name: name.to_owned(), partitions, folder, started: AtomicUsize::new(0) };
        for topic in scene.outputs().into_iter().chain([scene.input()]) {
            cluster.create_topic(&topic, partitions as i32, &[]).expect("creating a topic");
        }
        scene
    }

    /// The input topic.
    pub fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    /// The output topics.
    pub fn outputs(&self) -> [String; 2] {
        [format!("{}-a", self.name), format!("{}-b", self.name)]
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        format!("{}-group", self.name)
    }

    /// A folder for files of this test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes records to the input: 200 bytes each, spread over the partitions by id.
    ///
    /// # Panics
    /// If one could not be written.
    #[track_caller]
    pub fn fill(&self, ids: std::ops::Range<u64>) {
        let bootstrap = self.cluster.direct_bootstrap();
        load::produce_ids(bootstrap, &self.input(), ids, SIZE, self.partitions).expect("filling the input");
    }

    /// A configuration that copies the input to both outputs.
    pub fn settings(&self, guarantee: Guarantee) -> Settings {
        Settings::new()
            .text("group", self.group())
            .set("inputs", format!("[{:?}]", self.input()))
            .guarantee(guarantee)
            .kafka("bootstrap.servers", self.cluster.bootstrap())
            .text("transactions.state_dir", self.folder().join("state").display())
            .route(&self.input(), &self.outputs())
    }

    /// Starts `ksem run` with this configuration.
    pub fn run(&self, settings: &Settings, args: &[&str]) -> Run {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let config = settings.write(self.folder(), &format!("{number}.toml"));
        let config = config.display().to_string();
        let args = ["run", "--config", &config].into_iter().chain(args.iter().copied());
        Run::start(ksem_binary(), args, self.folder().join(format!("{number}.log")))
    }

    /// The topic for dead letters of [`with_dead_letters`](Self::with_dead_letters).
    pub fn dead(&self) -> String {
        format!("{}-dead", self.name)
    }

    /// Makes a topic for dead letters with these properties, and adds it to a configuration.
    ///
    /// # Panics
    /// If Kafka refuses.
    pub fn with_dead_letters(&self, settings: Settings, properties: &[(&str, &str)]) -> Settings {
        self.cluster.create_topic(&self.dead(), 3, properties).expect("creating a topic");
        settings.text("dead_letter.topic", self.dead()).set("retry.backoff_ms", 5)
    }

    /// Starts a program of the tests with this configuration as its first argument.
    pub fn run_program(&self, program: &Path, settings: &Settings, args: &[&str]) -> Run {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let config = settings.write(self.folder(), &format!("{number}.toml"));
        let config = config.display().to_string();
        let args = [config.as_str()].into_iter().chain(args.iter().copied());
        Run::start(program, args, self.folder().join(format!("{number}.log")))
    }

    /// How many records the group has committed, over all partitions.
    ///
    /// # Panics
    /// If the cluster does not answer.
    pub fn committed(&self) -> u64 {
        let offsets = reader::committed_offsets(self.cluster.direct_bootstrap(), &self.group(), &self.input());
        offsets.expect("reading the group's offsets").into_values().sum::<i64>() as u64
    }

    /// Waits until the group has committed the whole input.
    ///
    /// # Panics
    /// If it has not in time.
    #[track_caller]
    pub fn wait_until_caught_up(&self, limit: Duration) {
        let bootstrap = self.cluster.direct_bootstrap();
        let ends = reader::end_offsets(bootstrap, &self.input(), Isolation::ReadCommitted).expect("the input's end");
        let end = ends.into_values().sum::<i64>() as u64;
        crate::wait_until("the group has caught up", limit, || self.committed() >= end);
    }

    /// Reads an output as a consumer of committed records does, and compares it with the ids that had to get there.
    ///
    /// # Panics
    /// If it can't be read, or holds what was never in the input.
    pub fn audit(&self, topic: &str, expected: impl IntoIterator<Item = u64>) -> Audit {
        let mut ids = Vec::new();
        let visit = |record: reader::ReadRecord| {
            let value = record.value.as_deref().unwrap_or_default();
            let id = load::value_id(value);
            assert_eq!(record.key.as_deref().and_then(load::key_id), id, "key and value of a record belong together");
            assert_eq!(value.len(), SIZE, "a record is whole");
            ids.extend(id);
        };
        let bootstrap = self.cluster.direct_bootstrap();
        if !reader::wait_until_stable(bootstrap, topic, STABLE_WITHIN).expect("the output's ends") {
            println!("       {topic}: a transaction is still open");
        }
        reader::visit_topic(bootstrap, topic, Isolation::ReadCommitted, reader::DEADLINE, visit)
            .expect("reading an output");
        Observed::expecting(expected).committed(ids).audit()
    }

    /// Audits both outputs; `Audit` has what the guarantees allow.
    pub fn audits(&self, expected: std::ops::Range<u64>) -> [Audit; 2] {
        self.outputs().map(|topic| {
            let audit = self.audit(&topic, expected.clone());
            println!("       {topic}: {audit}");
            audit
        })
    }

    /// Fails unless both outputs hold each id once and nothing else.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn assert_exactly_once(&self, expected: std::ops::Range<u64>) {
        for audit in self.audits(expected) {
            audit.assert_exactly_once();
        }
    }

    /// Fails unless the records of each input partition are in their order in every output partition.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn assert_in_order(&self) {
        for topic in self.outputs() {
            let mut last: HashMap<(i32, u64), u64> = HashMap::new();
            let visit = |record: reader::ReadRecord| {
                let Some(id) = record.value.as_deref().and_then(load::value_id) else { return };
                // The input's partition is chosen by the id.
                let before = last.insert((record.partition, id % u64::from(self.partitions)), id);
                let place = (&topic, record.partition, record.offset);
                assert!(before.is_none_or(|before| before < id), "{id} comes behind {before:?} at {place:?}");
            };
            let bootstrap = self.cluster.direct_bootstrap();
            reader::visit_topic(bootstrap, &topic, Isolation::ReadCommitted, reader::DEADLINE, visit)
                .expect("reading an output");
        }
    }

    /// Writes a file of this test and returns its path as text.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder().join(name);
        fs::write(&path, text).expect("writing a file");
        path.display().to_string()
    }
}
