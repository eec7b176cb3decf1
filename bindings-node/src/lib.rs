//! ksem for Node.js: what the package's JavaScript (`lib/`) calls.
//!
//! Nothing here decides anything: a call is handed to the crate `ksem` on a thread of its own, and the answer comes
//! back through a thread-safe function. The event loop's thread never waits, and a native thread that waits for the
//! event loop holds no lock. What crosses in bulk crosses in one piece: columns of a batch ([`batch`]) and everything
//! that a handler sends ([`output`]).
//!
//! A thread that outlives its environment (a worker that was ended) finds its function closed and gives up.

// Arguments come by value from JavaScript, and `lib/index.d.ts` says what fails.
#![allow(clippy::needless_pass_by_value, clippy::missing_errors_doc)]

pub mod attempt;
pub mod batch;
pub mod broker;
pub mod error;
pub mod log;
pub mod output;
pub mod pipeline;
pub mod reply;
pub mod report;
pub mod work;

use napi_derive::napi;

/// Returns ksem's version.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
