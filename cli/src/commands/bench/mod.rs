//! `ksem bench`: what the three guarantees cost on the user's own cluster.

mod advice;
mod load;
mod measure;
mod show;
mod topics;

use std::sync::atomic::{AtomicBool, Ordering};

use ksem::error::Code;
use ksem::{Admin, Config, Guarantee};
use serde::Serialize;

use super::connection::Connection;
use crate::exit::{Done, Failure};
use crate::signals;
use measure::Speed;
use topics::Topics;

/// Arguments of `ksem bench`.
#[derive(clap::Args)]
#[command(
    about = "Measure what each guarantee costs on your cluster",
    after_help = "Examples:\n  ksem bench --config pipeline.toml\n  \
    ksem bench --bootstrap broker-1:9092 --records 2000000 --size 1000 --partitions 12\n  \
    ksem bench --config pipeline.toml --replication 3 --json | jq .guarantees\n\n\
    Loads records into a temporary topic and copies them to another one under each guarantee, with\n\
    ksem's defaults and the [kafka] table of the configuration; one run comes first that is not\n\
    counted. Its topics are called ksem-bench-* and are deleted at the end, also after Ctrl-C or an\n\
    error; it needs the right to create and delete them. It is a load on the cluster, and what else\n\
    runs there meanwhile changes the figures."
)]
pub(crate) struct Args {
    /// Records that are copied under each guarantee
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    size: u32,
    /// Partitions of the topics
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How many brokers have a copy; the cluster's default if left out
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(i32).range(1..))]
    replication: Option<i32>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    records: u64,
    size: u32,
    partitions: usize,
    replication: usize,
    guarantees: Vec<Found>,
    /// What to make of it, in sentences.
    advice: Vec<String>,
}

/// What was found about a guarantee.
#[derive(Debug, Serialize)]
struct Found {
    guarantee: &'static str,
    available: bool,
    #[serde(flatten)]
    speed: Option<Speed>,
    /// Why it is not available.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) fn run(args: &Args) -> Done {
    let base = args.connection.config(|_| {})?;
    let stop = signals::stop_flag()?;
    let admin = Admin::connect(&base)?;
    let mut topics = Topics::new(&admin, args.partitions, args.replication);
    let result = measure_all(args, &base, &mut topics, &stop);
    // Before anything is said: that may fail, too.
    drop(topics);
    show::show(&result?, args.json)
}

fn measure_all(args: &Args, base: &Config, topics: &mut Topics<'_>, stop: &AtomicBool) -> Done<Findings> {
    let input = topics.create("input")?;
    let (partitions, replication) = topics.shape(&input)?;
    load::fill(base, &input, args.records, args.size as usize, stop)?;
    let mut measured = |guarantee, what: &str| {
        let output = topics.create(what)?;
        let config = Config {
            group: topics.name(&format!("group-{what}")),
            inputs: vec![input.clone()],
            guarantee,
            kafka: base.kafka.clone(),
            security: base.security.clone(),
            ..Config::default()
        };
        let speed = measure::measure(config, &output, args.records, stop, what);
        interrupted(stop)?;
        // It may be as large as the input.
        topics.delete(&output);
        speed
    };
    // The first run is the slowest, whatever the guarantee: it is not counted.
    measured(Guarantee::AtLeastOnce, "warm-up")?;
    let mut guarantees = Vec::new();
    for guarantee in Guarantee::ALL {
        guarantees.push(found(guarantee, measured(guarantee, guarantee.name()))?);
    }
    let mut findings =
        Findings { records: args.records, size: args.size, partitions, replication, guarantees, advice: Vec::new() };
    findings.advice = advice::advice(&findings);
    Ok(findings)
}

/// A cluster that has no transactions, or none for this user, has two other guarantees.
fn found(guarantee: Guarantee, measured: Done<Speed>) -> Done<Found> {
    let name = guarantee.name();
    match measured {
        Ok(speed) => Ok(Found { guarantee: name, available: true, speed: Some(speed), reason: None }),
        Err(Failure::Ksem(error))
            if guarantee == Guarantee::ExactlyOnce
                && matches!(error.code(), Code::GuaranteeUnavailable | Code::NotAuthorized) =>
        {
            Ok(Found { guarantee: name, available: false, speed: None, reason: Some(error.to_string()) })
        }
        Err(failure) => Err(failure),
    }
}

fn interrupted(stop: &AtomicBool) -> Done {
    if stop.load(Ordering::SeqCst) {
        return Err(Failure::Own { status: 130, message: "interrupted; the temporary topics are gone".into() });
    }
    Ok(())
}
