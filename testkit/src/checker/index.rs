//! A history, arranged for questions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Verdict;
use super::history::{Event, Range, Seen, View, What};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    Fail,
    Info,
}

#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) instance: &'a str,
    pub(super) run: u32,
    pub(super) epoch: u64,
    pub(super) inputs: Vec<&'a Range>,
    pub(super) begun: u64,
    pub(super) committing: Option<u64>,
    pub(super) end: End,
}

/// A topic's partition as a view showed it.
pub(super) type Place<'a> = (&'a str, i32);

#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    pub(super) attempts: BTreeMap<u64, Attempt<'a>>,
    /// Offset and id, in order of offset.
    pub(super) inputs: BTreeMap<i32, Vec<(i64, u64)>>,
    pub(super) ends: BTreeMap<i32, i64>,
    /// In order of offset.
    pub(super) committed: BTreeMap<Place<'a>, Vec<Seen>>,
    pub(super) uncommitted: BTreeMap<Place<'a>, Vec<Seen>>,
    /// With the time.
    pub(super) meanwhile: BTreeMap<Place<'a>, Vec<(u64, Seen)>>,
    /// Time and offset, in order of time.
    pub(super) offsets: BTreeMap<i32, Vec<(u64, i64)>>,
    pub(super) topics: BTreeSet<&'a str>,
    pub(super) unstable: Vec<&'a str>,
    pub(super) reported_lost: u64,
    pub(super) killed_in_flight: u64,
    /// Time and limit.
    pub(super) healed: Option<(u64, u64)>,
    pub(super) drained: Option<u64>,
}

impl<'a> Index<'a> {
    pub(super) fn of(events: &'a [Event], verdict: &mut Verdict) -> Self {
        let mut index = Self::default();
        let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
        let mut ends: HashMap<u64, End> = HashMap::new();
        for Event { at, what } in events {
            let mut end = |attempt: u64, end| {
                if ends.insert(attempt, end).is_some_and(|before| before != end) {
                    verdict.not_known(format!("attempt {attempt} has two ends"));
                }
            };
            match what {
                What::Ok { attempt } => end(*attempt, End::Ok),
                What::Fail { attempt } => end(*attempt, End::Fail),
                What::Info { attempt } => end(*attempt, End::Info),
                What::Fault { kind, hits } => *faults.entry(kind).or_default() += hits,
                _ => index.note(*at, what),
            }
        }
        for (number, end) in ends {
            match index.attempts.get_mut(&number) {
                Some(attempt) => attempt.end = end,
                None => verdict.not_known(format!("attempt {number} ended and never began")),
            }
        }
        index.sort();
        let figures = &mut verdict.figures;
        figures.inputs = index.inputs.values().map(|records| records.len() as u64).sum();
        figures.visible = index.committed.values().map(|records| records.len() as u64).sum();
        for attempt in index.attempts.values() {
            match attempt.end {
                End::Ok => figures.attempts_ok += 1,
                End::Fail => figures.attempts_failed += 1,
                End::Info => figures.attempts_unknown += 1,
            }
        }
        figures.faults = faults.values().sum();
        figures.fault_kinds = faults.values().filter(|hits| **hits > 0).count() as u64;
        for (kind, _) in faults.into_iter().filter(|(_, hits)| *hits == 0) {
            verdict.not_known(format!("the fault {kind} hit nothing"));
        }
        index
    }

    fn note(&mut self, at: u64, what: &'a What) {
        match what {
            What::Invoke { attempt, instance, run, epoch, inputs } => {
                let new = || Attempt {
                    instance,
                    run: *run,
                    epoch: *epoch,
                    inputs: Vec::new(),
                    begun: at,
                    committing: None,
                    end: End::Info,
                };
                self.attempts.entry(*attempt).or_insert_with(new).inputs.extend(inputs);
            }
            What::Committing { attempt } => {
                if let Some(attempt) = self.attempts.get_mut(attempt) {
                    attempt.committing.get_or_insert(at);
                }
            }
            What::Lost { records } => self.reported_lost += records,
            What::Killed { in_flight } => self.killed_in_flight += in_flight,
            What::Offset { partition, offset } => self.offsets.entry(*partition).or_default().push((at, *offset)),
            What::Healed { limit } => self.healed = Some((at, *limit)),
            What::Drained => self.drained = Some(at),
            What::Input { partition, records, end } => {
                self.inputs.entry(*partition).or_default().extend(records);
                self.ends.insert(*partition, *end);
            }
            What::Read { topic, partition, view, records } => {
                let place = (topic.as_str(), *partition);
                match view {
                    View::Committed => self.committed.entry(place).or_default().extend(records),
                    View::Uncommitted => self.uncommitted.entry(place).or_default().extend(records),
                    View::Meanwhile => {
                        self.meanwhile.entry(place).or_default().extend(records.iter().map(|seen| (at, *seen)));
                    }
                }
            }
            What::ReadAll { topic, stable } => {
                self.topics.insert(topic);
                if !stable {
                    self.unstable.push(topic);
                }
            }
            What::Ok { .. } | What::Fail { .. } | What::Info { .. } | What::Fault { .. } => {}
        }
    }

    fn sort(&mut self) {
        self.inputs.values_mut().for_each(|records| records.sort_unstable());
        self.committed.values_mut().for_each(|records| records.sort_unstable());
        self.uncommitted.values_mut().for_each(|records| records.sort_unstable());
        self.offsets.values_mut().for_each(|offsets| offsets.sort_unstable());
    }

    /// The ids that an attempt has read.
    pub(super) fn ids<'s>(&'s self, attempt: &'s Attempt<'_>) -> impl Iterator<Item = u64> + 's {
        attempt.inputs.iter().flat_map(move |range| self.within(range)).map(|(_, id)| *id)
    }

    /// The input records of a range.
    pub(super) fn within(&self, range: &Range) -> &[(i64, u64)] {
        let records = self.inputs.get(&range.partition).map_or(&[][..], Vec::as_slice);
        let from = records.partition_point(|(offset, _)| *offset < range.first);
        let to = records.partition_point(|(offset, _)| *offset <= range.last);
        &records[from..to.max(from)]
    }

    /// The last committed offset of a partition.
    pub(super) fn committed_offset(&self, partition: i32) -> Option<i64> {
        self.offsets.get(&partition)?.last().map(|(_, offset)| *offset)
    }
}
