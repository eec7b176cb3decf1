//! Answers from native threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use ksem::error::{Code, Error};
use napi::Status;
use napi::bindgen_prelude::JsValuesTupleIntoVec;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

use crate::error::to_js;

/// Where an answer goes: a function that takes an error or a value. It keeps the event loop alive until then.
pub type Done<T> = ThreadsafeFunction<T, (), T, Status, true>;

/// A function without arguments that tells the event loop that there is something to fetch.
pub type Ring = ThreadsafeFunction<(), (), (), Status, false>;

/// Does the work on a thread of its own and answers.
///
/// # Errors
/// If no thread can be started.
pub fn answer<T: JsValuesTupleIntoVec + 'static>(
    done: Done<T>,
    work: impl FnOnce() -> ksem::Result<T> + Send + 'static,
) -> napi::Result<()> {
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Error::new(Code::Panic, "a thread of ksem panicked")));
        // An environment that has ended takes no answer: what it would have got is dropped here.
        done.call(result.map_err(|error| to_js(&error)), ThreadsafeFunctionCallMode::NonBlocking);
    };
    spawn(work).map_err(|error| {
        let text = "a thread can't be started";
        to_js(&Error::new(Code::Internal, text).caused_by(error))
    })
}

/// Drops what may take time to drop, elsewhere: destructors run on the event loop's thread.
pub fn drop_elsewhere(value: impl Send + 'static) {
    if let Err(error) = spawn(move || drop(value)) {
        tracing::warn!(%error, "a thread can't be started");
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name("ksem-node".into()).spawn(work).map(drop)
}
