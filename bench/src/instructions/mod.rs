//! `ksem-bench instructions`: how many instructions the hot path takes for a record, and whether that is more than it
//! was. Times differ from run to run; these do not.

mod budget;
mod callgrind;
mod measure;
pub(crate) mod program;
mod stage;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use ksem::Guarantee;
use ksem_broker::EmbeddedBroker;
use ksem_testkit::load;

use budget::{All, Budgets, Finding, Shares};
use measure::Measured;
use stage::Stage;

/// Records of a batch, which is committed alone.
const BATCH: usize = 1000;
/// Batches. In turn, their records are passed on as they are, or sent anew.
const BATCHES: usize = 20;
/// Bytes of a record's value.
const SIZE: usize = 200;
const INPUT: &str = "records";
const FORWARDED: &str = "forwarded";
const SENT: &str = "sent";
/// Of each output. The input has one, so that one lane has all of it.
const PARTITIONS: i32 = 4;

const EXAMPLES: &str = "\
Examples:
  ksem-bench instructions                                  every guarantee, compared with bench/instructions.toml
  ksem-bench instructions --guarantee exactly_once --top 12
  ksem-bench instructions --profiles target/callgrind      and then callgrind_annotate or KCachegrind
  ksem-bench instructions --update                         make what is measured the budget

It needs valgrind. A stage that takes more than its budget fails the command. See bench/README.md.";

/// Arguments of `ksem-bench instructions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only this guarantee; may be repeated
    #[arg(long, value_name = "G")]
    guarantee: Vec<Guarantee>,
    /// How many functions of each stage to show, those with the most instructions of their own
    #[arg(long, value_name = "N", default_value_t = 0)]
    top: usize,
    /// Keep callgrind's profiles in this folder
    #[arg(long, value_name = "DIR")]
    profiles: Option<PathBuf>,
    /// Make what is measured the budget
    #[arg(long, conflicts_with = "guarantee")]
    update: bool,
}

/// Returns whether every budget was kept.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let budgets = Budgets::read()?;
    let measured = measure_all(options)?;
    for (guarantee, measured) in &measured {
        print(guarantee, measured, options.top);
    }
    println!("\ninstructions a record; a copy is {}", Stage::OF_A_COPY.map(Stage::name).join(", "));
    if options.update {
        budgets.write(&measured)?;
        println!("written: {}", Budgets::path().display());
        return Ok(true);
    }
    Ok(conclude(&budgets.judge(&measured)))
}

/// Runs the program once for each guarantee, against a broker in this process, which is not under valgrind.
fn measure_all(options: &Options) -> Result<All> {
    let temporary = tempfile::tempdir().context("making a folder for profiles")?;
    let folder = options.profiles.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let broker = EmbeddedBroker::builder()
        .topic(INPUT, 1)
        .topic(FORWARDED, PARTITIONS)
        .topic(SENT, PARTITIONS)
        .start()
        .context("starting the embedded broker")?;
    let records = (BATCH * BATCHES) as u64;
    let loaded = load::produce_ids(broker.bootstrap(), INPUT, 0..records, SIZE, 1)?;
    ensure!(loaded == records, "the input has {loaded} records instead of {records}");
    let wanted = |guarantee: &Guarantee| options.guarantee.is_empty() || options.guarantee.contains(guarantee);
    let mut all = All::new();
    for guarantee in Guarantee::ALL.into_iter().filter(wanted) {
        let profile = folder.join(format!("callgrind.{guarantee}.out"));
        all.insert(guarantee.name().to_owned(), measure::measure(broker.bootstrap(), guarantee, &profile)?);
    }
    broker.stop();
    Ok(all)
}

fn print(guarantee: &str, measured: &Measured, top: usize) {
    let row = |name: &str, Shares { ksem, librdkafka, system }: Shares| {
        println!("{name:<24} {ksem:>9.1} {librdkafka:>11.1} {system:>9.1} {:>9.1}", ksem + librdkafka + system);
    };
    println!("\n{guarantee:<24} {:>9} {:>11} {:>9} {:>9}", "ksem", "librdkafka", "system", "all");
    for (stage, count) in measured {
        row(stage.name(), count.shares);
        for (name, instructions) in count.functions.iter().take(top) {
            println!("    {instructions:>9.1}  {name}");
        }
    }
    let of_a_copy = || Stage::OF_A_COPY.iter().filter_map(|stage| measured.get(stage));
    let sum = |of: fn(&Shares) -> f64| of_a_copy().map(|count| of(&count.shares)).sum::<f64>();
    row("a copy", Shares { ksem: sum(|it| it.ksem), librdkafka: sum(|it| it.librdkafka), system: sum(|it| it.system) });
}

/// Prints what was found. Returns whether every budget was kept.
fn conclude(findings: &[Finding]) -> bool {
    let mut kept = true;
    for finding in findings {
        match finding {
            Finding::Over(text) => {
                println!("OVER    {text}");
                kept = false;
            }
            Finding::Under(text) => println!("under   {text}: lower it with `cargo xtask instructions --update`"),
            Finding::Left(text) => println!("note    {text}"),
        }
    }
    if kept {
        println!("every budget was kept");
    } else {
        println!(
            "`cargo xtask instructions --top 12` shows the functions. If it has to be, `cargo xtask instructions \
             --update` makes it the budget, and the commit says why"
        );
    }
    kept
}
