//! Fetched messages: views on librdkafka's buffers until somebody copies them.

use std::ffi::CStr;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use rdkafka_sys as sys;

use crate::batch::{Messages, Parts};
use crate::kafka::client::Client;
use crate::record::{Header, HeaderSource};

/// One message that librdkafka handed over.
pub(crate) struct Message(*mut sys::rd_kafka_message_t);

// SAFETY: a message is a heap object with atomic reference counts behind it. The one call that
// changes it, the parsing of headers, is behind a lock.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

/// librdkafka parses headers when they are first asked for and stores them in the message. One lock
/// for each would be memory for nothing; one for all would hold the lanes up.
static PARSING: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];

impl Message {
    /// # Safety
    /// `raw` is valid and nobody else destroys it.
    pub(crate) unsafe fn own(raw: *mut sys::rd_kafka_message_t) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until it is dropped.
        unsafe { &*self.0 }
    }

    pub(crate) fn topic(&self) -> Arc<str> {
        // SAFETY: a fetched message has a topic.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw().rkt)) }.to_string_lossy().into()
    }

    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is valid.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.raw().len + self.raw().key_len
    }

    /// Returns whether the record certainly has no headers, without asking librdkafka, which allocates and frees a
    /// reader of half a kilobyte to find that out: a third of what forwarding a record takes.
    fn has_no_headers(&self) -> bool {
        let raw = self.raw();
        // Only record batches of format 2 have a leader epoch, and in them the number of headers, a varint, is behind
        // the value. An empty value is elsewhere, and a null one nowhere.
        if raw.len == 0 || raw.payload.is_null() || !*LAYOUT_IS_KNOWN || self.leader_epoch().is_none() {
            return false;
        }
        // SAFETY: the value is a part of librdkafka's buffer, and at least the number of headers follows it there.
        unsafe { *raw.payload.cast::<u8>().add(raw.len) == 0 }
    }

    fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (time >= 0 && kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(time)
    }
}

/// The values of fetched records are views on the response, headers behind them, in the versions that were looked at
/// (`rdkafka_msgset_reader.c`). The instruction counts show it when another one comes.
static LAYOUT_IS_KNOWN: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: it only returns a number.
    let version = unsafe { sys::rd_kafka_version() };
    (0x020c_0000..=0x020c_01ff).contains(&version)
});

/// # Safety
/// `start` is null or points at `len` bytes that live as long as `'a`.
unsafe fn view<'a>(start: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

impl HeaderSource for Message {
    fn for_each<'a>(&'a self, each: &mut dyn FnMut(Header<'a>)) {
        if self.has_no_headers() {
            return;
        }
        let _parsing = PARSING[(self.0 as usize >> 6) % PARSING.len()].lock();
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is valid, the lock is held, and the headers live as long as it.
        unsafe {
            if sys::rd_kafka_message_headers(self.0, &raw mut headers) != NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
                if sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len) != NO_ERROR
                {
                    return;
                }
                // Kafka asks for UTF-8 names; one that is not is left out rather than changed.
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    each((name, view(value, len)));
                }
            }
        }
    }
}

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is its end.
        unsafe { sys::rd_kafka_message_destroy(self.0) }
    }
}

/// The messages of one batch, and the client whose memory they are.
pub(crate) struct Fetched {
    // Dropped before the client: librdkafka wants its messages back first.
    messages: Vec<Message>,
    _client: Arc<Client>,
}

impl Fetched {
    pub(crate) fn new(messages: Vec<Message>, client: Arc<Client>) -> Self {
        Self { messages, _client: client }
    }
}

impl Messages for Fetched {
    fn get(&self, index: usize) -> Parts<'_> {
        let message = &self.messages[index];
        let raw = message.raw();
        // SAFETY: both are null or as long as they say, and live as long as the message.
        let (key, value) = unsafe { (view(raw.key, raw.key_len), view(raw.payload, raw.len)) };
        Parts { offset: raw.offset, timestamp: message.timestamp(), key, value, headers: message }
    }
}
