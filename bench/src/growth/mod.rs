//! `ksem-bench growth`: what more of something costs, and what an hour does to memory.

mod part;
pub(crate) mod result;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use ksem::Guarantee;

use crate::contestant::{Contestant, System};
use crate::field::Field;
use crate::latency::steady;
use crate::machine::Machine;
use crate::report::{self, Row, Trouble};
use part::{Part, Step};
use result::{Grown, Growth, Stepped};

/// `--quick` divides the number of records by this.
const QUICK_PART: u64 = 5;
/// Minutes of the steady load with `--quick`.
const QUICK_MINUTES: u64 = 1;
/// All members of a group have to be there when it starts: what is measured is their work, and not that they come.
const JOIN: (&str, &str) = ("group.initial.rebalance.delay.ms", "3000");

const EXAMPLES: &str = "\
Examples:
  ksem-bench growth --json growth.json                  everything, and an hour of steady load
  ksem-bench growth --quick --part partitions           one round with a fifth of the records
  ksem-bench growth --part steady --steady-minutes 10

Each part makes one thing larger step by step. Costs are those of a record, beside the smallest step's: if they stay,
what is paid grows with the number of records and with nothing else. See bench/README.md.";

/// Arguments of `ksem-bench growth`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only this part; may be repeated
    #[arg(long, value_name = "PART")]
    part: Vec<Part>,
    /// Rounds; in each of them every step runs once
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A fifth of the records, one round, a minute of steady load
    #[arg(long, conflicts_with_all = ["rounds", "steady_minutes"])]
    quick: bool,
    /// How long the steady load is
    #[arg(long, value_name = "M", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    steady_minutes: u64,
    /// Records a second of the steady load
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    steady_rate: u64,
    /// Set a field of ksem's configuration, to try it out; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = crate::field)]
    set: Vec<(String, String)>,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Most seconds that a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Returns whether every run was correct.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wanted = |part: &Part| options.part.is_empty() || options.part.contains(part);
    let parts: Vec<Part> = Part::ALL.into_iter().filter(wanted).collect();
    let rounds = if options.quick { 1 } else { options.rounds as usize };
    let mut growth = Growth {
        machine: Machine::here(),
        arguments: report::arguments(std::env::args().skip(1)),
        rounds,
        parts: Vec::new(),
        steady: None,
    };
    let stepped: Vec<Part> = parts.iter().copied().filter(|part| *part != Part::Steady).collect();
    if !stepped.is_empty() {
        let properties: &[(&str, &str)] = if stepped.contains(&Part::Processes) { &[JOIN] } else { &[] };
        let field = Field::start(1, properties, Duration::from_secs(options.timeout))?;
        for part in stepped {
            let warm = growth.parts.is_empty();
            let grown = measure(part, &field, options, rounds, warm)?;
            print!("{}", grown.text());
            growth.parts.push(grown);
        }
    }
    if parts.contains(&Part::Steady) {
        let minutes = if options.quick { QUICK_MINUTES } else { options.steady_minutes };
        let result = steady::run(Guarantee::ExactlyOnce, options.steady_rate, minutes, &options.set)?;
        println!("\n{}", result.text());
        growth.steady = Some(result);
    }
    if let Some(path) = &options.json {
        crate::write_json(path, &growth)?;
    }
    Ok(growth.is_correct())
}

/// Every step of a part, round by round.
fn measure(part: Part, field: &Field, options: &Options, rounds: usize, warm: bool) -> Result<Grown> {
    let steps = part.steps(if options.quick { QUICK_PART } else { 1 });
    let entries = steps.iter().flat_map(|step| contestants(part, step, &options.set).map(|one| (one, step.task)));
    let mut rows = crate::rows(entries);
    eprintln!("{}: {} runs", part.name(), rows.len() * rounds);
    crate::load(field, &rows)?;
    if warm {
        field.warm_up(&rows)?;
    }
    for round in 0..rounds {
        field.round(round, rounds, &mut rows);
    }
    let mut unloaded = Vec::new();
    for task in rows.iter().map(|row| row.task) {
        if !unloaded.contains(&(task.shape, task.records)) {
            field.unload(&task)?;
            unloaded.push((task.shape, task.records));
        }
    }
    let a_step = rows.len() / steps.len().max(1);
    ensure!(a_step > 0, "nobody runs");
    let stepped = steps.iter().zip(rows.chunks(a_step)).map(|(step, rows)| Stepped {
        amount: step.amount,
        label: step.label.clone(),
        task: step.task,
        rows: rows.iter().map(Row::measured).collect(),
    });
    Ok(Grown { part, steps: stepped.collect() })
}

fn contestants<'a>(part: Part, step: &'a Step, set: &'a [(String, String)]) -> impl Iterator<Item = Contestant> + 'a {
    part.guarantees().iter().map(move |guarantee| {
        let set = step.set.iter().cloned().chain(set.iter().cloned()).collect();
        let system = System::Ksem { variant: String::new(), set, paced: true };
        Contestant { system, guarantee: *guarantee, cadence: step.cadence }
    })
}

impl Growth {
    fn is_correct(&self) -> bool {
        let rows = self.parts.iter().flat_map(|part| &part.steps).flat_map(|step| &step.rows);
        let failed = rows.filter(|row| matches!(row.trouble, Some(Trouble::Failed(_)))).count();
        failed == 0 && self.steady.as_ref().is_none_or(|steady| steady.run.is_correct())
    }
}
