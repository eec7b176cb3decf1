//! One run of the program under callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ksem::Guarantee;

use super::budget::Shares;
use super::callgrind::{self, Owner, Part};
use super::stage::{self, Stage};
use super::{BATCH, BATCHES, program};

/// What every stage took.
pub(super) type Measured = BTreeMap<Stage, Count>;

/// What a stage takes for a record: that of the batch in the middle of all.
#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) shares: Shares,
    /// The functions, those with the most instructions of their own first.
    pub(super) functions: Vec<(String, f64)>,
}

/// Nobody waits longer for a run.
const LIMIT: Duration = Duration::from_secs(150);

/// Runs the program under callgrind, which writes to `profile`.
pub(super) fn measure(bootstrap: &str, guarantee: Guarantee, profile: &Path) -> Result<Measured> {
    let program = std::env::current_exe().context("the path of this program")?;
    let _ = fs::remove_file(profile);
    let mut command = Command::new("valgrind");
    // Long names, so that they can be read line by line; one file, so that the order is known.
    command.args(["--tool=callgrind", "-q", "--vgdb=no", "--combine-dumps=yes"]);
    command.args(["--compress-strings=no", "--compress-pos=no", "--collect-atstart=no"]);
    for (_, function) in stage::FUNCTIONS {
        // Of names that begin alike, valgrind keeps one option for each only; a pattern is kept elsewhere.
        command.arg(format!("--toggle-collect={function}")).arg(format!("--dump-after=*{}", &function[1..]));
    }
    command.arg(format!("--callgrind-out-file={}", profile.display()));
    command.arg(&program).args([program::SUBCOMMAND, bootstrap, guarantee.name()]);
    wait(command.stdin(Stdio::null()).spawn().context("starting valgrind")?)?;
    let text = fs::read_to_string(profile).with_context(|| format!("reading {}", profile.display()))?;
    counts(stage::stages(callgrind::parts(&text, &program.to_string_lossy())?))
}

/// A process that is ended when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(child: Child) -> Result<()> {
    let mut child = Running(child);
    let until = Instant::now() + LIMIT;
    loop {
        match child.0.try_wait().context("waiting for valgrind")? {
            Some(status) => {
                ensure!(status.success(), "the program ended badly under valgrind: {status}");
                return Ok(());
            }
            None if Instant::now() >= until => bail!("the program was not done after {LIMIT:?}"),
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn counts(parts: Vec<(Stage, Part)>) -> Result<Measured> {
    let mut of_stage: BTreeMap<Stage, Vec<Part>> = BTreeMap::new();
    for (stage, part) in parts {
        of_stage.entry(stage).or_default().push(part);
    }
    let mut measured = Measured::new();
    for stage in Stage::ALL {
        let mut parts = of_stage.remove(&stage).unwrap_or_default();
        let expected = if stage.is_every_other() { BATCHES / 2 } else { BATCHES };
        ensure!(
            parts.len() == expected,
            "{} was found {} times instead of {expected}: is its function in `stage.rs` still there?",
            stage.name(),
            parts.len()
        );
        // The first ones find topics unknown and memory untouched; any may have met a lock that was taken.
        parts.sort_by_key(Part::all);
        let middle = &parts[parts.len() / 2];
        ensure!(middle.all() > 0, "valgrind has not counted {}", stage.name());
        measured.insert(stage, count(middle));
    }
    Ok(measured)
}

fn count(part: &Part) -> Count {
    let each = |instructions: u64| instructions as f64 / BATCH as f64;
    let functions = part.functions.iter().map(|function| (function.name.clone(), each(function.instructions)));
    let shares = Shares {
        ksem: each(part.of_owner(Owner::Ksem)),
        librdkafka: each(part.of_owner(Owner::Librdkafka)),
        system: each(part.of_owner(Owner::System)),
    };
    Count { shares, functions: functions.collect() }
}
