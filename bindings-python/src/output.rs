//! What a handler sends.

use ksem::OutputRecord;
use parking_lot::Mutex;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::errors::misuse;
use crate::payload::{headers, items, payload};

/// Records to send: kept until the batch's handler has succeeded, or until they are published.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Output {
    /// `None` once it has gone back to the attempt that it belongs to.
    content: Mutex<Option<ksem::Output>>,
    /// How many records the batch has that may be forwarded.
    records: usize,
}

impl Output {
    /// The output of a batch.
    pub(crate) fn of_batch(content: ksem::Output, records: usize) -> Self {
        Self { content: Mutex::new(Some(content)), records }
    }

    /// Takes the content out; nothing can be sent any more.
    pub(crate) fn take(&self) -> Option<ksem::Output> {
        self.content.lock().take()
    }

    /// Puts it back.
    pub(crate) fn put(&self, content: ksem::Output) {
        *self.content.lock() = Some(content);
    }

    fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut ksem::Output) -> T) -> PyResult<T> {
        let mut content = self.content.lock();
        let ended = || misuse(py, "the output's batch has ended; send inside the handler, or before the attempt ends");
        content.as_mut().map(work).ok_or_else(ended)
    }

    fn checked(&self, index: usize) -> PyResult<usize> {
        if index < self.records {
            return Ok(index);
        }
        Err(PyIndexError::new_err(format!("record {index} of a batch of {}", self.records)))
    }
}

#[pymethods]
impl Output {
    #[new]
    fn new() -> Self {
        Self::of_batch(ksem::Output::default(), 0)
    }

    #[pyo3(signature = (topic, key=None, value=None, headers=None, partition=None, timestamp=None))]
    #[expect(clippy::too_many_arguments, reason = "they are what Kafka lets a producer choose")]
    fn send(
        &self,
        py: Python<'_>,
        topic: &str,
        key: Option<&Bound<'_, PyAny>>,
        value: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<i32>,
        timestamp: Option<i64>,
    ) -> PyResult<()> {
        let key = key.map(payload).transpose()?.flatten();
        let value = value.map(payload).transpose()?.flatten();
        let owned = self::headers(headers)?;
        let headers: Vec<ksem::Header<'_>> =
            owned.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let record =
            OutputRecord { key: key.as_deref(), value: value.as_deref(), headers: &headers, partition, timestamp };
        self.with(py, |output| output.send_record(topic, &record))
    }

    #[pyo3(signature = (topic, values, keys=None))]
    fn send_many(
        &self,
        py: Python<'_>,
        topic: &str,
        values: &Bound<'_, PyAny>,
        keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // All of them are looked at before the first is sent.
        let values = items(values)?;
        let keys = keys.map(items).transpose()?;
        if let Some(keys) = keys.as_ref().filter(|keys| keys.len() != values.len()) {
            return Err(PyValueError::new_err(format!("{} keys for {} values", keys.len(), values.len())));
        }
        let values = values.iter().map(payload).collect::<PyResult<Vec<_>>>()?;
        let keys = keys.iter().flatten().map(payload).collect::<PyResult<Vec<_>>>()?;
        self.with(py, |output| {
            for (index, value) in values.iter().enumerate() {
                let key = keys.get(index).and_then(Option::as_deref);
                output.send(topic, key, value.as_deref());
            }
        })
    }

    fn forward(&self, py: Python<'_>, topic: &str, index: usize) -> PyResult<()> {
        let index = self.checked(index)?;
        self.with(py, |output| output.forward(topic, index))
    }

    #[pyo3(signature = (topic, indices=None))]
    fn forward_many(&self, py: Python<'_>, topic: &str, indices: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let indices: Vec<usize> = match indices {
            None => (0..self.records).collect(),
            Some(indices) => {
                let checked = |index: Bound<'_, PyAny>| self.checked(index.extract()?);
                items(indices)?.into_iter().map(checked).collect::<PyResult<_>>()?
            }
        };
        self.with(py, |output| indices.into_iter().for_each(|index| output.forward(topic, index)))
    }

    fn retry(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        let index = self.checked(index)?;
        self.with(py, |output| output.retry(index))
    }

    fn dead_letter(&self, py: Python<'_>, index: usize, reason: &str) -> PyResult<()> {
        let index = self.checked(index)?;
        self.with(py, |output| output.dead_letter(index, reason))
    }

    fn skip(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        let index = self.checked(index)?;
        self.with(py, |output| output.skip(index))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |output| output.len())
    }

    fn __repr__(&self) -> String {
        match &*self.content.lock() {
            Some(output) => format!("<ksem.Output of {} records>", output.len()),
            None => "<ksem.Output, ended>".to_owned(),
        }
    }
}
