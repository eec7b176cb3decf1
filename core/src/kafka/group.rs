//! The group's metadata for transactions, and who else is in the group.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

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

/// Returns whether another member holds this member's instance id: `None` if nobody could say.
pub(crate) fn replaced(client: &Client, group: &str, instance: &str, timeout: Duration) -> Option<bool> {
    let own = member_id(client)?;
    let holders = holders_of(client, group, instance, timeout)?;
    // A member that joined again meanwhile has a new id, and the holder may be itself.
    (member_id(client)? == own).then(|| holders.iter().any(|holder| *holder != own))
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

/// Asks the group which members have the instance id; there is one at most, unless the broker
/// knows no static members.
fn holders_of(client: &Client, group: &str, instance: &str, timeout: Duration) -> Option<Vec<CString>> {
    let group = CString::new(group).ok()?;
    let mut names = [group.as_ptr()];
    let millis = timeout.as_millis() as i32;
    // SAFETY: the event is checked for null before use and read while it lives; everything is
    // destroyed once.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client.raw());
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(client.raw(), operation);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, std::ptr::null_mut(), 0);
        sys::rd_kafka_DescribeConsumerGroups(client.raw(), names.as_mut_ptr(), 1, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis);
        let answer = if event.is_null() { None } else { find(event, instance) };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is valid.
unsafe fn find(event: *mut sys::rd_kafka_event_t, instance: &str) -> Option<Vec<CString>> {
    // SAFETY: the results live as long as the event, and indices are below the counts.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() || sys::rd_kafka_event_error(event) != Kafka::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let mut holders = Vec::new();
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        for index in 0..count {
            let group = *groups.add(index);
            if !sys::rd_kafka_ConsumerGroupDescription_error(group).is_null() {
                return None;
            }
            for member in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
                let member = sys::rd_kafka_ConsumerGroupDescription_member(group, member);
                let held = sys::rd_kafka_MemberDescription_group_instance_id(member);
                if held.is_null() || CStr::from_ptr(held).to_bytes() != instance.as_bytes() {
                    continue;
                }
                holders.push(CStr::from_ptr(sys::rd_kafka_MemberDescription_consumer_id(member)).to_owned());
            }
        }
        Some(holders)
    }
}
