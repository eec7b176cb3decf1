//! `cargo xtask test`: every test there is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::c;
use crate::instructions;
use crate::needs::{self, FOR_KAFKA, TO_BUILD};
use crate::node;
use crate::parts::{Parts, cargo, succeed};
use crate::python;

pub(crate) fn run(only: Option<&str>) -> Result<()> {
    needs::provide(&TO_BUILD)?;
    needs::provide(&FOR_KAFKA)?;
    let mut parts = Parts::default();
    let mut part = |name: &str, work: fn() -> Result<()>| {
        if only.is_none_or(|only| name.contains(only)) {
            parts.run(name, work);
        }
    };
    part("build", || cargo_on_all("build", &["--all-targets"]));
    part("units and properties", || {
        cargo_on_all("test", &["--lib", "--bins", "--test", "config", "--test", "checker"])
    });
    part("documentation examples", || cargo_on_all("test", &["--doc"]));
    part("embedded broker", || suite(&["admin", "consumer_groups", "server", "transactions", "volume"]));
    part("command line on the embedded broker", || suite(&["topic_produce_consume", "bench_command"]));
    part("demo", demo);
    part("instruction counts", instructions::check);
    part("python: tests", python::tests);
    part("python: types", python::types);
    part("C and C++: the interface", c::on_the_embedded_broker);
    part("C and C++: sanitizers", c::sanitized);
    part("C and C++: valgrind", c::under_valgrind);
    part("C and C++: drivers", c::drivers::test);
    part("C and C++: package and examples", c::package::test);
    part("npm: tests", node::tests);
    part("npm: types", node::types);
    part("testkit on real Kafka", || suite(&["isolation", "one_node", "three_nodes"]));
    part("real Kafka: errors", || suite(&["errors"]));
    part("real Kafka: the library", || suite(&["library"]));
    part("real Kafka: children", || suite(&["exec"]));
    part("real Kafka: kill -9", || suite(&["kill_nine"]));
    part("real Kafka: handlers elsewhere", || suite(&["calls"]));
    part("real Kafka: transactions in flight", || suite(&["pipelined"]));
    part("real Kafka: records that fail", || suite(&["dead_letters", "dlq"]));
    part("real Kafka: frozen runs", || suite(&["zombie"]));
    part("real Kafka: a late EndTxn", || suite(&["late_end_txn"]));
    part("real Kafka: a bad network", || suite(&["network"]));
    part("real Kafka: members come and go", || suite(&["groups"]));
    part("real Kafka: nodes are killed", || suite(&["cluster_faults"]));
    part("conformance: the runner", || suite(&["conformance", "waiting"]));
    part("conformance", crate::conformance::on_the_embedded_broker);
    parts.conclude()
}

/// Test files by name, one after the other.
fn suite(files: &[&str]) -> Result<()> {
    let mut args: Vec<&str> = files.iter().flat_map(|file| ["--test", *file]).collect();
    args.extend(["--", "--test-threads=1"]);
    cargo_on_all("test", &args)
}

/// Always with the same packages and the same profile: another choice of packages has other features, and
/// librdkafka would be compiled again. The release profile, so that faults hit at full speed.
pub(crate) fn cargo_on_all(command: &str, args: &[&str]) -> Result<()> {
    let mut cargo = cargo(&[command, "--release", "--workspace", "--exclude", "xtask"]);
    succeed(cargo.args(args).env("KSEM_BIN", ksem()?))
}

/// The command that the first part has built.
fn ksem() -> Result<PathBuf> {
    built("ksem")
}

/// Where a program of the workspace is built.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    built_file(&format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Where a file of the workspace, such as a library, is built.
pub(crate) fn built_file(name: &str) -> Result<PathBuf> {
    let ours = std::env::current_exe().context("the path of this program")?;
    let target = ours.parent().and_then(Path::parent).context("the target folder")?;
    Ok(target.join("release").join(name))
}

/// What the README shows first has to work, and to say so in a form that a program can read.
fn demo() -> Result<()> {
    let output = Command::new(ksem()?).args(["demo", "--json"]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the demo ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the demo's document")?;
    for expected in ["\"crashes\":[", "\"speed\":[", "\"promise_held\":true"] {
        ensure!(text.contains(expected), "the demo's document has no {expected}: {text}");
    }
    Ok(())
}
