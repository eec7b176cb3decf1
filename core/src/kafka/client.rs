//! An owned `rd_kafka_t` with its callbacks' context.

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::error::{Code, Error, Result};
use crate::kafka::errors;
use crate::kafka::interceptors::{self, EndTxnWatch};
use crate::kafka::rebalance::{Rebalancer, on_rebalance};

/// What librdkafka's callbacks write to and read from.
pub(crate) struct Context {
    pub(crate) deliveries: Deliveries,
    pub(crate) end_txn: EndTxnWatch,
    pub(crate) rebalancer: Option<Arc<Rebalancer>>,
    /// The last error that named a cause a user can act on.
    last_error: Mutex<Option<(Kafka, String)>>,
}

/// Delivery reports since the last reset.
#[derive(Default)]
pub(crate) struct Deliveries {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    /// Bytes of keys and values that have their report, whatever it says.
    bytes: AtomicUsize,
    first: Mutex<Option<(Kafka, String)>>,
    places: Places,
}

/// The partitions that ever had a report.
#[derive(Default)]
struct Places {
    all: Mutex<HashSet<(usize, i32)>>,
    number: AtomicUsize,
    /// The last one, a topic's handle and a partition: reports come a batch at a time.
    last: (AtomicUsize, AtomicI32),
}

impl Places {
    fn note(&self, topic: usize, partition: i32) {
        let (last_topic, last_partition) = &self.last;
        if last_partition.load(Ordering::Relaxed) != partition || last_topic.load(Ordering::Relaxed) != topic {
            last_topic.store(topic, Ordering::Relaxed);
            last_partition.store(partition, Ordering::Relaxed);
            let mut all = self.all.lock();
            all.insert((topic, partition));
            self.number.store(all.len(), Ordering::Relaxed);
        }
    }
}

impl Deliveries {
    pub(crate) fn reset(&self) {
        self.acknowledged.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        *self.first.lock() = None;
    }

    /// How many bytes of keys and values have their report.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many partitions ever had a report.
    pub(crate) fn partitions(&self) -> usize {
        self.places.number.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Returns the first failure and the topic it happened on.
    pub(crate) fn first_failure(&self) -> Option<(Kafka, String)> {
        self.first.lock().clone()
    }

    #[cold]
    fn note_failure(&self, error: Kafka, topic: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.first.lock().get_or_insert((error, topic));
    }
}

/// An owned client.
pub(crate) struct Client {
    rk: *mut sys::rd_kafka_t,
    // Boxed, so that its address stays; freed after the client is gone.
    context: Box<Context>,
}

// SAFETY: librdkafka's handles are made to be used from any thread.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// Which kind of client to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Consumer,
    Producer,
}

impl Client {
    pub(crate) fn new(
        kind: Kind,
        properties: &[(String, String)],
        rebalancer: Option<Arc<Rebalancer>>,
    ) -> Result<Self> {
        let context = Box::new(Context {
            deliveries: Deliveries::default(),
            end_txn: EndTxnWatch::default(),
            rebalancer,
            last_error: Mutex::new(None),
        });
        let conf = Conf::new(properties)?;
        let mut text = [0 as c_char; 512];
        // SAFETY: `conf` is ours; the context is boxed and outlives the client; on success
        // librdkafka takes the configuration over.
        let rk = unsafe {
            sys::rd_kafka_conf_set_opaque(conf.0, (&raw const *context).cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(conf.0, Some(on_log));
            sys::rd_kafka_conf_set_error_cb(conf.0, Some(on_error));
            let kind = match kind {
                Kind::Consumer => {
                    sys::rd_kafka_conf_set_rebalance_cb(conf.0, Some(on_rebalance));
                    sys::rd_kafka_type_t::RD_KAFKA_CONSUMER
                }
                Kind::Producer => {
                    // Without a delivery callback, flush waits in steps of 10 ms.
                    sys::rd_kafka_conf_set_dr_msg_cb(conf.0, Some(on_delivery));
                    interceptors::install(conf.0, &raw const context.end_txn);
                    sys::rd_kafka_type_t::RD_KAFKA_PRODUCER
                }
            };
            sys::rd_kafka_new(kind, conf.0, text.as_mut_ptr(), text.len())
        };
        if rk.is_null() {
            return Err(Error::new(
                Code::ConfigInvalid,
                format!("librdkafka refuses the configuration: {}", from_c(&text)),
            ));
        }
        conf.taken();
        Ok(Self { rk, context })
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_t {
        self.rk
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the fatal error that ended the client, if one did.
    pub(crate) fn fatal(&self) -> Option<(Kafka, String)> {
        let mut text = [0 as c_char; 512];
        // SAFETY: the client is valid and the buffer as long as it says.
        let code = unsafe { sys::rd_kafka_fatal_error(self.rk, text.as_mut_ptr(), text.len()) };
        (code != Kafka::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| (code, from_c(&text)))
    }

    /// Returns the cause that librdkafka reported last, to make a time-out's error useful.
    pub(crate) fn last_error(&self) -> Option<(Kafka, String)> {
        self.context.last_error.lock().clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(rebalancer) = &self.context.rebalancer {
            rebalancer.release();
        }
        // SAFETY: nothing refers to the client any more; its threads end before the context.
        unsafe { sys::rd_kafka_destroy(self.rk) }
    }
}

/// A configuration that is being filled.
struct Conf(*mut sys::rd_kafka_conf_t);

impl Conf {
    fn new(properties: &[(String, String)]) -> Result<Self> {
        // SAFETY: always succeeds.
        let conf = Self(unsafe { sys::rd_kafka_conf_new() });
        for (name, value) in properties {
            conf.set(name, value)?;
        }
        Ok(conf)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let nul = |_| Error::new(Code::ConfigInvalid, format!("`kafka.{name}` has a NUL character"));
        let (c_name, c_value) = (CString::new(name).map_err(nul)?, CString::new(value).map_err(nul)?);
        let mut text = [0 as c_char; 512];
        // SAFETY: the strings and the buffer live across the call.
        let result =
            unsafe { sys::rd_kafka_conf_set(self.0, c_name.as_ptr(), c_value.as_ptr(), text.as_mut_ptr(), text.len()) };
        if result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // librdkafka quotes the value, which may be a secret.
        let reason = match value {
            "" => from_c(&text),
            value => from_c(&text).replace(value, "***"),
        };
        Err(Error::new(Code::ConfigInvalid, format!("`kafka.{name}` is not acceptable: {reason}")))
    }

    /// librdkafka owns it now.
    fn taken(self) {
        std::mem::forget(self);
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: it was not taken over.
        unsafe { sys::rd_kafka_conf_destroy(self.0) }
    }
}

pub(crate) fn from_c(text: &[c_char]) -> String {
    // SAFETY: librdkafka ends what it writes with NUL, and the buffers start as zeros.
    unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned()
}

/// # Safety
/// `opaque` is the context that was given to the client, which is alive.
pub(crate) unsafe fn context<'a>(opaque: *mut c_void) -> &'a Context {
    // SAFETY: the caller's promise.
    unsafe { &*opaque.cast::<Context>() }
}

unsafe extern "C" fn on_log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, text: *const c_char) {
    // SAFETY: librdkafka passes two C strings.
    let (facility, text) =
        unsafe { (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy()) };
    // The numbers are syslog's.
    match level {
        0..=4 => tracing::warn!(target: "librdkafka", %facility, "{text}"),
        5 => tracing::info!(target: "librdkafka", %facility, "{text}"),
        6 => tracing::debug!(target: "librdkafka", %facility, "{text}"),
        _ => tracing::trace!(target: "librdkafka", %facility, "{text}"),
    }
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: librdkafka passes its own codes, a C string and the client's opaque.
    let (code, reason, context) = unsafe {
        (std::mem::transmute::<c_int, Kafka>(code), CStr::from_ptr(reason).to_string_lossy(), context(opaque))
    };
    tracing::debug!(target: "librdkafka", code = errors::name(code), "{reason}");
    let mut last = context.last_error.lock();
    // A refused password explains more than the connections that end because of it.
    let explains = matches!(errors::classify(code).0, Code::AuthenticationFailed | Code::NotAuthorized);
    if explains || last.is_none() {
        *last = Some((code, reason.into_owned()));
    }
}

unsafe extern "C" fn on_delivery(
    _: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a valid message and the client's opaque.
    let (message, context) = unsafe { (&*message, context(opaque)) };
    context.deliveries.bytes.fetch_add(message.len + message.key_len, Ordering::Relaxed);
    context.deliveries.places.note(message.rkt as usize, message.partition);
    if message.err == Kafka::RD_KAFKA_RESP_ERR_NO_ERROR {
        context.deliveries.acknowledged.fetch_add(1, Ordering::Relaxed);
    } else {
        // SAFETY: a message that was produced has a topic.
        let topic = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)) }.to_string_lossy().into_owned();
        context.deliveries.note_failure(message.err, topic);
    }
}
