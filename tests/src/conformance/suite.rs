//! Plays every cell, several at a time.

use std::collections::VecDeque;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::cell::{Cannot, play};
use super::scenario::{BrokerKind, Scenario};
use super::stage::Stage;
use super::table::{Table, Verdict};

/// What is to be played.
#[derive(Debug)]
pub struct Suite {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// The languages, each with the command of its driver, or with why there is none.
    pub drivers: Vec<(String, Result<Vec<String>, String>)>,
    /// The brokers.
    pub brokers: Vec<BrokerKind>,
    /// How many cells at a time.
    pub jobs: usize,
}

/// Plays all of it. What fails is in the table.
///
/// # Errors
/// When there is nothing to play, or a broker does not start.
pub fn run(suite: &Suite) -> Result<Table> {
    ensure!(!suite.scenarios.is_empty(), "there is no such scenario");
    ensure!(!suite.brokers.is_empty() && !suite.drivers.is_empty(), "there is nothing to play on or with");
    let table = Mutex::new(Table::new(suite));
    let (embedded, real) = (OnceLock::new(), OnceLock::new());
    let stage = |kind| {
        let place = if kind == BrokerKind::Embedded { &embedded } else { &real };
        place.get_or_init(|| Stage::start(kind).with_context(|| format!("starting the {} broker", kind.name())))
    };
    let cells = Mutex::new(cells(suite));
    let next = || cells.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for kind in &suite.brokers {
            // The real one takes seconds, in which the embedded one is used already.
            scope.spawn(|| stage(*kind).is_ok());
        }
        for _ in 0..suite.jobs.max(1) {
            scope.spawn(|| {
                while let Some((number, cell)) = next() {
                    let started = Instant::now();
                    let verdict = match (stage(cell.broker), cell.command) {
                        (Ok(stage), Ok(command)) => one(stage, cell.scenario, cell.language, command, number),
                        (Ok(_), Err(why)) => Verdict::NoDriver(why.clone()),
                        (Err(error), _) => Verdict::Failed(format!("{error:#}")),
                    };
                    let took = started.elapsed();
                    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                    if env::var_os("KSEM_LOG").is_some() || matches!(verdict, Verdict::Failed(_)) {
                        eprintln!("{} {} {}: {verdict:?}", cell.scenario.id, cell.language, cell.broker.name());
                    }
                    table.set(&cell.scenario.id, cell.language, cell.broker, verdict, took);
                }
            });
        }
    });
    for kind in &suite.brokers {
        if let Err(error) = stage(*kind) {
            bail!("{error:#}");
        }
    }
    Ok(table.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Place<'a> {
    scenario: &'a Scenario,
    language: &'a str,
    command: &'a Result<Vec<String>, String>,
    broker: BrokerKind,
}

/// Broker by broker, so that the one that starts later is used later; each with a number that is its alone.
fn cells(suite: &Suite) -> VecDeque<(usize, Place<'_>)> {
    let mut cells = Vec::new();
    for broker in &suite.brokers {
        for scenario in suite.scenarios.iter().filter(|scenario| scenario.is_for(*broker)) {
            for (language, command) in &suite.drivers {
                if !scenario.cannot.contains_key(broker) {
                    cells.push(Place { scenario, language, command, broker: *broker });
                }
            }
        }
    }
    cells.into_iter().enumerate().collect()
}

fn one(stage: &Stage, scenario: &Scenario, language: &str, command: &[String], number: usize) -> Verdict {
    let played = catch_unwind(AssertUnwindSafe(|| play(stage, scenario, language, command, number)));
    match played {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(error)) => match error.downcast_ref::<Cannot>() {
            Some(why) => Verdict::Reason(why.to_string()),
            None => Verdict::Failed(format!("{error:#}")),
        },
        Err(_) => Verdict::Failed("the runner itself panicked, see above".into()),
    }
}
