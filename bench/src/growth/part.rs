//! What is made larger.

use clap::ValueEnum;
use ksem::Guarantee;
use serde::{Deserialize, Serialize};

use crate::cadence::Cadence;
use crate::shape::{Shape, Task};

/// One thing that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// 1, 64 and 512 partitions
    Partitions,
    /// 1, 2, 4 and 8 processes of one group
    Processes,
    /// 1 to 32 lanes
    Lanes,
    /// One million records, and ten
    Records,
    /// One input topic, and 24
    Topics,
    /// What transactions ask of a coordinator
    Coordinator,
    /// Memory under a load that stays the same
    Steady,
}

/// One size of it.
pub(super) struct Step {
    pub(super) amount: u64,
    pub(super) label: String,
    pub(super) task: Task,
    pub(super) cadence: Cadence,
    /// Fields of the configuration.
    pub(super) set: Vec<(String, String)>,
}

/// Lanes of an instance, and commits that may be in flight of a lane, each with a producer: ksem's defaults with four
/// partitions.
pub(crate) const LANES: u64 = 4;
pub(crate) const IN_FLIGHT: u64 = 2;

impl Part {
    pub(super) const ALL: [Self; 7] =
        [Self::Partitions, Self::Processes, Self::Lanes, Self::Records, Self::Topics, Self::Coordinator, Self::Steady];

    /// What is counted along it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Partitions => "Partitions",
            Self::Processes => "Processes of one group",
            Self::Lanes => "Lanes",
            Self::Records => "Records",
            Self::Topics => "Input topics",
            Self::Coordinator => "What a coordinator has to bear",
            Self::Steady => "Memory under a steady load",
        }
    }

    /// What stays the same.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Partitions => "Input and output have so many partitions each.",
            Self::Processes => {
                "So many processes share 64 partitions. All are in the group before the first record is read. \
                 CPU and memory are of all of them together; each pays for its own start."
            }
            Self::Lanes => "One process with so many lanes on 64 partitions (`transactions.lanes`).",
            Self::Records => "Four partitions. Memory has to stay, whatever there is to read.",
            Self::Topics => "24 partitions: of one topic, or of 24 topics.",
            Self::Coordinator => {
                "Exactly-once, four partitions; four lanes with two producers each, which are the defaults."
            }
            Self::Steady => "",
        }
    }

    pub(super) fn guarantees(self) -> &'static [Guarantee] {
        match self {
            Self::Coordinator => &[Guarantee::ExactlyOnce],
            _ => &[Guarantee::AtLeastOnce, Guarantee::ExactlyOnce],
        }
    }

    /// Its steps, with a part of the records.
    pub(super) fn steps(self, part: u64) -> Vec<Step> {
        const MILLION: u64 = 1_000_000;
        let shape = |partitions| Shape { partitions, ..Shape::STANDARD };
        let task = |shape, records, processes| Task { shape, records: records / part, processes };
        let step = |amount: u64, task| Step {
            amount,
            label: crate::report::grouped(amount as f64),
            task,
            cadence: Cadence::Records(10_000),
            set: Vec::new(),
        };
        let field = |name: &str, value: u64| (name.to_owned(), value.to_string());
        match self {
            Self::Partitions => Vec::from([1, 64, 512].map(|n| step(n, task(shape(n as u32), MILLION, 1)))),
            Self::Processes => Vec::from([1, 2, 4, 8].map(|n| step(n, task(shape(64), 2 * MILLION, n as usize)))),
            Self::Lanes => {
                Vec::from([1, 2, 4, 8, 16, 32].map(|n| Step {
                    set: vec![field("transactions.lanes", n)],
                    ..step(n, task(shape(64), MILLION, 1))
                }))
            }
            Self::Records => {
                Vec::from([1, 10].map(|n| step(n * MILLION / part, task(Shape::STANDARD, n * MILLION, 1))))
            }
            Self::Topics => Vec::from([(1, 24), (24, 1)].map(|(topics, partitions)| {
                let shape = Shape { topics, partitions, ..Shape::STANDARD };
                step(u64::from(topics), task(shape, MILLION, 1))
            })),
            Self::Coordinator => [Cadence::Ms(100), Cadence::Records(10_000), Cadence::Records(1_000)]
                .into_iter()
                .zip(1..)
                .map(|(cadence, amount)| Step {
                    cadence,
                    label: cadence.to_string(),
                    ..step(amount, task(Shape::STANDARD, cadence.records(), 1))
                })
                .collect(),
            Self::Steady => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_grows_and_begins_with_its_smallest_step() {
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Steady) {
            for quick in [1, 5] {
                let steps = part.steps(quick);
                assert!(steps.len() >= 2, "{part:?}");
                assert!(steps.is_sorted_by(|a, b| a.amount < b.amount), "{part:?}");
                assert!(steps.iter().all(|step| step.task.records >= 50_000), "{part:?}");
            }
        }
        assert_eq!(Part::Records.steps(1).last().map(|step| step.task.records), Some(10_000_000));
        assert_eq!(Part::Topics.steps(1).last().map(|step| step.task.shape.output_partitions()), Some(24));
    }
}
