//! `ksem demo`: what each guarantee does when a process is killed, seen from outside.

mod crash;
mod orders;
mod show;
mod speed;
pub(crate) mod worker;

use ksem::Guarantee;
use ksem_broker::EmbeddedBroker;
use serde::Serialize;

use crate::exit::{Done, Failure};

/// Arguments of `ksem demo`.
#[derive(clap::Args)]
#[command(
    about = "Kill a pipeline at every crash point of every guarantee, and count what was lost and repeated",
    after_help = "Examples:\n  ksem demo\n  ksem demo --records 5000\n  ksem demo --json | jq .speed\n\n\
    Orders become invoices and analytics. For each row a child process runs the pipeline on an embedded broker, is\n\
    killed with SIGKILL at the crash point, and is started again; a reader that shares no code with ksem then\n\
    counts. Exit status 0 only if every promise held."
)]
pub(crate) struct Args {
    /// Orders for each crash point; a tenth of them is one batch
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    records: u64,
    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,
}

/// What was seen.
#[derive(Serialize)]
struct Findings {
    crashes: Vec<Crash>,
    speed: Vec<Speed>,
    promise_held: bool,
}

/// One crash.
#[derive(Clone, Serialize)]
struct Crash {
    guarantee: &'static str,
    crash_point: &'static str,
    sent: u64,
    lost: u64,
    repeated: u64,
    #[serde(skip)]
    kept: bool,
}

/// One guarantee's speed.
#[derive(Clone, Serialize)]
struct Speed {
    guarantee: &'static str,
    records_per_s: f64,
    p99_ms: f64,
}

pub(crate) fn run(args: &Args) -> Done {
    let broker = EmbeddedBroker::builder()
        .listen("127.0.0.1:0")
        .start()
        .map_err(|error| Failure::internal(format!("the embedded broker did not start: {error}")))?;
    let screen = show::Screen::new(args.json);
    screen.introduce(args.records, broker.bootstrap());
    let crashes = crash::all(&broker, args.records, &screen)?;
    let speed = Guarantee::ALL
        .into_iter()
        .map(|guarantee| {
            let measured = speed::measure(&broker, guarantee)?;
            screen.speed(&measured);
            Ok(measured)
        })
        .collect::<Done<Vec<_>>>()?;
    let promise_held = crash::promise_held(&crashes);
    let findings = Findings { crashes, speed, promise_held };
    screen.conclude(&findings)?;
    if promise_held { Ok(()) } else { Err(Failure::Said(1)) }
}
