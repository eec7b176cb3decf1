//! `cargo xtask test`: every test there is.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::needs::{self, FOR_KAFKA, TO_BUILD};
use crate::parts::{Parts, cargo, root, succeed};

pub(crate) fn run(only: Option<&str>) -> Result<()> {
    needs::provide(&TO_BUILD)?;
    needs::provide(&FOR_KAFKA)?;
    let mut parts = Parts::default();
    let mut part = |name: &str, work: fn() -> Result<()>| {
        if only.is_none_or(|only| name.contains(only)) {
            parts.run(name, work);
        }
    };
    part("build", || {
        succeed(&mut cargo(&["build", "--release", "--workspace", "--all-targets", "--exclude", "xtask"]))
    });
    part("core: units and properties", || test(&["--package", "ksem", "--lib", "--bins", "--tests"]));
    part("documentation examples", || test(&["--doc", "--workspace", "--exclude", "xtask"]));
    part("embedded broker", || test(&["--package", "ksem-broker", "--tests"]));
    part("command line on the embedded broker", || test(&["--package", "ksem-cli"]));
    part("demo", demo);
    part("testkit on real Kafka", || test(&["--package", "ksem-testkit", "--tests", "--", "--test-threads=1"]));
    part("system tests on real Kafka", || system(&["kill_nine", "exec", "errors"]));
    parts.conclude()
}

/// `cargo xtask chaos`: the tests that are not known to pass yet, rebalances and killed nodes first.
pub(crate) fn chaos() -> Result<()> {
    needs::provide(&TO_BUILD)?;
    needs::provide(&FOR_KAFKA)?;
    let mut parts = Parts::default();
    parts.run("the library", || system(&["library"]));
    parts.run("frozen runs", || system(&["zombie"]));
    parts.run("members come and go", || system(&["groups"]));
    parts.run("nodes are killed", || system(&["cluster_faults"]));
    parts.conclude()
}

fn system(names: &[&str]) -> Result<()> {
    let mut args = vec!["--package", "ksem-tests"];
    args.extend(names.iter().flat_map(|name| ["--test", *name]));
    args.extend(["--", "--test-threads=1"]);
    test(&args)
}

/// The same profile for all: librdkafka is compiled once, and faults hit at full speed.
fn test(args: &[&str]) -> Result<()> {
    succeed(cargo(&["test", "--release"]).args(args))
}

/// What the README shows first has to work, and to say so in a form that a program can read.
fn demo() -> Result<()> {
    let output = cargo(&["run", "--release", "--quiet", "--", "demo", "--json"]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the demo ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the demo's document")?;
    for expected in ["\"crashes\":[", "\"speed\":[", "\"promise_held\":true"] {
        ensure!(text.contains(expected), "the demo's document has no {expected}: {text}");
    }
    ensure!(root().join("README.md").exists(), "README.md is missing");
    Ok(())
}
