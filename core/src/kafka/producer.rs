//! A producer that is used by one lane at a time: plain or transactional.

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;
use rdkafka_sys::rd_kafka_vtype_t as V;

use crate::batch::Content;
use crate::discipline::Fault;
use crate::engine::ports::{Delivered, Failure, Sent};
use crate::error::{Code, Error, Result};
use crate::kafka::client::{Client, Kind};
use crate::kafka::errors::{self, RichError};
use crate::kafka::group::GroupMetadata;
use crate::kafka::list::List;
use crate::output::{Output, OutputRecord};
use crate::record::{Position, TopicPartition};

/// An owned producer.
pub(crate) struct Producer {
    // Before the client, which they belong to.
    topics: HashMap<Arc<str>, Topic>,
    client: Client,
    /// How many bytes and records may be with it before librdkafka sends some of them by itself.
    room: Load,
    /// How many bytes fill a batch, if a partition has one batch under way at a time.
    batch: Option<usize>,
    /// What was handed over since the last flush.
    held: Load,
}

/// Outputs that are with a producer.
#[derive(Clone, Copy, Default)]
struct Load {
    bytes: usize,
    records: usize,
}

/// An owned topic handle: saves a look-up by name for every record.
struct Topic(*mut sys::rd_kafka_topic_t);

// SAFETY: topic handles are made to be used from any thread.
unsafe impl Send for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is its end.
        unsafe { sys::rd_kafka_topic_destroy(self.0) }
    }
}

/// "As long as the transaction may take": other time-outs can leave librdkafka's state behind.
const WHILE_OPEN: c_int = -1;
const NO_ERROR: Kafka = Kafka::RD_KAFKA_RESP_ERR_NO_ERROR;

impl Producer {
    pub(crate) fn open(properties: &[(String, String)]) -> Result<Self> {
        let client = Client::new(Kind::Producer, properties, None)?;
        let (room, batch) = (room(properties), batch(properties));
        Ok(Self { topics: HashMap::new(), client, room, batch, held: Load::default() })
    }

    /// Hands everything to librdkafka. Calls `before_sending` before it may send any of it by itself, which is
    /// when a partition's records could fill a batch.
    pub(crate) fn enqueue(
        &mut self,
        batch: Option<&Content>,
        output: &Output,
        before_sending: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut handles = Vec::with_capacity(output.topics().len());
        for name in output.topics() {
            handles.push(topic(&mut self.topics, &self.client, name)?);
        }
        let Self { client, room, held, .. } = self;
        output.try_for_each(batch, |view| {
            let within = held.fits(*room);
            held.add(&view.record);
            if within && !held.fits(*room) {
                before_sending()?;
            }
            enqueue(client, handles[view.topic], &view.record)
        })
    }

    /// Sends what is left and waits for every delivery report since the last call. librdkafka bounds each record
    /// by `message.timeout.ms`; a client that reports nothing even after that is given up.
    pub(crate) fn flush(&mut self) -> Result<Delivered, Failure> {
        self.let_full_batches_go();
        self.held = Load::default();
        let longest = QUEUE_PATIENCE.as_millis() as c_int;
        // SAFETY: the client is valid.
        let code = unsafe { sys::rd_kafka_flush(self.client.raw(), longest) };
        if code != NO_ERROR {
            let error = errors::error(Code::DeliveryFailed, code, "waiting for deliveries");
            return Err(Failure::new(Fault::Fatal, error));
        }
        let deliveries = &self.client.context().deliveries;
        let (acknowledged, failed) = deliveries.counts();
        let failure = deliveries.first_failure();
        deliveries.reset();
        match failure {
            None => Ok(Delivered { acknowledged, failed }),
            Some((code, topic)) => Err(delivery_failure(code, &topic, failed)),
        }
    }

    /// Waits until what is left of each partition's records is less than a batch.
    ///
    /// An idempotent producer has one batch of a partition under way at a time. Where more is there to flush, librdkafka
    /// polls without a pause until the response comes, with the processor that the broker would need. Full batches
    /// leave without a flush, and without that.
    fn let_full_batches_go(&self) {
        let deliveries = &self.client.context().deliveries;
        let rest = match (self.batch, deliveries.partitions()) {
            (Some(batch), partitions) if partitions > 0 => batch * partitions,
            _ => return,
        };
        while self.held.bytes.saturating_sub(deliveries.bytes()) >= rest {
            // SAFETY: the client is valid. If nothing comes, there may be more partitions than it ever wrote to.
            if unsafe { sys::rd_kafka_poll(self.client.raw(), BATCH_PATIENCE_MS) } == 0 {
                return;
            }
        }
    }

    /// Hands everything over and waits for every delivery report.
    pub(crate) fn produce(&mut self, output: &Output) -> Result<Delivered, Failure> {
        let enqueued = self.enqueue(None, output, &mut || Ok(()));
        let delivered = self.flush();
        enqueued?;
        delivered
    }

    /// Initialises the `transactional.id`: aborts what a predecessor left open, and fences it.
    pub(crate) fn init_transactions(&self, timeout: Duration) -> Result<(), Failure> {
        self.connect(timeout.min(CONNECT));
        // SAFETY: the client is valid.
        let result = unsafe {
            RichError::take(sys::rd_kafka_init_transactions(self.client.raw(), timeout.as_millis() as c_int))
        };
        result.map_err(|error| {
            let cause = self.client.last_error().map(|(_, text)| text);
            let mut failure = error.failure("initialising the transactional producer");
            if let Some(cause) = cause {
                failure.error = failure.error.with("cause", cause);
            }
            failure
        })
    }

    /// Waits for a connection. librdkafka looks for the transaction coordinator at once if it has one, else half a
    /// second later.
    fn connect(&self, timeout: Duration) {
        let mut metadata = std::ptr::null();
        // SAFETY: the client is valid; what it returns is destroyed here. Without a connection the call after this
        // one says why.
        unsafe {
            let (rk, none) = (self.client.raw(), std::ptr::null_mut());
            if sys::rd_kafka_metadata(rk, 0, none, &raw mut metadata, timeout.as_millis() as c_int) == NO_ERROR {
                sys::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        self.held = Load::default();
        self.client.context().end_txn.reset();
        // SAFETY: the client is valid.
        unsafe { RichError::take(sys::rd_kafka_begin_transaction(self.client.raw())) }
            .map_err(|error| error.failure("beginning a transaction"))
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &[(TopicPartition, Position)],
        mark: &str,
        metadata: &GroupMetadata,
    ) -> Result<(), Failure> {
        let mut list = List::new(offsets.len());
        for (source, position) in offsets {
            list.add(source, *position, Some(mark));
        }
        let rk = self.client.raw();
        // SAFETY: client, list and metadata are valid.
        unsafe {
            RichError::take(sys::rd_kafka_send_offsets_to_transaction(rk, list.as_ptr(), metadata.as_ptr(), WHILE_OPEN))
        }
        .map_err(|error| error.failure("adding offsets to the transaction"))
    }

    pub(crate) fn commit(&self) -> Result<Sent, Failure> {
        // SAFETY: the client is valid.
        let result = unsafe { RichError::take(sys::rd_kafka_commit_transaction(self.client.raw(), WHILE_OPEN)) };
        match result {
            Ok(()) => Ok(self.sent()),
            Err(error) => {
                // Once a request was sent, any error may have come after the decision.
                let certain = error.requires_abort && !error.fatal && self.client.context().end_txn.none_sent();
                let fault = if certain { Fault::Abortable } else { Fault::Unknown };
                Err(Failure::new(fault, error.failure("committing the transaction").error))
            }
        }
    }

    pub(crate) fn abort(&self) -> Result<Sent, Failure> {
        // librdkafka drops what is queued and waits for what is under way. Purging that too would leave a gap in
        // the sequence numbers, and the next transaction would fail.
        // SAFETY: the client is valid.
        let result = unsafe { RichError::take(sys::rd_kafka_abort_transaction(self.client.raw(), WHILE_OPEN)) };
        self.client.context().deliveries.reset();
        match result {
            Ok(()) => Ok(self.sent()),
            Err(error) => Err(error.failure("aborting the transaction")),
        }
    }

    fn sent(&self) -> Sent {
        if self.client.context().end_txn.may_straggle() { Sent::Again } else { Sent::Once }
    }
}

impl Load {
    fn add(&mut self, record: &OutputRecord<'_>) {
        // As librdkafka counts what fills a batch: without headers.
        let size = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        self.bytes += size(record.key) + size(record.value);
        self.records += 1;
    }

    fn fits(&self, room: Self) -> bool {
        self.bytes <= room.bytes && self.records <= room.records
    }
}

/// librdkafka sends a partition's records when they fill a batch, or after `linger.ms`: all of them together may be
/// half of that. Where they may leave sooner than ksem sends them, nothing is held back.
fn room(properties: &[(String, String)]) -> Load {
    let number = |name| number(properties, name);
    match (number("batch.size"), number("batch.num.messages"), number("linger.ms"), number("message.timeout.ms")) {
        (Some(bytes), Some(records), Some(linger), Some(timeout)) if linger + 1 >= timeout => {
            Load { bytes: bytes / 2, records: records / 2 }
        }
        _ => Load::default(),
    }
}

fn batch(properties: &[(String, String)]) -> Option<usize> {
    let is_idempotent = properties.iter().any(|(name, value)| name == "enable.idempotence" && value == "true");
    if is_idempotent { number(properties, "batch.size") } else { None }
}

fn number(properties: &[(String, String)], name: &str) -> Option<usize> {
    properties.iter().find(|(other, _)| other == name)?.1.parse().ok()
}

fn topic(
    topics: &mut HashMap<Arc<str>, Topic>,
    client: &Client,
    name: &Arc<str>,
) -> Result<*mut sys::rd_kafka_topic_t, Failure> {
    if let Some(topic) = topics.get(name) {
        return Ok(topic.0);
    }
    let invalid = || {
        let error = Error::new(Code::RecordInvalid, format!("`{name}` is no valid topic name"));
        Failure::new(Fault::Permanent, error)
    };
    let c_name = CString::new(&**name).map_err(|_| invalid())?;
    // SAFETY: client and name are valid.
    let raw = unsafe { sys::rd_kafka_topic_new(client.raw(), c_name.as_ptr(), std::ptr::null_mut()) };
    if raw.is_null() {
        return Err(invalid());
    }
    topics.insert(Arc::clone(name), Topic(raw));
    Ok(raw)
}

/// Hands a record to librdkafka, which copies it; waits while its queue is full.
fn enqueue(client: &Client, topic: *mut sys::rd_kafka_topic_t, record: &OutputRecord<'_>) -> Result<(), Failure> {
    let headers = match record.headers {
        [] => std::ptr::null_mut(),
        _ => headers(record)?,
    };
    let mut full_since = None;
    loop {
        match send(client, topic, record, headers) {
            NO_ERROR => return Ok(()),
            Kafka::RD_KAFKA_RESP_ERR__QUEUE_FULL
                if full_since.get_or_insert_with(Instant::now).elapsed() < QUEUE_PATIENCE =>
            {
                // SAFETY: the client is valid; this sends what is held, and serves the delivery reports, which make room.
                unsafe { sys::rd_kafka_flush(client.raw(), 10) };
            }
            code => {
                if !headers.is_null() {
                    // SAFETY: librdkafka takes the headers over only when it takes the record.
                    unsafe { sys::rd_kafka_headers_destroy(headers) };
                }
                return Err(match client.fatal() {
                    Some((fatal, text)) => {
                        let fault = match errors::classify(fatal).1 {
                            Fault::Fenced => Fault::Fenced,
                            _ => Fault::Fatal,
                        };
                        Failure::new(fault, errors::error(Code::DeliveryFailed, fatal, &text))
                    }
                    None => delivery_failure(code, &topic_name(topic), 1),
                });
            }
        }
    }
}

/// librdkafka chooses the partition by the key.
const BY_KEY: i32 = -1;

/// How long a first connection is waited for before librdkafka is left to it.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a full batch may take before the rest is sent along with it.
const BATCH_PATIENCE_MS: c_int = 200;

/// How long a full queue is waited for; librdkafka gives up on records earlier than this.
const QUEUE_PATIENCE: Duration = Duration::from_mins(5);

fn send(
    client: &Client,
    topic: *mut sys::rd_kafka_topic_t,
    record: &OutputRecord<'_>,
    headers: *mut sys::rd_kafka_headers_t,
) -> Kafka {
    let (key, key_len) = raw(record.key);
    let (value, value_len) = raw(record.value);
    let partition = record.partition.unwrap_or(BY_KEY);
    // SAFETY: the arguments follow their tags' types; key and value are copied in the call, and null
    // headers are none.
    unsafe {
        sys::rd_kafka_producev(
            client.raw(),
            V::RD_KAFKA_VTYPE_RKT as c_int,
            topic,
            V::RD_KAFKA_VTYPE_PARTITION as c_int,
            partition,
            V::RD_KAFKA_VTYPE_MSGFLAGS as c_int,
            sys::RD_KAFKA_MSG_F_COPY as c_int,
            V::RD_KAFKA_VTYPE_VALUE as c_int,
            value,
            value_len,
            V::RD_KAFKA_VTYPE_KEY as c_int,
            key,
            key_len,
            V::RD_KAFKA_VTYPE_TIMESTAMP as c_int,
            record.timestamp.unwrap_or(0),
            V::RD_KAFKA_VTYPE_HEADERS as c_int,
            headers,
            V::RD_KAFKA_VTYPE_END as c_int,
        )
    }
}

fn headers(record: &OutputRecord<'_>) -> Result<*mut sys::rd_kafka_headers_t, Failure> {
    // SAFETY: names and values live across the calls, which copy them.
    unsafe {
        let all = sys::rd_kafka_headers_new(record.headers.len());
        for (name, value) in record.headers {
            let (start, len) = raw(*value);
            let code = sys::rd_kafka_header_add(all, name.as_ptr().cast(), name.len() as isize, start, len as isize);
            if code != NO_ERROR {
                sys::rd_kafka_headers_destroy(all);
                return Err(errors::failure(code, "adding a header"));
            }
        }
        Ok(all)
    }
}

/// Null and empty are different: an empty slice must have an address.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        None => (std::ptr::null_mut(), 0),
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
    }
}

fn topic_name(topic: *mut sys::rd_kafka_topic_t) -> String {
    // SAFETY: the handle is valid and has a name.
    unsafe { std::ffi::CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_string_lossy().into_owned()
}

fn delivery_failure(code: Kafka, topic: &str, records: u64) -> Failure {
    let (mut ksem, mut fault) = errors::classify(code);
    if ksem == Code::BrokerUnavailable {
        ksem = Code::DeliveryFailed;
    }
    // Records that were purged failed because something else did, which the next call tells.
    if matches!(code, Kafka::RD_KAFKA_RESP_ERR__PURGE_QUEUE | Kafka::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
        fault = Fault::Abortable;
    }
    let advice = match ksem {
        Code::OutputTopicMissing => "; create it with `ksem topic create`",
        Code::RecordInvalid => {
            "; raise `kafka.message.max.bytes` and the topic's `max.message.bytes`, or make it smaller"
        }
        _ => "",
    };
    let error = Error::new(ksem, format!("output records were not delivered: {}{advice}", errors::text(code)))
        .with("topic", topic)
        .with("records", records)
        .with("kafka", errors::name(code));
    Failure::new(fault, error)
}
