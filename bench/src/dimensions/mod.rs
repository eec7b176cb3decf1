//! `ksem-bench dimensions`: what becomes of throughput when one thing is changed at a time.

pub(crate) mod result;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cadence::Cadence;
use crate::contestant::{self, Contestant};
use crate::field::Field;
use crate::machine::Machine;
use crate::payload::Payload;
use crate::report::{self, Row, Trouble};
use crate::shape::{Compression, Shape, Task};
use crate::{programs, versions};
use result::{Dimension, Dimensions, Point};

/// By so many records at a time.
const CADENCE: Cadence = Cadence::Records(10_000);
/// A run copies a million records, or as many as have so many bytes.
const BYTES: u64 = 500_000_000;
/// `--quick` divides the number of records by this, down to two commits.
const QUICK_PART: u64 = 5;
const LEAST_RECORDS: u64 = 20_000;
/// What the others are changes of. Values that look like those of a service, so that compressing them means something.
const STANDARD: Shape = Shape { payload: Payload::Orders, ..Shape::STANDARD };
/// Who runs beside ksem.
const PEERS: [&str; 4] = ["franz-go-", "java-", "confluent-rust-", "rdkafka-plain-"];

const EXAMPLES: &str = "\
Examples:
  ksem-bench dimensions --json dimensions.json          every dimension, three rounds; most of an hour
  ksem-bench dimensions --quick --dimension size        one round with a fifth of the records, sizes only
  ksem-bench dimensions --only ksem --dimension compression

One thing is changed at a time around 200 bytes, 4 partitions, no compression and a commit every 10,000 records. The
values are orders as JSON. See bench/README.md.";

/// Arguments of `ksem-bench dimensions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only this dimension; may be repeated
    #[arg(long, value_name = "D")]
    dimension: Vec<Dimension>,
    /// Only contestants whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Set a field of ksem's configuration, to try it out; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = crate::field)]
    set: Vec<(String, String)>,
    /// Rounds; in each of them every contestant runs once at every point
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A fifth of the records, one round
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Kafka nodes: 1, or 3 with replication 3 and two in-sync replicas
    #[arg(long, value_name = "N", default_value = "1", value_parser = ["1", "3"])]
    nodes: String,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Most seconds that a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// Returns whether every run was correct.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wanted = |dimension: &Dimension| options.dimension.is_empty() || options.dimension.contains(dimension);
    let dimensions: Vec<Dimension> = Dimension::ALL.into_iter().filter(wanted).collect();
    let contestants = contestants(options);
    ensure!(!contestants.is_empty(), "no contestant has such a name");
    let tasks = tasks(&dimensions, options.quick);
    let mut rows = crate::rows(tasks.iter().flat_map(|task| {
        let able = |one: &&Contestant| task.shape.compression == Compression::None || programs::compresses(one);
        contestants.iter().filter(able).map(|one| (one.clone(), *task))
    }));
    let nodes = if options.nodes == "1" { 1 } else { 3 };
    let rounds = if options.quick { 1 } else { options.rounds as usize };
    let field = Field::start(nodes, &[], Duration::from_secs(options.timeout))?;
    let mut bytes = Vec::new();
    for task in &tasks {
        field.load(task)?;
        bytes.push(field.bytes_of(task)?);
    }
    field.warm_up(&rows)?;
    for round in 0..rounds {
        field.round(round, rounds, &mut rows);
    }
    let result = Dimensions {
        machine: Machine::here(),
        versions: versions::of(contestants.iter()),
        arguments: report::arguments(std::env::args().skip(1)),
        rounds,
        nodes,
        cadence: CADENCE,
        dimensions,
        points: tasks.into_iter().zip(bytes).map(|(task, input_bytes)| Point { task, input_bytes }).collect(),
        rows: rows.iter().map(Row::measured).collect(),
    };
    print(&result, &rows);
    if let Some(path) = &options.json {
        crate::write_json(path, &result)?;
    }
    Ok(!rows.iter().any(|row| matches!(row.trouble, Some(Trouble::Failed(_)))))
}

fn contestants(options: &Options) -> Vec<Contestant> {
    let mut contestants = contestant::all(&[CADENCE], &options.set, &[]);
    contestants.retain(|contestant| {
        let name = contestant.name();
        let plain = name.starts_with("rdkafka-plain-") && !name.ends_with("-tuned");
        let variant = name.starts_with("ksem-") && contestant.is_variant();
        let takes_part = name.starts_with("ksem-") || PEERS.iter().any(|peer| name.starts_with(peer));
        takes_part
            && !plain
            && !variant
            && (options.only.is_empty() || options.only.iter().any(|part| name.contains(part)))
    });
    contestants
}

/// What there is to do at every point, the standard one first, each once.
fn tasks(dimensions: &[Dimension], quick: bool) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let points = dimensions.iter().flat_map(|dimension| dimension.shapes(STANDARD));
    for shape in std::iter::once(STANDARD).chain(points) {
        let records = 1_000_000.min(BYTES / shape.size as u64);
        let records = if quick { (records / QUICK_PART).max(LEAST_RECORDS) } else { records };
        let task = Task { shape, records, processes: 1 };
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }
    tasks
}

fn print(result: &Dimensions, rows: &[Row]) {
    for dimension in &result.dimensions {
        for point in result.along(*dimension) {
            let Point { task, input_bytes } = point;
            let here: Vec<&Row> = rows.iter().filter(|row| row.task == *task).collect();
            println!(
                "\n{}: {}; {} records, {:.0} MB in the input\n",
                dimension.name(),
                dimension.value(&task.shape),
                report::grouped(task.records as f64),
                *input_bytes as f64 / 1e6
            );
            println!("{}", report::table(&here));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            dimension: Vec::new(),
            only: Vec::new(),
            set: Vec::new(),
            rounds: 3,
            quick: false,
            nodes: "1".to_owned(),
            json: None,
            timeout: 300,
        }
    }

    #[test]
    fn every_point_is_measured_once_and_takes_a_few_seconds() {
        let tasks = tasks(&Dimension::ALL, false);
        assert_eq!(tasks.len(), 1 + 3 + 2 + 2);
        assert_eq!(tasks[0].shape, STANDARD);
        assert!(tasks.iter().all(|task| task.records * task.shape.size as u64 <= BYTES));
        assert!(super::tasks(&Dimension::ALL, true).iter().all(|task| task.records >= LEAST_RECORDS));
        assert_eq!(super::tasks(&[Dimension::Size], false).len(), 4);
    }

    #[test]
    fn ksem_runs_with_three_guarantees_and_four_peers_with_two() {
        let names: Vec<String> = contestants(&options()).iter().map(Contestant::name).collect();
        assert_eq!(names.len(), 3 + 4 * 2, "{names:?}");
        assert!(names.contains(&"rdkafka-plain-eos-10k-tuned".to_owned()), "{names:?}");
        assert!(contestants(&options()).iter().all(programs::compresses));
        let only = Options { only: vec!["eos".to_owned()], ..options() };
        assert_eq!(contestants(&only).len(), 5);
    }
}
