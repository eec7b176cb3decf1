//! Bytes on their way in and out.

use std::borrow::Cow;

use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

/// The bytes of a bytes-like object, or the UTF-8 of a text. `None` is null.
pub(crate) fn payload<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Option<Cow<'a, [u8]>>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(Cow::Borrowed(bytes.as_bytes())));
    }
    if object.is_none() {
        return Ok(None);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Some(match text.to_cow()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }));
    }
    // The stable interface of CPython 3.9 has no buffers, but it has memory views.
    let copy = PyMemoryView::from(object)?.call_method0(intern!(object.py(), "tobytes"))?;
    Ok(Some(Cow::Owned(copy.cast::<PyBytes>()?.as_bytes().to_vec())))
}

pub(crate) fn to_bytes<'py>(py: Python<'py>, bytes: Option<&[u8]>) -> Option<Bound<'py, PyBytes>> {
    bytes.map(|bytes| PyBytes::new(py, bytes))
}

/// A header as it was given.
pub(crate) type OwnHeader = (String, Option<Vec<u8>>);

/// Headers are pairs in order; a dictionary will do where no name repeats.
pub(crate) fn headers(object: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<OwnHeader>> {
    let Some(object) = object else { return Ok(Vec::new()) };
    let pairs = match object.cast::<PyDict>() {
        Ok(fields) => fields.items().into_any(),
        Err(_) => object.clone(),
    };
    let mut headers = Vec::new();
    for pair in pairs.try_iter()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair?.extract()?;
        headers.push((name, payload(&value)?.map(Cow::into_owned)));
    }
    Ok(headers)
}

/// The headers of a record as pairs.
pub(crate) fn to_pairs<'py>(py: Python<'py>, headers: &[ksem::Header<'_>]) -> PyResult<Bound<'py, PyList>> {
    let pairs = headers.iter().map(|(name, value)| {
        PyTuple::new(py, [PyString::new(py, name).into_any(), to_bytes(py, *value).into_pyobject(py)?.into_any()])
    });
    PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)
}

/// A read-only view on memory that `owner` keeps.
pub(crate) fn view<'py>(bytes: &[u8], owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static VIEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let address = bytes.as_ptr().addr();
    VIEW.import(owner.py(), "ksem._memory", "view")?.call1((address, bytes.len(), owner))
}

/// All items of a sequence or another iterable.
pub(crate) fn items<'py>(objects: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = objects.cast::<PyList>() {
        return Ok(list.iter().collect());
    }
    let mut items = Vec::new();
    for item in objects.try_iter()? {
        items.try_reserve(1).map_err(|error| PyMemoryError::new_err(error.to_string()))?;
        items.push(item?);
    }
    Ok(items)
}
