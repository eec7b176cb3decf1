//! ksem against its peers: the same work, side by side, on one real Kafka node.

mod cadence;
mod check;
mod child;
mod contestant;
mod document;
mod kit;
mod latency;
mod machine;
mod peers;
mod process;
mod programs;
mod report;
mod settings;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use ksem::Guarantee;
use ksem::config::KafkaProperties;
use ksem_testkit::reader::{self, Isolation};
use ksem_testkit::{Cluster, ClusterConfig, load};

use cadence::Cadence;
use child::Run;
use contestant::{Contestant, Variant};
use programs::Job;
use report::{Row, Trouble, Work, grouped};

const PARTITIONS: i32 = 4;
/// `--quick` divides the number of records by this.
const QUICK_PART: u64 = 5;
/// Between two runs, so that the broker is done with the one before.
const REST: Duration = Duration::from_secs(1);
/// A broker that gets no cheaper is warm; one that still does after so many runs is taken as it is.
const MOST_WARM_UPS: usize = 20;

const EXAMPLES: &str = "\
Examples:
  ksem-bench                                    everything, three rounds; most of an hour
  ksem-bench --quick                            a fifth of the records, one round
  ksem-bench --cadence 10k,100ms                commits by 10,000 records and by 100 milliseconds
  ksem-bench --only eos-10k --json result.json  exactly-once by 10,000 records, and a JSON document
  ksem-bench --only ksem --set transactions.lanes=2      ksem with another setting
  ksem-bench --only ksem --variant two:transactions.lanes=2 --variant one:transactions.lanes=1
                                                side by side with its defaults
  ksem-bench --enforce                          fails unless every target is met
  ksem-bench latency --help                     from a record's time to its sight, under a steady load
  ksem-bench report --help                      docs/benchmarks.md with plots, from the JSON documents

Every run is checked: the output has every record once, and the group's offsets are at the end.
A run that is not correct does not count, and the bench fails. See bench/README.md.";

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
    /// Records that every contestant copies; without it 100,000 by 100, 300,000 by 1,000, else 1,000,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Bytes of a record's value, 20 at least
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    size: u32,
    /// Rounds; in each of them every contestant runs once
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// When to commit: by so many records (100, 10k) or by so much time (100ms)
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = Cadence::DEFAULTS)]
    cadence: Vec<Cadence>,
    /// Set a field of ksem's configuration, to try it out; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, String)>,
    /// Run ksem once more, with fields of its configuration set: two settings side by side; may be repeated
    #[arg(long, value_name = "NAME:FIELD=VALUE,...", value_parser = variant)]
    variant: Vec<Variant>,
    /// Only contestants whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A fifth of the records, one round
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
    let missing = kit::provide(&contestants);
    let row = |contestant: Contestant| {
        let reason = kit::of(&contestant).and_then(|kit| missing.get(kit.name()));
        Row { trouble: reason.cloned().map(Trouble::NotRun), contestant, runs: Vec::new() }
    };
    let mut rows: Vec<Row> = contestants.into_iter().map(row).collect();
    let work = Work {
        records: options.records,
        part: if options.quick { QUICK_PART } else { 1 },
        size: options.size as usize,
        partitions: PARTITIONS,
        rounds: if options.quick { 1 } else { options.rounds as usize },
        processors: thread::available_parallelism().map_or(1, usize::from),
    };
    let field = Field::prepare(work, Duration::from_secs(options.timeout), &rows)?;
    field.warm_up(&rows)?;
    for round in 0..work.rounds {
        field.round(round, &mut rows);
    }
    conclude(&rows, work, options)
}

/// Prints the tables. Returns whether every run was correct, and every target met where that is asked for.
fn conclude(rows: &[Row], work: Work, options: &Options) -> Result<bool> {
    let ratios = targets::ratios(rows);
    let failed = rows.iter().filter(|row| matches!(row.trouble, Some(Trouble::Failed(_)))).count();
    println!(
        "\n{} bytes a record, {PARTITIONS} partitions, {} round(s), {} processors; {}\n",
        work.size,
        work.rounds,
        work.processors,
        if failed == 0 { "every run was correct".to_owned() } else { format!("{failed} contestants FAILED") }
    );
    println!("{}", report::table(rows));
    print!("{}", targets::verdicts(&ratios));
    if let Some(path) = &options.json {
        let document = serde_json::to_string_pretty(&report::json(rows, &ratios, work))?;
        fs::write(path, document + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(failed == 0 && (!options.enforce || ratios.iter().all(|ratio| ratio.pass)))
}

/// The topic with so many records.
fn input(records: u64) -> String {
    format!("bench-input-{records}")
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn variant(text: &str) -> Result<Variant, String> {
    let (name, fields) = text.split_once(':').ok_or("write it as NAME:FIELD=VALUE,FIELD=VALUE")?;
    let set = fields.split(',').map(field).collect::<Result<_, _>>()?;
    Ok(Variant { name: name.to_owned(), set })
}

fn selected(options: &Options) -> Result<Vec<Contestant>> {
    let mut contestants = contestant::all(&options.cadence, &options.set, &options.variant);
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
    fn prepare(work: Work, limit: Duration, rows: &[Row]) -> Result<Self> {
        eprintln!("starting a Kafka node");
        // The files of an output topic go as soon as it was deleted: some hundred MB a run.
        let cluster = Cluster::start(&ClusterConfig::one().property("log.segment.delete.delay.ms", "0"))?;
        let properties: KafkaProperties = [("bootstrap.servers", cluster.bootstrap())].into_iter().collect();
        let admin = ksem::Admin::connect_with(&properties)?;
        let field = Self { admin, cluster, work, limit };
        let numbers: BTreeSet<u64> = rows.iter().map(|row| work.records_of(&row.contestant)).collect();
        numbers.into_iter().try_for_each(|records| field.load(records))?;
        Ok(field)
    }

    /// Fills the input of those who copy so many records.
    fn load(&self, records: u64) -> Result<()> {
        let (bootstrap, topic) = (self.cluster.bootstrap(), input(records));
        let started = Instant::now();
        self.cluster.create_topic(&topic, PARTITIONS, &[])?;
        load::produce_ids(bootstrap, &topic, 0..records, self.work.size, PARTITIONS.unsigned_abs())?;
        let loaded: i64 = reader::end_offsets(bootstrap, &topic, Isolation::ReadCommitted)?.values().sum();
        ensure!(loaded == records as i64, "the input has {loaded} records instead of {records}");
        eprintln!("loaded {} records in {:.1} s", grouped(records as f64), started.elapsed().as_secs_f64());
        Ok(())
    }

    /// A broker that has just started compiles itself for most of a minute, with a processor that the first
    /// contestants would miss: it works until that gains nothing any more.
    fn warm_up(&self, rows: &[Row]) -> Result<()> {
        let able = || rows.iter().filter(|row| row.trouble.is_none()).map(|row| &row.contestant);
        let transactional = able().find(|contestant| contestant.guarantee == Guarantee::ExactlyOnce);
        let Some(contestant) = transactional.or_else(|| able().next()) else { return Ok(()) };
        let (mut best, mut worse) = (f64::MAX, 0);
        for _ in 0..MOST_WARM_UPS {
            let cost = self.run(contestant, "warm-up, not counted")?.broker_cpu_s;
            worse = if cost < best * 0.95 { 0 } else { worse + 1 };
            best = best.min(cost);
            if worse == 3 {
                break;
            }
        }
        Ok(())
    }

    /// Everybody once. Nobody is always the first, or always late.
    fn round(&self, round: usize, rows: &mut [Row]) {
        let (rounds, count) = (self.work.rounds, rows.len());
        for index in 0..count {
            let row = &mut rows[(index + round * count / rounds) % count];
            if row.trouble.is_some() {
                continue;
            }
            let label = format!("round {} of {rounds}, {} of {}", round + 1, index + 1, count);
            match self.run(&row.contestant, &label) {
                Ok(run) => row.runs.push(run),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    row.trouble = Some(Trouble::Failed(format!("{error:#}")));
                }
            }
        }
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
        let records = self.work.records_of(contestant);
        let job = Job {
            contestant: contestant.clone(),
            bootstrap: self.cluster.bootstrap().to_owned(),
            input: input(records),
            output: format!("bench-output-{number}"),
            group: format!("bench-group-{number}"),
            records,
            settings: programs::settings(contestant),
        };
        let broker = self.cluster.node(0).pid().context("the node is down")?;
        self.cluster.create_topic(&job.output, PARTITIONS, &[])?;
        thread::sleep(REST);
        let started = SystemTime::now();
        let run = child::measure(&job, broker.unsigned_abs(), self.limit)?;
        check::run(&job, self.work.size, started)?;
        self.admin.delete_topic(&job.output)?;
        Ok(run)
    }
}
