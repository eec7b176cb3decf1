//! A pipeline that freezes itself at a step: `ksem-test-worker CONFIG STEP COUNT`.
//!
//! It copies what the configuration's routes name, and sends itself SIGSTOP when `STEP` was taken for the `COUNT`th time.
//! It ends when it has caught up: with status 0, or with the class of the error, which it prints.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ksem::discipline::Step;
use ksem::{Config, Guarantee, Pipeline, Until};
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, config, step, count] = args.as_slice() else {
        eprintln!("usage: ksem-test-worker CONFIG STEP COUNT");
        return ExitCode::from(64);
    };
    let config = match Config::from_toml_file(config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    match run(config, step.clone(), count.parse().unwrap_or(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.class() as u8)
        }
    }
}

fn run(config: Config, step: String, count: u32) -> ksem::Result<()> {
    let met = AtomicU32::new(0);
    let probe = move |_: Guarantee, taken: Step| {
        if format!("{taken:?}") == step && met.fetch_add(1, Ordering::SeqCst) + 1 == count {
            // Every thread stops here; it goes on when somebody sends SIGCONT.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    };
    let routes = config.routes.clone();
    let pipeline = Pipeline::open_probed(config, Some(Arc::new(probe)))?;
    let result = pipeline.run_until(Until::CaughtUp, |batch, output| {
        for (index, record) in batch.records().enumerate() {
            for topic in routes.iter().filter(|route| route.from == record.topic).flat_map(|route| &route.to) {
                output.forward(topic, index);
            }
        }
        Ok(())
    });
    // The error that ended the pipeline matters more than how it closes.
    let closed = pipeline.close();
    result.and(closed)
}
