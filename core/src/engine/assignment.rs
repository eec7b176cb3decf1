//! Which partitions this member owns, under which assignment, and on which lane.
//!
//! Every assignment of a partition has a number of its own, its epoch. A batch remembers the
//! epochs under which its records were fetched; once one has changed, the batch never commits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use crate::batch::{Content, Run};
use crate::record::TopicPartition;

/// Shared by the consumer thread, which changes it, and the lanes, which ask it.
pub(crate) struct Assignment<M> {
    lanes: usize,
    owned: RwLock<Owned<M>>,
    busy: Mutex<Busy>,
    finished: Condvar,
}

struct Owned<M> {
    partitions: HashMap<TopicPartition, Ownership>,
    next_epoch: u64,
    /// The group's metadata as it was when the assignment completed.
    metadata: Option<Arc<M>>,
}

/// One owned partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    pub(crate) lane: usize,
    pub(crate) epoch: u64,
}

/// The partitions that each unit in flight holds, and those that are about to be revoked.
#[derive(Default)]
struct Busy {
    held: HashMap<UnitId, Held>,
    leaving: Vec<TopicPartition>,
}

/// What a unit in flight works on.
#[derive(Default)]
struct Held {
    sources: Vec<TopicPartition>,
    weight: usize,
}

/// What a record takes besides its bytes, here and in librdkafka.
const RECORD_WEIGHT: usize = 256;

/// A unit in flight: its lane, and its number there.
pub(crate) type UnitId = (usize, u64);

/// While it is held, no partition can be revoked.
pub(crate) struct Gate<'a, M> {
    owned: RwLockReadGuard<'a, Owned<M>>,
}

impl<M> Assignment<M> {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            lanes,
            owned: RwLock::new(Owned { partitions: HashMap::new(), next_epoch: 1, metadata: None }),
            busy: Mutex::default(),
            finished: Condvar::new(),
        }
    }

    /// Gives each new partition to the lane with the fewest, and a new epoch. Partitions that
    /// stayed keep both.
    pub(crate) fn assign(&self, partitions: &[TopicPartition]) -> Vec<Ownership> {
        let mut owned = self.owned.write();
        let mut load = vec![0_usize; self.lanes];
        for ownership in owned.partitions.values() {
            load[ownership.lane] += 1;
        }
        let give = |source: &TopicPartition| {
            let lane = (0..self.lanes).min_by_key(|lane| load[*lane]).unwrap_or(0);
            load[lane] += 1;
            let ownership = Ownership { lane, epoch: owned.next_epoch };
            owned.next_epoch += 1;
            owned.partitions.insert(source.clone(), ownership);
            ownership
        };
        partitions.iter().map(give).collect()
    }

    /// Takes note of the group's metadata, once an assignment has completed.
    pub(crate) fn completed(&self, metadata: M) {
        self.owned.write().metadata = Some(Arc::new(metadata));
    }

    /// Takes partitions away. Unless they are `lost` already, the batches in flight that have
    /// records of them get until `deadline` to finish.
    pub(crate) fn revoke(&self, partitions: &[TopicPartition], lost: bool, deadline: Duration) {
        let until = Instant::now() + deadline;
        let mut busy = self.busy.lock();
        busy.leaving = partitions.to_vec();
        while !lost && busy.holds_any(partitions) {
            if self.finished.wait_until(&mut busy, until).timed_out() {
                tracing::warn!(?partitions, "batches in flight did not finish before the partitions were revoked");
                break;
            }
        }
        drop(busy);
        // From here on nothing of these partitions commits. The lock waits for a commit under way.
        let mut owned = self.owned.write();
        for source in partitions {
            owned.partitions.remove(source);
        }
        drop(owned);
        self.busy.lock().leaving.clear();
    }

    /// Notes that a unit works on a batch, too. Returns false, and notes nothing, while one of its
    /// partitions is about to be revoked.
    pub(crate) fn try_hold(&self, unit: UnitId, content: &Content) -> bool {
        let mut busy = self.busy.lock();
        if content.runs().iter().any(|run| busy.leaving.contains(&run.source)) {
            return false;
        }
        let held = busy.held.entry(unit).or_default();
        held.weight += content.bytes() + content.len() * RECORD_WEIGHT;
        for run in content.runs() {
            if !held.sources.contains(&run.source) {
                held.sources.push(run.source.clone());
            }
        }
        true
    }

    /// Returns how many bytes of memory the units in flight take, more or less.
    pub(crate) fn weight(&self) -> usize {
        self.busy.lock().held.values().map(|held| held.weight).sum()
    }

    /// Notes that a unit works on nothing any more.
    pub(crate) fn release(&self, unit: UnitId) {
        self.busy.lock().held.remove(&unit);
        self.finished.notify_all();
    }

    /// Notes that a lane works on nothing any more.
    pub(crate) fn release_lane(&self, lane: usize) {
        self.busy.lock().held.retain(|(other, _), _| *other != lane);
        self.finished.notify_all();
    }

    /// Keeps every partition where it is until the gate is dropped.
    pub(crate) fn gate(&self) -> Gate<'_, M> {
        Gate { owned: self.owned.read() }
    }
}

impl Busy {
    fn holds_any(&self, partitions: &[TopicPartition]) -> bool {
        self.held.values().flat_map(|held| &held.sources).any(|source| partitions.contains(source))
    }
}

impl<M> Gate<'_, M> {
    /// Returns whether the run was fetched under the assignment that still holds.
    pub(crate) fn current(&self, run: &Run) -> bool {
        self.owned.partitions.get(&run.source).is_some_and(|o| o.epoch == run.epoch)
    }

    pub(crate) fn ownership(&self, source: &TopicPartition) -> Option<Ownership> {
        self.owned.partitions.get(source).copied()
    }

    /// Returns the partitions of one lane, each with its epoch.
    pub(crate) fn of_lane(&self, lane: usize) -> impl Iterator<Item = (TopicPartition, u64)> {
        let of_lane = self.owned.partitions.iter().filter(move |(_, ownership)| ownership.lane == lane);
        of_lane.map(|(source, ownership)| (source.clone(), ownership.epoch))
    }

    /// Returns whether every record is still this member's.
    pub(crate) fn covers<'r>(&self, runs: impl IntoIterator<Item = &'r Run>) -> bool {
        runs.into_iter().all(|run| self.current(run))
    }

    pub(crate) fn metadata(&self) -> Option<Arc<M>> {
        self.owned.metadata.clone()
    }
}

#[cfg(test)]
mod tests;
