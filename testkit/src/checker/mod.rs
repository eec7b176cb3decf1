//! Judges a history: whether the guarantee was kept, whatever broke.
//!
//! | invariant | what it says |
//! |---|---|
//! | I1 | each input record has one committed effect in each output (exactly-once), at least one, or at most one |
//! | I2 | no output of an attempt that failed is visible |
//! | I3 | the outputs of an attempt are all visible, in every topic, or none is |
//! | I4 | an offset has one record, whoever reads it and whenever |
//! | I5 | what is visible is what the input holds below the committed offsets, in order |
//! | I6 | a committed offset never goes back, and ends behind the last record |
//! | I7 | within an assignment, a process neither skips records nor goes back behind what it has committed |
//! | I8 | nobody sees an output before its attempt asked for its end |
//! | I9 | an attempt whose end nobody knows has taken effect or has not |
//! | I10 | no attempts have read each other's outputs in a circle |
//! | I11 | after the last fault, everything is done in time and nothing is left open |
//! | I13 | what is lost or repeated is no more than what was in flight, or was told |
//! | I14 | a process makes no effect behind the first effect of its successor |
//!
//! I12 is about databases, which no history here has. Offsets have gaps (control records, compaction), and a record that is
//! not there yet is not lost: both are no anomalies.

mod effects;
pub mod history;
mod index;
mod order;

use std::collections::BTreeMap;
use std::fmt;

use history::Event;
use index::Index;

/// Which promise is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named")]
pub enum Promise {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// What a history comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The promise was kept.
    Pass,
    /// It was not.
    Fail,
    /// It was not broken, but something did not come to its end in time.
    Hang,
    /// The history does not tell. Counts as a failure.
    Unknown,
}

/// A verdict with its reasons and figures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// What it comes to.
    pub outcome: Outcome,
    /// Invariant and what broke it, a few of each.
    pub violations: BTreeMap<&'static str, Vec<String>>,
    /// How often each invariant was broken.
    pub counts: BTreeMap<&'static str, u64>,
    /// Why the history does not tell.
    pub unknown: Vec<String>,
    /// Figures.
    pub figures: Figures,
}

/// What was there to judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named")]
pub struct Figures {
    pub inputs: u64,
    pub visible: u64,
    pub lost: u64,
    pub repeated: u64,
    pub torn: u64,
    pub attempts_ok: u64,
    pub attempts_failed: u64,
    pub attempts_unknown: u64,
    pub faults: u64,
    pub fault_kinds: u64,
}

/// Examples of each kind.
const EXAMPLES: usize = 5;

impl Verdict {
    /// Whether the promise was kept, for certain.
    pub fn is_pass(&self) -> bool {
        self.outcome == Outcome::Pass
    }

    fn broken(&mut self, invariant: &'static str, text: impl FnOnce() -> String) {
        *self.counts.entry(invariant).or_default() += 1;
        let examples = self.violations.entry(invariant).or_default();
        if examples.len() < EXAMPLES {
            examples.push(text());
        }
    }

    fn not_known(&mut self, why: impl Into<String>) {
        self.unknown.push(why.into());
    }
}

/// Judges a history. The order of its events does not matter but for those of one attempt.
pub fn check(promise: Promise, events: &[Event]) -> Verdict {
    let mut verdict = Verdict {
        outcome: Outcome::Unknown,
        violations: BTreeMap::new(),
        counts: BTreeMap::new(),
        unknown: Vec::new(),
        figures: Figures::default(),
    };
    let index = Index::of(events, &mut verdict);
    effects::check(promise, &index, &mut verdict);
    order::check(promise, &index, &mut verdict);
    let hangs = order::ends(&index, &mut verdict);
    verdict.outcome = match () {
        () if !verdict.counts.is_empty() => Outcome::Fail,
        () if hangs => Outcome::Hang,
        () if !verdict.unknown.is_empty() => Outcome::Unknown,
        () => Outcome::Pass,
    };
    verdict
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { inputs, visible, lost, repeated, torn, .. } = self.figures;
        let Figures { attempts_ok, attempts_failed, attempts_unknown, faults, fault_kinds, .. } = self.figures;
        let word = format!("{:?}", self.outcome).to_uppercase();
        write!(
            f,
            "{word}: {inputs} records in, {visible} outputs visible; {lost} lost, {repeated} repeated, {torn} torn; \
             {attempts_ok} attempts took effect, {attempts_failed} failed, {attempts_unknown} unknown; {faults} hits of \
             faults of {fault_kinds} kinds"
        )?;
        for (invariant, examples) in &self.violations {
            write!(f, "\n  {invariant}, broken {} times: {}", self.counts[invariant], examples.join("; "))?;
        }
        for why in &self.unknown {
            write!(f, "\n  not known: {why}")?;
        }
        Ok(())
    }
}
