//! What the lanes and the consumer thread of one pipeline share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::engine::assignment::Assignment;
use crate::engine::attempt::Probe;
use crate::engine::identity::Identity;
use crate::error::{Code, Error, Result};
use crate::kafka::{Bells, Consumer, GroupEvents, GroupMetadata};
use crate::metrics::Counters;
use crate::mutation::Mutation;
use crate::record::TopicPartition;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) mark: String,
    /// Every partition of the inputs, as they were at the start.
    pub(crate) inputs: Vec<TopicPartition>,
    pub(crate) assignment: Assignment<GroupMetadata>,
    pub(crate) counters: Counters,
    pub(crate) bells: Arc<Bells>,
    pub(crate) probe: Option<Arc<dyn Probe>>,
    pub(crate) mutation: Option<Mutation>,
    consumer: OnceLock<Consumer>,
    stop: Stop,
    /// The broker refused the metadata: the consumer thread takes it anew.
    pub(crate) metadata_is_stale: AtomicBool,
    /// Dead letters that were written, or are being written.
    pub(crate) dead_letters: AtomicU64,
}

/// So many bytes on their way are enough: nearly two batches of 10,000 records of 200 bytes.
const BUSY_ENOUGH: usize = 8 << 20;

/// How far the end of the pipeline has come.
#[derive(Default)]
struct Stop {
    state: Mutex<Stopping>,
    changed: Condvar,
}

#[derive(Default)]
struct Stopping {
    /// No new batches; those in flight end.
    draining: Option<Instant>,
    /// Nothing is tried again.
    failed: Option<Error>,
    taken: bool,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        inputs: Vec<TopicPartition>,
        lanes: usize,
        bells: Arc<Bells>,
        probe: Option<Arc<dyn Probe>>,
        mutation: Option<Mutation>,
    ) -> Self {
        Self {
            mark: identity.mark(),
            assignment: Assignment::new(lanes),
            counters: Counters::default(),
            consumer: OnceLock::new(),
            stop: Stop::default(),
            metadata_is_stale: AtomicBool::new(false),
            dead_letters: AtomicU64::new(0),
            config,
            identity,
            inputs,
            bells,
            probe,
            mutation,
        }
    }

    pub(crate) fn set_consumer(&self, consumer: Consumer) {
        // It is set once, by the pipeline that makes both.
        let _ = self.consumer.set(consumer);
    }

    pub(crate) fn consumer(&self) -> Result<&Consumer> {
        self.consumer.get().ok_or_else(|| Error::new(Code::Misuse, "the pipeline is not open"))
    }

    /// Returns the proof that a newer run of this instance exists, if there is one.
    pub(crate) fn superseded(&self) -> Option<&'static str> {
        let consumer = self.consumer.get()?;
        if consumer.client().fatal().is_some() {
            return Some("the group gave this member's place to a newer one");
        }
        let committed = consumer.committed(&self.inputs, Duration::from_secs(5)).ok()?;
        let mut marks = committed.into_iter().filter_map(|item| item.metadata);
        marks
            .any(|mark| self.identity.is_superseded_by(&mark))
            .then_some("a newer run of this instance has committed offsets")
    }

    /// Waits until less is on its way to the brokers than keeps this process busy. What is opened beyond that only
    /// waits, and falls out of the processors' caches: it made each record a third dearer.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        self.assignment.wait_for_room(BUSY_ENOUGH, timeout)
    }

    /// Asks every lane to end after its batch in flight.
    pub(crate) fn drain(&self) {
        self.stop.state.lock().draining.get_or_insert(Instant::now());
        self.wake();
    }

    /// Ends everything: the first error is the one that is reported.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.stop.state.lock();
        if state.failed.is_none() && !state.taken {
            tracing::info!(%error, "the pipeline stops");
            state.failed = Some(error);
        }
        drop(state);
        self.wake();
    }

    /// Returns the error that ended the pipeline, once.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        let mut state = self.stop.state.lock();
        let error = state.failed.take();
        state.taken |= error.is_some();
        error
    }

    /// Returns whether no new batch may be started.
    pub(crate) fn is_stopping(&self) -> bool {
        let state = self.stop.state.lock();
        state.draining.is_some() || state.failed.is_some() || state.taken
    }

    /// Returns when batches in flight are given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let draining = self.stop.state.lock().draining?;
        Some(draining + Duration::from_millis(self.config.shutdown.deadline_ms))
    }

    /// Returns whether what is in flight has to be given up.
    pub(crate) fn is_overdue(&self) -> bool {
        self.is_over() || self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits before something is tried again. Returns false if it must not be.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.stop.state.lock();
        loop {
            if state.failed.is_some() || state.taken {
                return false;
            }
            let deadline = state.draining.map(|at| at + Duration::from_millis(self.config.shutdown.deadline_ms));
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            let wake = deadline.map_or(until, |deadline| deadline.min(until));
            if Instant::now() >= until {
                return true;
            }
            self.stop.changed.wait_until(&mut state, wake);
        }
    }

    fn wake(&self) {
        self.stop.changed.notify_all();
        self.bells.ring_all();
    }
}

pub(crate) fn fenced_by_successor(proof: &'static str) -> Error {
    Error::new(
        Code::ProducerFenced,
        "a newer instance with the same instance id is running, so this one stops; give every running instance its own \
         `transactions.instance_id`",
    )
    .with("proof", proof)
}

impl GroupEvents for Shared {
    fn assigned(&self, partitions: &[TopicPartition]) -> Vec<usize> {
        self.assignment.assign(partitions).into_iter().map(|ownership| ownership.lane).collect()
    }

    fn completed(&self, metadata: GroupMetadata) {
        self.assignment.completed(metadata);
        Counters::add(&self.counters.rebalances, 1);
        self.bells.ring_all();
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) {
        let patience = match self.deadline() {
            // A pipeline that stops has waited for its lanes already.
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::from_millis(self.config.rebalance.deadline_ms),
        };
        self.assignment.revoke(partitions, lost, patience);
        // A member that was away for so long may have a successor, whose place it must not take.
        if let (true, Some(proof)) = (lost, self.superseded()) {
            self.fail(fenced_by_successor(proof));
        }
        self.bells.ring_all();
    }

    fn failed(&self, error: Error) {
        self.fail(error);
    }

    fn is_over(&self) -> bool {
        let state = self.stop.state.lock();
        state.failed.is_some() || state.taken
    }
}
