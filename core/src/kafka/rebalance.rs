//! Rebalances: what librdkafka calls when partitions come and go.

use std::ffi::{CStr, CString, c_void};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::config::StartFrom;
use crate::discipline::Fault;
use crate::engine::ports::Failure;
use crate::error::{Code, Error, Result};
use crate::kafka::client;
use crate::kafka::errors::{self, RichError};
use crate::kafka::group::GroupMetadata;
use crate::kafka::list::{BEGINNING, List};
use crate::kafka::offsets;
use crate::record::{Position, TopicPartition};

const NO_ERROR: Kafka = Kafka::RD_KAFKA_RESP_ERR_NO_ERROR;
/// How long one request may take before it is made again, after a pause.
const REQUEST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// What the engine is told about the group. Called on the consumer thread.
pub(crate) trait GroupEvents: Send + Sync {
    /// Partitions are about to be fetched; returns the lane of each.
    fn assigned(&self, partitions: &[TopicPartition]) -> Vec<usize>;
    /// The assignment is complete under this metadata.
    fn completed(&self, metadata: GroupMetadata);
    /// Partitions go away when this returns; `lost` if they are gone already.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool);
    /// The member can't go on.
    fn failed(&self, error: Error);
    /// Whether the pipeline has failed.
    fn is_over(&self) -> bool;
}

/// An owned librdkafka queue.
pub(super) struct Queue(pub(super) *mut sys::rd_kafka_queue_t);

// SAFETY: queues are made to be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is its end.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// What the rebalance callback works with.
pub(crate) struct Rebalancer {
    // Weak: the engine owns the consumer that owns this.
    pub(super) events: Weak<dyn GroupEvents>,
    pub(super) start_from: StartFrom,
    pub(super) lanes: RwLock<Vec<Queue>>,
    pub(super) closing: AtomicBool,
}

impl Rebalancer {
    /// Lets go of the queues; librdkafka wants them back before the client ends.
    pub(crate) fn release(&self) {
        self.lanes.write().clear();
    }

    fn completed(&self, metadata: GroupMetadata) {
        if let Some(events) = self.events.upgrade() {
            events.completed(metadata);
        }
    }

    pub(super) fn failed(&self, error: Error) {
        if let Some(events) = self.events.upgrade() {
            events.failed(error);
        }
    }
}

pub(crate) unsafe extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    code: Kafka,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the client's opaque and a valid list, on the thread that polls.
    let (context, list) = unsafe { (client::context(opaque), List::copy(partitions)) };
    let Some(rebalancer) = &context.rebalancer else { return };
    // SAFETY: `rk` is the client that called.
    let protocol = unsafe { CStr::from_ptr(sys::rd_kafka_rebalance_protocol(rk)) };
    let rebalance = Rebalance { rebalancer, rk, cooperative: protocol == c"COOPERATIVE" };
    match code {
        Kafka::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => rebalance.assign(list),
        _ => rebalance.revoke(&list),
    }
}

/// One call of the rebalance callback.
struct Rebalance<'a> {
    rebalancer: &'a Rebalancer,
    rk: *mut sys::rd_kafka_t,
    cooperative: bool,
}

impl Rebalance<'_> {
    fn assign(&self, mut list: List) {
        let sources: Vec<TopicPartition> = list.items().into_iter().map(|item| item.source).collect();
        match (self.choose_starts(&mut list), self.rebalancer.events.upgrade()) {
            (Ok(()), Some(events)) => {
                for (source, lane) in sources.iter().zip(events.assigned(&sources)) {
                    self.forward(source, lane);
                }
            }
            // The pipeline stops. librdkafka is told that the partitions were taken, so that it can
            // give them back; nobody owns them here, so nothing of them is processed.
            (Err(error), _) => self.rebalancer.failed(error),
            (Ok(()), None) => {}
        }
        // SAFETY: client and list are valid.
        let code = unsafe {
            if self.cooperative {
                RichError::take(sys::rd_kafka_incremental_assign(self.rk, list.as_ptr()))
                    .map_or_else(|error| error.code, |()| NO_ERROR)
            } else {
                sys::rd_kafka_assign(self.rk, list.as_ptr())
            }
        };
        if code != NO_ERROR {
            self.rebalancer.failed(errors::error(Code::Internal, code, "taking over assigned partitions"));
        }
        self.note_generation();
        tracing::info!(partitions = ?sources, "assigned");
    }

    /// Taken inside the callback and not when it is needed: later it could already be the next
    /// generation's, which would let a batch of a revoked partition pass the broker's check (KIP-447).
    fn note_generation(&self) {
        // SAFETY: the client is valid.
        if let Some(metadata) = unsafe { GroupMetadata::take(self.rk) } {
            self.rebalancer.completed(metadata);
        }
    }

    fn revoke(&self, list: &List) {
        // SAFETY: the client is valid.
        let lost = unsafe { sys::rd_kafka_assignment_lost(self.rk) } != 0;
        let sources: Vec<TopicPartition> = list.items().into_iter().map(|item| item.source).collect();
        if self.cooperative && !lost {
            // The group is in its next generation already, and nobody else gets these partitions
            // before they are given back: what is in flight may still commit, as this generation.
            self.note_generation();
        }
        if let Some(events) = self.rebalancer.events.upgrade() {
            events.revoked(&sources, lost);
            if lost && events.is_over() {
                // Without a subscription librdkafka does not join again.
                // SAFETY: the client is valid.
                unsafe { sys::rd_kafka_unsubscribe(self.rk) };
            }
        }
        // SAFETY: client and list are valid.
        unsafe {
            let given_back =
                self.cooperative && RichError::take(sys::rd_kafka_incremental_unassign(self.rk, list.as_ptr())).is_ok();
            if !given_back {
                sys::rd_kafka_assign(self.rk, std::ptr::null());
            }
        }
        tracing::info!(partitions = ?sources, lost, "revoked");
    }

    /// Starts each partition at the group's committed offset; one that has none starts where
    /// `start_from` says.
    fn choose_starts(&self, list: &mut List) -> Result<()> {
        let items = self.patiently(|| offsets::committed(self.rk, list, REQUEST))?;
        let mut at_end = Vec::new();
        for (index, item) in items.into_iter().enumerate().filter(|(_, item)| item.offset < 0) {
            let start = match self.rebalancer.start_from {
                StartFrom::Earliest => BEGINNING,
                StartFrom::Latest => {
                    let (_, end) = self.patiently(|| offsets::watermarks(self.rk, &item.source, REQUEST))?;
                    at_end.push((item.source, Position { offset: end, leader_epoch: None }));
                    end
                }
                StartFrom::Fail => return Err(no_committed_offset(item.source)),
            };
            list.set_offset(index, start);
        }
        if !at_end.is_empty() {
            // Or the next start would skip what came meanwhile.
            self.patiently(|| offsets::commit(self.rk, &at_end, None, REQUEST))?;
        }
        Ok(())
    }

    /// Asks again while the cluster does not answer.
    fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(failure) if matches!(failure.fault, Fault::Transient | Fault::Unknown) => {
                    if self.rebalancer.closing.load(Ordering::SeqCst) {
                        return Err(failure.error);
                    }
                    tracing::warn!(error = %failure.error, "the start of assigned partitions is not known yet");
                    thread::sleep(PAUSE);
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }

    fn forward(&self, source: &TopicPartition, lane: usize) {
        let queues = self.rebalancer.lanes.read();
        let (Some(queue), Ok(topic)) = (queues.get(lane), CString::new(&*source.topic)) else { return };
        // SAFETY: client and queues are valid; the partition's queue is only borrowed here.
        unsafe {
            let partition = sys::rd_kafka_queue_get_partition(self.rk, topic.as_ptr(), source.partition);
            if !partition.is_null() {
                sys::rd_kafka_queue_forward(partition, queue.0);
                sys::rd_kafka_queue_destroy(partition);
            }
        }
    }
}

fn no_committed_offset(source: TopicPartition) -> Error {
    Error::new(
        Code::OffsetMissing,
        "the group has no committed offset for this partition; set `start_from` to \"earliest\" or \"latest\" \
         to choose where a new partition starts",
    )
    .with("partition", source)
}
