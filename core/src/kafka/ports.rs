//! A unit's ports on real Kafka: its producers, and the group through the shared consumer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::Guarantee;
use crate::batch::Content;
use crate::config::librdkafka::{Role, producer_properties};
use crate::discipline::{Fault, Landed, Step};
use crate::engine::assignment::UnitId;
use crate::engine::order::Turn;
use crate::engine::ports::{Delivered, Failure, Ports, Sent};
use crate::engine::shared::{Shared, fenced_by_successor};
use crate::engine::unit::Unit;
use crate::error::{Code, Error};
use crate::kafka::admin::Admin;
use crate::kafka::group::GroupMetadata;
use crate::kafka::producer::Producer;
use crate::metrics::Counters;
use crate::mutation::Mutation;
use crate::output::Output;
use crate::record::{Position, TopicPartition};

/// The producers of one unit in flight. Each is made when its guarantee is first asked for.
pub(crate) struct KafkaPorts {
    shared: Arc<Shared>,
    lane: usize,
    /// The unit whose outputs the producers have.
    unit: Option<UnitId>,
    /// Which of the instance's transactional producers it has.
    number: usize,
    at_most_once: Option<Producer>,
    at_least_once: Option<Producer>,
    exactly_once: Option<Producer>,
    /// When the transactional producer was fenced, if it was.
    fenced_at: Option<Instant>,
    /// What a planted bug has forgotten to process again.
    forgotten: bool,
}

/// How long one request to the group's coordinator may take before it is asked again.
const GROUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the transaction coordinator may take to initialise a producer.
const INIT_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a cluster whose coordinators are moving is waited for at the start.
const START_PATIENCE: Duration = Duration::from_mins(1);

impl KafkaPorts {
    pub(crate) fn new(shared: Arc<Shared>, lane: usize, number: usize) -> Self {
        Self {
            shared,
            lane,
            unit: None,
            number,
            at_most_once: None,
            at_least_once: None,
            exactly_once: None,
            fenced_at: None,
            forgotten: false,
        }
    }

    /// Makes the guarantee's producer, so that the first batch does not wait for it.
    pub(crate) fn prepare(&mut self, guarantee: Guarantee) -> Result<(), Failure> {
        if self.slot(guarantee).is_none() {
            *self.slot(guarantee) = Some(self.open(guarantee)?);
        }
        Ok(())
    }

    /// Lets go of the producers.
    pub(crate) fn close(&mut self) {
        *self = Self::new(Arc::clone(&self.shared), self.lane, self.number);
    }

    fn slot(&mut self, guarantee: Guarantee) -> &mut Option<Producer> {
        match guarantee {
            Guarantee::AtMostOnce => &mut self.at_most_once,
            Guarantee::AtLeastOnce => &mut self.at_least_once,
            Guarantee::ExactlyOnce => &mut self.exactly_once,
        }
    }

    fn open(&self, guarantee: Guarantee) -> Result<Producer, Failure> {
        let Shared { config, identity, .. } = &*self.shared;
        let id = identity.transactional_id(&config.group, self.number);
        let role = Role::of(guarantee, &id);
        let permanent = |error| Failure::new(Fault::Permanent, error);
        let producer = Producer::open(&producer_properties(config, role)).map_err(permanent)?;
        if guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions(INIT_TIMEOUT)?;
        }
        Ok(producer)
    }

    /// As [`prepare`](Self::prepare), at the start: waits for a coordinator that is only moving.
    pub(crate) fn prepare_patiently(&mut self, guarantee: Guarantee) -> Result<(), Failure> {
        let until = Instant::now() + START_PATIENCE;
        loop {
            let failure = match self.prepare(guarantee) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let moving = failure.fault == Fault::Transient
                && Admin::connect(&self.shared.config).is_ok_and(|admin| admin.has_transactions());
            if !moving || Instant::now() >= until || self.shared.is_stopping() {
                return Err(failure);
            }
            tracing::warn!(error = %failure.error, "the transaction coordinator does not answer yet");
        }
    }

    fn transactional(&mut self) -> Result<&mut Producer, Failure> {
        self.exactly_once.as_mut().ok_or_else(|| {
            Failure::new(Fault::Fatal, Error::new(Code::TransactionFailed, "there is no transactional producer"))
        })
    }

    fn not_mine(unit: &Unit) -> Failure {
        let error = Error::new(Code::PartitionRevoked, "a partition of the batch is no longer this member's");
        Failure::new(Fault::Revoked, error.with("batch", unit.describe()))
    }

    /// Fails if a newer run of this instance exists, or while one that exists could not be known.
    ///
    /// Being fenced is no proof: a transaction that timed out looks the same to its producer. The
    /// group is: the next heartbeat of a member that was replaced is answered with
    /// `FENCED_INSTANCE_ID`, so a fenced producer waits for one before it fences anybody itself.
    fn refuse_to_fence(&mut self) -> Result<(), Failure> {
        if let Some(proof) = self.shared.superseded() {
            return Err(Failure::new(Fault::Fenced, fenced_by_successor(proof)));
        }
        let heartbeats = self.shared.config.heartbeat_interval() + Duration::from_secs(1);
        match self.fenced_at {
            Some(then) if then.elapsed() < heartbeats => {
                let error =
                    Error::new(Code::TransactionFailed, "waiting for the group to say whether there is a successor");
                Err(Failure::new(Fault::Transient, error))
            }
            _ => Ok(()),
        }
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.shared.mutation == Some(mutation)
    }

    /// What is committed for the unit: the next offset of each partition.
    fn offsets_of(&self, unit: &Unit) -> Vec<(TopicPartition, Position)> {
        let mut offsets = unit.offsets();
        if self.has(Mutation::OffsetNotNext) {
            offsets.iter_mut().for_each(|(_, position)| position.offset -= 1);
        }
        offsets
    }

    /// The group's metadata that a transaction of this unit is checked with.
    fn metadata_for(&self, unit: &Unit) -> Result<Arc<GroupMetadata>, Failure> {
        if self.has(Mutation::GroupMetadataLate) {
            let consumer = self.shared.consumer().map_err(|error| Failure::new(Fault::Permanent, error))?;
            // SAFETY: the consumer is open.
            let late = unsafe { GroupMetadata::take(consumer.client().raw()) };
            return late.map(Arc::new).ok_or_else(|| Self::not_mine(unit));
        }
        let gate = self.shared.assignment.gate();
        gate.metadata().filter(|_| gate.covers(unit.runs())).ok_or_else(|| Self::not_mine(unit))
    }

    /// How often the request was sent that ended the transaction.
    fn sent(&self, sent: Sent) -> Sent {
        if self.has(Mutation::EndTxnRetryIgnored) { Sent::Once } else { sent }
    }

    /// Notes when the producer was fenced.
    fn watch<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.as_ref().is_err_and(|failure| failure.error.code() == Code::ProducerFenced) {
            self.fenced_at.get_or_insert_with(Instant::now);
        }
        result
    }
}

impl Ports for KafkaPorts {
    fn commit_offsets(&mut self, unit: &Unit) -> Result<(), Failure> {
        let gate = self.shared.assignment.gate();
        if !gate.covers(unit.runs()) {
            return Err(Self::not_mine(unit));
        }
        let consumer = self.shared.consumer().map_err(|error| Failure::new(Fault::Permanent, error))?;
        let result = consumer.commit(&self.offsets_of(unit), &self.shared.mark, GROUP_TIMEOUT);
        result.map_err(|mut failure| {
            // What the group refuses now may be this member's again after the rebalance: the gate
            // decides when the step is repeated.
            if failure.fault == Fault::Revoked && failure.error.code() == Code::PartitionRevoked {
                failure.fault = Fault::Transient;
            }
            failure
        })
    }

    fn begin_transaction(&mut self) -> Result<(), Failure> {
        self.prepare(Guarantee::ExactlyOnce)?;
        let result = self.transactional()?.begin();
        self.watch(result)
    }

    fn enqueue(&mut self, guarantee: Guarantee, batch: &Content, output: &Output, turn: &Turn) -> Result<(), Failure> {
        self.prepare(guarantee)?;
        if self.forgotten {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let unit = (self.lane, turn.number());
        self.unit = Some(unit);
        shared.assignment.sent(unit, output.weight(batch));
        let Some(producer) = self.slot(guarantee) else { return Ok(()) };
        // Another unit's producer may not be done yet: until then nothing of this one's may leave.
        let mut before_sending = || turn.wait_for(guarantee, Step::Produce, &|| shared.is_overdue());
        if guarantee != Guarantee::ExactlyOnce {
            // Only a transaction's records are held back, and only its beginning says that none are there.
            before_sending()?;
        }
        let result = producer.enqueue(Some(batch), output, &mut before_sending);
        self.watch(result)
    }

    fn flush(&mut self, guarantee: Guarantee) -> Result<Delivered, Failure> {
        if guarantee == Guarantee::AtLeastOnce && self.has(Mutation::CommitBeforeFlush) {
            return Ok(Delivered::default());
        }
        let Some(producer) = self.slot(guarantee) else { return Ok(Delivered::default()) };
        let result = producer.flush();
        if let Some(unit) = self.unit.take() {
            self.shared.assignment.delivered(unit);
        }
        self.watch(result)
    }

    fn send_offsets(&mut self, unit: &Unit) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        // Not held during the request, which may take as long as a coordinator is away: once the
        // group has moved on, the broker refuses this metadata; before, the next owner waits for
        // the transaction to end.
        let metadata = self.metadata_for(unit)?;
        let offsets = self.offsets_of(unit);
        let result = self.transactional()?.send_offsets(&offsets, &shared.mark, &metadata);
        if result.as_ref().is_err_and(|failure| failure.error.code() == Code::PartitionRevoked) {
            shared.metadata_is_stale.store(true, Ordering::SeqCst);
        }
        self.watch(result)
    }

    fn commit_transaction(&mut self) -> Result<Sent, Failure> {
        self.forgotten = false;
        let result = self.transactional()?.commit();
        self.watch(result).map(|sent| self.sent(sent))
    }

    fn abort_transaction(&mut self) -> Result<Sent, Failure> {
        Counters::add(&self.shared.counters.transactions_aborted, 1);
        self.forgotten = self.has(Mutation::NoRewindAfterAbort);
        let result = self.transactional()?.abort();
        self.watch(result).map(|sent| self.sent(sent))
    }

    fn rebuild_producer(&mut self, guarantee: Guarantee) -> Result<(), Failure> {
        if guarantee == Guarantee::ExactlyOnce {
            self.refuse_to_fence()?;
        }
        Counters::add(&self.shared.counters.producers_rebuilt, 1);
        // The old one goes first: two producers of one id would fence each other.
        *self.slot(guarantee) = None;
        let producer = self.open(guarantee).map_err(|mut failure| {
            // Fenced while initialising means that somebody else initialised at the same time:
            // the next try looks for the proof again.
            if matches!(failure.fault, Fault::Fenced | Fault::Abortable) {
                failure.fault = Fault::Transient;
            }
            failure
        })?;
        *self.slot(guarantee) = Some(producer);
        self.fenced_at = None;
        Ok(())
    }

    fn read_committed(&mut self, unit: &Unit) -> Result<Landed, Failure> {
        let consumer = self.shared.consumer().map_err(|error| Failure::new(Fault::Permanent, error))?;
        let offsets = unit.offsets();
        let partitions: Vec<_> = offsets.iter().map(|(source, _)| source.clone()).collect();
        let committed = consumer.committed(&partitions, GROUP_TIMEOUT)?;
        let behind = committed.iter().zip(&offsets).filter(|(item, (_, next))| item.offset >= next.offset).count();
        match behind {
            0 => Ok(Landed::NotApplied),
            all if all == offsets.len() => Ok(Landed::Applied),
            // The transaction is atomic, so somebody else moved some of the partitions.
            _ => Err(Self::not_mine(unit)),
        }
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.shared.wait(time)
    }

    fn wait_for_turn(&mut self, turn: &Turn, guarantee: Guarantee, step: Step) -> Result<(), Failure> {
        turn.wait_for(guarantee, step, &|| self.shared.is_overdue())
    }
}
