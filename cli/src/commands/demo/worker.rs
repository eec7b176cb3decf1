//! The pipeline of the demo in a process of its own, which its parent kills.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ksem::discipline::{Step, crash_points};
use ksem::{Guarantee, Pipeline, Until};

use super::orders::Topics;
use crate::exit::{Done, Failure};

/// Arguments of the hidden `ksem demo-worker`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    run: String,
    #[arg(long)]
    guarantee: Guarantee,
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    batch: usize,
    /// Stop for ever at this crash point, and say so
    #[arg(long)]
    crash_point: Option<String>,
}

/// What the worker says when it stands at the crash point.
pub(super) const READY_TO_DIE: &str = "ready to die";
/// The first batch goes through, so that the crash meets a pipeline at work.
const CRASHING_BATCH: u32 = 2;

pub(crate) fn run(args: &Args) -> Done {
    let topics = Topics::named(&args.run);
    let mut config = topics.config(&args.bootstrap, &args.run, args.guarantee, &args.state);
    config.batch.max_records = args.batch;
    config.commit.max_records = args.batch;
    // One lane: exactly one batch is in flight when the process dies.
    config.transactions.lanes = Some(1);
    config.transactions.in_flight = Some(1);
    let crash_after = match &args.crash_point {
        None => None,
        Some(name) => {
            let point = crash_points(args.guarantee).iter().find(|point| point.name == name);
            Some(
                point.ok_or_else(|| Failure::usage(format!("`{name}` is no crash point of {}", args.guarantee)))?.after,
            )
        }
    };
    let pipeline = Pipeline::open_probed(config, crash_after.map(probe))?;
    pipeline.run_until(Until::CaughtUp, |batch, output| topics.handle(batch, output))?;
    Ok(pipeline.close()?)
}

type Probe = Arc<dyn Fn(Guarantee, Step) + Send + Sync>;

fn probe(crash_after: Step) -> Probe {
    let met = AtomicU32::new(0);
    Arc::new(move |_, step| {
        if step == crash_after && met.fetch_add(1, Ordering::SeqCst) + 1 == CRASHING_BATCH {
            println!("{READY_TO_DIE}");
            // The parent reads it or is gone; either way nothing more is to be done here.
            let _ = std::io::stdout().flush();
            loop {
                std::thread::park();
            }
        }
    })
}
