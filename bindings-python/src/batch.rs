//! A batch and its columns.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::arrow::ArrowBatch;
use crate::errors::misuse;
use crate::payload::{to_bytes, to_pairs};
use crate::record::{Record, Records};
use crate::report::positions;
use crate::wait::drop_detached;

/// Input records of one lane, in the order of their partitions.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Batch {
    view: Arc<ksem::Batch>,
    /// What can be processed; `None` once it was, and in a handler.
    polled: Mutex<Option<ksem::Batch>>,
}

impl Batch {
    /// A batch that the caller has to process, or to let go.
    pub(crate) fn polled(batch: ksem::Batch) -> Self {
        Self { view: Arc::new(batch.view()), polled: Mutex::new(Some(batch)) }
    }

    /// A batch in a handler's hands.
    pub(crate) fn handled(batch: &ksem::Batch) -> Self {
        Self { view: Arc::new(batch.view()), polled: Mutex::new(None) }
    }

    /// Takes what can be processed.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<ksem::Batch> {
        let gone = || misuse(py, "the batch was processed or released before, or belongs to a handler");
        self.polled.lock().take().ok_or_else(gone)
    }

    /// Makes a list with an entry for each record.
    fn column<'py, T: IntoPyObject<'py>>(
        &self,
        py: Python<'py>,
        entry: impl FnMut(ksem::Record<'_>) -> T,
    ) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.view.records().map(entry).collect::<Vec<_>>())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(batch) = self.polled.get_mut().take() {
            drop_detached(batch);
        }
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.view.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Record> {
        let len = self.view.len();
        let from_start = if index < 0 { len.checked_add_signed(index) } else { usize::try_from(index).ok() };
        let out_of_range = || PyIndexError::new_err(format!("record {index} of a batch of {len}"));
        let index = from_start.filter(|index| *index < len).ok_or_else(out_of_range)?;
        Ok(Record::new(&self.view, index))
    }

    fn __iter__(&self) -> Records {
        Records::new(&self.view)
    }

    /// Bytes of all keys and values.
    #[getter]
    fn size(&self) -> usize {
        self.view.bytes()
    }

    #[getter]
    fn lane(&self) -> usize {
        self.view.lane()
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.column(py, |record| to_bytes(py, record.key))
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.column(py, |record| to_bytes(py, record.value))
    }

    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let lists = self.view.records().map(|record| to_pairs(py, &record.headers()));
        PyList::new(py, lists.collect::<PyResult<Vec<_>>>()?)
    }

    fn timestamps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.column(py, |record| record.timestamp)
    }

    fn partitions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.column(py, |record| record.partition)
    }

    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.column(py, |record| record.offset)
    }

    fn topics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        // Neighbours come from the same topic: one text for all of them.
        let mut last: Option<(&str, Bound<'py, PyString>)> = None;
        let topics = self.view.records().map(|record| match &last {
            Some((topic, text)) if *topic == record.topic => text.clone(),
            _ => last.insert((record.topic, PyString::new(py, record.topic))).1.clone(),
        });
        PyList::new(py, topics.collect::<Vec<_>>())
    }

    fn positions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        positions(py, &self.view.offsets())
    }

    fn to_arrow(&self, py: Python<'_>) -> PyResult<ArrowBatch> {
        py.detach(|| ArrowBatch::of(&self.view)).map_err(|error| crate::arrow::failed(&error))
    }

    fn release(&self) {
        let polled = self.polled.lock().take();
        drop_detached(polled);
    }

    fn __repr__(&self) -> String {
        format!("<ksem.{:?}>", self.view)
    }
}
