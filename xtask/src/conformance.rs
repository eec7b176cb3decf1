//! `cargo xtask conformance`: every scenario in every language on both brokers.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::needs::{self, FOR_KAFKA, TO_BUILD};
use crate::parts::{quoted, root, succeed};
use crate::test::{built, cargo_on_all};
use crate::{c, node, python};

/// A language's driver: where it is, how it is built, and the command that starts it.
struct Driver {
    language: &'static str,
    folder: &'static str,
    prepare: fn() -> Result<Vec<String>>,
}

/// The languages of ksem. One whose folder is not there has no driver, and its cells fail.
const DRIVERS: &[Driver] = &[
    Driver { language: "rust", folder: "tests/drivers/rust", prepare: rust },
    Driver { language: "python", folder: "tests/drivers/python", prepare: python::driver },
    Driver { language: "node", folder: "tests/drivers/node", prepare: node::driver },
    Driver { language: "c", folder: "tests/drivers/c", prepare: c::drivers::c },
    Driver { language: "cpp", folder: "tests/drivers/cpp", prepare: c::drivers::cpp },
];

/// Every language that has to have one.
const LANGUAGES: &[&str] = &["rust", "python", "node", "c", "cpp"];

/// Arguments of `cargo xtask conformance`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these languages; may be repeated
    #[arg(long)]
    language: Vec<String>,
    /// Only this broker: embedded or real
    #[arg(long)]
    broker: Option<String>,
    /// Only the scenarios whose id contains this
    #[arg(long)]
    scenario: Option<String>,
    /// How many cells at a time
    #[arg(long)]
    jobs: Option<usize>,
}

/// The driver of Rust is part of the workspace.
fn rust() -> Result<Vec<String>> {
    Ok(vec![built("ksem-driver-rust")?.display().to_string()])
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let unknown = args.language.iter().find(|language| !LANGUAGES.contains(&language.as_str()));
    ensure!(unknown.is_none(), "{} is none of {}", unknown.map_or("", String::as_str), LANGUAGES.join(", "));
    let languages: Vec<&str> = LANGUAGES
        .iter()
        .copied()
        .filter(|name| args.language.is_empty() || args.language.iter().any(|l| l == name))
        .collect();
    needs::provide(&TO_BUILD)?;
    if args.broker.as_deref() != Some("embedded") {
        needs::provide(&FOR_KAFKA)?;
    }
    cargo_on_all("build", &[])?;
    play(&languages, args)
}

/// A part of `cargo xtask test`: every language on the embedded broker. What they share on real Kafka, the engine, has
/// tests of its own there.
pub(crate) fn on_the_embedded_broker() -> Result<()> {
    play(LANGUAGES, &Args { language: Vec::new(), broker: Some("embedded".into()), scenario: None, jobs: None })
}

fn play(languages: &[&str], args: &Args) -> Result<()> {
    let mut runner = Command::new(built("ksem-conformance")?);
    for language in languages {
        match DRIVERS.iter().find(|driver| driver.language == *language) {
            Some(driver) if root().join(driver.folder).is_dir() => {
                let command = (driver.prepare)().with_context(|| format!("the driver of {language}"))?;
                runner.arg("--driver").arg(format!("{language}={}", quoted(&command)));
            }
            Some(driver) => {
                runner.arg("--missing").arg(format!("{language}=there is no {}", driver.folder));
            }
            None => {
                runner.arg("--missing").arg(format!("{language}=it has no line in xtask/src/conformance.rs"));
            }
        }
    }
    for (name, value) in [("--broker", &args.broker), ("--scenario", &args.scenario)] {
        if let Some(value) = value {
            runner.args([name, value]);
        }
    }
    if let Some(jobs) = args.jobs {
        runner.args(["--jobs", &jobs.to_string()]);
    }
    succeed(&mut runner)
}
