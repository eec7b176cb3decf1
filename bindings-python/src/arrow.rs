//! Whole batches through the Arrow C data interface.

use std::sync::Arc;

use arrow_array::builder::{
    Int32Builder, Int64Builder, LargeBinaryBuilder, LargeListBuilder, StringBuilder, StringDictionaryBuilder,
    StructBuilder, TimestampMillisecondBuilder,
};
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch, RecordBatchIterator, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

/// A batch as Arrow columns, for whoever speaks the Arrow `PyCapsule` protocol.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct ArrowBatch(RecordBatch);

pub(crate) fn failed(error: &ArrowError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::LargeBinary, true)])
}

impl ArrowBatch {
    /// Copies the payloads once, each column into memory of its own.
    pub(crate) fn of(batch: &ksem::Batch) -> Result<Self, ArrowError> {
        let len = batch.len();
        let mut topics = StringDictionaryBuilder::<Int32Type>::new();
        let mut partitions = Int32Builder::with_capacity(len);
        let mut offsets = Int64Builder::with_capacity(len);
        let mut timestamps = TimestampMillisecondBuilder::with_capacity(len).with_timezone("UTC");
        let mut keys = LargeBinaryBuilder::with_capacity(len, 0);
        let mut values = LargeBinaryBuilder::with_capacity(len, batch.bytes());
        let mut headers = LargeListBuilder::new(StructBuilder::from_fields(header_fields(), 0));
        for record in batch.records() {
            topics.append(record.topic)?;
            partitions.append_value(record.partition);
            offsets.append_value(record.offset);
            timestamps.append_option(record.timestamp);
            keys.append_option(record.key);
            values.append_option(record.value);
            append_headers(&mut headers, &record.headers());
        }
        let columns: [(&str, Arc<dyn Array>, bool); 7] = [
            ("topic", Arc::new(topics.finish()), false),
            ("partition", Arc::new(partitions.finish()), false),
            ("offset", Arc::new(offsets.finish()), false),
            ("timestamp", Arc::new(timestamps.finish()), true),
            ("key", Arc::new(keys.finish()), true),
            ("value", Arc::new(values.finish()), true),
            ("headers", Arc::new(headers.finish()), false),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).map(Self)
    }
}

fn append_headers(list: &mut LargeListBuilder<StructBuilder>, headers: &[ksem::Header<'_>]) {
    let entries = list.values();
    for (name, value) in headers {
        if let Some(names) = entries.field_builder::<StringBuilder>(0) {
            names.append_value(name);
        }
        if let Some(values) = entries.field_builder::<LargeBinaryBuilder>(1) {
            values.append_option(*value);
        }
        entries.append(true);
    }
    list.append(true);
}

#[pymethods]
impl ArrowBatch {
    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(&*self.0.schema()).map_err(|error| failed(&error))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    // A consumer that asks for another schema casts for itself: the protocol allows to give another one.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let _ = requested_schema;
        let array = FFI_ArrowArray::new(&StructArray::from(self.0.clone()).into_data());
        let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
        PyTuple::new(py, [self.__arrow_c_schema__(py)?, array])
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let schema: Arc<Schema> = self.0.schema();
        let reader = RecordBatchIterator::new([Ok(self.0.clone())], schema);
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), c"arrow_array_stream")
    }

    fn __repr__(&self) -> String {
        format!("<ksem.ArrowBatch of {} records>", self.0.num_rows())
    }
}
