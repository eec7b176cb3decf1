//! The command `ksem`.
#![expect(clippy::doc_markdown, reason = "doc comments are the help texts, which have no markup")]

mod commands;
mod exec;
mod exit;
mod json;
mod progress;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// At-most-once, at-least-once and exactly-once pipelines for Kafka.
#[derive(Parser)]
#[command(
    name = "ksem",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  ksem demo                                  see what each guarantee does when a process is killed\n  \
    ksem broker --topic orders:4               a Kafka broker for development, on 127.0.0.1:9092\n  \
    ksem run --config pipeline.toml            run a pipeline\n  \
    ksem run --config pipeline.toml --check    list every problem of a configuration\n  \
    ksem bench --config pipeline.toml          what each guarantee costs on your cluster\n\n\
    Exit status: 0 done, 1 a bug in ksem, 2 configuration or usage, 3 cluster unavailable,\n\
    4 transaction or group membership lost (fenced), 5 handler failed, 6 data lost from the input,\n\
    130 interrupted twice."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more: -v what happens, -vv every step, -vvv librdkafka too
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Kill a pipeline at every crash point of every guarantee, and count what was lost and repeated
    Demo(commands::demo::Args),
    /// Serve an embedded Kafka broker for development and tests
    Broker(commands::broker::Args),
    /// Run the pipeline of a configuration file
    Run(commands::run::Args),
    /// Measure what each guarantee costs on your cluster
    Bench(commands::bench::Args),
    /// Create, list, describe and delete topics
    Topic(commands::topic::Args),
    /// List, show and replay dead letters
    Dlq(commands::dlq::Args),
    /// Send lines from standard input to a topic
    Produce(commands::produce::Args),
    /// Print the records of a topic
    Consume(commands::consume::Args),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// One killable pipeline of the demo
    #[command(hide = true)]
    DemoWorker(commands::demo::worker::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose, cli.quiet);
    let result = match cli.command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Broker(args) => commands::broker::run(&args),
        Command::Run(args) => commands::run::run(&args, cli.quiet),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Topic(args) => commands::topic::run(&args),
        Command::Dlq(args) => commands::dlq::run(&args),
        Command::Produce(args) => commands::produce::run(&args),
        Command::Consume(args) => commands::consume::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "ksem", &mut std::io::stdout());
            Ok(())
        }
        Command::DemoWorker(args) => commands::demo::worker::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn log_to_stderr(verbose: u8, quiet: bool) {
    use tracing_subscriber::EnvFilter;
    let default = match (quiet, verbose) {
        (true, _) => "off",
        (false, 0) => "warn",
        (false, 1) => "info,librdkafka=warn",
        (false, 2) => "debug,librdkafka=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("KSEM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colours).init();
}
