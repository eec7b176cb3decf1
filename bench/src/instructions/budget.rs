//! The budgets: what every stage may take, in `bench/instructions.toml`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::measure::Measured;
use super::stage::Stage;

/// Instructions for a record, by whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shares {
    pub(super) ksem: f64,
    pub(super) librdkafka: f64,
    pub(super) system: f64,
}

impl Shares {
    /// ksem's own come first.
    const NAMES: [&str; 3] = ["ksem", "librdkafka", "system"];

    fn values(&self) -> [f64; 3] {
        [self.ksem, self.librdkafka, self.system]
    }
}

/// What was measured here, by guarantee.
pub(super) type All = BTreeMap<String, Measured>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budgets {
    machine: Machine,
    /// In percent.
    tolerance: Shares,
    /// By guarantee and stage.
    budget: BTreeMap<String, BTreeMap<String, Shares>>,
}

/// What the counts depend on besides the sources.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    architecture: String,
    /// Of librdkafka; as a distribution's package has it, it stands for the C library, too.
    compiler: String,
}

/// A count that is not what the file says.
#[derive(Debug, PartialEq)]
pub(super) enum Finding {
    /// More than the budget: the check fails.
    Over(String),
    /// So much less that the budget guards nothing any more.
    Under(String),
    /// What was not compared, and why.
    Left(String),
}

/// Where a stage takes next to nothing, a percentage of it is nothing: so many instructions a record are no matter.
const SLACK: f64 = 1.0;

const HEADER: &str = "\
# Instructions that the hot path takes for a record, counted by callgrind: `cargo xtask instructions`.
# bench/README.md says what the stages are. `cargo xtask instructions --update` writes this file.
#
# `ksem` depends on the sources and on the pinned Rust toolchain only: between runs on one machine it did not differ at
# all. `librdkafka` depends on the C compiler, too, and on how often its threads hold a lock that the lane's thread wants:
# 1 %. `system` is the C library: locks, copying, whose functions the processor chooses, and allocation, which depends
# on what lies where in memory: up to 22 % in `enqueue-forwarded`, 1.5 % elsewhere. With another compiler only `ksem` is
# compared; on another architecture nothing is.
";

impl Budgets {
    pub(super) fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml")
    }

    pub(super) fn read() -> Result<Self> {
        let path = Self::path();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Makes what was measured the budget, and keeps the tolerances.
    pub(super) fn write(self, measured: &All) -> Result<()> {
        let budget = |measured: &Measured| {
            measured.iter().map(|(stage, count)| (stage.name().to_owned(), count.shares)).collect::<BTreeMap<_, _>>()
        };
        let budget = measured.iter().map(|(guarantee, measured)| (guarantee.clone(), budget(measured))).collect();
        let budgets = Self { machine: Machine::here(), budget, ..self };
        let path = Self::path();
        fs::write(&path, budgets.text()).with_context(|| format!("writing {}", path.display()))
    }

    /// The file's text, a line for each stage.
    fn text(&self) -> String {
        let shares = |Shares { ksem, librdkafka, system }: &Shares| {
            format!("ksem = {ksem:.1}, librdkafka = {librdkafka:.1}, system = {system:.1}")
        };
        let mut text = HEADER.to_owned();
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "\n[machine]\narchitecture = \"{}\"\ncompiler = \"{}\"\n",
            self.machine.architecture, self.machine.compiler
        );
        let _ =
            write!(text, "\n# Percent. The check fails above it, and asks for a lower budget twice as far below.\n");
        let _ = write!(text, "[tolerance]\n{}\n", shares(&self.tolerance).replace(", ", "\n"));
        for (guarantee, stages) in &self.budget {
            let _ = write!(text, "\n[budget.{guarantee}]\n");
            for stage in Stage::ALL {
                if let Some(budget) = stages.get(stage.name()) {
                    let _ = writeln!(text, "{} = {{ {} }}", stage.name(), shares(budget));
                }
            }
        }
        text
    }

    /// Compares what was measured here.
    pub(super) fn judge(&self, measured: &All) -> Vec<Finding> {
        self.judge_on(&Machine::here(), measured)
    }

    fn judge_on(&self, here: &Machine, measured: &All) -> Vec<Finding> {
        let mut findings = Vec::new();
        if here.architecture != self.machine.architecture {
            let left = format!("the budgets are those of {}: nothing was compared", self.machine.architecture);
            return vec![Finding::Left(left)];
        }
        let only_ksem = here.compiler != self.machine.compiler;
        if only_ksem {
            let left = format!(
                "the budgets are those of {}: only ksem's own instructions were compared",
                self.machine.compiler
            );
            findings.push(Finding::Left(left));
        }
        for (guarantee, measured) in measured {
            for (stage, count) in measured {
                let place = format!("{guarantee}, {}", stage.name());
                match self.budget.get(guarantee).and_then(|stages| stages.get(stage.name())) {
                    Some(budget) => findings.extend(self.compare(&place, &count.shares, budget, only_ksem)),
                    None => findings.push(Finding::Over(format!("{place}: it has no budget"))),
                }
            }
        }
        findings
    }

    fn compare(&self, place: &str, count: &Shares, budget: &Shares, only_ksem: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let compared = if only_ksem { 1 } else { Shares::NAMES.len() };
        let rows = Shares::NAMES.into_iter().zip(count.values()).zip(budget.values()).zip(self.tolerance.values());
        for (((whose, count), budget), percent) in rows.take(compared) {
            let room = budget * percent / 100.0 + SLACK;
            let text = format!(
                "{place}: {whose} takes {count:.1} instructions a record, the budget is {budget:.1} and {percent} %"
            );
            if count > budget + room {
                findings.push(Finding::Over(text));
            } else if count < budget - 2.0 * room {
                findings.push(Finding::Under(text));
            }
        }
        findings
    }
}

impl Machine {
    fn here() -> Self {
        let version = Command::new("cc").arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Self {
            architecture: std::env::consts::ARCH.to_owned(),
            compiler: version.lines().next().unwrap_or("unknown").replace(['"', '\\'], ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::measure::Count;

    fn machine(compiler: &str) -> Machine {
        Machine { architecture: "x86_64".to_owned(), compiler: compiler.to_owned() }
    }

    fn budgets() -> Budgets {
        let budget = Shares { ksem: 100.0, librdkafka: 200.0, system: 300.0 };
        let stages = [("drop".to_owned(), budget)].into_iter().collect();
        Budgets {
            machine: machine("cc 1"),
            tolerance: Shares { ksem: 4.0, librdkafka: 5.0, system: 10.0 },
            budget: [("at_most_once".to_owned(), stages)].into_iter().collect(),
        }
    }

    fn findings(here: &Machine, ksem: f64, librdkafka: f64) -> Vec<Finding> {
        let count = Count { shares: Shares { ksem, librdkafka, system: 300.0 }, functions: Vec::new() };
        let measured: Measured = [(Stage::Drop, count)].into_iter().collect();
        budgets().judge_on(here, &[("at_most_once".to_owned(), measured)].into_iter().collect())
    }

    #[test]
    fn a_budget_is_kept_within_its_tolerance_and_asked_down_far_below_it() {
        let here = machine("cc 1");
        assert_eq!(findings(&here, 105.0, 189.0), []);
        assert!(
            matches!(&findings(&here, 105.1, 189.0)[..], [Finding::Over(text)] if text.contains("drop: ksem takes 105.1"))
        );
        assert!(matches!(&findings(&here, 100.0, 211.1)[..], [Finding::Over(text)] if text.contains("librdkafka")));
        assert!(matches!(&findings(&here, 89.9, 200.0)[..], [Finding::Under(_)]));
    }

    #[test]
    fn another_compiler_changes_only_what_it_compiles() {
        let here = machine("cc 2");
        assert!(matches!(&findings(&here, 100.0, 999.0)[..], [Finding::Left(_)]));
        assert!(matches!(&findings(&here, 106.0, 999.0)[..], [Finding::Left(_), Finding::Over(_)]));
        let elsewhere = Machine { architecture: "aarch64".to_owned(), ..machine("cc 1") };
        assert!(matches!(&findings(&elsewhere, 999.0, 999.0)[..], [Finding::Left(_)]));
    }

    #[test]
    fn a_stage_without_a_budget_is_found() {
        let count = Count { shares: Shares { ksem: 1.0, librdkafka: 1.0, system: 1.0 }, functions: Vec::new() };
        let measured: Measured = [(Stage::Read, count)].into_iter().collect();
        let all: All = [("at_most_once".to_owned(), measured)].into_iter().collect();
        assert!(matches!(&budgets().judge_on(&machine("cc 1"), &all)[..], [Finding::Over(_)]));
    }

    #[test]
    fn what_is_written_is_read() {
        let text = budgets().text();
        let read: Budgets = toml::from_str(&text).expect("its own form");
        assert_eq!(read.budget, budgets().budget);
        assert_eq!(read.machine, budgets().machine);
        assert_eq!(read.tolerance, budgets().tolerance);
    }

    #[test]
    fn the_committed_file_has_every_stage_of_every_guarantee() {
        let budgets = Budgets::read().expect("the file is there");
        for guarantee in ksem::Guarantee::ALL {
            let stages: Vec<&str> = budgets.budget[guarantee.name()].keys().map(String::as_str).collect();
            assert_eq!(stages.len(), Stage::ALL.len(), "{guarantee}: {stages:?}");
        }
    }
}
