//! `ksem-conformance --driver LANGUAGE=COMMAND… [--missing LANGUAGE=WHY…]`: plays the scenarios and prints the table.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ksem_tests::conformance::{BrokerKind, Suite, folder, load, run};

/// Plays the scenarios of tests/scenarios with the drivers that are given.
#[derive(Parser)]
struct Cli {
    /// A language and its driver's command, as a JSON list of texts: `rust=["target/release/ksem-driver"]`
    #[arg(long = "driver", value_name = "LANGUAGE=JSON")]
    drivers: Vec<String>,
    /// A language that has no driver, and why: its cells fail
    #[arg(long = "missing", value_name = "LANGUAGE=WHY")]
    missing: Vec<String>,
    /// Only on this broker: embedded or real
    #[arg(long)]
    broker: Option<String>,
    /// Only the scenarios whose id contains this
    #[arg(long)]
    scenario: Option<String>,
    /// How many cells at a time
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Print the scenarios and what each shows, and play nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match play(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(cli: &Cli) -> Result<bool> {
    let mut scenarios = load(&folder())?;
    if let Some(part) = &cli.scenario {
        scenarios.retain(|scenario| scenario.id.contains(part.as_str()));
    }
    if cli.list {
        for scenario in &scenarios {
            println!("{}: {}", scenario.id, scenario.what);
        }
        return Ok(true);
    }
    let brokers = match cli.broker.as_deref() {
        None => vec![BrokerKind::Embedded, BrokerKind::Real],
        Some("embedded") => vec![BrokerKind::Embedded],
        Some("real") => vec![BrokerKind::Real],
        Some(other) => bail!("`{other}` is no broker; use embedded or real"),
    };
    let mut drivers = Vec::new();
    for text in &cli.drivers {
        let (language, command) = split(text)?;
        drivers.push((language, Ok(serde_json::from_str(&command).with_context(|| format!("the command {command}"))?)));
    }
    for text in &cli.missing {
        let (language, why) = split(text)?;
        drivers.push((language, Err(why)));
    }
    let started = Instant::now();
    let table = run(&Suite { scenarios, drivers, brokers, jobs: cli.jobs })?;
    println!("{table} in {:.0} s", started.elapsed().as_secs_f64());
    if let Some(why) = table.failure() {
        println!("the suite has not passed: {why}");
        return Ok(false);
    }
    Ok(true)
}

fn split(text: &str) -> Result<(String, String)> {
    let (language, rest) = text.split_once('=').with_context(|| format!("`{text}` has no `=`"))?;
    Ok((language.to_owned(), rest.to_owned()))
}
