//! The member's place in its group.

use std::ffi::{CStr, CString};

use rdkafka_sys as sys;

use crate::kafka::client::Client;

/// The member's place in its group at one moment: what fences a transaction of a member that has
/// lost its partitions (KIP-447).
pub(crate) struct GroupMetadata(*mut sys::rd_kafka_consumer_group_metadata_t);

// SAFETY: the metadata is never changed after it was made.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// Takes what holds now. Returns `None` outside a generation: the broker would not check
    /// such metadata at all.
    ///
    /// # Safety
    /// `rk` is a valid consumer.
    pub(crate) unsafe fn take(rk: *mut sys::rd_kafka_t) -> Option<Self> {
        // SAFETY: the caller's promise; a null result is not used.
        unsafe {
            let raw = sys::rd_kafka_consumer_group_metadata(rk);
            if raw.is_null() {
                return None;
            }
            let metadata = Self(raw);
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(raw);
            (generation >= 0).then_some(metadata)
        }
    }

    pub(crate) fn as_ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is its end.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

/// Returns the id under which the group knows this member, if it has joined.
pub(crate) fn member_id(client: &Client) -> Option<CString> {
    // SAFETY: the client is valid; the text is copied before it is freed.
    unsafe {
        let raw = sys::rd_kafka_memberid(client.raw());
        if raw.is_null() {
            return None;
        }
        let id = CStr::from_ptr(raw).to_owned();
        sys::rd_kafka_mem_free(client.raw(), raw.cast());
        (!id.is_empty()).then_some(id)
    }
}
