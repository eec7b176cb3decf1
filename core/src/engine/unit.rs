//! What is committed together: one transaction, or one commit of offsets.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::{self, Content, Run};
use crate::record::{Position, TopicPartition};

/// One or more batches of a lane, in the order in which they were fetched.
#[derive(Clone)]
pub(crate) struct Unit {
    parts: Vec<Arc<Content>>,
    opened: Instant,
    /// Records of batches that failed for good although the others go on (at-most-once).
    lost: usize,
}

impl Unit {
    pub(crate) fn new(first: Arc<Content>) -> Self {
        Self { parts: vec![first], opened: Instant::now(), lost: 0 }
    }

    pub(crate) fn push(&mut self, part: Arc<Content>) {
        self.parts.push(part);
    }

    /// So many records have failed for good.
    pub(crate) fn lose(&mut self, records: usize) {
        self.lost += records;
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(crate) fn parts(&self) -> &[Arc<Content>] {
        &self.parts
    }

    pub(crate) fn last(&self) -> &Arc<Content> {
        // It is made with one, and nothing takes one away.
        &self.parts[self.parts.len() - 1]
    }

    pub(crate) fn records(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes()).sum()
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.parts.iter().flat_map(|part| part.runs())
    }

    /// Returns the position to commit for each partition.
    pub(crate) fn offsets(&self) -> Vec<(TopicPartition, Position)> {
        batch::offsets(self.runs())
    }

    /// Returns `topic[partition] first..=last` for each partition, for errors and logs.
    pub(crate) fn describe(&self) -> String {
        let texts: Vec<String> = self.parts.iter().map(|part| part.describe()).collect();
        texts.join(", ")
    }

    /// Returns the unit without the runs that `keep` refuses, or `None` if nothing is left.
    pub(crate) fn retain(&self, keep: impl Fn(&Run) -> bool) -> Option<Self> {
        let keep = |part: &Arc<Content>| {
            let is_whole = part.runs().iter().all(&keep);
            if is_whole { Some(Arc::clone(part)) } else { part.retain(&keep).map(Arc::new) }
        };
        let parts: Vec<_> = self.parts.iter().filter_map(keep).collect();
        (!parts.is_empty()).then(|| Self { parts, ..*self })
    }

    /// Returns some of the batches as a unit, or `None` if there are none.
    pub(crate) fn some(&self, range: Range<usize>) -> Option<Self> {
        let parts = self.parts[range].to_vec();
        (!parts.is_empty()).then_some(Self { parts, opened: self.opened, lost: 0 })
    }

    /// Returns some of the records of batch `part` as a unit.
    pub(crate) fn slice(&self, part: usize, range: Range<usize>) -> Self {
        Self { parts: vec![Arc::new(self.parts[part].slice(range))], opened: self.opened, lost: 0 }
    }

    /// Returns each batch as a unit of its own.
    pub(crate) fn split(&self) -> impl DoubleEndedIterator<Item = Self> {
        self.parts.iter().map(|part| Self { parts: vec![Arc::clone(part)], opened: self.opened, lost: 0 })
    }
}
