//! Watches the requests that end transactions.
//!
//! librdkafka sends EndTxn again by itself when its reply is late, and then reports plain success.
//! A copy that is still under way can end a later transaction (KAFKA-17754; librdkafka speaks
//! EndTxn v1, to which the protection of KIP-890 does not apply). Interceptors see every request.

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

/// The API key of EndTxn in Kafka's protocol.
const END_TXN: i16 = 26;

/// Counts the EndTxn requests since the last transaction began.
#[derive(Debug, Default)]
pub(crate) struct EndTxnWatch {
    sent: AtomicU32,
    failed: AtomicU32,
}

impl EndTxnWatch {
    /// Starts counting anew, before a transaction begins.
    pub(crate) fn reset(&self) {
        self.sent.store(0, Ordering::SeqCst);
        self.failed.store(0, Ordering::SeqCst);
    }

    /// Returns whether no request was sent, so that nothing was decided.
    pub(crate) fn none_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst) == 0
    }

    /// Returns whether a copy of a request may still be under way.
    pub(crate) fn may_straggle(&self) -> bool {
        self.sent.load(Ordering::SeqCst) > 1 || self.failed.load(Ordering::SeqCst) > 0
    }
}

/// Installs the watch on every client that is made of the configuration.
///
/// # Safety
/// `conf` is valid, and `watch` outlives the client.
pub(crate) unsafe fn install(conf: *mut sys::rd_kafka_conf_t, watch: *const EndTxnWatch) {
    // SAFETY: the caller's promise; the name is a static C string.
    unsafe {
        sys::rd_kafka_conf_interceptor_add_on_new(conf, c"ksem".as_ptr(), Some(on_new), watch.cast_mut().cast());
    }
}

unsafe extern "C" fn on_new(
    rk: *mut sys::rd_kafka_t,
    _conf: *const sys::rd_kafka_conf_t,
    watch: *mut c_void,
    _errstr: *mut c_char,
    _errstr_size: usize,
) -> Kafka {
    // SAFETY: librdkafka calls this while `rk` is being made, as it asks interceptors to do.
    unsafe {
        sys::rd_kafka_interceptor_add_on_request_sent(rk, c"ksem".as_ptr(), Some(on_sent), watch);
        sys::rd_kafka_interceptor_add_on_response_received(rk, c"ksem".as_ptr(), Some(on_response), watch);
    }
    Kafka::RD_KAFKA_RESP_ERR_NO_ERROR
}

unsafe extern "C" fn on_sent(
    _rk: *mut sys::rd_kafka_t,
    _fd: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    api_key: i16,
    _version: i16,
    _correlation: i32,
    _size: usize,
    watch: *mut c_void,
) -> Kafka {
    if api_key == END_TXN {
        // SAFETY: `watch` was given to `install`, whose caller keeps it alive.
        unsafe { &*watch.cast::<EndTxnWatch>() }.sent.fetch_add(1, Ordering::SeqCst);
    }
    Kafka::RD_KAFKA_RESP_ERR_NO_ERROR
}

unsafe extern "C" fn on_response(
    _rk: *mut sys::rd_kafka_t,
    _fd: c_int,
    _broker: *const c_char,
    _broker_id: i32,
    api_key: i16,
    _version: i16,
    _correlation: i32,
    _size: usize,
    _rtt: i64,
    error: Kafka,
    watch: *mut c_void,
) -> Kafka {
    if api_key == END_TXN && error != Kafka::RD_KAFKA_RESP_ERR_NO_ERROR {
        // SAFETY: as above.
        unsafe { &*watch.cast::<EndTxnWatch>() }.failed.fetch_add(1, Ordering::SeqCst);
    }
    Kafka::RD_KAFKA_RESP_ERR_NO_ERROR
}
