//! The group member: one queue for the group's own events, one queue a lane for its records.
//!
//! Every assigned partition's records are forwarded to the queue of its lane, so a lane takes its
//! records without a detour, librdkafka bounds each lane's memory, and the member stays in its
//! group however slow the handlers are.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::config::StartFrom;
use crate::engine::ports::Failure;
use crate::error::{Code, Error, Result};
use crate::kafka::client::{Client, Kind};
use crate::kafka::errors;
use crate::kafka::group::{self, GroupMetadata};
use crate::kafka::list::{Item, List};
use crate::kafka::message::Message;
use crate::kafka::offsets;
use crate::kafka::rebalance::{GroupEvents, Queue, Rebalancer};
use crate::record::{Position, TopicPartition};

/// Rung when something has changed for those who wait at it.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock() += 1;
        self.changed.notify_all();
    }

    pub(crate) fn count(&self) -> u64 {
        *self.rung.lock()
    }

    /// Waits until it was rung after it stood at `seen`.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) {
        let mut rung = self.rung.lock();
        if *rung == seen {
            self.changed.wait_for(&mut rung, timeout);
        }
    }
}

/// A bell for each lane, so that what comes for one does not wake the others, and one for those who
/// wait for any.
pub(crate) struct Bells {
    any: Bell,
    lanes: Vec<Bell>,
}

impl Bells {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { any: Bell::default(), lanes: (0..lanes).map(|_| Bell::default()).collect() }
    }

    /// Something has changed for everybody: the pipeline is being stopped, for example.
    pub(crate) fn ring_all(&self) {
        self.lanes.iter().for_each(Bell::ring);
        self.any.ring();
    }

    pub(crate) fn any(&self) -> &Bell {
        &self.any
    }

    pub(crate) fn of(&self, lane: usize) -> &Bell {
        &self.lanes[lane]
    }
}

/// What a queue's callback rings.
struct Chime {
    bells: Arc<Bells>,
    lane: usize,
}

/// What a lane's queue held.
pub(crate) enum Fetch {
    Message(Message),
    /// The position is not in the log any more.
    OutOfRange(TopicPartition, String),
    Failed(Error),
}

/// Where [`Consumer::fetch`] lets librdkafka put what it hands over; kept from call to call.
#[derive(Default)]
pub(crate) struct Buffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: between two calls the pointers mean nothing.
unsafe impl Send for Buffer {}

/// The group member.
pub(crate) struct Consumer {
    client: Arc<Client>,
    rebalancer: Arc<Rebalancer>,
    bells: Arc<Bells>,
    // Their addresses are registered with the queues.
    _chimes: Box<[Chime]>,
}

const NO_ERROR: Kafka = Kafka::RD_KAFKA_RESP_ERR_NO_ERROR;

impl Consumer {
    pub(crate) fn open(
        properties: &[(String, String)],
        lanes: usize,
        start_from: StartFrom,
        events: Weak<dyn GroupEvents>,
        bells: Arc<Bells>,
    ) -> Result<Self> {
        let rebalancer = Arc::new(Rebalancer {
            events,
            start_from,
            lanes: RwLock::new(Vec::new()),
            closing: AtomicBool::new(false),
        });
        let client = Arc::new(Client::new(Kind::Consumer, properties, Some(Arc::clone(&rebalancer)))?);
        let chimes: Box<[Chime]> = (0..lanes).map(|lane| Chime { bells: Arc::clone(&bells), lane }).collect();
        // SAFETY: the client is valid; the chimes outlive the queues' callbacks, see `Drop`.
        let queues = unsafe {
            sys::rd_kafka_poll_set_consumer(client.raw());
            let queue = |chime: &Chime| {
                let queue = Queue(sys::rd_kafka_queue_new(client.raw()));
                let chime = std::ptr::from_ref(chime).cast_mut();
                sys::rd_kafka_queue_cb_event_enable(queue.0, Some(on_queue), chime.cast());
                queue
            };
            chimes.iter().map(queue).collect()
        };
        *rebalancer.lanes.write() = queues;
        Ok(Self { client, rebalancer, bells, _chimes: chimes })
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<()> {
        let list = List::of(&topics.iter().map(|topic| TopicPartition::new(topic.as_str(), -1)).collect::<Vec<_>>());
        // SAFETY: client and list are valid.
        match unsafe { sys::rd_kafka_subscribe(self.client.raw(), list.as_ptr()) } {
            NO_ERROR => Ok(()),
            code => Err(errors::failure(code, "subscribing to the input topics").error),
        }
    }

    /// Serves the group for up to `timeout`: rebalances, and errors that are nobody's in particular.
    pub(crate) fn serve(&self, timeout: Duration) {
        // SAFETY: the client is valid.
        let raw = unsafe { sys::rd_kafka_consumer_poll(self.client.raw(), timeout.as_millis() as i32) };
        if raw.is_null() {
            return;
        }
        // SAFETY: not null, and handed over to us.
        let message = unsafe { Message::own(raw) };
        let code = message.raw().err;
        if code == Kafka::RD_KAFKA_RESP_ERR__FATAL || self.client.fatal().is_some() {
            self.rebalancer.failed(self.fatal_error());
        } else if code != NO_ERROR {
            self.group_error(code, &error_text(&message));
        }
    }

    fn fatal_error(&self) -> Error {
        let (code, text) = self.client.fatal().unwrap_or((Kafka::RD_KAFKA_RESP_ERR__FATAL, String::new()));
        if code == Kafka::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID {
            return Error::new(
                Code::ProducerFenced,
                "a newer instance with the same instance id took this member's place in the group; \
                 give every running instance its own `transactions.instance_id`",
            );
        }
        errors::error(Code::Internal, code, &format!("the consumer can't go on: {text}"))
    }

    fn group_error(&self, code: Kafka, text: &str) {
        let refused = |ksem| self.rebalancer.failed(Error::new(ksem, text).with("kafka", errors::name(code)));
        match code {
            Kafka::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL
            | Kafka::RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT
            | Kafka::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID
            | Kafka::RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED => return refused(Code::ConfigInvalid),
            _ => {}
        }
        match errors::classify(code).0 {
            ksem @ (Code::NotAuthorized | Code::AuthenticationFailed) => refused(ksem),
            // A broker that has just started may not know the topic yet; librdkafka asks again.
            _ => tracing::warn!(code = errors::name(code), "the consumer reports: {text}"),
        }
    }

    /// Takes up to `max` items that are there already from a lane's queue; never waits. Returns how many
    /// there were.
    pub(crate) fn fetch(&self, lane: usize, max: usize, buffer: &mut Buffer, mut each: impl FnMut(Fetch)) -> usize {
        let queues = self.rebalancer.lanes.read();
        let Some(queue) = queues.get(lane) else { return 0 };
        let raw = &mut buffer.0;
        if raw.len() < max {
            raw.resize(max, std::ptr::null_mut());
        }
        // SAFETY: the array is at least as long as that. One lane has one caller at a time.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(queue.0, 0, raw.as_mut_ptr(), max) };
        let count = usize::try_from(count).unwrap_or(0);
        for raw in &raw[..count] {
            // SAFETY: these entries are messages handed over to us.
            each(sort(unsafe { Message::own(*raw) }));
        }
        count
    }

    /// Commits offsets outside a transaction and waits for the reply.
    pub(crate) fn commit(
        &self,
        offsets: &[(TopicPartition, Position)],
        mark: &str,
        timeout: Duration,
    ) -> Result<(), Failure> {
        offsets::commit(self.client.raw(), offsets, Some(mark), timeout)
    }

    /// Reads the group's committed offsets; offsets of open transactions are waited for (KIP-447).
    pub(crate) fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Item>, Failure> {
        offsets::committed(self.client.raw(), &List::of(partitions), timeout)
    }

    /// Returns each partition's position behind what [`fetch`](Self::fetch) has returned and the
    /// control records that follow it; `None` if nothing was taken under this assignment.
    pub(crate) fn positions(&self, partitions: &[TopicPartition]) -> Vec<Option<i64>> {
        offsets::positions(self.client.raw(), partitions)
    }

    /// Returns the offsets of the first record and behind the last one.
    pub(crate) fn watermarks(&self, source: &TopicPartition, timeout: Duration) -> Option<(i64, i64)> {
        offsets::watermarks(self.client.raw(), source, timeout).ok()
    }

    /// Takes the group's metadata as it is now; only for the thread that serves the group.
    pub(crate) fn metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: the client is a valid consumer.
        unsafe { GroupMetadata::take(self.client.raw()) }
    }

    /// Leaves the group, so that its partitions move at once, and closes the member.
    ///
    /// A static member that is only closed keeps its partitions until its session ends (KIP-345);
    /// one that unsubscribes first leaves.
    pub(crate) fn leave(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.rebalancer.closing.store(true, Ordering::SeqCst);
        // SAFETY: the client is valid.
        unsafe { sys::rd_kafka_unsubscribe(self.client.raw()) };
        // librdkafka forgets the member's id when it asks to leave.
        while group::member_id(&self.client).is_some() && Instant::now() < until {
            self.serve(Duration::from_millis(20));
        }
        // SAFETY: the client is valid. Its callbacks run inside the call.
        unsafe { sys::rd_kafka_consumer_close(self.client.raw()) };
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The chimes may go before the queues do, which the client's context holds.
        for queue in self.rebalancer.lanes.read().iter() {
            // SAFETY: the queue is valid; this removes the callback.
            unsafe { sys::rd_kafka_queue_cb_event_enable(queue.0, None, std::ptr::null_mut()) };
        }
        self.bells.ring_all();
    }
}

fn sort(message: Message) -> Fetch {
    let raw = message.raw();
    let source = || TopicPartition { topic: message.topic(), partition: raw.partition };
    match raw.err {
        NO_ERROR => Fetch::Message(message),
        Kafka::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | Kafka::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
            Fetch::OutOfRange(source(), error_text(&message))
        }
        code => {
            let ksem = errors::classify(code).0;
            Fetch::Failed(Error::new(ksem, error_text(&message)).with("kafka", errors::name(code)))
        }
    }
}

fn error_text(message: &Message) -> String {
    // SAFETY: the message is valid; for an error this returns its text.
    let text = unsafe { sys::rd_kafka_message_errstr(message.raw()) };
    if text.is_null() {
        return errors::text(message.raw().err);
    }
    // SAFETY: not null, and a C string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn on_queue(_: *mut sys::rd_kafka_t, chime: *mut c_void) {
    // SAFETY: the consumer keeps the chime until it has removed the callback.
    let Chime { bells, lane } = unsafe { &*chime.cast::<Chime>() };
    bells.of(*lane).ring();
    bells.any().ring();
}
