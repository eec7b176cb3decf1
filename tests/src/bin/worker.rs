//! A pipeline that harms itself: `ksem-test-worker CONFIG freeze STEP COUNT` or `CONFIG fail EVERY`.
//!
//! It copies what the configuration's routes name. `freeze` sends itself SIGSTOP when `STEP` was taken for the `COUNT`th
//! time; `fail` fails the handler at every so manieth call. It ends when it has caught up: with status 0, or with the
//! class of the error, which it prints.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ksem::discipline::Step;
use ksem::{Config, Guarantee, Pipeline, Until};
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (config, harm) = match args[..] {
        [_, config, "freeze", step, count] => (config, Harm::Freeze(step.to_owned(), count.parse().unwrap_or(1))),
        [_, config, "fail", every] => (config, Harm::Fail(every.parse().unwrap_or(10))),
        _ => {
            eprintln!("usage: ksem-test-worker CONFIG (freeze STEP COUNT | fail EVERY)");
            return ExitCode::from(64);
        }
    };
    let config = match Config::from_toml_file(config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    match run(config, &harm) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.class() as u8)
        }
    }
}

enum Harm {
    Freeze(String, u32),
    Fail(u32),
}

fn run(config: Config, harm: &Harm) -> ksem::Result<()> {
    let met = AtomicU32::new(0);
    let freeze = match harm {
        Harm::Freeze(step, count) => Some((step.clone(), *count)),
        Harm::Fail(_) => None,
    };
    let probe = move |_: Guarantee, taken: Step| {
        let Some((step, count)) = &freeze else { return };
        if format!("{taken:?}") == *step && met.fetch_add(1, Ordering::SeqCst) + 1 == *count {
            // Every thread stops here; it goes on when somebody sends SIGCONT.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    };
    let calls = AtomicU32::new(0);
    let routes = config.routes.clone();
    let pipeline = Pipeline::open_probed(config, Some(Arc::new(probe)))?;
    let result = pipeline.run_until(Until::CaughtUp, |batch, output| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        for (index, record) in batch.records().enumerate() {
            for topic in routes.iter().filter(|route| route.from == record.topic).flat_map(|route| &route.to) {
                output.forward(topic, index);
            }
        }
        match harm {
            Harm::Fail(every) if call.is_multiple_of(*every) => Err("it was this one's turn".into()),
            _ => Ok(()),
        }
    });
    let metrics = pipeline.metrics();
    eprintln!(
        "failures of the handler: {}; commits: {}; records lost: {}",
        metrics.handler_failures, metrics.commits, metrics.records_lost
    );
    // The error that ended the pipeline matters more than how it closes.
    let closed = pipeline.close();
    result.and(closed)
}
