//! Errors, as JavaScript gets them.

use std::error::Error as StdError;
use std::fmt;

use ksem::error::{Code, Error};
use napi_derive::napi;
use serde_json::{Map, Value, json};

/// A row of the table of error codes.
#[napi(object)]
pub struct ErrorCode {
    /// The stable name, such as `producer_fenced`.
    pub code: String,
    /// The stable number.
    pub number: u32,
    /// Which part has to change.
    #[napi(ts_type = "ErrorClass")]
    pub class: String,
    /// What the caller should do.
    #[napi(ts_type = "ErrorRetry")]
    pub retry: String,
    /// What became of the batch, or of the call.
    #[napi(ts_type = "ErrorOutcome")]
    pub outcome: String,
    /// One sentence.
    pub doc: String,
}

/// Returns the table of error codes.
#[napi(catch_unwind)]
pub fn error_codes() -> Vec<ErrorCode> {
    let row = |code: &Code| ErrorCode {
        code: code.name().into(),
        number: code.number(),
        class: code.class().name().into(),
        retry: code.retry().name().into(),
        outcome: code.outcome().name().into(),
        doc: code.doc().into(),
    };
    Code::ALL.iter().map(row).collect()
}

/// What a handler has thrown, on its way through the core. JavaScript keeps the object itself under the number.
#[derive(Debug)]
pub struct Thrown {
    /// The object's number.
    pub number: u32,
    /// The object's text.
    pub text: String,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Thrown {}

/// Wraps an error for the way to JavaScript, which makes a `KsemError` of the JSON in it.
pub fn to_js(error: &Error) -> napi::Error {
    napi::Error::from_reason(describe(error).to_string())
}

/// As [`to_js`], of a call in a state that does not allow it.
pub fn misuse(text: &str) -> napi::Error {
    to_js(&Error::new(Code::Misuse, text))
}

fn describe(error: &Error) -> Value {
    let context: Map<_, _> = error.context().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "code": error.code().name(),
        "number": error.code().number(),
        "class": error.class().name(),
        "retry": error.retry().name(),
        "outcome": error.outcome().name(),
        "message": error.message(),
        "context": context,
        "cause": cause(error),
    })
}

/// The handler's own object, if it is anywhere in the chain; else the next link.
fn cause(error: &Error) -> Value {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(thrown) = source.downcast_ref::<Thrown>() {
            return json!({ "thrown": thrown.number });
        }
        next = source.source();
    }
    match error.source() {
        Some(source) => source.downcast_ref::<Error>().map_or_else(|| json!({ "text": source.to_string() }), describe),
        None => Value::Null,
    }
}
