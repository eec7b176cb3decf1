//! What the layers of the other languages cost: the same copy through each of them and in Rust, side by side.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use ksem::Guarantee;
use serde::Serialize;

use crate::cadence::Cadence;
use crate::contestant::{Contestant, System};
use crate::field::Field;
use crate::report::{self, Row, Spread, Trouble, Work};
use crate::shape::{Shape, Task};
use crate::targets::{self, Target, target};

/// What `cargo xtask bench layers` adds to its arguments for every layer that it has built.
#[derive(Args)]
pub(crate) struct Options {
    /// A layer's program: its language, and the words of its command line; made by `cargo xtask bench layers`
    #[arg(long, value_name = "LANGUAGE=[\"WORD\",...]", value_parser = layer, required = true)]
    layer: Vec<System>,
    /// Records that every contestant copies
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Rounds; in each of them every contestant runs once
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only contestants whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write the result to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail unless every target is met
    #[arg(long)]
    enforce: bool,
}

/// Most time that a run may take.
const LIMIT: Duration = Duration::from_mins(5);
const CADENCE: Cadence = Cadence::Records(10_000);
const RUST: &str = "ksem-eos-10k";

const RATIOS: &[Target] = &[
    target("ksem-python-eos-10k", 0.8, RUST),
    target("ksem-node-eos-10k", 0.8, RUST),
    target("ksem-c-eos-10k", 0.95, RUST),
    target("ksem-cpp-eos-10k", 0.95, RUST),
    target("ksem-python-eos-10k", 2.0, "confluent-python-eos-10k"),
];
/// What a layer's program measured beside its speed: milliseconds at most, and a part at least.
const AT_MOST: (&str, &str, f64) = ("ksem-node-eos-10k", "event_loop_p99_ms", 20.0);
const AT_LEAST: (&str, &str, f64) = ("ksem-python-counting-eos-10k", "counting_kept", 0.5);

/// Something else than a speed that was judged, by the median of its runs.
#[derive(Debug, Serialize)]
struct Beside {
    of: &'static str,
    what: &'static str,
    target: String,
    value: Option<f64>,
    /// The smallest and the largest of all runs.
    runs: Option<(f64, f64)>,
    pass: bool,
}

/// Returns whether everything that is enforced was met.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut contestants = contestants(&options.layer);
    contestants.retain(|one| options.only.is_empty() || options.only.iter().any(|part| one.name().contains(part)));
    ensure!(!contestants.is_empty(), "no contestant has such a name");
    let task = Task { shape: Shape::STANDARD, records: options.records, processes: 1 };
    let mut rows = crate::rows(contestants.into_iter().map(|contestant| (contestant, task)));
    let field = Field::start(1, &[], LIMIT)?;
    field.load(&task)?;
    field.warm_up(&rows)?;
    let rounds = options.rounds as usize;
    (0..rounds).for_each(|round| field.round(round, rounds, &mut rows));
    conclude(&rows, options)
}

/// Rust, every layer, and what Python would be used without ksem.
fn contestants(layers: &[System]) -> Vec<Contestant> {
    let rust = System::Ksem { variant: String::new(), set: Vec::new(), paced: true };
    let peer = System::Peer { peer: "confluent-python".to_owned() };
    let all = [&rust].into_iter().chain(layers).chain([&peer]);
    all.map(|system| Contestant { system: system.clone(), guarantee: Guarantee::ExactlyOnce, cadence: CADENCE })
        .collect()
}

fn conclude(rows: &[Row], options: &Options) -> Result<bool> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    println!("\n{} records of 200 bytes, {} round(s), {processors} processors\n", options.records, options.rounds);
    println!("{}", report::table(&rows.iter().collect::<Vec<_>>()));
    let (ratios, besides) = (targets::judge(rows, RATIOS), besides(rows));
    print!("{}", targets::verdicts(&ratios));
    for Beside { of, what, target, value, runs, pass } in &besides {
        print!("{}", report::verdict(*value, *runs, *pass, &format!(", {target}: {what} of {of}")));
    }
    if let Some(path) = &options.json {
        let work = Work {
            records: Some(options.records),
            part: 1,
            size: Shape::STANDARD.size,
            partitions: Shape::STANDARD.partitions,
            scattered: Shape::STANDARD.scattered,
            nodes: 1,
            rounds: options.rounds as usize,
            processors,
        };
        let mut document = report::json(rows, &ratios, &[], work);
        document["beside"] = serde_json::to_value(&besides)?;
        crate::write_json(path, &document)?;
    }
    let correct = rows.iter().all(|row| !matches!(row.trouble, Some(Trouble::Failed(_))));
    let met = ratios.iter().all(|ratio| ratio.pass) && besides.iter().all(|beside| beside.pass);
    Ok(correct && (met || !options.enforce))
}

/// Judges what was measured beside the speed. What did not run is not met.
fn besides(rows: &[Row]) -> Vec<Beside> {
    let beside = |(of, what, limit): (&'static str, &'static str, f64), word: &str, pass: fn(f64, f64) -> bool| {
        let row = rows.iter().find(|row| row.trouble.is_none() && row.contestant.name() == of);
        let values = row.into_iter().flat_map(|row| &row.runs).filter_map(|run| run.beside.get(what).copied());
        let spread = Spread::of(values);
        Beside {
            of,
            what,
            target: format!("{word} {limit}"),
            value: spread.map(|spread| spread.median),
            runs: spread.map(|spread| (spread.min, spread.max)),
            pass: spread.is_some_and(|spread| pass(spread.median, limit)),
        }
    };
    vec![
        beside(AT_MOST, "at most", |value, most| value <= most),
        beside(AT_LEAST, "at least", |value, least| value >= least),
    ]
}

fn layer(text: &str) -> Result<System, String> {
    let (language, words) = text.split_once('=').ok_or("write it as LANGUAGE=[\"WORD\",...]")?;
    let command: Vec<String> = serde_json::from_str(words).map_err(|error| error.to_string())?;
    if command.is_empty() {
        return Err("a command line has words".into());
    }
    Ok(System::Layer { language: language.to_owned(), command })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::child::tests::run;

    fn row(name: &str, records_per_s: f64, beside: &[(&str, f64)]) -> Row {
        let system = match name {
            "" => System::Ksem { variant: String::new(), set: Vec::new(), paced: true },
            name => layer(&format!("{name}=[\"true\"]")).expect("a layer"),
        };
        let contestant = Contestant { system, guarantee: Guarantee::ExactlyOnce, cadence: CADENCE };
        let task = Task { shape: Shape::STANDARD, records: 1_000, processes: 1 };
        let beside: BTreeMap<String, f64> = beside.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let runs = vec![crate::child::Run { beside, ..run(1_000, records_per_s) }];
        Row { contestant, task, runs, trouble: None }
    }

    #[test]
    fn layers_are_judged_by_what_they_reach_and_by_what_they_say() {
        let rows = [
            row("", 100.0, &[]),
            row("python", 80.0, &[]),
            row("node", 79.0, &[("event_loop_p99_ms", 19.0)]),
            row("c", 96.0, &[]),
            row("python-counting", 50.0, &[("counting_kept", 0.4)]),
        ];
        let ratios = targets::judge(&rows, RATIOS);
        let ratios = ratios.iter().map(|ratio| (format!("{} / {}", ratio.over, ratio.under), ratio.pass));
        let besides = besides(&rows);
        let besides = besides.iter().map(|beside| (format!("{} of {}", beside.what, beside.of), beside.pass));
        let passed: Vec<(String, bool)> = ratios.chain(besides).collect();
        let expected = [
            ("ksem-python-eos-10k / ksem-eos-10k", true),
            ("ksem-node-eos-10k / ksem-eos-10k", false),
            ("ksem-c-eos-10k / ksem-eos-10k", true),
            ("ksem-cpp-eos-10k / ksem-eos-10k", false),
            ("ksem-python-eos-10k / confluent-python-eos-10k", false),
            ("event_loop_p99_ms of ksem-node-eos-10k", true),
            ("counting_kept of ksem-python-counting-eos-10k", false),
        ];
        assert_eq!(passed, expected.map(|(what, pass)| (what.to_owned(), pass)));
    }

    #[test]
    fn a_layer_is_written_with_its_command() {
        let system = layer(r#"node=["node","a b.mjs"]"#).expect("a layer");
        let contestant = Contestant { system, guarantee: Guarantee::ExactlyOnce, cadence: CADENCE };
        assert_eq!(contestant.name(), "ksem-node-eos-10k");
        assert!(layer("node").is_err() && layer("node=[]").is_err() && layer("node=node").is_err());
    }
}
