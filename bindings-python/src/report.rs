//! Reports, positions and counters as Python's own objects.

use ksem::{Applied, Metrics, Position, Report, TopicPartition};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::errors::misuse;

/// Makes a `ksem.Report`. `raised` is what the handler raised last, if it did.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    report: &Report,
    raised: Option<Py<PyBaseException>>,
) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MAKE.import(py, "ksem._types", "make_report")?.call1((
        report.applied.name(),
        report.guarantee.name(),
        report.records,
        report.outputs,
        report.dead_lettered,
        report.skipped,
        report.retried,
        report.attempts,
        positions(py, &report.offsets)?,
        report.took.as_secs_f64(),
        report.cause.as_deref(),
        raised.filter(|_| report.applied == Applied::Lost),
    ))
}

/// Makes a list of `ksem.Position`.
pub(crate) fn positions<'py>(py: Python<'py>, offsets: &[(TopicPartition, Position)]) -> PyResult<Bound<'py, PyList>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.import(py, "ksem._types", "Position")?;
    let positions = offsets.iter().map(|(source, position)| {
        make.call1((&*source.topic, source.partition, position.offset, position.leader_epoch))
    });
    PyList::new(py, positions.collect::<PyResult<Vec<_>>>()?)
}

/// Makes a dictionary of the counters, by their names in the core.
pub(crate) fn counters<'py>(py: Python<'py>, metrics: &Metrics) -> PyResult<Bound<'py, PyDict>> {
    let counters = serde_json::to_value(metrics).map_err(|error| misuse(py, &error.to_string()))?;
    let dictionary = PyDict::new(py);
    for (name, value) in counters.as_object().into_iter().flatten() {
        dictionary.set_item(name, value.as_u64())?;
    }
    Ok(dictionary)
}
