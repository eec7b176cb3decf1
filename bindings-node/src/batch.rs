//! Batches: whole columns, each in one piece.

use std::collections::HashMap;

use ksem::Record;
use napi::Result;
use napi::bindgen_prelude::{Buffer, Float64Array, Int32Array, Uint32Array};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::error::misuse;

/// A column of byte strings: all bytes in one piece, and the length of each; -1 is null.
#[napi(object)]
pub struct Column {
    /// The bytes, one value behind the other.
    pub bytes: Buffer,
    /// The length of each value.
    pub lengths: Int32Array,
}

/// The headers of all records: how many each record has, and their names and values as columns.
#[napi(object)]
pub struct HeaderColumn {
    /// How many headers each record has.
    pub counts: Uint32Array,
    /// The names.
    pub names: Column,
    /// The values.
    pub values: Column,
}

/// Where the records come from.
#[napi(object)]
pub struct Sources {
    /// The topics, each once.
    pub names: Vec<String>,
    /// For each record, which of them.
    pub topics: Uint32Array,
    /// For each record, the partition.
    pub partitions: Int32Array,
}

/// A batch: its records until it is released, and the right to process it once.
#[napi]
pub struct NativeBatch {
    ticket: Mutex<Option<ksem::Batch>>,
    view: Mutex<Option<ksem::Batch>>,
    length: u32,
}

impl NativeBatch {
    /// A batch that can be processed.
    pub fn polled(batch: ksem::Batch) -> Self {
        Self { view: Mutex::new(Some(batch.view())), length: batch.len() as u32, ticket: Mutex::new(Some(batch)) }
    }

    /// A batch that is being processed.
    pub fn lent(batch: &ksem::Batch) -> Self {
        Self { view: Mutex::new(Some(batch.view())), length: batch.len() as u32, ticket: Mutex::default() }
    }

    /// Takes the right to process it.
    ///
    /// # Errors
    /// `misuse` if it was taken before.
    pub fn take(&self) -> Result<ksem::Batch> {
        let text = "the batch was processed or let go of already; poll for another one";
        self.ticket.lock().take().ok_or_else(|| misuse(text))
    }

    fn read<T>(&self, read: impl FnOnce(&ksem::Batch) -> T) -> Result<T> {
        let text = "the batch is over, and its memory is gone; take its columns before its end";
        self.view.lock().as_ref().map(read).ok_or_else(|| misuse(text))
    }
}

#[napi]
impl NativeBatch {
    /// How many records it has.
    #[napi(getter, catch_unwind)]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The keys.
    #[napi(catch_unwind)]
    pub fn keys(&self) -> Result<Column> {
        self.read(|batch| column(batch, |record| record.key))
    }

    /// The values.
    #[napi(catch_unwind)]
    pub fn values(&self) -> Result<Column> {
        self.read(|batch| column(batch, |record| record.value))
    }

    /// The headers; null if no record has any.
    #[napi(catch_unwind)]
    pub fn headers(&self) -> Result<Option<HeaderColumn>> {
        self.read(headers)
    }

    /// The offsets.
    #[napi(catch_unwind)]
    pub fn offsets(&self) -> Result<Float64Array> {
        self.read(|batch| Float64Array::new(batch.records().map(|record| record.offset as f64).collect()))
    }

    /// The timestamps; NaN where a record has none.
    #[napi(catch_unwind)]
    pub fn timestamps(&self) -> Result<Float64Array> {
        let number = |record: Record<'_>| record.timestamp.map_or(f64::NAN, |timestamp| timestamp as f64);
        self.read(|batch| Float64Array::new(batch.records().map(number).collect()))
    }

    /// Topics and partitions.
    #[napi(catch_unwind)]
    pub fn sources(&self) -> Result<Sources> {
        self.read(sources)
    }

    /// Lets go of it unless it was processed: it comes again.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        if self.ticket.lock().take().is_some() {
            self.free();
        }
    }

    /// Lets go of the memory of a batch that was processed.
    #[napi(catch_unwind)]
    pub fn free(&self) {
        if self.ticket.lock().is_none() {
            drop(self.view.lock().take());
        }
    }
}

fn column(batch: &ksem::Batch, pick: impl for<'a> Fn(&Record<'a>) -> Option<&'a [u8]>) -> Column {
    let size = batch.records().filter_map(|record| pick(&record)).map(<[u8]>::len).sum();
    let mut filling = Filling::with_capacity(size, batch.len());
    batch.records().for_each(|record| filling.push(pick(&record)));
    filling.column()
}

fn headers(batch: &ksem::Batch) -> Option<HeaderColumn> {
    let mut counts = Vec::with_capacity(batch.len());
    let (mut names, mut values) = (Filling::default(), Filling::default());
    for record in batch.records() {
        let headers = record.headers();
        counts.push(headers.len() as u32);
        for (name, value) in headers {
            names.push(Some(name.as_bytes()));
            values.push(value);
        }
    }
    (!names.lengths.is_empty()).then(|| HeaderColumn {
        counts: Uint32Array::new(counts),
        names: names.column(),
        values: values.column(),
    })
}

fn sources(batch: &ksem::Batch) -> Sources {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut names = Vec::new();
    let (mut topics, mut partitions) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for record in batch.records() {
        let number = *known.entry(record.topic).or_insert_with(|| {
            names.push(record.topic.to_owned());
            names.len() as u32 - 1
        });
        topics.push(number);
        partitions.push(record.partition);
    }
    Sources { names, topics: Uint32Array::new(topics), partitions: Int32Array::new(partitions) }
}

#[derive(Default)]
struct Filling {
    bytes: Vec<u8>,
    lengths: Vec<i32>,
}

impl Filling {
    fn with_capacity(bytes: usize, values: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), lengths: Vec::with_capacity(values) }
    }

    fn push(&mut self, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(value.unwrap_or_default());
        // A record is never as long as 2 GiB.
        self.lengths.push(value.map_or(-1, |value| value.len() as i32));
    }

    fn column(self) -> Column {
        Column { bytes: Buffer::from(self.bytes), lengths: Int32Array::new(self.lengths) }
    }
}
