//! Runs commands one after the other and keeps the time.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Parts of a task, with how long each took.
#[derive(Default)]
pub(crate) struct Parts {
    done: Vec<(String, Duration)>,
    failed: Vec<String>,
}

impl Parts {
    /// Runs a part; one that fails does not keep the others from running.
    pub(crate) fn run(&mut self, name: &str, part: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        let started = Instant::now();
        if let Err(error) = part() {
            eprintln!("error: {name}: {error:#}");
            self.failed.push(name.to_owned());
        }
        self.done.push((name.to_owned(), started.elapsed()));
    }

    /// Prints the times; fails if a part failed.
    pub(crate) fn conclude(self) -> Result<()> {
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        eprintln!();
        for (name, took) in &self.done {
            let verdict = if self.failed.contains(name) { "FAILED" } else { "ok" };
            eprintln!("{:>8.1} s  {name:<40} {verdict}", took.as_secs_f64());
        }
        if let Some((name, took)) = self.done.iter().max_by_key(|(_, took)| *took) {
            eprintln!(
                "{:>8.1} s  in all; the slowest part was {name} ({:.1} s)",
                total.as_secs_f64(),
                took.as_secs_f64()
            );
        }
        // On standard output, in the form that test runners close with.
        println!("{} passed, {} failed", self.done.len() - self.failed.len(), self.failed.len());
        if self.failed.is_empty() { Ok(()) } else { bail!("failed: {}", self.failed.join(", ")) }
    }
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// A cargo command in the workspace's folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    forget_cargo(&mut command);
    command
}

/// A command as a list of quoted words, as programs of the workspace take it in an argument.
pub(crate) fn quoted(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(","))
}

/// Takes the variables away that cargo has set for this program, from a command that calls cargo.
pub(crate) fn forget_cargo(command: &mut Command) {
    // `cargo run` has set these for this program. Build scripts that look at them (ring's does) would run again, and
    // half of the workspace would be compiled again, whenever cargo is called with and without this program.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs a command that has to succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if status.success() { Ok(()) } else { bail!("{shown}: {status}") }
}
