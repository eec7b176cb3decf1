//! ksem's errors as exceptions, and exceptions as the errors of a handler.

use std::error::Error as StdError;
use std::fmt;

use ksem::error::Code;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

/// An exception that a handler raised, on its way through the core and back.
pub(crate) struct Raised {
    exception: Py<PyBaseException>,
    text: String,
}

impl Raised {
    pub(crate) fn new(py: Python<'_>, error: PyErr) -> Self {
        let text = error.to_string();
        // The value carries its own traceback.
        Self { exception: error.into_value(py), text }
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Raised {}

/// Makes the exception for an error. What a handler raised is its `__cause__`.
pub(crate) fn raise(py: Python<'_>, error: &ksem::Error) -> PyErr {
    exception(py, error).unwrap_or_else(|failed| failed)
}

/// A call in a state that does not allow it.
pub(crate) fn misuse(py: Python<'_>, text: &str) -> PyErr {
    raise(py, &ksem::Error::new(Code::Misuse, text))
}

fn exception(py: Python<'_>, error: &ksem::Error) -> PyResult<PyErr> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let code = error.code();
    let context = PyDict::new(py);
    for (name, value) in error.context() {
        context.set_item(name, value)?;
    }
    let number = code.number();
    let words = (code.class().name(), code.retry().name(), error.outcome().name());
    let arguments = (error.to_string(), code.name(), number, words, error.message(), context);
    let exception = PyErr::from_value(MAKE.import(py, "ksem._errors", "make")?.call1(arguments)?);
    if let Some(cause) = cause(py, error) {
        exception.set_cause(py, Some(cause));
    }
    Ok(exception)
}

/// The handler's exception, however deep it is; otherwise the next error of ksem's own.
fn cause(py: Python<'_>, error: &ksem::Error) -> Option<PyErr> {
    let sources = || {
        let mut next = error.source();
        std::iter::from_fn(move || {
            let source = next?;
            next = source.source();
            Some(source)
        })
    };
    if let Some(raised) = sources().find_map(|source| source.downcast_ref::<Raised>()) {
        return Some(PyErr::from_value(raised.exception.clone_ref(py).into_bound(py).into_any()));
    }
    sources().find_map(|source| source.downcast_ref::<ksem::Error>()).map(|source| raise(py, source))
}

/// Every error code with what is known about it.
pub(crate) fn table(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    static ROW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let row = ROW.import(py, "ksem._types", "ErrorCode")?;
    let rows = Code::ALL.iter().map(|code| {
        let words = (code.class().name(), code.retry().name(), code.outcome().name());
        row.call1((code.name(), code.number(), words.0, words.1, words.2, code.doc()))
    });
    PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
}
