//! The broker, and one run on it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ksem::Guarantee;
use ksem::config::KafkaProperties;
use ksem_testkit::{Cluster, ClusterConfig};

use super::load::Sent;
use super::part::{Job, Process, Ready, Role};
use super::pipeline::{self, Piped};
use super::reader::Seen;
use super::result::{Cores, Run};
use super::{Case, PARTITIONS, WARM_UP_S};
use crate::field::until_warm;
use crate::process;
use crate::report::grouped;
use crate::settings::configuration;

/// Seconds of a run in front of all others, which is not counted: the broker's first records and transactions are slow,
/// and its virtual machine compiles for a minute and more.
const FIRST_S: u64 = 10;
const MOST_WARM_UPS: usize = 12;
/// So many of them are compared with as many before them.
const WARM_RUNS: usize = 2;
/// How long a part may take to start or to end.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two runs, so that the broker is done with the one before.
const REST: Duration = Duration::from_secs(1);

/// The broker and what is on it.
pub(super) struct Field {
    // Before the cluster, so that it does not miss its broker.
    admin: ksem::Admin,
    cluster: Cluster,
    set: Vec<(String, String)>,
    /// How topics are made.
    topics: Vec<(&'static str, &'static str)>,
}

/// Looks at the pipeline's process, every second.
pub(super) type Sample<'a> = &'a mut dyn FnMut(u32) -> Result<()>;
/// How often it does.
const SECOND: Duration = Duration::from_secs(1);

impl Field {
    pub(super) fn prepare(
        set: Vec<(String, String)>,
        node: &[(&'static str, &'static str)],
        topics: &[(&'static str, &'static str)],
    ) -> Result<Self> {
        eprintln!("starting a Kafka node");
        let config = ClusterConfig::one().property("log.segment.delete.delay.ms", "0");
        let config = node.iter().fold(config, |config, (name, value)| config.property(*name, *value));
        let cluster = Cluster::start(&config)?;
        let properties: KafkaProperties = [("bootstrap.servers", cluster.bootstrap())].into_iter().collect();
        let admin = ksem::Admin::connect_with(&properties)?;
        Ok(Self { admin, cluster, set, topics: topics.to_vec() })
    }

    pub(super) fn warm_up(&self, rate: u64) -> Result<()> {
        let case = Case { guarantee: Some(Guarantee::ExactlyOnce), rate };
        let cost = || Ok(self.run(case, FIRST_S, "warm-up, not counted")?.cores.broker);
        until_warm(MOST_WARM_UPS, WARM_RUNS, cost)
    }

    /// One run with a group and topics of its own.
    pub(super) fn run(&self, case: Case, seconds: u64, label: &str) -> Result<Run> {
        self.run_sampled(case, seconds, label, None)
    }

    /// The same, with a look at the pipeline's process every second.
    pub(super) fn run_sampled(&self, case: Case, seconds: u64, label: &str, sample: Option<Sample<'_>>) -> Result<Run> {
        let name = case.guarantee.map_or("no pipeline", Guarantee::name);
        let rate = grouped(case.rate as f64);
        let run =
            self.run_fresh(case, seconds, sample).with_context(|| format!("{name} at {rate} records/s ({label})"))?;
        let wrong = if run.is_correct() { "" } else { ", NOT CORRECT" };
        eprintln!(
            "{label}: {name} at {rate}/s: p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {:.2} cores{wrong}",
            run.p50_ms,
            run.p99_ms,
            run.max_ms,
            run.cores.all()
        );
        Ok(run)
    }

    fn run_fresh(&self, case: Case, seconds: u64, sample: Option<Sample<'_>>) -> Result<Run> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("latency-{what}-{number}");
        let bootstrap = self.cluster.bootstrap();
        let mut topics = vec![name("input")];
        let config = case.guarantee.map(|guarantee| {
            topics.push(name("output"));
            configuration(
                bootstrap,
                &name("group"),
                &topics[..1],
                guarantee,
                &pipeline::all_settings(guarantee, &self.set),
            )
        });
        for topic in &topics {
            self.cluster.create_topic(topic, PARTITIONS, &self.topics)?;
        }
        let job = Job {
            role: Role::Load,
            bootstrap: bootstrap.to_owned(),
            input: topics[0].clone(),
            // Without a pipeline, the reader reads what the load writes.
            output: topics[topics.len() - 1].clone(),
            rate: case.rate,
            records: case.rate * (seconds + WARM_UP_S),
            warm_up: case.rate * WARM_UP_S,
            config: config.unwrap_or_default(),
        };
        thread::sleep(REST);
        let length = Duration::from_secs(seconds + WARM_UP_S);
        let run = self.measure(&job, case.guarantee.is_some(), length, sample)?;
        for topic in &topics {
            self.admin.delete_topic(topic)?;
        }
        Ok(run)
    }

    fn measure(&self, job: &Job, piped: bool, length: Duration, sample: Option<Sample<'_>>) -> Result<Run> {
        let mut reader = Process::start(Role::Reader, job)?;
        let mut pipeline = if piped { Some(Process::start(Role::Pipeline, job)?) } else { None };
        let mut load = Process::start(Role::Load, job)?;
        let _: Ready = load.says(PATIENCE)?;
        let _: Ready = reader.says(PATIENCE)?;
        let used = |pipeline: &Option<Process>, load: &Process, reader: &Process| -> Result<Cores> {
            let broker = self.cluster.node(0).pid().context("the node is down")?;
            Ok(Cores {
                broker: process::cpu_seconds(broker.unsigned_abs())?,
                pipeline: pipeline.as_ref().map_or(Ok(0.0), Process::cpu_seconds)?,
                load: load.cpu_seconds()?,
                reader: reader.cpu_seconds()?,
            })
        };
        let before = used(&pipeline, &load, &reader)?;
        let started = Instant::now();
        load.go();
        if let Some((sample, pipeline)) = sample.zip(pipeline.as_ref()) {
            while started.elapsed() < length {
                sample(pipeline.id())?;
                thread::sleep(SECOND.min(length.saturating_sub(started.elapsed())));
            }
        } else {
            thread::sleep(length);
        }
        // While the load is on and not after it: then everybody is idle.
        let cores = used(&pipeline, &load, &reader)?.since(before, started.elapsed());
        let sent: Sent = load.says(PATIENCE)?;
        let seen: Seen = reader.says(PATIENCE)?;
        let piped = match &mut pipeline {
            None => None,
            Some(pipeline) => {
                pipeline.go();
                Some(pipeline.says::<Piped>(PATIENCE)?)
            }
        };
        Ok(Run::of(job.records, &sent, seen, piped, cores))
    }
}
