//! `ksem run`: the pipeline of a configuration.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use ksem::{Batch, Config, Guarantee, HandlerResult, Output, Pipeline, Stopper, Until};

use crate::exec::Exec;
use crate::exit::{Done, Failure};
use crate::progress::Progress;
use crate::signals;

/// Arguments of `ksem run`.
#[derive(clap::Args)]
#[command(
    about = "Run the pipeline of a configuration file",
    after_help = "Examples:\n  ksem run --config pipeline.toml\n  ksem run --config pipeline.toml --guarantee exactly_once --until-caught-up\n  \
    ksem run --config pipeline.toml --exec 'python3 handler.py'\n\n\
    A child of --exec reads one JSON object a line for each record (topic, partition, offset, timestamp, key,\n\
    value, headers; key_base64 and value_base64 for what is not UTF-8) and then {\"end\":N}; it answers with one\n\
    object a line for each output (topic, key, value, headers) and then {\"end\":N}, and flushes.\n\
    {\"error\":\"…\"} fails the batch; with \"partition\" and \"offset\" it says which record is to blame.\n\
    {\"verdict\":\"retry|dead_letter|skip\",\"partition\":P,\"offset\":O,\"reason\":\"…\"} is a verdict on one record.\n\n\
    Every field of the configuration with its default: ksem run --reference"
)]
pub(crate) struct Args {
    /// The configuration (TOML)
    #[arg(short, long, value_name = "FILE", required_unless_present = "reference")]
    config: Option<PathBuf>,
    /// Instead of the configured guarantee: at_most_once, at_least_once or exactly_once
    #[arg(short, long, value_name = "G")]
    guarantee: Option<Guarantee>,
    /// End when the group has reached the end that the inputs had at the start
    #[arg(long)]
    until_caught_up: bool,
    /// The handler: a command that reads and writes JSON lines, one process a lane
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Write the counters to this file every second and at the end
    #[arg(long, value_name = "FILE")]
    metrics_json: Option<PathBuf>,
    /// Check the configuration and list every problem with its line
    #[arg(long)]
    check: bool,
    /// Print a configuration with every field, its meaning and its default
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(args: &Args, quiet: bool) -> Done {
    if args.reference {
        print!("{}", Config::reference());
        return Ok(());
    }
    let path = args.config.as_deref().unwrap_or(Path::new(""));
    let config = load(path, args)?;
    if args.check {
        println!(
            "{}: no problems; {} from {} as group {}",
            path.display(),
            config.guarantee,
            config.inputs.join(", "),
            config.group
        );
        return Ok(());
    }
    let handler = handler_of(&config)?;
    let guarantee = config.guarantee;
    // A little more than the pipeline itself takes to give up.
    let deadline = Duration::from_millis(config.shutdown.deadline_ms) + Duration::from_secs(2);
    let stopper: Arc<OnceLock<Stopper>> = Arc::default();
    let opened = Arc::clone(&stopper);
    signals::on_stop(move || match opened.get() {
        Some(stopper) => {
            stopper.stop();
            signals::exit_after(deadline);
        }
        // Nothing was read yet, so there is nothing to finish.
        None => std::process::exit(0),
    })?;
    let pipeline = Pipeline::open(config)?;
    let _ = stopper.set(pipeline.stopper());
    let until = if args.until_caught_up { Until::CaughtUp } else { Until::Stopped };
    let watch = Watch { metrics_json: args.metrics_json.as_deref(), quiet, guarantee };
    let result =
        watch.during(&pipeline, || pipeline.run_until(until, |batch, output| handler(&pipeline, batch, output)));
    let closed = pipeline.close();
    result?;
    Ok(closed?)
}

fn load(path: &Path, args: &Args) -> Done<Config> {
    let problems = |error: ksem::config::ConfigError| {
        let count = error.problems.len();
        let plural = if count == 1 { "problem" } else { "problems" };
        eprintln!("{error}");
        eprintln!(
            "error: [1001 config_invalid] {count} {plural} in {}; every field: ksem run --reference",
            path.display()
        );
        Failure::Said(2)
    };
    let mut config = Config::from_toml_file(path).map_err(problems)?;
    if let Some(guarantee) = args.guarantee {
        config.guarantee = guarantee;
    }
    if let Some(command) = &args.exec {
        config.exec.command = Some(command.clone());
    }
    config.validate().map_err(problems)?;
    Ok(config)
}

type Handler = Box<dyn Fn(&Pipeline, &Batch, &mut Output) -> HandlerResult + Sync>;

fn handler_of(config: &Config) -> Done<Handler> {
    if let Some(command) = &config.exec.command {
        let exec = Exec::new(command.clone(), Duration::from_millis(config.exec.timeout_ms));
        return Ok(Box::new(move |_, batch, output| exec.handle(batch, output)));
    }
    if config.routes.is_empty() {
        return Err(Failure::usage(
            "there is no handler: add a `[[route]]` with `from` and `to`, or give --exec CMD (or `[exec] command`)",
        ));
    }
    Ok(Box::new(Pipeline::route))
}

/// What is shown and written while the pipeline runs.
struct Watch<'a> {
    metrics_json: Option<&'a Path>,
    quiet: bool,
    guarantee: Guarantee,
}

impl Watch<'_> {
    fn during(&self, pipeline: &Pipeline, work: impl FnOnce() -> ksem::Result<()>) -> Done {
        let done = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            let shown = scope.spawn(|| self.show(pipeline, &done));
            let result = work();
            done.store(true, Ordering::SeqCst);
            let shown = shown.join().unwrap_or_else(|_| Err(Failure::internal("the progress display panicked")));
            result.map_err(Failure::from).and(shown)
        });
        self.write(pipeline)?;
        result
    }

    fn show(&self, pipeline: &Pipeline, done: &AtomicBool) -> Done {
        let mut progress = Progress::start(self.quiet, self.guarantee.name());
        let mut ticks = 0_u32;
        while !done.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(50));
            ticks += 1;
            if ticks.is_multiple_of(5) {
                let metrics = pipeline.metrics();
                progress.show(metrics.records_in, &notes(&metrics));
            }
            if ticks.is_multiple_of(20) {
                self.write(pipeline)?;
            }
        }
        let (metrics, took) = (pipeline.metrics(), progress.elapsed());
        progress.finish();
        if !self.quiet {
            let rate = metrics.records_in as f64 / took.as_secs_f64().max(1e-9);
            eprintln!(
                "{}: {} records in, {} out, {} batches in {:.1} s ({:.0} records/s){}",
                self.guarantee,
                metrics.records_in,
                metrics.records_out,
                metrics.batches,
                took.as_secs_f64(),
                rate,
                notes(&metrics)
            );
        }
        Ok(())
    }

    /// A reader never sees half a file.
    fn write(&self, pipeline: &Pipeline) -> Done {
        let Some(path) = self.metrics_json else { return Ok(()) };
        let text =
            serde_json::to_string_pretty(&pipeline.metrics()).map_err(|error| Failure::internal(error.to_string()))?;
        let partial = path.with_extension("partial");
        let written = fs::write(&partial, text + "\n").and_then(|()| fs::rename(&partial, path));
        written.map_err(|error| Failure::usage(format!("--metrics-json {}: {error}", path.display())))
    }
}

/// What is worth a word beside the count.
fn notes(metrics: &ksem::Metrics) -> String {
    let facts = [
        (metrics.records_lost, "lost"),
        (metrics.records_dead_lettered, "dead letters"),
        (metrics.records_skipped, "skipped"),
        (metrics.batches_retried, "batches retried"),
        (metrics.handler_failures, "handler failures"),
        (metrics.producers_rebuilt, "producers rebuilt"),
    ];
    let mut text = String::new();
    for (count, what) in facts.iter().filter(|(count, _)| *count > 0) {
        // Writing to a string can't fail.
        let _ = write!(text, ", {count} {what}");
    }
    text
}
