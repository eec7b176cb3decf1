//! What a handler sends, and how it says that it failed.

use std::ffi::{CString, c_char, c_void};
use std::mem;

use ksem::error::{Code, Error, Result};
use ksem::{HandlerResult, Output, OutputRecord};

use crate::batch::{given_headers, ksem_bytes, ksem_header};
use crate::boundary::{c_text, guard, misuse, value};
use crate::constants::{KSEM_OK, ksem_status};
use crate::error::{HandlerFailure, Payload, ksem_drop};

/// An output record with everything that Kafka lets a producer choose. What is left 0 is null, none, or Kafka's choice.
#[repr(C)]
pub struct ksem_output_record {
    /// The key.
    pub key: ksem_bytes,
    /// The value.
    pub value: ksem_bytes,
    /// The headers, in order.
    pub headers: *const ksem_header,
    /// How many headers there are.
    pub header_count: usize,
    /// The partition; NULL lets the key decide, as the Java client does.
    pub partition: *const i32,
    /// Milliseconds since 1970; NULL is the time of sending.
    pub timestamp: *const i64,
}

/// Records to send: a handler's, an attempt's, or those for `ksem_pipeline_publish`. Used by one thread at a time.
///
/// A call that was made wrongly (NULL, no UTF-8, no such record) is remembered: the batch fails, whether the call's status
/// was looked at or not, so that no record is lost silently.
#[derive(Default)]
pub struct ksem_output {
    output: Output,
    /// How many records may be forwarded.
    input: usize,
    wrong: Option<CString>,
    failure: Option<HandlerFailure>,
}

impl ksem_output {
    /// An output for a batch of so many records, with memory of another one.
    pub(crate) fn new(output: Output, input: usize) -> Self {
        Self { output, input, ..Self::default() }
    }

    pub(crate) fn into_inner(self) -> Output {
        self.output
    }

    pub(crate) fn take(&mut self) -> Output {
        mem::take(&mut self.output)
    }

    pub(crate) fn records(&self) -> &Output {
        &self.output
    }

    /// Fails if a call was made wrongly.
    pub(crate) fn check(&self) -> Result<()> {
        self.wrong.as_ref().map_or(Ok(()), |wrong| Err(misuse(wrong.to_string_lossy())))
    }

    /// What a handler that returned `status` has to say.
    pub(crate) fn conclude(&mut self, status: ksem_status) -> HandlerResult {
        let without_more = |status, message| HandlerFailure { status, message, payload: None };
        let mut failure = match (self.failure.take(), &self.wrong, status) {
            (Some(failure), ..) => failure,
            (None, Some(wrong), KSEM_OK) => without_more(Code::Misuse.number() as ksem_status, wrong.clone()),
            (None, None, KSEM_OK) => return Ok(()),
            (None, ..) => without_more(status, c_text(&said_nothing(status))),
        };
        if status == Code::HandlerCancelled.number() as ksem_status {
            return Err(Error::new(Code::HandlerCancelled, failure.to_string()).into());
        }
        if status != KSEM_OK {
            failure.status = status;
        }
        Err(Box::new(failure))
    }

    fn checked(&self, index: usize) -> Result<usize> {
        if index < self.input {
            return Ok(index);
        }
        Err(misuse(format!("a verdict on record {index} of a batch of {}", self.input)))
    }

    fn forward(&mut self, topic: &str, index: usize) -> Result<()> {
        if index >= self.input {
            return Err(misuse(format!("record {index} of {} can't be forwarded", self.input)));
        }
        self.output.forward(topic, index);
        Ok(())
    }

    fn fail(&mut self, message: CString, payload: Option<Payload>) -> ksem_status {
        let status = Code::HandlerFailed.number() as ksem_status;
        self.failure = Some(HandlerFailure { status, message, payload });
        status
    }
}

fn said_nothing(status: ksem_status) -> String {
    format!("the handler returned {status} without a message; `ksem_output_fail` gives one")
}

/// Runs the body of a call that adds to an output.
fn add(output: *mut ksem_output, body: impl FnOnce(&mut ksem_output) -> Result<()>) -> ksem_status {
    guard(std::ptr::null_mut(), || {
        let output = borrow_mut!(output)?;
        body(output).inspect_err(|error| {
            output.wrong.get_or_insert_with(|| c_text(error.message()));
        })
    })
}

/// A key and a value.
type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Reads one pair that a caller gave.
fn pair<'a>(key: ksem_bytes, value: ksem_bytes) -> Result<Pair<'a>> {
    // SAFETY: the interface's rule: bytes are NULL or as long as they say, and stay during the call.
    unsafe { Ok((key.get("key")?, value.get("value")?)) }
}

/// Makes an output for `ksem_pipeline_publish`. A handler is given one, and an attempt has one.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_output_new() -> *mut ksem_output {
    value(std::ptr::null_mut(), || Ok(Box::into_raw(Box::<ksem_output>::default())))
}

/// Sends a key and a value. They are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_send(
    output: *mut ksem_output,
    topic: *const c_char,
    key: ksem_bytes,
    value: ksem_bytes,
) -> ksem_status {
    add(output, |output| {
        let topic = text!(topic)?;
        let (key, value) = pair(key, value)?;
        output.output.send(topic, key, value);
        Ok(())
    })
}

/// Sends a record. Everything is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_send_record(
    output: *mut ksem_output,
    topic: *const c_char,
    record: *const ksem_output_record,
) -> ksem_status {
    add(output, |output| {
        let topic = text!(topic)?;
        let given = borrow!(record)?;
        let (key, value) = pair(given.key, given.value)?;
        // SAFETY: the interface's rule: what a record points at stays during the call.
        let headers = unsafe { given_headers(given.headers, given.header_count) }?;
        // SAFETY: as above; NULL is `None`.
        let (partition, timestamp) = unsafe { (given.partition.as_ref().copied(), given.timestamp.as_ref().copied()) };
        output.output.send_record(topic, &OutputRecord { key, value, headers: &headers, partition, timestamp });
        Ok(())
    })
}

/// Sends `count` records in one call. `keys` may be NULL: then all keys are null. Of a call that fails, nothing is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_send_many(
    output: *mut ksem_output,
    topic: *const c_char,
    keys: *const ksem_bytes,
    values: *const ksem_bytes,
    count: usize,
) -> ksem_status {
    add(output, |output| {
        let topic = text!(topic)?;
        let keys = if keys.is_null() { &[] } else { array!(keys, count)? };
        let values = array!(values, count)?;
        let key = |index| keys.get(index).copied().unwrap_or(ksem_bytes::of(None));
        let pairs = values.iter().enumerate().map(|(index, value)| pair(key(index), *value));
        for (key, value) in pairs.collect::<Result<Vec<_>>>()? {
            output.output.send(topic, key, value);
        }
        Ok(())
    })
}

/// Sends record `index` of the batch as it is, with headers and timestamp. Nothing is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_forward(
    output: *mut ksem_output,
    topic: *const c_char,
    index: usize,
) -> ksem_status {
    add(output, |output| output.forward(text!(topic)?, index))
}

/// Sends every record of the batch as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_forward_all(output: *mut ksem_output, topic: *const c_char) -> ksem_status {
    add(output, |output| {
        let topic = text!(topic)?;
        (0..output.input).for_each(|index| output.output.forward(topic, index));
        Ok(())
    })
}

/// Has record `index` of the batch handled again: nothing of the batch is applied, and it is split around the record. When
/// `retry.max_attempts` is used up, the record becomes a dead letter. Under at-most-once it is counted as lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_retry(output: *mut ksem_output, index: usize) -> ksem_status {
    add(output, |output| {
        let index = output.checked(index)?;
        output.output.retry(index);
        Ok(())
    })
}

/// Sets record `index` of the batch aside: it goes to `dead_letter.topic` together with what the batch sends. The reason is
/// copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_dead_letter(
    output: *mut ksem_output,
    index: usize,
    reason: *const c_char,
) -> ksem_status {
    add(output, |output| {
        let (index, reason) = (output.checked(index)?, text!(reason)?);
        output.output.dead_letter(index, reason);
        Ok(())
    })
}

/// Has record `index` of the batch counted as done although nothing comes of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_skip(output: *mut ksem_output, index: usize) -> ksem_status {
    add(output, |output| {
        let index = output.checked(index)?;
        output.output.skip(index);
        Ok(())
    })
}

/// Says why the handler fails, and returns what it should return: `return ksem_output_fail(output, "no such customer");`.
/// The text is found in the error that the caller gets (`ksem_error_handler_message`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_fail(output: *mut ksem_output, message: *const c_char) -> ksem_status {
    // SAFETY: the same promises, handed on.
    unsafe { ksem_output_fail_with(output, message, std::ptr::null_mut(), None) }
}

/// As `ksem_output_fail`, with something of the caller's that travels with the failure, such as an exception of another
/// language: `ksem_error_payload` finds it. ksem calls `drop` with it once, on any thread, also if this call fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_fail_with(
    output: *mut ksem_output,
    message: *const c_char,
    payload: *mut c_void,
    drop: ksem_drop,
) -> ksem_status {
    let mut payload = Some(Payload::new(payload, drop));
    let failed = Code::HandlerFailed.number() as ksem_status;
    value(failed, || {
        // A message in another encoding is still better than none.
        // SAFETY: the interface's rule: a text is NULL or ends with NUL.
        let given = (!message.is_null()).then(|| unsafe { std::ffi::CStr::from_ptr(message) });
        let text = given.map_or_else(|| said_nothing(failed), |text| text.to_string_lossy().into_owned());
        Ok(borrow_mut!(output)?.fail(c_text(&text), payload.take()))
    })
}

/// Returns how many records were sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_len(output: *const ksem_output) -> usize {
    value(0, || Ok(borrow!(output)?.output.len()))
}

/// Returns what was wrong with the first call that was made wrongly; NULL if there was none. Lives until the output is cleared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_wrong(output: *const ksem_output) -> *const c_char {
    let none = std::ptr::null();
    value(none, || Ok(borrow!(output)?.wrong.as_ref().map_or(none, |wrong| wrong.as_ptr())))
}

/// Forgets everything that was sent, wrong calls too, and keeps the memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_clear(output: *mut ksem_output) {
    value((), || {
        let output = borrow_mut!(output)?;
        output.output.clear();
        (output.wrong, output.failure) = (None, None);
        Ok(())
    });
}

/// Frees an output of `ksem_output_new`. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_output_free(output: *mut ksem_output) {
    release!(output);
}
