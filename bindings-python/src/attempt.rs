//! An attempt at a batch in the caller's own control flow.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::batch::Batch;
use crate::errors::misuse;
use crate::output::Output;
use crate::report;
use crate::wait::wait;

/// A batch between begin and commit.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Attempt {
    attempt: Mutex<Option<ksem::Attempt>>,
    #[pyo3(get)]
    batch: Py<Batch>,
    #[pyo3(get)]
    out: Py<Output>,
    report: PyOnceLock<Py<PyAny>>,
}

impl Attempt {
    pub(crate) fn new(py: Python<'_>, attempt: ksem::Attempt) -> PyResult<Self> {
        let batch = Py::new(py, Batch::handled(attempt.batch()))?;
        let out = Py::new(py, Output::of_batch(ksem::Output::default(), attempt.batch().len()))?;
        Ok(Self { attempt: Mutex::new(Some(attempt)), batch, out, report: PyOnceLock::new() })
    }

    fn end(
        &self,
        py: Python<'_>,
        end: impl FnOnce(ksem::Attempt) -> ksem::Result<ksem::Report> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let attempt = self.attempt.lock().take();
        let mut attempt = attempt.ok_or_else(|| misuse(py, "the attempt has ended"))?;
        if let Some(output) = self.out.get().take() {
            *attempt.output() = output;
        }
        let report = wait(py, |_| end(attempt))?;
        let report = report::to_python(py, &report, None)?.unbind();
        Ok(self.report.get_or_init(py, || report).clone_ref(py))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.get_mut().take() {
            Python::try_attach(|py| crate::wait::drop_elsewhere(py, attempt));
        }
    }
}

#[pymethods]
impl Attempt {
    /// The report, once it has ended.
    #[getter]
    fn report(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.report.get(py).map(|report| report.clone_ref(py))
    }

    #[getter]
    fn ended(&self) -> bool {
        self.attempt.lock().is_none()
    }

    fn commit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.end(py, ksem::Attempt::commit)
    }

    #[pyo3(signature = (reason="aborted by the caller"))]
    fn abort(&self, py: Python<'_>, reason: &str) -> PyResult<Py<PyAny>> {
        let reason = reason.to_owned();
        self.end(py, move |attempt| attempt.abort(&reason))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if self.ended() {
            return Ok(());
        }
        if exception.is_none() {
            return self.commit(py).map(drop);
        }
        let reason = PyErr::from_value(exception.clone()).to_string();
        self.abort(py, &reason).map(drop)
    }
}
