//! ksem against its peers: the same work, side by side, on one real Kafka node.

mod check;
mod child;
mod contestant;
mod document;
mod latency;
mod machine;
mod process;
mod programs;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use ksem::Guarantee;
use ksem::config::KafkaProperties;
use ksem_testkit::reader::{self, Isolation};
use ksem_testkit::{Cluster, ClusterConfig, load};

use child::Run;
use contestant::Contestant;
use programs::Job;
use report::{Row, Work, grouped};

const INPUT: &str = "bench-input";
const PARTITIONS: i32 = 4;
/// What `--quick` sets.
const QUICK: (u64, usize) = (200_000, 1);
/// Between two runs, so that the broker is done with the one before.
const REST: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  ksem-bench                                    everything, 1,000,000 records, three rounds
  ksem-bench --quick                            200,000 records, one round
  ksem-bench --only ksem-alo --lanes 1,2,4      ksem's at-least-once with different lanes
  ksem-bench --only 10k --json result.json      every contestant by 10,000 records, and a JSON document
  ksem-bench --only ksem --kafka linger.ms=1    ksem with another property of librdkafka
  ksem-bench --enforce                          fails unless every target is met
  ksem-bench latency --help                     from a record's time to its sight, under a steady load
  ksem-bench report --help                      docs/benchmarks.md with plots, from the JSON documents

Every run is checked: the output has every record once, and the group's offsets are at the end.
A run that is not correct ends the bench with an error. See bench/README.md.";

/// ksem against its peers, side by side, on one real Kafka node.
#[derive(Parser)]
#[command(name = "ksem-bench", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Latency of the three guarantees under a steady load
    Latency(latency::Options),
    /// Write docs/benchmarks.md and its plots
    Report(document::Options),
    /// Runs one contestant; the bench starts itself with this.
    #[command(name = child::SUBCOMMAND, hide = true)]
    Contestant { job: String },
    /// Runs one process of a latency run; the bench starts itself with this.
    #[command(name = latency::part::SUBCOMMAND, hide = true)]
    LatencyPart { job: String },
}

#[derive(Args)]
struct Options {
    /// Records that every contestant copies
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of a record's value, 20 at least
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    size: u32,
    /// Rounds; in each of them every contestant runs once
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Records in a commit
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "1000,10000",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    batch: Vec<u32>,
    /// Also run ksem with so many lanes
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: Vec<u16>,
    /// Set a property of librdkafka for ksem, to try it out; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    kafka: Vec<(String, String)>,
    /// Only contestants whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// 200,000 records, one round
    #[arg(long, conflicts_with_all = ["records", "rounds"])]
    quick: bool,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail unless every target is met
    #[arg(long)]
    enforce: bool,
    /// Most seconds that a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// Print the contestants' names and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off,ksem=warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Latency(options)) => latency::run(options),
        Some(Command::Report(options)) => document::run(options).map(|()| true),
        Some(Command::Contestant { job }) => child::serve(job).map(|()| true),
        Some(Command::LatencyPart { job }) => latency::part::serve(job).map(|()| true),
        None => bench(&cli.options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything that is enforced was met.
fn bench(options: &Options) -> Result<bool> {
    let contestants = selected(options)?;
    if options.list {
        for contestant in contestants {
            println!("{}", contestant.name());
        }
        return Ok(true);
    }
    let (records, rounds) = if options.quick { QUICK } else { (options.records, options.rounds as usize) };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let work = Work { records, size: options.size as usize, partitions: PARTITIONS, rounds, processors };
    let field = Field::prepare(work, Duration::from_secs(options.timeout))?;
    field.warm_up(&contestants)?;
    let mut rows: Vec<Row> = contestants.into_iter().map(|contestant| Row { contestant, runs: Vec::new() }).collect();
    for round in 0..rounds {
        // Nobody is always the first, or always late.
        let shift = round * rows.len() / rounds;
        for index in 0..rows.len() {
            let at = (index + shift) % rows.len();
            let run = field.run(&rows[at].contestant, &format!("round {} of {rounds}", round + 1))?;
            rows[at].runs.push(run);
        }
    }
    let ratios = report::ratios(&rows);
    println!(
        "\n{} records of {} bytes, {PARTITIONS} partitions, {rounds} round(s), {processors} processors; \
         every run was correct\n",
        grouped(records as f64),
        work.size
    );
    println!("{}", report::table(&rows, work));
    print!("{}", report::verdicts(&ratios));
    if let Some(path) = &options.json {
        let document = serde_json::to_string_pretty(&report::json(&rows, &ratios, work))?;
        fs::write(path, document + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(!options.enforce || ratios.iter().all(|ratio| ratio.pass))
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn selected(options: &Options) -> Result<Vec<Contestant>> {
    let batches: Vec<usize> = options.batch.iter().map(|batch| *batch as usize).collect();
    let lanes: Vec<usize> = options.lanes.iter().copied().map(usize::from).collect();
    let mut contestants = contestant::all(&batches, &lanes, &options.kafka);
    if !options.only.is_empty() {
        contestants.retain(|contestant| options.only.iter().any(|part| contestant.name().contains(part.as_str())));
    }
    ensure!(!contestants.is_empty(), "no contestant has such a name; `--list` shows them");
    Ok(contestants)
}

/// The broker and what is on it.
struct Field {
    // Before the cluster, so that it does not miss its broker.
    admin: ksem::Admin,
    cluster: Cluster,
    work: Work,
    limit: Duration,
}

impl Field {
    fn prepare(work: Work, limit: Duration) -> Result<Self> {
        eprintln!("starting a Kafka node");
        // The files of an output topic go as soon as it was deleted: some hundred MB a run.
        let cluster = Cluster::start(&ClusterConfig::one().property("log.segment.delete.delay.ms", "0"))?;
        let properties: KafkaProperties = [("bootstrap.servers", cluster.bootstrap())].into_iter().collect();
        let admin = ksem::Admin::connect_with(&properties)?;
        cluster.create_topic(INPUT, PARTITIONS, &[])?;
        eprintln!("loading {} records of {} bytes", grouped(work.records as f64), work.size);
        let started = Instant::now();
        load::produce_ids(cluster.bootstrap(), INPUT, 0..work.records, work.size, PARTITIONS.unsigned_abs())?;
        let ends = reader::end_offsets(cluster.bootstrap(), INPUT, Isolation::ReadCommitted)?;
        let loaded: i64 = ends.values().sum();
        ensure!(loaded == work.records as i64, "the input has {loaded} records instead of {}", work.records);
        eprintln!("loaded in {:.1} s", started.elapsed().as_secs_f64());
        Ok(Self { admin, cluster, work, limit })
    }

    /// The broker's first transactions and reads are slow, and would be the first contestant's.
    fn warm_up(&self, contestants: &[Contestant]) -> Result<()> {
        let transactional = contestants.iter().find(|contestant| contestant.guarantee == Guarantee::ExactlyOnce);
        let Some(contestant) = transactional.or(contestants.first()) else { return Ok(()) };
        self.run(contestant, "warm-up, not counted").map(drop)
    }

    /// One run with a group and an output topic of its own, checked.
    fn run(&self, contestant: &Contestant, label: &str) -> Result<Run> {
        let name = contestant.name();
        let run = self.run_fresh(contestant).with_context(|| format!("{name} ({label})"))?;
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

    fn run_fresh(&self, contestant: &Contestant) -> Result<Run> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let job = Job {
            contestant: contestant.clone(),
            bootstrap: self.cluster.bootstrap().to_owned(),
            input: INPUT.to_owned(),
            output: format!("bench-output-{number}"),
            group: format!("bench-group-{number}"),
            records: self.work.records,
        };
        let broker = self.cluster.node(0).pid().context("the node is down")?;
        self.cluster.create_topic(&job.output, PARTITIONS, &[])?;
        thread::sleep(REST);
        let run = child::measure(&job, broker.unsigned_abs(), self.limit)?;
        check::run(&job, self.work.size)?;
        self.admin.delete_topic(&job.output)?;
        Ok(run)
    }
}
