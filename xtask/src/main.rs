//! The project's own tasks. People and CI call the same ones.

mod c;
mod conformance;
mod instructions;
mod lint;
mod needs;
mod node;
mod parts;
mod python;
mod test;

use std::path::PathBuf;
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
    /// Writes what is made from the sources: the C header
    Gen,
    /// Builds libksem and installs it with its headers
    Install {
        /// The folder that gets `include`, `lib` and `share`
        #[arg(long)]
        prefix: PathBuf,
    },
    /// Builds the packages, in `dist/`
    Package,
    /// Every scenario in every language on both brokers
    Conformance(conformance::Args),
    /// ksem against its peers, on one real node; arguments go to ksem-bench
    Bench {
        /// As `ksem-bench --help` says
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Instructions of the hot path for a record, against their budgets; arguments go to ksem-bench instructions
    Instructions {
        /// As `ksem-bench instructions --help` says
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Lint => lint::run(),
        Task::Test { only } => test::run(only.as_deref()),
        Task::Gen => c::header::write(),
        Task::Install { prefix } => c::install::run(&prefix),
        Task::Package => package(),
        Task::Conformance(args) => conformance::run(&args),
        Task::Bench { args } => bench(&args),
        Task::Instructions { args } => instructions::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn package() -> anyhow::Result<()> {
    needs::provide(&needs::TO_BUILD)?;
    test::cargo_on_all("build", &[])?;
    c::package::make()?;
    python::package()?;
    node::package()
}

fn bench(args: &[String]) -> anyhow::Result<()> {
    needs::provide(&needs::TO_BUILD)?;
    needs::provide(&needs::FOR_KAFKA)?;
    if args.first().map(String::as_str) != Some("layers") {
        test::cargo_on_all("build", &["--bins"])?;
        return parts::succeed(Command::new(test::built("ksem-bench")?).args(args));
    }
    // The languages' modules are libraries, not programs.
    test::cargo_on_all("build", &[])?;
    let mut bench = Command::new(test::built("ksem-bench")?);
    bench.args(args);
    for (language, command) in [
        ("python", python::layer(&[])?),
        ("python-counting", python::layer(&["--counting"])?),
        ("node", node::layer()?),
    ]
    .into_iter()
    .chain([("c", c::drivers::layer_c()?), ("cpp", c::drivers::layer_cpp()?)])
    {
        bench.arg("--layer").arg(format!("{language}={}", parts::quoted(&command)));
    }
    parts::succeed(&mut bench)
}
