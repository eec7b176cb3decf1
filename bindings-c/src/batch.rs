//! Input: batches, their records, and whole columns of them.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use ksem::error::Result;
use ksem::{Batch, Header};

use crate::boundary::{c_text, misuse, value};
use crate::constants::KSEM_NO_TIMESTAMP;

/// Bytes: a key, or a value. NULL `data` is null (of a value: a tombstone), which is not the same as empty.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ksem_bytes {
    /// The first byte, or NULL.
    pub data: *const c_void,
    /// How many bytes there are.
    pub len: usize,
}

/// One header. Names may repeat; a value may be null.
#[repr(C)]
pub struct ksem_header {
    /// The name, with a NUL at its end.
    pub name: *const c_char,
    /// The value.
    pub value: ksem_bytes,
}

/// The headers of a record, in order.
#[repr(C)]
pub struct ksem_headers {
    /// The first one.
    pub items: *const ksem_header,
    /// How many there are.
    pub len: usize,
}

/// An input record: views on memory of the batch.
#[repr(C)]
pub struct ksem_record {
    /// The topic that it was read from, with a NUL at its end.
    pub topic: *const c_char,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset. Offsets are sparse: control records and compaction take numbers.
    pub offset: i64,
    /// Milliseconds since 1970, or `KSEM_NO_TIMESTAMP`.
    pub timestamp: i64,
    /// The key.
    pub key: ksem_bytes,
    /// The value.
    pub value: ksem_bytes,
}

/// The records of a batch; those of one partition come in the order of their offsets.
#[repr(C)]
pub struct ksem_records {
    /// The first one.
    pub items: *const ksem_record,
    /// How many there are.
    pub len: usize,
}

/// The records of a batch, a column for each part. Each column has `len` items.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ksem_columns {
    /// How many records there are.
    pub len: usize,
    /// The topics, each with a NUL at its end.
    pub topics: *const *const c_char,
    /// The partitions.
    pub partitions: *const i32,
    /// The offsets.
    pub offsets: *const i64,
    /// Milliseconds since 1970, or `KSEM_NO_TIMESTAMP`.
    pub timestamps: *const i64,
    /// The keys.
    pub keys: *const ksem_bytes,
    /// The values.
    pub values: *const ksem_bytes,
}

/// Input records of one lane. Whoever got one from `ksem_pipeline_poll` frees it, also when it was processed.
pub struct ksem_batch {
    /// The records, for as long as the handle lives.
    records: Batch,
    /// What can be processed, once.
    open: Mutex<Option<Batch>>,
    topics: OnceLock<Topics>,
    rows: OnceLock<Vec<ksem_record>>,
    columns: OnceLock<Columns>,
    headers: Mutex<HashMap<usize, Headers>>,
}

/// The topics' names, and which record has which.
struct Topics {
    names: Vec<CString>,
    of: Vec<usize>,
}

struct Columns {
    topics: Vec<*const c_char>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: Vec<ksem_bytes>,
    values: Vec<ksem_bytes>,
}

/// One record's headers; the names behind the views are kept with them.
struct Headers {
    _names: Vec<CString>,
    items: Vec<ksem_header>,
}

impl ksem_bytes {
    pub(crate) fn of(bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => Self { data: bytes.as_ptr().cast(), len: bytes.len() },
            None => Self { data: std::ptr::null(), len: 0 },
        }
    }

    /// What a caller gave.
    ///
    /// # Safety
    /// `data` is NULL or points at `len` bytes that live as long as `'a`.
    pub(crate) unsafe fn get<'a>(self, name: &str) -> Result<Option<&'a [u8]>> {
        if self.data.is_null() && self.len > 0 {
            return Err(misuse(format!("`{name}.data` is NULL and its length is {}", self.len)));
        }
        // SAFETY: the caller's promise, and not NULL.
        Ok((!self.data.is_null()).then(|| unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) }))
    }
}

impl ksem_batch {
    /// A batch that its holder may process.
    pub(crate) fn polled(batch: Batch) -> Self {
        let records = Self::lent(&batch);
        Self { open: Mutex::new(Some(batch)), ..records }
    }

    /// A batch that is shown to a handler.
    pub(crate) fn lent(batch: &Batch) -> Self {
        Self {
            records: batch.view(),
            open: Mutex::default(),
            topics: OnceLock::new(),
            rows: OnceLock::new(),
            columns: OnceLock::new(),
            headers: Mutex::default(),
        }
    }

    /// Takes what can be processed.
    pub(crate) fn take(&self) -> Result<Batch> {
        let taken = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| misuse("the batch was processed already, or belongs to a handler's caller"))
    }

    fn topics(&self) -> &Topics {
        self.topics.get_or_init(|| {
            let mut topics = Topics { names: Vec::new(), of: Vec::with_capacity(self.records.len()) };
            for record in self.records.records() {
                let known = topics.names.iter().rposition(|name| name.as_bytes() == record.topic.as_bytes());
                topics.of.push(known.unwrap_or_else(|| {
                    topics.names.push(c_text(record.topic));
                    topics.names.len() - 1
                }));
            }
            topics
        })
    }

    fn rows(&self) -> &[ksem_record] {
        self.rows.get_or_init(|| {
            let topics = self.topics();
            let row = |(record, topic): (ksem::Record<'_>, &usize)| ksem_record {
                topic: topics.names[*topic].as_ptr(),
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp.unwrap_or(KSEM_NO_TIMESTAMP),
                key: ksem_bytes::of(record.key),
                value: ksem_bytes::of(record.value),
            };
            self.records.records().zip(&topics.of).map(row).collect()
        })
    }

    fn columns(&self) -> ksem_columns {
        let columns = self.columns.get_or_init(|| {
            let rows = self.rows();
            Columns {
                topics: rows.iter().map(|row| row.topic).collect(),
                partitions: rows.iter().map(|row| row.partition).collect(),
                offsets: rows.iter().map(|row| row.offset).collect(),
                timestamps: rows.iter().map(|row| row.timestamp).collect(),
                keys: rows.iter().map(|row| row.key).collect(),
                values: rows.iter().map(|row| row.value).collect(),
            }
        });
        ksem_columns {
            len: columns.keys.len(),
            topics: columns.topics.as_ptr(),
            partitions: columns.partitions.as_ptr(),
            offsets: columns.offsets.as_ptr(),
            timestamps: columns.timestamps.as_ptr(),
            keys: columns.keys.as_ptr(),
            values: columns.values.as_ptr(),
        }
    }

    fn headers(&self, index: usize) -> Result<ksem_headers> {
        if index >= self.records.len() {
            return Err(misuse(format!("record {index} of a batch of {}", self.records.len())));
        }
        let mut kept = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let headers = kept.entry(index).or_insert_with(|| Headers::of(&self.records.record(index).headers()));
        // The items stay where they are when the map grows, and nobody changes them.
        Ok(ksem_headers { items: headers.items.as_ptr(), len: headers.items.len() })
    }
}

impl Headers {
    fn of(headers: &[Header<'_>]) -> Self {
        let names: Vec<CString> = headers.iter().map(|(name, _)| c_text(name)).collect();
        let item = |(name, (_, value)): (&CString, &Header<'_>)| ksem_header {
            name: name.as_ptr(),
            value: ksem_bytes::of(*value),
        };
        let items = names.iter().zip(headers).map(item).collect();
        Self { _names: names, items }
    }
}

/// Reads headers that a caller gave.
///
/// # Safety
/// They are as `ksem_header` says, and live as long as `'a`.
pub(crate) unsafe fn given_headers<'a>(headers: *const ksem_header, len: usize) -> Result<Vec<Header<'a>>> {
    let mut given = Vec::with_capacity(len);
    for header in array!(headers, len)? {
        // SAFETY: the caller's promise.
        let name = unsafe { crate::boundary::text(header.name, "headers[].name") }?;
        // SAFETY: as above.
        given.push((name, unsafe { header.value.get("headers[].value") }?));
    }
    Ok(given)
}

/// Makes bytes of a text: up to its NUL, which is not a part of them. NULL is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_text(text: *const c_char) -> ksem_bytes {
    let length = |text| {
        // SAFETY: the interface's rule: a text ends with NUL.
        unsafe { std::ffi::CStr::from_ptr(text) }.count_bytes()
    };
    ksem_bytes { data: text.cast(), len: if text.is_null() { 0 } else { length(text) } }
}

/// Returns how many records the batch has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_len(batch: *const ksem_batch) -> usize {
    value(0, || Ok(borrow!(batch)?.records.len()))
}

/// Returns the size of all keys and values in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_bytes(batch: *const ksem_batch) -> usize {
    value(0, || Ok(borrow!(batch)?.records.bytes()))
}

/// Returns the lane that the batch belongs to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_lane(batch: *const ksem_batch) -> usize {
    value(0, || Ok(borrow!(batch)?.records.lane()))
}

/// Returns the records: views that live as long as the batch's handle (in a handler: until it returns).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_records(batch: *const ksem_batch) -> ksem_records {
    value(ksem_records { items: std::ptr::null(), len: 0 }, || {
        let rows = borrow!(batch)?.rows();
        Ok(ksem_records { items: rows.as_ptr(), len: rows.len() })
    })
}

/// Returns the records as columns, with the lifetime of `ksem_batch_records`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_columns(batch: *const ksem_batch) -> ksem_columns {
    let none = ksem_columns {
        len: 0,
        topics: std::ptr::null(),
        partitions: std::ptr::null(),
        offsets: std::ptr::null(),
        timestamps: std::ptr::null(),
        keys: std::ptr::null(),
        values: std::ptr::null(),
    };
    value(none, || Ok(borrow!(batch)?.columns()))
}

/// Returns the headers of record `index`, with the lifetime of `ksem_batch_records`. None if there is no such record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_headers(batch: *const ksem_batch, index: usize) -> ksem_headers {
    value(ksem_headers { items: std::ptr::null(), len: 0 }, || borrow!(batch)?.headers(index))
}

/// Frees a batch that came from `ksem_pipeline_poll`. One that was not processed is delivered again. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_batch_free(batch: *mut ksem_batch) {
    release!(batch);
}
