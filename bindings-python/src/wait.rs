//! Waiting without the interpreter, and so that Ctrl-C is heard.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use ksem::error::Code;
use pyo3::prelude::*;

use crate::errors::raise;

/// How long native code may wait before it looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Whether the caller has stopped waiting.
#[derive(Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Does what may wait for the cluster on a thread of its own, so that a signal ends the wait at any moment. The
/// work itself goes on then, and what it returns is dropped: a batch goes back, an attempt is aborted.
pub(crate) fn wait<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&GivenUp) -> ksem::Result<T> + Send + 'static,
) -> PyResult<T> {
    let (done, result) = bounded(1);
    let given_up = GivenUp::default();
    let theirs = given_up.clone();
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&theirs))).unwrap_or_else(|_| Err(panicked()));
        // Nobody receives it if the caller has given up.
        let _ = done.send(result);
    };
    spawn(py, work)?;
    loop {
        match py.detach(|| result.recv_timeout(SLICE)) {
            Ok(result) => return result.map_err(|error| raise(py, &error)),
            Err(RecvTimeoutError::Disconnected) => return Err(raise(py, &panicked())),
            Err(RecvTimeoutError::Timeout) => py.check_signals().inspect_err(|_| given_up.set())?,
        }
    }
}

/// Drops what may take long to drop on a thread of its own, and waits for it a little.
pub(crate) fn drop_elsewhere<T: Send + 'static>(py: Python<'_>, value: T) {
    let (done, dropped) = bounded::<()>(0);
    let work = move || {
        drop(value);
        drop(done);
    };
    if spawn(py, work).is_ok() {
        let _ = py.detach(|| dropped.recv_timeout(SLICE));
    }
}

/// Drops a value without the interpreter: it may wait for a lock that another thread holds for a while.
pub(crate) fn drop_detached<T: Send>(value: T) {
    let mut value = Some(value);
    Python::try_attach(|py| py.detach(|| drop(value.take())));
}

fn spawn(py: Python<'_>, work: impl FnOnce() + Send + 'static) -> PyResult<()> {
    let started = thread::Builder::new().name("ksem-python".into()).spawn(work);
    started
        .map(drop)
        .map_err(|error| raise(py, &ksem::Error::new(Code::Internal, "a thread can't be started").caused_by(error)))
}

fn panicked() -> ksem::Error {
    ksem::Error::new(Code::Panic, "ksem panicked; please report it")
}
