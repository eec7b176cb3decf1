//! `ksem-bench latency`: from the time at which a record had to be sent to the moment at which it is visible.

mod clock;
mod field;
mod histogram;
mod load;
pub(crate) mod part;
mod pipeline;
mod reader;
pub(crate) mod result;
pub(crate) mod steady;
mod table;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ksem::Guarantee;

use crate::machine::Machine;
use field::Field;
use result::{Latency, Row, Target, Work};

const PARTITIONS: i32 = 4;
/// Seconds at the start of each run that are not measured.
const WARM_UP_S: u64 = 3;
/// Seconds and runs of `--quick`.
const QUICK: (u64, u32) = (5, 1);

const EXAMPLES: &str = "\
Examples:
  ksem-bench latency                                         every guarantee at 1,000, 20,000 and 50,000 records/s
  ksem-bench latency --quick --rate 20000                    one run of 5 s for each guarantee
  ksem-bench latency --targets --json latency.json           the three targets, and a JSON document
  ksem-bench latency --guarantee exactly_once --set batch.linger_ms=1

The load keeps to its schedule whatever happens, and each record carries the time at which it had to be sent. A
reader of committed records takes the time at which it sees it. `no pipeline` is the same with the input as the
output: what the load and the reader take by themselves. See bench/README.md.";

/// Arguments of `ksem-bench latency`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Records a second
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "1000,20000,50000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    rate: Vec<u64>,
    /// Seconds that are measured in each run, after 3 that are not
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs of each guarantee at each rate
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only this guarantee; may be repeated
    #[arg(long, value_name = "G")]
    guarantee: Vec<Guarantee>,
    /// The three targets, each guarantee at its own rate
    #[arg(long, conflicts_with_all = ["rate", "guarantee"])]
    targets: bool,
    /// One run of 5 s
    #[arg(long, conflicts_with_all = ["seconds", "runs"])]
    quick: bool,
    /// A field of ksem's configuration and its value as in TOML, to try it out; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = crate::field)]
    set: Vec<(String, String)>,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail unless every target that was measured is met
    #[arg(long)]
    enforce: bool,
}

/// What is measured in one run: a guarantee, or nothing between the load and the reader.
#[derive(Clone, Copy, Debug)]
struct Case {
    guarantee: Option<Guarantee>,
    rate: u64,
}

/// Returns whether every run was correct, and everything that is enforced was met.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let (seconds, runs) = if options.quick { QUICK } else { (options.seconds, options.runs) };
    let mut rows: Vec<(Case, Row)> = cases(options).into_iter().map(|case| (case, row(case, &options.set))).collect();
    let machine = Machine::here();
    let field = Field::prepare(options.set.clone(), &[], &[])?;
    field.warm_up(rows.iter().map(|(case, _)| case.rate).max().unwrap_or(1))?;
    for round in 0..runs {
        for (case, row) in &mut rows {
            // What the bench itself takes is known after one run; the last has the warmest broker.
            if case.guarantee.is_some() || round + 1 == runs {
                let run = field.run(*case, seconds, &format!("run {} of {runs}", round + 1))?;
                row.runs.push(run);
            }
        }
    }
    let work = Work { seconds, warm_up_s: WARM_UP_S, size: clock::SIZE, partitions: PARTITIONS, runs };
    let latency = Latency { work, machine, rows: rows.into_iter().map(|(_, row)| row).collect() };
    println!("\n{}", table::table(&latency));
    print!("{}", table::verdicts(&latency));
    if let Some(path) = &options.json {
        crate::write_json(path, &latency)?;
    }
    let correct = latency.rows.iter().all(Row::is_correct);
    Ok(correct && (!options.enforce || latency.rows.iter().all(|row| row.pass() != Some(false))))
}

fn cases(options: &Options) -> Vec<Case> {
    if options.targets {
        return result::TARGETS
            .iter()
            .flat_map(|target| [None, Some(target.guarantee)].map(|guarantee| Case { guarantee, rate: target.rate }))
            .collect();
    }
    let wanted = |guarantee: &Guarantee| options.guarantee.is_empty() || options.guarantee.contains(guarantee);
    let all = || std::iter::once(None).chain(Guarantee::ALL.into_iter().filter(wanted).map(Some));
    options.rate.iter().flat_map(|rate| all().map(|guarantee| Case { guarantee, rate: *rate })).collect()
}

fn row(case: Case, set: &[(String, String)]) -> Row {
    let target = result::TARGETS
        .iter()
        .find(|Target { guarantee, rate, .. }| Some(*guarantee) == case.guarantee && *rate == case.rate);
    Row {
        guarantee: case.guarantee.map(|guarantee| guarantee.name().to_owned()),
        rate: case.rate,
        target_p99_ms: target.map(|target| target.p99_ms),
        settings: case.guarantee.map(|guarantee| pipeline::all_settings(guarantee, set)).unwrap_or_default(),
        runs: Vec::new(),
    }
}
