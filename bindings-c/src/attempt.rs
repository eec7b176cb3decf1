//! An attempt at a batch in the caller's own control flow.

use std::ffi::c_char;

use ksem::error::{Code, Result};
use ksem::{Attempt, Report};

use crate::batch::ksem_batch;
use crate::boundary::{guard, misuse, out, value};
use crate::constants::ksem_status;
use crate::error::ksem_error;
use crate::output::ksem_output;
use crate::report::ksem_report;

/// A batch between begin and commit. Freed without a commit, it is aborted. Used by one thread at a time.
pub struct ksem_attempt {
    attempt: Option<Attempt>,
    batch: ksem_batch,
    output: ksem_output,
}

impl ksem_attempt {
    pub(crate) fn new(attempt: Attempt) -> Self {
        let batch = ksem_batch::lent(attempt.batch());
        let output = ksem_output::new(ksem::Output::default(), attempt.batch().len());
        Self { attempt: Some(attempt), batch, output }
    }

    fn end(&mut self, end: impl FnOnce(Attempt) -> Result<Report>) -> Result<ksem_report> {
        let mut attempt = self.attempt.take().ok_or_else(|| misuse("the attempt has ended"))?;
        *attempt.output() = self.output.take();
        end(attempt).map(ksem_report::new)
    }
}

/// Returns the attempt's batch; it lives as long as the attempt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_attempt_batch(attempt: *const ksem_attempt) -> *const ksem_batch {
    value(std::ptr::null(), || Ok(&raw const borrow!(attempt)?.batch))
}

/// Returns where to send; it lives as long as the attempt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_attempt_output(attempt: *mut ksem_attempt) -> *mut ksem_output {
    value(std::ptr::null_mut(), || Ok(&raw mut borrow_mut!(attempt)?.output))
}

/// Commits: the outputs and the offsets, in the order of the guarantee. A report that says `KSEM_REDELIVERED` is not an
/// error: nothing was applied, and the batch comes again. `report` may be NULL. The attempt has ended, whatever is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_attempt_commit(
    attempt: *mut ksem_attempt,
    report: *mut *mut ksem_report,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let report = out(report, None)?;
        let attempt = borrow_mut!(attempt)?;
        if let Err(wrong) = attempt.output.check() {
            // An incomplete output must not be committed.
            attempt.end(|attempt| attempt.abort(wrong.message()))?;
            return Err(wrong);
        }
        report.put(attempt.end(Attempt::commit)?);
        Ok(())
    })
}

/// Aborts: nothing is applied, and the batch comes again. Under at-most-once its offsets are committed already, so it is
/// lost, and counted. `reason` is for the log and may be NULL, and so may `report`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_attempt_abort(
    attempt: *mut ksem_attempt,
    reason: *const c_char,
    report: *mut *mut ksem_report,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let report = out(report, None)?;
        let attempt = borrow_mut!(attempt)?;
        let reason = if reason.is_null() { Code::HandlerFailed.doc() } else { text!(reason)? };
        report.put(attempt.end(|attempt| attempt.abort(reason))?);
        Ok(())
    })
}

/// Frees an attempt; one that has not ended is aborted. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_attempt_free(attempt: *mut ksem_attempt) {
    release!(attempt);
}
