//! An owned list of partitions with offsets, as librdkafka wants them.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Kafka;

use crate::record::{Position, TopicPartition};

/// `RD_KAFKA_OFFSET_BEGINNING` and `_INVALID`.
pub(crate) const BEGINNING: i64 = -2;
pub(crate) const INVALID: i64 = -1001;

/// An owned `rd_kafka_topic_partition_list_t`.
pub(crate) struct List(*mut sys::rd_kafka_topic_partition_list_t);

// SAFETY: the list is plain memory that nothing else refers to.
unsafe impl Send for List {}

/// One entry, copied out.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) source: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) metadata: Option<String>,
    pub(crate) error: Kafka,
}

impl List {
    pub(crate) fn new(capacity: usize) -> Self {
        // SAFETY: always succeeds.
        Self(unsafe { sys::rd_kafka_topic_partition_list_new(capacity as i32) })
    }

    pub(crate) fn of<'a>(sources: impl IntoIterator<Item = &'a TopicPartition>) -> Self {
        let mut list = Self::new(16);
        for source in sources {
            list.add(source, Position { offset: INVALID, leader_epoch: None }, None);
        }
        list
    }

    /// Copies a list that librdkafka owns.
    ///
    /// # Safety
    /// `raw` is null or valid.
    pub(crate) unsafe fn copy(raw: *const sys::rd_kafka_topic_partition_list_t) -> Self {
        if raw.is_null() {
            return Self::new(0);
        }
        // SAFETY: the caller's promise.
        Self(unsafe { sys::rd_kafka_topic_partition_list_copy(raw) })
    }

    /// Adds a partition; the metadata is stored by the broker with the committed offset.
    pub(crate) fn add(&mut self, source: &TopicPartition, position: Position, metadata: Option<&str>) {
        // A topic name with a NUL can't exist: the broker refuses it by its characters.
        let topic = CString::new(&*source.topic).unwrap_or_default();
        // SAFETY: the new entry is valid until the next change of the list; its metadata is
        // allocated with the allocator that librdkafka frees it with.
        unsafe {
            let entry = sys::rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), source.partition);
            (*entry).offset = position.offset;
            if let Some(epoch) = position.leader_epoch {
                sys::rd_kafka_topic_partition_set_leader_epoch(entry, epoch);
            }
            if let Some(text) = metadata {
                let copy = sys::rd_kafka_mem_malloc(std::ptr::null_mut(), text.len());
                std::ptr::copy_nonoverlapping(text.as_ptr(), copy.cast(), text.len());
                (*entry).metadata = copy;
                (*entry).metadata_size = text.len();
            }
        }
    }

    /// Sets the offset of entry `index`, as [`items`](Self::items) numbers them.
    pub(crate) fn set_offset(&mut self, index: usize, offset: i64) {
        self.raw_items_mut()[index].offset = offset;
    }

    pub(crate) fn items(&self) -> Vec<Item> {
        let copy = |entry: &sys::rd_kafka_topic_partition_t| {
            // SAFETY: entries of a valid list have a topic, and metadata of the size they say.
            unsafe {
                let topic: Arc<str> = CStr::from_ptr(entry.topic).to_string_lossy().into();
                let metadata = (!entry.metadata.is_null()).then(|| {
                    let bytes = std::slice::from_raw_parts(entry.metadata.cast::<u8>(), entry.metadata_size);
                    String::from_utf8_lossy(bytes).into_owned()
                });
                Item {
                    source: TopicPartition { topic, partition: entry.partition },
                    offset: entry.offset,
                    metadata,
                    error: entry.err,
                }
            }
        };
        self.raw_items().iter().map(copy).collect()
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0
    }

    fn raw_items(&self) -> &[sys::rd_kafka_topic_partition_t] {
        // SAFETY: `elems` has `cnt` entries; an empty list may have none at all.
        unsafe {
            match (*self.0).cnt {
                0 => &[],
                count => std::slice::from_raw_parts((*self.0).elems, count as usize),
            }
        }
    }

    fn raw_items_mut(&mut self) -> &mut [sys::rd_kafka_topic_partition_t] {
        // SAFETY: as above, and the list is ours alone.
        unsafe {
            match (*self.0).cnt {
                0 => &mut [],
                count => std::slice::from_raw_parts_mut((*self.0).elems, count as usize),
            }
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is its end.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0) }
    }
}
