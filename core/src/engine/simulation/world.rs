//! A broker with one input partition, one output log, one group and one `transactional.id`.

use std::sync::Arc;

use crate::batch::{Content, Messages, Parts, Run};
use crate::engine::unit::Unit;
use crate::record::{Position, TopicPartition};

/// Records a batch.
pub(super) const BATCH: i64 = 7;

pub(super) struct World {
    records: i64,
    /// The group's committed offset.
    pub(super) committed: i64,
    /// Ids that were written, each with the transaction it belongs to.
    log: Vec<(i64, Option<u64>)>,
    /// Transactions that were committed.
    visible: Vec<u64>,
    epoch: u32,
    open: Option<Open>,
    next_transaction: u64,
    /// EndTxn requests that are still under way.
    stragglers: Vec<(u32, End)>,
    pub(super) crashes: i64,
    pub(super) known_losses: i64,
}

struct Open {
    number: u64,
    offset: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Abort,
}

struct Ids(i64);

impl Messages for Ids {
    fn get(&self, index: usize) -> Parts<'_> {
        Parts { offset: self.0 + index as i64, timestamp: None, key: None, value: None, headers: &() }
    }
}

impl World {
    pub(super) fn new(records: i64) -> Self {
        Self {
            records,
            committed: 0,
            log: Vec::new(),
            visible: Vec::new(),
            epoch: 0,
            open: None,
            next_transaction: 0,
            stragglers: Vec::new(),
            crashes: 0,
            known_losses: 0,
        }
    }

    pub(super) fn unit(&self, from: i64) -> Option<Unit> {
        let len = (self.records - from).min(BATCH);
        (len > 0).then(|| {
            let source = TopicPartition::new("in", 0);
            let next = Position { offset: from + len, leader_epoch: None };
            let run = Run { source, epoch: 1, start: 0, len: len as usize, first: from, next };
            Unit::new(Arc::new(Content::new(Arc::new(Ids(from)), vec![run], 0)))
        })
    }

    /// How many committed effects each record has.
    pub(super) fn effects(&self) -> Vec<usize> {
        (0..self.records).map(|id| self.times(id)).collect()
    }

    /// How often an id is visible.
    pub(super) fn times(&self, id: i64) -> usize {
        let visible = |transaction: &Option<u64>| transaction.is_none_or(|number| self.visible.contains(&number));
        self.log.iter().filter(|(other, transaction)| *other == id && visible(transaction)).count()
    }

    pub(super) fn write(&mut self, ids: impl Iterator<Item = i64>, epoch: Option<u32>) -> Result<(), ()> {
        let transaction = match epoch {
            None => None,
            Some(epoch) if epoch != self.epoch => return Err(()),
            Some(_) => Some(self.open.get_or_insert(Open { number: self.next_transaction, offset: None }).number),
        };
        self.log.extend(ids.map(|id| (id, transaction)));
        Ok(())
    }

    pub(super) fn add_offset(&mut self, epoch: u32, offset: i64) -> Result<(), ()> {
        if epoch != self.epoch {
            return Err(());
        }
        self.open.get_or_insert(Open { number: self.next_transaction, offset: None }).offset = Some(offset);
        Ok(())
    }

    /// Ends whatever transaction is open, as EndTxn v1 does.
    pub(super) fn end(&mut self, epoch: u32, end: End) -> Result<(), ()> {
        if epoch != self.epoch {
            return Err(());
        }
        self.close(end);
        Ok(())
    }

    fn close(&mut self, end: End) {
        let Some(open) = self.open.take() else { return };
        self.next_transaction += 1;
        if end == End::Commit {
            self.visible.push(open.number);
            if let Some(offset) = open.offset {
                self.committed = offset;
            }
        }
    }

    /// A producer initialises: what was open is aborted, and the epoch fences everybody before.
    pub(super) fn initialise(&mut self) -> u32 {
        self.close(End::Abort);
        self.epoch += 1;
        self.epoch
    }

    /// The coordinator gives up on the open transaction.
    pub(super) fn time_out(&mut self) {
        if self.open.is_some() {
            self.close(End::Abort);
            self.epoch += 1;
        }
    }

    pub(super) fn delay(&mut self, epoch: u32, end: End) {
        self.stragglers.push((epoch, end));
    }

    pub(super) fn release_stragglers(&mut self) {
        for (epoch, end) in std::mem::take(&mut self.stragglers) {
            // One that is fenced does nothing.
            let _ = self.end(epoch, end);
        }
    }
}
