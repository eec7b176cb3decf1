//! Offsets of a group member: committed ones, positions, and the bounds of the log.

use std::ffi::CString;
use std::time::Duration;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::discipline::Fault;
use crate::engine::ports::Failure;
use crate::error::Code;
use crate::kafka::errors;
use crate::kafka::list::{Item, List};
use crate::kafka::rebalance::Queue;
use crate::record::{Position, TopicPartition};

const NO_ERROR: Kafka = Kafka::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Commits offsets outside a transaction and waits for the reply.
pub(super) fn commit(
    rk: *mut sys::rd_kafka_t,
    offsets: &[(TopicPartition, Position)],
    mark: Option<&str>,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut list = List::new(offsets.len());
    for (source, position) in offsets {
        list.add(source, *position, mark);
    }
    // SAFETY: client, list and queue are valid; the event is destroyed once.
    unsafe {
        let queue = Queue(sys::rd_kafka_queue_new(rk));
        let code = sys::rd_kafka_commit_queue(rk, list.as_ptr(), queue.0, None, std::ptr::null_mut());
        if code != NO_ERROR {
            return Err(commit_failure(code));
        }
        let event = sys::rd_kafka_queue_poll(queue.0, timeout.as_millis() as i32);
        if event.is_null() {
            return Err(commit_failure(Kafka::RD_KAFKA_RESP_ERR__TIMED_OUT));
        }
        let code = sys::rd_kafka_event_error(event);
        let partitions = List::copy(sys::rd_kafka_event_topic_partition_list(event));
        sys::rd_kafka_event_destroy(event);
        let of_partition = partitions.items().into_iter().map(|item| item.error).find(|code| *code != NO_ERROR);
        match of_partition.unwrap_or(code) {
            NO_ERROR => Ok(()),
            code => Err(commit_failure(code)),
        }
    }
}

fn commit_failure(code: Kafka) -> Failure {
    let doing = "committing offsets";
    match code {
        Kafka::RD_KAFKA_RESP_ERR__TIMED_OUT => {
            Failure::new(Fault::Unknown, errors::error(Code::CommitFailed, code, doing))
        }
        code => {
            let failure = errors::failure(code, doing);
            match failure.fault {
                Fault::Transient => Failure::new(Fault::Transient, errors::error(Code::CommitFailed, code, doing)),
                _ => failure,
            }
        }
    }
}

/// Reads the group's committed offsets; offsets of open transactions are waited for (KIP-447).
pub(super) fn committed(rk: *mut sys::rd_kafka_t, list: &List, timeout: Duration) -> Result<Vec<Item>, Failure> {
    let doing = "reading the group's committed offsets";
    // SAFETY: both are valid; the list is filled in place.
    let code = unsafe { sys::rd_kafka_committed(rk, list.as_ptr(), timeout.as_millis() as i32) };
    if code != NO_ERROR {
        return Err(errors::failure(code, doing));
    }
    let items = list.items();
    match items.iter().map(|item| item.error).find(|code| *code != NO_ERROR) {
        None => Ok(items),
        Some(code) => Err(errors::failure(code, doing)),
    }
}

/// Returns each partition's position behind what was taken from its queue and the control records
/// that follow it; `None` if nothing was taken under this assignment.
pub(super) fn positions(rk: *mut sys::rd_kafka_t, partitions: &[TopicPartition]) -> Vec<Option<i64>> {
    let list = List::of(partitions);
    // SAFETY: client and list are valid; the list is filled in place.
    unsafe { sys::rd_kafka_position(rk, list.as_ptr()) };
    list.items().into_iter().map(|item| (item.offset >= 0).then_some(item.offset)).collect()
}

/// Returns the offsets of the first record and behind the last one that is stable.
pub(super) fn watermarks(
    rk: *mut sys::rd_kafka_t,
    source: &TopicPartition,
    timeout: Duration,
) -> Result<(i64, i64), Failure> {
    let doing = "reading the bounds of a partition";
    let failed = |code| errors::failure(code, doing);
    let topic = CString::new(&*source.topic).map_err(|_| failed(Kafka::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION))?;
    let (mut low, mut high) = (0, 0);
    let timeout = timeout.as_millis() as i32;
    // SAFETY: the client is valid, and everything lives across the call.
    let code = unsafe {
        sys::rd_kafka_query_watermark_offsets(
            rk,
            topic.as_ptr(),
            source.partition,
            &raw mut low,
            &raw mut high,
            timeout,
        )
    };
    if code == NO_ERROR { Ok((low, high)) } else { Err(failed(code)) }
}
