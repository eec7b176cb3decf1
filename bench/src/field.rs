//! The brokers with what is on them, and runs on them.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use ksem::Guarantee;
use ksem::config::KafkaProperties;
use ksem_testkit::reader::{self, Isolation};
use ksem_testkit::{Cluster, ClusterConfig, load};

use crate::check;
use crate::child::{self, Run};
use crate::contestant::{Contestant, System};
use crate::programs::{self, Job};
use crate::report::{Row, Trouble, grouped};
use crate::shape::{Compression, Task};

/// Between two runs, so that the broker is done with the one before.
const REST: Duration = Duration::from_secs(1);
/// A broker that gets no cheaper is warm; one that still does after so many runs is taken as it is.
const MOST_WARM_UPS: usize = 40;
/// So many runs are compared with as many before them, because one of them says little.
const WARM_RUNS: usize = 4;

/// The brokers and what is on them.
pub(crate) struct Field {
    // Before the cluster, so that it does not miss its brokers.
    admin: ksem::Admin,
    cluster: Cluster,
    limit: Duration,
}

impl Field {
    /// Starts the nodes, with these properties beside the bench's own. A run that takes longer than `limit` has failed.
    pub(crate) fn start(nodes: usize, properties: &[(&str, &str)], limit: Duration) -> Result<Self> {
        eprintln!("starting {}", if nodes == 1 { "a Kafka node".to_owned() } else { format!("{nodes} Kafka nodes") });
        let config = if nodes == 1 { ClusterConfig::one() } else { ClusterConfig::three() };
        // The files of an output topic go as soon as it was deleted: some hundred MB a run.
        let config = config.property("log.segment.delete.delay.ms", "0");
        let config = properties.iter().fold(config, |config, (name, value)| config.property(*name, *value));
        let cluster = Cluster::start(&config)?;
        let properties: KafkaProperties = [("bootstrap.servers", cluster.bootstrap())].into_iter().collect();
        let admin = ksem::Admin::connect_with(&properties)?;
        Ok(Self { admin, cluster, limit })
    }

    /// Fills the input of a task.
    pub(crate) fn load(&self, task: &Task) -> Result<()> {
        let Task { shape, records, .. } = *task;
        let (bootstrap, started) = (self.cluster.bootstrap(), Instant::now());
        // The broker compresses what it appends, so that every contestant reads the same.
        let config: &[(&str, &str)] = match shape.compression {
            Compression::None => &[],
            compression => &[("compression.type", compression.name())],
        };
        let mut loaded = 0;
        for (index, topic) in shape.inputs(records).iter().enumerate() {
            self.cluster.create_topic(topic, shape.partitions as i32, config)?;
            let here = (0..records).map(|id| (id, shape.place(id))).filter(|(_, (topic, _))| *topic == index);
            load::produce(bootstrap, topic, here.map(|(id, (_, partition))| (id, partition)), |id| shape.value(id))?;
            loaded += reader::end_offsets(bootstrap, topic, Isolation::ReadCommitted)?.values().sum::<i64>();
        }
        ensure!(loaded == records as i64, "the input has {loaded} records instead of {records}");
        eprintln!("loaded {} records in {:.1} s", grouped(records as f64), started.elapsed().as_secs_f64());
        Ok(())
    }

    /// What the records of a task's input take on the first node's disk.
    pub(crate) fn bytes_of(&self, task: &Task) -> Result<u64> {
        let inputs = task.shape.inputs(task.records);
        let mut bytes = 0;
        for folder in fs::read_dir(self.cluster.folder().join("data-0")).context("the node's data")? {
            let folder = folder?;
            let name = folder.file_name().to_string_lossy().into_owned();
            // A partition's folder is the topic's name and its number.
            if name.rsplit_once('-').is_some_and(|(topic, _)| inputs.iter().any(|input| input == topic)) {
                for file in fs::read_dir(folder.path())? {
                    let file = file?;
                    if file.path().extension().is_some_and(|extension| extension == "log") {
                        bytes += file.metadata()?.len();
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// Clears the input of a task.
    pub(crate) fn unload(&self, task: &Task) -> Result<()> {
        for topic in task.shape.inputs(task.records) {
            self.admin.delete_topic(&topic)?;
        }
        Ok(())
    }

    /// A broker that has just started compiles itself for minutes, with a processor that the first contestants would
    /// miss, and gets twice as fast: it works until that gains nothing any more.
    pub(crate) fn warm_up(&self, rows: &[Row]) -> Result<()> {
        let able = || rows.iter().filter(|row| row.trouble.is_none());
        let transactional = able().find(|row| row.contestant.guarantee == Guarantee::ExactlyOnce);
        let Some(Row { contestant, task, .. }) = transactional.or_else(|| able().next()) else { return Ok(()) };
        let cost = || Ok(self.run(contestant, task, "warm-up, not counted")?.broker_cpu_s);
        until_warm(MOST_WARM_UPS, WARM_RUNS, cost)
    }

    /// Everybody once. Nobody is always the first, or always late.
    pub(crate) fn round(&self, round: usize, rounds: usize, rows: &mut [Row]) {
        let count = rows.len();
        for index in 0..count {
            let row = &mut rows[(index + round * count / rounds) % count];
            if row.trouble.is_some() {
                continue;
            }
            let label = format!("round {} of {rounds}, {} of {}", round + 1, index + 1, count);
            match self.run(&row.contestant, &row.task, &label) {
                Ok(run) => row.runs.push(run),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    row.trouble = Some(Trouble::Failed(format!("{error:#}")));
                }
            }
        }
    }

    /// One run with a group and an output topic of its own, checked.
    fn run(&self, contestant: &Contestant, task: &Task, label: &str) -> Result<Run> {
        let name = contestant.name();
        let run = self.run_fresh(contestant, task).with_context(|| format!("{name} ({label})"))?;
        let retried = if run.retried > 0 { format!(", {} RETRIED", run.retried) } else { String::new() };
        eprintln!(
            "{label}: {name}: {} records/s in {:.2} s, first after {:.2} s, {:.2} s CPU{retried}",
            grouped(run.records_per_s),
            run.elapsed_s,
            run.first_record_s,
            run.client_cpu_s
        );
        Ok(run)
    }

    fn run_fresh(&self, contestant: &Contestant, task: &Task) -> Result<Run> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let Task { shape, records, processes } = *task;
        let inputs = shape.inputs(records);
        let job = |process| Job {
            contestant: of_several(contestant, process),
            bootstrap: self.cluster.bootstrap().to_owned(),
            input: inputs[0].clone(),
            inputs: inputs.clone(),
            output: format!("bench-output-{number}"),
            group: format!("bench-group-{number}"),
            records,
            compression: shape.compression,
            settings: programs::settings(contestant, shape.compression),
        };
        let jobs: Vec<Job> = (0..processes).map(job).collect();
        let output = &jobs[0].output;
        self.cluster.create_topic(output, shape.output_partitions(), &[])?;
        thread::sleep(REST);
        let started = SystemTime::now();
        let run = child::measure(&jobs, &self.brokers()?, self.limit)?;
        check::run(&jobs[0], shape, started)?;
        self.admin.delete_topic(output)?;
        Ok(run)
    }

    fn brokers(&self) -> Result<Vec<u32>> {
        let pid = |node: &ksem_testkit::Node| Ok(node.pid().context("a node is down")?.unsigned_abs());
        self.cluster.nodes().iter().map(pid).collect()
    }
}

/// Runs until the last `runs` cost the broker what as many before them did, and at most so often.
pub(crate) fn until_warm(most: usize, runs: usize, cost: impl Fn() -> Result<f64>) -> Result<()> {
    let mut costs = Vec::new();
    while costs.len() < most && !is_warm(&costs, runs) {
        costs.push(cost()?);
    }
    Ok(())
}

fn is_warm(costs: &[f64], runs: usize) -> bool {
    let Some(start) = costs.len().checked_sub(2 * runs) else { return false };
    let (before, last) = costs[start..].split_at(runs);
    last.iter().sum::<f64>() > before.iter().sum::<f64>() * 0.97
}

/// One of several processes: each needs an instance id of its own.
fn of_several(contestant: &Contestant, process: usize) -> Contestant {
    let mut contestant = contestant.clone();
    if let System::Ksem { set, .. } = &mut contestant.system
        && process > 0
    {
        set.push(("transactions.instance_id".to_owned(), format!("\"bench-{process}\"")));
    }
    contestant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_warm_when_it_gets_no_cheaper() {
        let is_warm = |costs: &[f64]| is_warm(costs, 4);
        assert!(!is_warm(&[1.0; 7]));
        assert!(is_warm(&[1.0; 8]));
        assert!(!is_warm(&[2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3]));
        assert!(!is_warm(&[2.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 1.0]), "one slow run doesn't end it");
        assert!(is_warm(&[9.0, 1.0, 1.1, 0.9, 1.0, 1.0, 1.1, 0.9, 1.0]));
    }
}
