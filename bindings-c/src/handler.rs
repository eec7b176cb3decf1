//! Handlers: functions of the caller's, with a pointer of the caller's.

use std::ffi::c_void;
use std::mem;

use ksem::{Batch, HandlerResult, Output, Pipeline};

use crate::batch::ksem_batch;
use crate::constants::ksem_status;
use crate::output::ksem_output;

/// Handles a batch: reads `batch`, sends to `output`, and returns `KSEM_OK`. Anything else fails the batch, which is tried
/// again as `[retry]` of the configuration says; `ksem_output_fail` gives a message to it. `KSEM_HANDLER_CANCELLED` gives
/// the batch up without another attempt. Both arguments are valid until the handler returns, and are not to be freed. It
/// runs on the thread that called ksem, and must not leave by an exception or `longjmp`.
pub type ksem_handler =
    Option<unsafe extern "C" fn(batch: *const ksem_batch, output: *mut ksem_output, user: *mut c_void) -> ksem_status>;

/// A handler with its user pointer; without a function, the configuration's routes.
#[derive(Clone, Copy)]
pub(crate) struct Handler {
    pub(crate) function: ksem_handler,
    pub(crate) user: *mut c_void,
}

impl Handler {
    /// Calls the handler on this thread.
    pub(crate) fn call(self, pipeline: &Pipeline, batch: &Batch, output: &mut Output) -> HandlerResult {
        let Some(function) = self.function else { return pipeline.route(batch, output) };
        let shown = ksem_batch::lent(batch);
        let mut filled = ksem_output::new(mem::take(output), batch.len());
        // SAFETY: both pointers are valid during the call; the function is the caller's promise.
        let status = unsafe { function(&raw const shown, &raw mut filled, self.user) };
        let result = filled.conclude(status);
        *output = filled.into_inner();
        result
    }
}
