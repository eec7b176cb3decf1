//! Where C's pointers become Rust's references. Each function of the interface goes through here, so that the rules in
//! the header are checked in one place: NULL and text that is no UTF-8 are errors, and no panic crosses.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ksem::error::{Code, Error, Result};

use crate::constants::{KSEM_OK, ksem_status};
use crate::error::ksem_error;

/// Runs the body of a function that can fail. `error` gets NULL, or the error's handle.
pub(crate) fn guard(error: *mut *mut ksem_error, body: impl FnOnce() -> Result<()>) -> ksem_status {
    let out = Out(error);
    out.clear();
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return KSEM_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => panicked(&*panic),
    };
    let status = failure.code().number() as ksem_status;
    out.put(ksem_error::new(failure));
    status
}

/// Runs the body of a function that answers with a value, and with `otherwise` where there is none.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    catch_unwind(AssertUnwindSafe(body)).ok().and_then(Result::ok).unwrap_or(otherwise)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(Code::Panic, format!("a call of ksem panicked: {text}"))
}

/// Makes the error of a call that was made wrongly.
pub(crate) fn misuse(text: impl Into<String>) -> Error {
    Error::new(Code::Misuse, text)
}

/// Where a new handle goes. NULL where the caller does not want it.
pub(crate) struct Out<T>(*mut *mut T);

impl<T> Out<T> {
    /// Until the call has succeeded there is nothing to free.
    fn clear(&self) {
        if !self.0.is_null() {
            // SAFETY: the interface's rule: an out parameter is NULL or can be written to.
            unsafe { self.0.write(std::ptr::null_mut()) }
        }
    }

    /// Hands the value over; `release` gets it back. Without a place for it, it is dropped.
    pub(crate) fn put(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: as in `clear`.
            unsafe { self.0.write(Box::into_raw(Box::new(value))) }
        }
    }
}

/// An out parameter for a handle; with `required` it must not be NULL.
pub(crate) fn out<T>(place: *mut *mut T, required: Option<&str>) -> Result<Out<T>> {
    match required {
        Some(name) if place.is_null() => Err(misuse(format!("`{name}` is NULL"))),
        _ => {
            let out = Out(place);
            out.clear();
            Ok(out)
        }
    }
}

/// Writes a number to an out parameter that may be NULL.
///
/// # Safety
/// `place` is NULL or can be written to.
pub(crate) unsafe fn write<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the caller's promise.
        unsafe { place.write(value) }
    }
}

/// # Safety
/// `pointer` is NULL, or valid and not written to for as long as `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| misuse(format!("`{name}` is NULL")))
}

/// # Safety
/// `pointer` is NULL, or valid and used by nobody else for as long as `'a`.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| misuse(format!("`{name}` is NULL")))
}

/// # Safety
/// `pointer` is NULL, or text with a NUL at its end that lives as long as `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(misuse(format!("`{name}` is NULL")));
    }
    // SAFETY: the caller's promise, and not NULL.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| misuse(format!("`{name}` is not UTF-8")))
}

/// # Safety
/// `items` is NULL, or points at `len` items that live as long as `'a`.
pub(crate) unsafe fn array<'a, T>(items: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    match (items.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(misuse(format!("`{name}` is NULL and its length is {len}"))),
        // SAFETY: the caller's promise, and not NULL.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(items, len) }),
    }
}

/// Takes a handle back that `Out::put` or `Box::into_raw` gave away. No panic of its end crosses.
///
/// # Safety
/// `handle` is NULL or such a handle, and is not used again.
pub(crate) unsafe fn release<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the caller's promise.
        let handle = unsafe { Box::from_raw(handle) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(handle)));
    }
}

/// Text for C. A NUL in it would end it, so it is shown as what it is.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}
