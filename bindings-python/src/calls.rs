//! The handler's calls, made on the thread or the event loop of the caller.

use std::sync::Arc;
use std::time::Duration;

use ksem::{Next, Report};
use parking_lot::Mutex;
use pyo3::exceptions::{PyBaseException, PyException, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::errors::{Raised, misuse, raise};
use crate::output::Output;
use crate::report;
use crate::wait::{GivenUp, SLICE, drop_elsewhere};

/// Work under way whose handler is the caller.
pub(crate) enum Work {
    Run(ksem::Calls<()>),
    Process(ksem::Calls<Report>),
}

impl Work {
    fn next(&self, timeout: Duration) -> Next {
        match self {
            Self::Run(calls) => calls.next(timeout),
            Self::Process(calls) => calls.next(timeout),
        }
    }

    fn finish(self) -> ksem::Result<Option<Report>> {
        match self {
            Self::Run(calls) => calls.finish().map(|()| None),
            Self::Process(calls) => calls.finish().map(Some),
        }
    }
}

/// Makes every call on this thread, and returns the report, if there is one.
///
/// An exception that is an `Exception` fails the batch, which is tried again. Any other, such as a
/// `KeyboardInterrupt`, gives everything up that is under way, and is raised at once.
pub(crate) fn drive<'py>(
    py: Python<'py>,
    work: Work,
    handler: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut raised = None;
    loop {
        let ended = match py.detach(|| work.next(SLICE)) {
            Next::Over => break,
            Next::Idle => py.check_signals(),
            Next::Call(call) => answer(py, call, handler, &mut raised),
        };
        if let Err(error) = ended {
            drop_elsewhere(py, work);
            return Err(error);
        }
    }
    let report = py.detach(|| work.finish()).map_err(|error| raise(py, &error))?;
    report.map(|report| report::to_python(py, &report, raised)).transpose()
}

fn answer<'py>(
    py: Python<'py>,
    call: ksem::Call,
    handler: &Bound<'py, PyAny>,
    raised: &mut Option<Py<PyBaseException>>,
) -> PyResult<()> {
    let call = Call::new(py, call)?;
    // Before the handler, so that a handler that never waits does not keep Ctrl-C from being heard.
    py.check_signals()?;
    match handler.call1((&call.batch, &call.out)) {
        Ok(result) if result.hasattr(intern!(py, "__await__"))? => {
            // Otherwise nobody would ever run it, and its batch would count as done.
            let _ = result.call_method0(intern!(py, "close"));
            Err(PyTypeError::new_err("the handler is asynchronous; use ksem.aio"))
        }
        Ok(_) => call.succeed(py),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            *raised = Some(error.clone_ref(py).into_value(py));
            call.end(py, Some(error))
        }
        Err(error) => Err(error),
    }
}

/// One call of the handler. Dropped unanswered, it is given up.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Call {
    call: Mutex<Option<ksem::Call>>,
    #[pyo3(get)]
    batch: Py<Batch>,
    #[pyo3(get)]
    out: Py<Output>,
}

impl Call {
    fn new(py: Python<'_>, mut call: ksem::Call) -> PyResult<Self> {
        let batch = Batch::handled(call.batch());
        let out = Output::of_batch(std::mem::take(call.output()), call.batch().len());
        Ok(Self { batch: Py::new(py, batch)?, out: Py::new(py, out)?, call: Mutex::new(Some(call)) })
    }

    fn end(&self, py: Python<'_>, error: Option<PyErr>) -> PyResult<()> {
        let call = self.call.lock().take();
        let mut call = call.ok_or_else(|| misuse(py, "the call has ended before"))?;
        if let Some(output) = self.out.get().take() {
            *call.output() = output;
        }
        match error {
            None => call.succeed(),
            Some(error) => call.fail(Raised::new(py, error)),
        }
        Ok(())
    }
}

#[pymethods]
impl Call {
    fn succeed(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, None)
    }

    fn fail(&self, py: Python<'_>, error: Bound<'_, PyException>) -> PyResult<()> {
        self.end(py, Some(PyErr::from_value(error.into_any())))
    }

    fn give_up(&self) {
        drop((self.call.lock().take(), self.out.get().take()));
    }
}

/// The calls of a run or of a batch, for an event loop.
#[pyclass(frozen, module = "ksem")]
pub(crate) struct Calls {
    work: Arc<Mutex<Option<Work>>>,
    given_up: GivenUp,
}

impl Calls {
    pub(crate) fn new(work: Work) -> Self {
        Self { work: Arc::new(Mutex::new(Some(work))), given_up: GivenUp::default() }
    }
}

#[pymethods]
impl Calls {
    /// Waits for the next call; `None` says that there will be none.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Call>> {
        loop {
            let next = py.detach(|| self.work.lock().as_ref().map_or(Next::Over, |work| work.next(SLICE)));
            if self.given_up.is_set() {
                // Nobody else drops it while this thread waits.
                let work = self.work.lock().take();
                drop_elsewhere(py, (work, next));
                return Ok(None);
            }
            match next {
                Next::Call(call) => return Call::new(py, call).map(Some),
                Next::Over => return Ok(None),
                Next::Idle => py.check_signals()?,
            }
        }
    }

    /// Returns the report, or `None` of a run. Only after `next` has returned `None`.
    #[pyo3(signature = (raised=None))]
    fn finish<'py>(&self, py: Python<'py>, raised: Option<Py<PyBaseException>>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let work = py.detach(|| self.work.lock().take());
        let work = work.ok_or_else(|| misuse(py, "the work was finished or given up before"))?;
        let report = py.detach(|| work.finish()).map_err(|error| raise(py, &error))?;
        report.map(|report| report::to_python(py, &report, raised)).transpose()
    }

    /// Gives up what is under way, without waiting for it.
    fn give_up(&self, py: Python<'_>) {
        self.given_up.set();
        // Somebody who waits for a call has the lock, and looks at the flag next.
        let work = self.work.try_lock().and_then(|mut work| work.take());
        if let Some(work) = work {
            drop_elsewhere(py, work);
        }
    }
}
