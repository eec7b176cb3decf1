//! Work whose handler is JavaScript.
//!
//! A native thread takes the handler's calls from the core, puts them where the event loop finds them, and rings. It never
//! waits for the event loop: the lane that made the call does, and stops when the work is given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ksem::error::{Code, Error};
use ksem::{Calls, Next};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Result, Status};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::batch::NativeBatch;
use crate::error::{Thrown, misuse};
use crate::output;
use crate::pipeline::Stopping;
use crate::reply::Ring;

/// How long it takes to see that work is given up.
const TICK: Duration = Duration::from_millis(50);

/// What the event loop and the thread that waits share.
#[derive(Default)]
pub struct Waiting {
    calls: Mutex<VecDeque<ksem::Call>>,
    cancelled: AtomicBool,
}

/// Work under way.
#[napi]
pub struct NativeWork {
    waiting: Arc<Waiting>,
}

impl NativeWork {
    /// Work whose calls come through `waiting`.
    pub fn new(waiting: &Arc<Waiting>) -> Self {
        Self { waiting: Arc::clone(waiting) }
    }
}

#[napi]
impl NativeWork {
    /// Returns the next call of the handler, if there is one.
    #[napi(catch_unwind)]
    pub fn take(&self) -> Option<NativeCall> {
        let call = self.waiting.calls.lock().pop_front();
        call.map(|call| NativeCall { call: Mutex::new(Some(call)) })
    }

    /// Gives it up: what is under way is not applied.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.waiting.cancelled.store(true, Ordering::SeqCst);
    }
}

impl Drop for NativeWork {
    // JavaScript holds it until the work is over, so this is the end of the environment.
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Hands the calls over until the work is over or given up, and returns its result.
///
/// # Errors
/// What ended the work; `handler_cancelled` if it was given up; `shutdown_deadline` if a handler had no end in time.
pub fn wait<T: Send>(
    calls: Calls<T>,
    waiting: &Waiting,
    ring: &Ring,
    stopping: &Stopping,
    give_up: impl FnOnce(),
) -> ksem::Result<T> {
    let overdue = loop {
        if stopping.is_overdue() {
            break true;
        }
        if waiting.cancelled.load(Ordering::SeqCst) {
            break false;
        }
        match calls.next(TICK) {
            Next::Call(call) => {
                waiting.calls.lock().push_back(call);
                if ring.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Ok {
                    // The environment has ended.
                    waiting.cancelled.store(true, Ordering::SeqCst);
                }
            }
            Next::Idle => {}
            Next::Over => break false,
        }
    };
    if overdue || waiting.cancelled.load(Ordering::SeqCst) {
        give_up();
    }
    waiting.calls.lock().clear();
    match calls.finish() {
        Err(error) if overdue && error.code() == Code::HandlerCancelled => {
            let text = "`shutdown.deadline_ms` passed before the handler had an end; the batch is processed again";
            Err(Error::new(Code::ShutdownDeadline, text).caused_by(error))
        }
        result => result,
    }
}

/// One call of the handler.
#[napi]
pub struct NativeCall {
    call: Mutex<Option<ksem::Call>>,
}

impl NativeCall {
    fn end(&self) -> Result<ksem::Call> {
        self.call.lock().take().ok_or_else(|| misuse("the handler's call has ended already"))
    }
}

#[napi]
impl NativeCall {
    /// Returns the batch.
    ///
    /// # Errors
    /// `misuse` if the call has ended.
    #[napi(catch_unwind)]
    pub fn batch(&self) -> Result<NativeBatch> {
        let call = self.call.lock();
        let batch = call.as_ref().map(|call| NativeBatch::lent(call.batch()));
        batch.ok_or_else(|| misuse("the handler's call has ended already"))
    }

    /// Returns how many records its batch has.
    ///
    /// # Errors
    /// `misuse` if the call has ended.
    #[napi(getter, catch_unwind)]
    pub fn records(&self) -> Result<u32> {
        let call = self.call.lock();
        let records = call.as_ref().map(|call| call.batch().len() as u32);
        records.ok_or_else(|| misuse("the handler's call has ended already"))
    }

    /// The handler has succeeded and has sent this.
    ///
    /// # Errors
    /// `misuse` if the call has ended.
    #[napi(catch_unwind)]
    pub fn succeed(&self, sent: &[u8]) -> Result<()> {
        let mut call = self.end()?;
        let records = call.batch().len();
        match output::read(sent, call.output(), records) {
            Ok(()) => call.succeed(),
            Err(error) => call.fail(error.reason.clone()),
        }
        Ok(())
    }

    /// The handler has thrown the object that JavaScript keeps under this number.
    ///
    /// # Errors
    /// `misuse` if the call has ended.
    #[napi(catch_unwind)]
    pub fn fail(&self, number: u32, text: String) -> Result<()> {
        self.end()?.fail(Thrown { number, text });
        Ok(())
    }
}
