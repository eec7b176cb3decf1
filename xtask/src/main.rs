//! The project's own tasks. People and CI call the same ones.

mod conformance;
mod lint;
mod needs;
mod parts;
mod test;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// ksem's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, clippy, and the rules that are the project's own
    Lint,
    /// Every test, real Kafka included; installs what it needs
    Test {
        /// Only the parts whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Every scenario in every language on both brokers
    Conformance(conformance::Args),
    /// ksem against its peers, on one real node; arguments go to ksem-bench
    Bench {
        /// As `ksem-bench --help` says
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Lint => lint::run(),
        Task::Test { only } => test::run(only.as_deref()),
        Task::Conformance(args) => conformance::run(&args),
        Task::Bench { args } => bench(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &[String]) -> anyhow::Result<()> {
    needs::provide(&needs::TO_BUILD)?;
    needs::provide(&needs::FOR_KAFKA)?;
    test::cargo_on_all("build", &["--bins"])?;
    parts::succeed(Command::new(test::built("ksem-bench")?).args(args))
}
