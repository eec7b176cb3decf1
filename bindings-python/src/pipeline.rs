//! The pipeline.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ksem::Until;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::attempt::Attempt;
use crate::batch::Batch;
use crate::calls::{Calls, Work, drive};
use crate::config;
use crate::errors::{misuse, raise};
use crate::output::Output;
use crate::payload::items;
use crate::report;
use crate::wait::{drop_detached, wait};

/// An open pipeline: one member of the consumer group, with its lanes.
#[pyclass(frozen, weakref, module = "ksem")]
pub(crate) struct Pipeline {
    /// There until it is dropped.
    pipeline: Option<Arc<ksem::Pipeline>>,
    closed: AtomicBool,
    process: u32,
}

/// Those that may be open when the interpreter ends.
static OPEN: Mutex<Vec<Weak<ksem::Pipeline>>> = Mutex::new(Vec::new());

/// Opens a pipeline.
#[pyfunction]
pub(crate) fn open(py: Python<'_>, config: &Bound<'_, PyAny>) -> PyResult<Pipeline> {
    static LOGGING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOGGING.import(py, "ksem._logging", "start")?.call0()?;
    let config = config::read(config)?;
    let pipeline = wait(py, |_| ksem::Pipeline::open(config).map(Arc::new))?;
    let mut open = OPEN.lock();
    open.retain(|pipeline| pipeline.strong_count() > 0);
    open.push(Arc::downgrade(&pipeline));
    drop(open);
    Ok(Pipeline { pipeline: Some(pipeline), closed: AtomicBool::new(false), process: process::id() })
}

/// Closes every pipeline that is still open: the interpreter ends.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    let open = std::mem::take(&mut *OPEN.lock());
    for pipeline in open.iter().filter_map(Weak::upgrade) {
        wait(py, move |_| pipeline.close())?;
    }
    Ok(())
}

impl Pipeline {
    fn get(&self, py: Python<'_>) -> PyResult<&Arc<ksem::Pipeline>> {
        let gone = || misuse(py, "the pipeline was opened in another process; open one after the fork");
        self.pipeline.as_ref().filter(|_| self.process == process::id()).ok_or_else(gone)
    }

    fn process_work(&self, batch: &Bound<'_, Batch>, guarantee: Option<&Bound<'_, PyString>>) -> PyResult<Work> {
        let py = batch.py();
        let pipeline = self.get(py)?;
        let guarantee = config::guarantee(guarantee, pipeline.config().guarantee)?;
        let batch = batch.get().take(py)?;
        pipeline.process_calls(batch, guarantee).map(Work::Process).map_err(|error| raise(py, &error))
    }

    fn run_work(&self, py: Python<'_>, until: &str) -> PyResult<Work> {
        let until = match until {
            "stopped" => Until::Stopped,
            "caught_up" => Until::CaughtUp,
            other => {
                return Err(PyValueError::new_err(format!("until is \"stopped\" or \"caught_up\", not {other:?}")));
            }
        };
        self.get(py)?.run_calls(until).map(Work::Run).map_err(|error| raise(py, &error))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let Some(pipeline) = self.pipeline.take() else { return };
        if self.process != process::id() {
            // The threads that it would wait for are the other process's.
            std::mem::forget(pipeline);
        } else if self.closed.load(Ordering::SeqCst) {
            drop_detached(pipeline);
        } else {
            // Whoever drops the last reference must not wait for the cluster.
            let closing = thread::Builder::new().name("ksem-python".into()).spawn(move || drop(pipeline));
            if let Err(error) = closing {
                tracing::warn!(%error, "a pipeline can't be closed on a thread of its own");
            }
        }
    }
}

#[pymethods]
impl Pipeline {
    #[getter]
    fn instance_id(&self, py: Python<'_>) -> PyResult<&str> {
        Ok(self.get(py)?.instance_id())
    }

    #[getter]
    fn guarantee<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let name = self.get(py)?.config().guarantee.name();
        MAKE.import(py, "ksem._types", "Guarantee")?.call1((name,))
    }

    #[getter]
    fn stopping(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.get(py)?.is_stopping())
    }

    #[pyo3(signature = (timeout=None))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Batch>> {
        let pipeline = Arc::clone(self.get(py)?);
        let bad = |_| PyValueError::new_err("timeout is in seconds, and not negative");
        let timeout = timeout.map(Duration::try_from_secs_f64).transpose().map_err(bad)?;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let polled = wait(py, move |given_up| {
            loop {
                let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()));
                let batch = pipeline.poll(left.min(LOOK))?;
                if batch.is_some() || left.is_zero() || pipeline.is_stopping() || given_up.is_set() {
                    return Ok(batch);
                }
            }
        })?;
        Ok(polled.map(Batch::polled))
    }

    fn process<'py>(
        &self,
        py: Python<'py>,
        batch: &Bound<'py, Batch>,
        guarantee: Option<&Bound<'py, PyString>>,
        handler: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        drive(py, self.process_work(batch, guarantee)?, handler)
    }

    #[pyo3(signature = (handler, until="stopped"))]
    fn run(&self, py: Python<'_>, handler: &Bound<'_, PyAny>, until: &str) -> PyResult<()> {
        drive(py, self.run_work(py, until)?, handler).map(drop)
    }

    #[pyo3(signature = (batch, guarantee=None))]
    fn begin(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, Batch>,
        guarantee: Option<&Bound<'_, PyString>>,
    ) -> PyResult<Attempt> {
        let pipeline = Arc::clone(self.get(py)?);
        let guarantee = config::guarantee(guarantee, pipeline.config().guarantee)?;
        let batch = batch.get().take(py)?;
        Attempt::new(py, wait(py, move |_| pipeline.begin(batch, guarantee))?)
    }

    #[pyo3(signature = (records, guarantee=None))]
    fn publish(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        guarantee: Option<&Bound<'_, PyString>>,
    ) -> PyResult<u64> {
        let pipeline = Arc::clone(self.get(py)?);
        let guarantee = config::guarantee(guarantee, pipeline.config().guarantee)?;
        let output = match records.cast::<Output>() {
            Ok(output) => output.clone(),
            Err(_) => gather(records)?,
        };
        let ended = || misuse(py, "the output belongs to a batch that has ended, or is being published");
        let content = output.get().take().ok_or_else(ended)?;
        let (mut content, result) = wait(py, move |_| {
            let result = pipeline.publish(&content, guarantee);
            Ok((content, result))
        })?;
        if result.is_ok() {
            content.clear();
        }
        output.get().put(content);
        result.map_err(|error| raise(py, &error))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let pipeline = self.get(py)?;
        py.detach(|| pipeline.stop());
        Ok(())
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let pipeline = Arc::clone(self.get(py)?);
        wait(py, move |_| pipeline.close())?;
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        report::counters(py, &self.get(py)?.metrics())
    }

    fn _process_calls(&self, batch: &Bound<'_, Batch>, guarantee: Option<&Bound<'_, PyString>>) -> PyResult<Calls> {
        self.process_work(batch, guarantee).map(Calls::new)
    }

    fn _run_calls(&self, py: Python<'_>, until: &str) -> PyResult<Calls> {
        self.run_work(py, until).map(Calls::new)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        self.poll(py, None)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let config = self.get(py)?.config();
        Ok(format!("<ksem.Pipeline of the group {:?}, {}>", config.group, config.guarantee))
    }
}

/// How long a poll may wait before it looks whether its caller still waits.
const LOOK: Duration = Duration::from_millis(100);

/// Makes an output of records: each has what `Output.send` takes, in that order.
fn gather<'py>(records: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Output>> {
    let py = records.py();
    let output = py.get_type::<Output>().call0()?;
    for record in items(records)? {
        let fields = py.get_type::<pyo3::types::PyTuple>().call1((record,))?;
        output.getattr("send")?.call1(fields.cast_into::<pyo3::types::PyTuple>()?)?;
    }
    Ok(output.cast_into::<Output>()?)
}
