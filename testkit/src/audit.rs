//! Compares the ids that were read with those that had to be there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

/// How many ids of each kind are named.
const EXAMPLES: usize = 5;

/// What was seen, to be judged by [`Observed::audit`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Observed {
    expected: HashSet<u64>,
    committed: Vec<u64>,
    uncommitted: Option<HashSet<u64>>,
    aborted: HashSet<u64>,
}

impl Observed {
    /// Starts from the ids that have to be there, once each.
    pub fn expecting(ids: impl IntoIterator<Item = u64>) -> Self {
        Self { expected: ids.into_iter().collect(), ..Self::default() }
    }

    /// The ids read under `read_committed`, as often as they were read.
    pub fn committed(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.committed.extend(ids);
        self
    }

    /// The ids read under `read_uncommitted`. They tell records that were never written from records whose transaction
    /// did not commit.
    pub fn uncommitted(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.uncommitted.get_or_insert_default().extend(ids);
        self
    }

    /// The ids that were only ever part of transactions that were aborted. None of them may be visible.
    pub fn aborted(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.aborted.extend(ids);
        self
    }

    /// The verdict.
    pub fn audit(self) -> Audit {
        let mut times: HashMap<u64, u64> = HashMap::with_capacity(self.expected.len());
        for id in &self.committed {
            *times.entry(*id).or_default() += 1;
        }
        let mut audit =
            Audit { expected: self.expected.len() as u64, read: self.committed.len() as u64, ..Audit::default() };
        for id in &self.expected {
            if !times.contains_key(id) {
                audit.missing.note(*id);
                if self.uncommitted.as_ref().is_some_and(|ids| ids.contains(id)) {
                    audit.withheld.note(*id);
                }
            }
        }
        for (id, count) in times {
            if count > 1 {
                audit.repeated.note(id);
                audit.extra_copies += count - 1;
            }
            // An id that was aborted in one attempt and committed in a later one is expected, and fine.
            if !self.expected.contains(&id) {
                if self.aborted.contains(&id) {
                    audit.aborted_visible.note(id);
                } else {
                    audit.unexpected.note(id);
                }
            }
            if self.uncommitted.as_ref().is_some_and(|ids| !ids.contains(&id)) {
                audit.phantom.note(id);
            }
        }
        audit
    }
}

/// Ids of one kind: how many, and the smallest few of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many ids.
    pub count: u64,
    /// The smallest of them.
    pub examples: BTreeSet<u64>,
}

impl Found {
    fn note(&mut self, id: u64) {
        self.count += 1;
        self.examples.insert(id);
        if self.examples.len() > EXAMPLES {
            self.examples.pop_last();
        }
    }
}

/// What is wrong, if anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Audit {
    /// How many ids had to be there.
    pub expected: u64,
    /// How many records were read under `read_committed`.
    pub read: u64,
    /// Expected ids that were not read.
    pub missing: Found,
    /// The missing ones that were written and are not visible: their transaction was aborted or is open.
    pub withheld: Found,
    /// Ids that were read more than once.
    pub repeated: Found,
    /// By how many records.
    pub extra_copies: u64,
    /// Ids that were read, were not expected, and are not known as aborted.
    pub unexpected: Found,
    /// Ids of aborted transactions that were read.
    pub aborted_visible: Found,
    /// Ids that were read under `read_committed` and not under `read_uncommitted`: one of the two readings is wrong.
    pub phantom: Found,
}

impl Audit {
    /// Whether there was anything to find. With nothing expected, nothing was proven.
    pub fn is_vacuous(&self) -> bool {
        self.expected == 0
    }

    /// Each expected id was read once and no other was: what exactly-once means. Never true for an empty history.
    pub fn is_exactly_once(&self) -> bool {
        self.is_at_least_once() && self.repeated.count == 0
    }

    /// Each expected id was read and no other was.
    pub fn is_at_least_once(&self) -> bool {
        self.missing.count == 0 && self.nothing_foreign()
    }

    /// No id was read twice, and none that was not expected.
    pub fn is_at_most_once(&self) -> bool {
        self.repeated.count == 0 && self.nothing_foreign()
    }

    fn nothing_foreign(&self) -> bool {
        !self.is_vacuous() && self.unexpected.count == 0 && self.aborted_visible.count == 0 && self.phantom.count == 0
    }

    /// Panics with the whole audit unless [`Audit::is_exactly_once`].
    #[track_caller]
    pub fn assert_exactly_once(&self) {
        assert!(self.is_exactly_once(), "not exactly once: {self}");
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expected, {} read", self.expected, self.read)?;
        if self.is_vacuous() {
            write!(f, "; nothing was expected, so nothing is proven")?;
        }
        let kinds = [
            ("missing", &self.missing),
            ("of these written but not visible", &self.withheld),
            ("repeated", &self.repeated),
            ("unexpected", &self.unexpected),
            ("aborted but visible", &self.aborted_visible),
            ("committed but absent from read_uncommitted", &self.phantom),
        ];
        let mut found = false;
        for (name, kind) in kinds.into_iter().filter(|(_, kind)| kind.count > 0) {
            found = true;
            let examples: Vec<String> = kind.examples.iter().map(u64::to_string).collect();
            let more = if kind.count > examples.len() as u64 { ", …" } else { "" };
            write!(f, "; {} {name} ({}{more})", kind.count, examples.join(", "))?;
        }
        if self.extra_copies > 0 {
            write!(f, "; {} copies too many", self.extra_copies)?;
        }
        if !found && !self.is_vacuous() {
            write!(f, "; each once")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_passes() {
        let audit = Observed::expecting(0..100).committed((0..100).rev()).uncommitted(0..120).aborted(100..120).audit();
        audit.assert_exactly_once();
        assert_eq!(audit.to_string(), "100 expected, 100 read; each once");
    }

    #[test]
    fn a_missing_record_is_found_and_told_from_one_that_is_withheld() {
        let audit = Observed::expecting(0..10).committed((0..10).filter(|id| ![3, 7].contains(id))).audit();
        assert_eq!((audit.missing.count, audit.withheld.count), (2, 0));
        assert!(audit.is_at_most_once() && !audit.is_at_least_once() && !audit.is_exactly_once());
        let audit = Observed::expecting(0..10).committed(0..8).uncommitted(0..9).audit();
        assert_eq!((audit.missing.count, audit.withheld.count), (2, 1));
        assert_eq!(audit.withheld.examples, BTreeSet::from([8]));
    }

    #[test]
    fn a_repeated_record_is_found() {
        let audit = Observed::expecting(0..10).committed((0..10).chain([4, 4, 5])).audit();
        assert_eq!((audit.repeated.count, audit.extra_copies), (2, 3));
        assert!(audit.is_at_least_once() && !audit.is_at_most_once() && !audit.is_exactly_once());
        assert!(audit.to_string().contains("2 repeated (4, 5)"), "{audit}");
    }

    #[test]
    fn an_unexpected_record_is_found() {
        let audit = Observed::expecting(0..10).committed(0..11).audit();
        assert_eq!(audit.unexpected.count, 1);
        assert!(!audit.is_at_least_once() && !audit.is_at_most_once());
    }

    #[test]
    fn a_visible_aborted_record_is_found() {
        let audit = Observed::expecting(0..10).committed((0..10).chain([50])).aborted([50, 51]).audit();
        assert_eq!((audit.aborted_visible.count, audit.unexpected.count), (1, 0));
        assert!(!audit.is_exactly_once());
        let retried = Observed::expecting(0..10).committed(0..10).aborted([5]).audit();
        assert!(retried.is_exactly_once(), "aborted once, committed later: {retried}");
    }

    #[test]
    fn a_record_that_only_read_committed_saw_is_found() {
        let audit = Observed::expecting(0..10).committed(0..10).uncommitted(0..9).audit();
        assert_eq!(audit.phantom.count, 1);
        assert!(!audit.is_exactly_once());
    }

    #[test]
    fn an_empty_history_proves_nothing() {
        let audit = Observed::expecting([]).committed([]).audit();
        assert!(audit.is_vacuous() && !audit.is_exactly_once() && !audit.is_at_least_once());
        assert!(!audit.is_at_most_once());
        let audit = Observed::expecting(0..10).committed([]).audit();
        assert_eq!(audit.missing.count, 10);
        assert!(!audit.is_exactly_once());
    }

    #[test]
    fn many_findings_are_counted_and_a_few_are_named() {
        let audit = Observed::expecting(0..1000).committed([]).audit();
        assert_eq!(audit.missing.examples, (0..5).collect());
        assert!(audit.to_string().contains("1000 missing (0, 1, 2, 3, 4, …)"), "{audit}");
    }
}
