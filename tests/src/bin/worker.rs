//! A pipeline that harms itself: `ksem-test-worker CONFIG [HARM]…`. It copies what the configuration's routes name, and
//! ends when it has caught up: with status 0, or with the class of the error, which it prints.
//!
//! | harm | what it does |
//! |---|---|
//! | `freeze STEP COUNT` | sends itself SIGSTOP when `STEP` was taken for the `COUNT`th time; may be there more than once |
//! | `settle MS` | waits before it freezes, until what is under way has arrived |
//! | `fail EVERY` | fails the handler at every so manieth call |
//! | `poison EVERY` | fails it, without saying why, for a batch that has a record whose id is a multiple of that |
//! | `mutation NAME` | has a planted bug |

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ksem::discipline::Step;
use ksem::{Config, Guarantee, Mutation, Pipeline, Until};
use ksem_testkit::load;
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some((config, harm)) = args.split_first().and_then(|(config, rest)| Some((*config, Harm::of(rest)?))) else {
        eprintln!(
            "usage: ksem-test-worker CONFIG [freeze STEP COUNT]... [settle MS] [fail EVERY] [poison EVERY] [mutation NAME]"
        );
        return ExitCode::from(64);
    };
    let config = match Config::from_toml_file(config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    match run(config, harm) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.class() as u8)
        }
    }
}

#[derive(Default)]
struct Harm {
    freezes: Vec<Freeze>,
    settle: Duration,
    fail: Option<u32>,
    poison: Option<u64>,
    mutation: Option<Mutation>,
}

struct Freeze {
    step: String,
    count: u32,
    met: AtomicU32,
}

impl Harm {
    fn of(mut args: &[&str]) -> Option<Self> {
        let mut harm = Self::default();
        loop {
            args = match args {
                [] => return Some(harm),
                ["freeze", step, count, rest @ ..] => {
                    let (step, count) = ((*step).to_owned(), count.parse().ok()?);
                    harm.freezes.push(Freeze { step, count, met: AtomicU32::new(0) });
                    rest
                }
                ["settle", millis, rest @ ..] => {
                    harm.settle = Duration::from_millis(millis.parse().ok()?);
                    rest
                }
                ["fail", every, rest @ ..] => {
                    harm.fail = Some(every.parse().ok()?);
                    rest
                }
                ["poison", every, rest @ ..] => {
                    harm.poison = Some(every.parse().ok()?);
                    rest
                }
                ["mutation", name, rest @ ..] => {
                    harm.mutation = Some(Mutation::named(name)?);
                    rest
                }
                _ => return None,
            };
        }
    }
}

impl Freeze {
    fn after(&self, taken: Step, settle: Duration) {
        if format!("{taken:?}") == self.step && self.met.fetch_add(1, Ordering::SeqCst) + 1 == self.count {
            thread::sleep(settle);
            // Every thread stops here; it goes on when somebody sends SIGCONT.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    }
}

fn run(config: Config, harm: Harm) -> ksem::Result<()> {
    let Harm { freezes, settle, fail, poison, mutation } = harm;
    let probe = move |_: Guarantee, taken: Step| freezes.iter().for_each(|freeze| freeze.after(taken, settle));
    let calls = AtomicU32::new(0);
    let routes = config.routes.clone();
    let pipeline = Pipeline::open_mutated(config, Some(Arc::new(probe)), mutation)?;
    let result = pipeline.run_until(Until::CaughtUp, |batch, output| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        for (index, record) in batch.records().enumerate() {
            let id = record.value.and_then(load::value_id);
            if poison.zip(id).is_some_and(|(every, id)| id.is_multiple_of(every)) {
                return Err("one of them is bad".into());
            }
            for topic in routes.iter().filter(|route| route.from == record.topic).flat_map(|route| &route.to) {
                output.forward(topic, index);
            }
        }
        match fail {
            Some(every) if call.is_multiple_of(every) => Err("it was this one's turn".into()),
            _ => Ok(()),
        }
    });
    let metrics = pipeline.metrics();
    eprintln!(
        "failures of the handler: {}; commits: {}; dead letters: {}; records lost: {}; producers rebuilt: {}",
        metrics.handler_failures,
        metrics.commits,
        metrics.records_dead_lettered,
        metrics.records_lost,
        metrics.producers_rebuilt
    );
    // The error that ended the pipeline matters more than how it closes.
    let closed = pipeline.close();
    result.and(closed)
}
