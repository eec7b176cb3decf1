//! ksem against its peers: the same work, side by side, on one real Kafka node.

mod cadence;
mod check;
mod child;
mod contestant;
mod dimensions;
mod document;
mod field;
mod growth;
mod instructions;
mod kit;
mod latency;
mod layers;
mod limits;
mod machine;
mod payload;
mod peers;
mod process;
mod programs;
mod report;
mod settings;
mod shape;
mod targets;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use cadence::Cadence;
use contestant::{Contestant, Variant};
use field::Field;
use report::{Row, Trouble, Work};
use shape::{Shape, Task};

/// `--quick` divides the number of records by this.
const QUICK_PART: u64 = 5;
const EXAMPLES: &str = "\
Examples:
  ksem-bench                                    everything, three rounds; most of an hour
  ksem-bench --quick                            a fifth of the records, one round
  ksem-bench --cadence 10k,100ms                commits by 10,000 records and by 100 milliseconds
  ksem-bench --only eos-10k --json result.json  exactly-once by 10,000 records, and a JSON document
  ksem-bench --only ksem --set transactions.lanes=2      ksem with another setting
  ksem-bench --only ksem --variant two:transactions.lanes=2 --variant one:transactions.lanes=1
                                                side by side with its defaults
  ksem-bench --targets --enforce                whom a target names; fails unless every target is met
  ksem-bench latency --help                     from a record's time to its sight, under a steady load
  ksem-bench dimensions --help                  other record sizes, partitions and compressions
  ksem-bench growth --help                      more of everything, and an hour of steady load
  ksem-bench layers --help                      Python, Node, C and C++ beside Rust
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
    /// Throughput when record size, partitions or compression are changed, one at a time
    Dimensions(dimensions::Options),
    /// What the layers of Python, Node, C and C++ cost, beside Rust
    Layers(layers::Options),
    /// What more partitions, processes, lanes, records and topics cost, and what an hour does to memory
    Growth(growth::Options),
    /// Write docs/benchmarks.md and its plots
    Report(document::Options),
    /// Instructions of the hot path for a record, against their budgets
    Instructions(instructions::Options),
    /// Runs one contestant; the bench starts itself with this.
    #[command(name = child::SUBCOMMAND, hide = true)]
    Contestant { job: String },
    /// Runs one process of a latency run; the bench starts itself with this.
    #[command(name = latency::part::SUBCOMMAND, hide = true)]
    LatencyPart { job: String },
    /// Runs the hot path; `instructions` starts this under valgrind.
    #[command(name = instructions::program::SUBCOMMAND, hide = true)]
    HotPath { bootstrap: String, guarantee: ksem::Guarantee },
}

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Options {
    /// Records that every contestant copies; without it 100,000 by 100, 300,000 by 1,000, else 1,000,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Bytes of a record's value, 20 at least
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    size: u32,
    /// Partitions of input and output
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// Spread the records of the input over its partitions, instead of each in the partition of its key: a commit
    /// then writes to every partition of the output
    #[arg(long)]
    scattered: bool,
    /// Kafka nodes: 1, or 3 with replication 3 and two in-sync replicas
    #[arg(long, value_name = "N", default_value = "1", value_parser = ["1", "3"])]
    nodes: String,
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
    /// Only contestants that a target at these cadences names
    #[arg(long, conflicts_with = "variant")]
    targets: bool,
    /// A fifth of the records, one round
    #[arg(long, conflicts_with_all = ["records", "rounds"])]
    quick: bool,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail unless every target at these cadences is met
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
        Some(Command::Dimensions(options)) => dimensions::run(options),
        Some(Command::Growth(options)) => growth::run(options),
        Some(Command::Layers(options)) => layers::run(options),
        Some(Command::Report(options)) => document::run(options).map(|()| true),
        Some(Command::Contestant { job }) => child::serve(job).map(|()| true),
        Some(Command::LatencyPart { job }) => latency::part::serve(job).map(|()| true),
        Some(Command::Instructions(options)) => instructions::run(options),
        Some(Command::HotPath { bootstrap, guarantee }) => {
            instructions::program::serve(bootstrap, *guarantee).map(|()| true)
        }
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
    let work = Work {
        records: options.records,
        part: if options.quick { QUICK_PART } else { 1 },
        size: options.size as usize,
        partitions: options.partitions,
        scattered: options.scattered,
        nodes: if options.nodes == "1" { 1 } else { 3 },
        rounds: if options.quick { 1 } else { options.rounds as usize },
        processors: thread::available_parallelism().map_or(1, usize::from),
    };
    let mut rows = rows(contestants.into_iter().map(|contestant| {
        let task = work.task(&contestant);
        (contestant, task)
    }));
    let field = Field::start(work.nodes, &[], Duration::from_secs(options.timeout))?;
    load(&field, &rows)?;
    field.warm_up(&rows)?;
    for round in 0..work.rounds {
        field.round(round, work.rounds, &mut rows);
    }
    conclude(&rows, work, options)
}

/// Builds what these contestants need, and makes a row for each of them.
fn rows(entries: impl Iterator<Item = (Contestant, Task)>) -> Vec<Row> {
    let entries: Vec<(Contestant, Task)> = entries.collect();
    let missing = kit::provide(entries.iter().map(|(contestant, _)| contestant));
    let row = |(contestant, task)| {
        let reason = kit::of(&contestant).and_then(|kit| missing.get(kit.name()));
        Row { trouble: reason.cloned().map(Trouble::NotRun), contestant, task, runs: Vec::new() }
    };
    entries.into_iter().map(row).collect()
}

/// Fills the input of every row, each once.
fn load(field: &Field, rows: &[Row]) -> Result<()> {
    let mut loaded: Vec<(Shape, u64)> = Vec::new();
    for Row { task, .. } in rows {
        if !loaded.contains(&(task.shape, task.records)) {
            field.load(task)?;
            loaded.push((task.shape, task.records));
        }
    }
    Ok(())
}

/// Prints the tables. Returns whether every run was correct, and every target met where that is asked for.
fn conclude(rows: &[Row], work: Work, options: &Options) -> Result<bool> {
    // Targets are about the standard shape on one node.
    let judged: &[Cadence] = if work.is_standard() { &options.cadence } else { &[] };
    let ratios = targets::ratios(rows, judged);
    let limits = limits::limits(rows, judged);
    let failed = rows.iter().filter(|row| matches!(row.trouble, Some(Trouble::Failed(_)))).count();
    println!(
        "\n{} bytes a record, {} partitions, {} node(s), {} round(s), {} processors; {}\n",
        work.size,
        work.partitions,
        work.nodes,
        work.rounds,
        work.processors,
        if failed == 0 { "every run was correct".to_owned() } else { format!("{failed} contestants FAILED") }
    );
    println!("{}", report::table(&rows.iter().collect::<Vec<_>>()));
    print!("{}{}", targets::verdicts(&ratios), limits::verdicts(&limits));
    if let Some(path) = &options.json {
        write_json(path, &report::json(rows, &ratios, &limits, work))?;
    }
    let met = ratios.iter().all(|ratio| ratio.pass) && limits.iter().all(|limit| limit.pass);
    Ok(failed == 0 && (!options.enforce || met))
}

/// Writes a document of the bench.
fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
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
    let mut contestants = if options.targets {
        targets::contestants(&options.cadence, &options.set)
    } else {
        contestant::all(&options.cadence, &options.set, &options.variant)
    };
    if !options.only.is_empty() {
        contestants.retain(|contestant| options.only.iter().any(|part| contestant.name().contains(part.as_str())));
    }
    ensure!(!contestants.is_empty(), "no contestant has such a name; `--list` shows them");
    Ok(contestants)
}
