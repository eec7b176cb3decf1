//! One record of a batch, and the iterator over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::payload::{to_bytes, to_pairs, view};

/// An input record: a place in the memory of its batch.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Record {
    batch: Arc<ksem::Batch>,
    index: usize,
}

impl Record {
    /// `index` is below the batch's length.
    pub(crate) fn new(batch: &Arc<ksem::Batch>, index: usize) -> Self {
        Self { batch: Arc::clone(batch), index }
    }

    fn get(&self) -> ksem::Record<'_> {
        self.batch.record(self.index)
    }
}

#[pymethods]
impl Record {
    #[getter]
    fn topic(&self) -> &str {
        self.get().topic
    }

    #[getter]
    fn partition(&self) -> i32 {
        self.get().partition
    }

    #[getter]
    fn offset(&self) -> i64 {
        self.get().offset
    }

    #[getter]
    fn timestamp(&self) -> Option<i64> {
        self.get().timestamp
    }

    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        to_bytes(py, self.get().key)
    }

    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        to_bytes(py, self.get().value)
    }

    #[getter]
    fn key_view<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        slf.get().get().key.map(|key| view(key, slf.as_any())).transpose()
    }

    #[getter]
    fn value_view<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        slf.get().get().value.map(|value| view(value, slf.as_any())).transpose()
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        to_pairs(py, &self.get().headers())
    }

    #[pyo3(signature = (name, default=None))]
    fn header<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        match self.get().header(name) {
            Some(value) => to_bytes(py, value).map(Bound::into_any),
            None => default,
        }
    }

    // Payloads may be personal data, so they are not shown.
    fn __repr__(&self) -> String {
        let record = self.get();
        format!("<ksem.Record {}[{}]@{}>", record.topic, record.partition, record.offset)
    }
}

/// Iterates over the records of a batch.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Records {
    batch: Arc<ksem::Batch>,
    next: AtomicUsize,
}

impl Records {
    pub(crate) fn new(batch: &Arc<ksem::Batch>) -> Self {
        Self { batch: Arc::clone(batch), next: AtomicUsize::new(0) }
    }
}

#[pymethods]
impl Records {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Record> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.batch.len()).then(|| Record::new(&self.batch, index))
    }
}
