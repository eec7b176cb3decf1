//! Errors as handles, and what a handler said when it failed.

use std::ffi::{CString, c_char, c_void};
use std::fmt;

use ksem::error::{Error, Result};

use crate::boundary::{c_text, misuse, value};
use crate::constants::ksem_status;
use crate::table;

/// An error: what happened, what became of the batch, and what to do. Free it with `ksem_error_free`.
pub struct ksem_error {
    error: Error,
    message: CString,
    text: CString,
    context: Vec<(CString, CString)>,
}

/// Frees what was attached to a failure.
pub type ksem_drop = Option<unsafe extern "C" fn(payload: *mut c_void)>;

impl ksem_error {
    pub(crate) fn new(error: Error) -> Self {
        Self {
            message: c_text(error.message()),
            text: c_text(&error.to_string()),
            context: error.context().map(|(name, value)| (c_text(name), c_text(value))).collect(),
            error,
        }
    }

    /// What the handler said, if a handler's failure is behind the error.
    fn failure(&self) -> Option<&HandlerFailure> {
        let mut next = std::error::Error::source(&self.error);
        while let Some(cause) = next {
            if let Some(failure) = cause.downcast_ref() {
                return Some(failure);
            }
            next = cause.source();
        }
        None
    }

    fn context(&self, index: usize) -> Result<&(CString, CString)> {
        self.context.get(index).ok_or_else(|| misuse("no such fact"))
    }
}

/// A handler's failure: travels through the core and comes back behind the error that ends the attempts.
#[derive(Debug)]
pub(crate) struct HandlerFailure {
    pub(crate) status: ksem_status,
    pub(crate) message: CString,
    pub(crate) payload: Option<Payload>,
}

/// What a caller attached to a failure, such as the exception of another language.
#[derive(Debug)]
pub(crate) struct Payload {
    data: *mut c_void,
    drop: ksem_drop,
}

// SAFETY: ksem only hands it back; `ksem_output_fail_with` says that `drop` may be called on any thread.
unsafe impl Send for Payload {}
// SAFETY: as above.
unsafe impl Sync for Payload {}

impl Payload {
    pub(crate) fn new(data: *mut c_void, drop: ksem_drop) -> Self {
        Self { data, drop }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller gave both together, for this one call.
            unsafe { drop(self.data) }
        }
    }
}

impl fmt::Display for HandlerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message.to_string_lossy())
    }
}

impl std::error::Error for HandlerFailure {}

/// Returns the code, such as `KSEM_PRODUCER_FENCED`; `KSEM_OK` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_status(error: *const ksem_error) -> ksem_status {
    value(0, || Ok(borrow!(error)?.error.code().number() as ksem_status))
}

/// Returns what happened, what was applied and what to change, without code and context. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_message(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(borrow!(error)?.message.as_ptr()))
}

/// Returns one line for logs: code, name, message and context. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_text(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(borrow!(error)?.text.as_ptr()))
}

/// Returns the code's name, such as `producer_fenced`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_name(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(table::word(borrow!(error)?.error.code().name())))
}

/// Returns which part has to change: "config", "unavailable", "transaction", "handler", "data" or "internal".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_class(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(table::word(borrow!(error)?.error.class().name())))
}

/// Returns what to do: "never" (change something first), "retry" (the same call), or "reopen" (a new pipeline).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_retry(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(table::word(borrow!(error)?.error.retry().name())))
}

/// Returns what became of the batch: `not_applied`, "applied" or "unknown".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_outcome(error: *const ksem_error) -> *const c_char {
    value(c"".as_ptr(), || Ok(table::word(borrow!(error)?.error.outcome().name())))
}

/// Returns how many facts the error has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_context_len(error: *const ksem_error) -> usize {
    value(0, || Ok(borrow!(error)?.context.len()))
}

/// Returns the name of a fact, such as "batch"; NULL if there is no such one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_context_name(error: *const ksem_error, index: usize) -> *const c_char {
    value(std::ptr::null(), || Ok(borrow!(error)?.context(index)?.0.as_ptr()))
}

/// Returns the value of a fact; NULL if there is no such one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_context_value(error: *const ksem_error, index: usize) -> *const c_char {
    value(std::ptr::null(), || Ok(borrow!(error)?.context(index)?.1.as_ptr()))
}

/// Returns what the handler returned, if its failure is behind the error; else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_handler_status(error: *const ksem_error) -> ksem_status {
    value(0, || Ok(borrow!(error)?.failure().map_or(0, |failure| failure.status)))
}

/// Returns what the handler gave to `ksem_output_fail`, if its failure is behind the error; else NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_handler_message(error: *const ksem_error) -> *const c_char {
    let none = std::ptr::null();
    value(none, || Ok(borrow!(error)?.failure().map_or(none, |failure| failure.message.as_ptr())))
}

/// Returns what the handler gave to `ksem_output_fail_with`, if it did so with this same `drop`; else NULL. It belongs to
/// the error and is dropped with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_payload(error: *const ksem_error, drop: ksem_drop) -> *mut c_void {
    let address = |function: ksem_drop| function.map_or(0, |function| function as usize);
    value(std::ptr::null_mut(), || {
        let payload = borrow!(error)?.failure().and_then(|failure| failure.payload.as_ref());
        let payload = payload.filter(|payload| address(payload.drop) == address(drop));
        Ok(payload.map_or(std::ptr::null_mut(), |payload| payload.data))
    })
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_error_free(error: *mut ksem_error) {
    release!(error);
}
