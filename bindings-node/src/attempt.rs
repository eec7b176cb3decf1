//! A batch between begin and commit.

use napi::Result;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::error::misuse;
use crate::output;
use crate::reply::{Done, answer, drop_elsewhere};
use crate::report::Report;

/// An attempt at a batch. One that is forgotten is aborted when it is collected.
#[napi]
pub struct NativeAttempt {
    attempt: Mutex<Option<ksem::Attempt>>,
}

impl NativeAttempt {
    /// Wraps one that has begun.
    pub fn new(attempt: ksem::Attempt) -> Self {
        Self { attempt: Mutex::new(Some(attempt)) }
    }

    fn take(&self) -> Result<ksem::Attempt> {
        self.attempt.lock().take().ok_or_else(|| misuse("the attempt has ended already"))
    }
}

#[napi]
impl NativeAttempt {
    /// Commits what was sent and the offsets.
    ///
    /// # Errors
    /// `misuse` if it has ended.
    #[napi(catch_unwind)]
    pub fn commit(
        &self,
        sent: &[u8],
        #[napi(ts_arg_type = "(error: Error | null, report: Report) => void")] done: Done<Report>,
    ) -> Result<()> {
        let mut attempt = self.take()?;
        let records = attempt.batch().len();
        if let Err(error) = output::read(sent, attempt.output(), records) {
            drop_elsewhere(attempt);
            return Err(error);
        }
        answer(done, move || attempt.commit().map(Report::from))
    }

    /// Aborts: nothing is applied.
    ///
    /// # Errors
    /// `misuse` if it has ended.
    #[napi(catch_unwind)]
    pub fn abort(
        &self,
        reason: String,
        #[napi(ts_arg_type = "(error: Error | null, report: Report) => void")] done: Done<Report>,
    ) -> Result<()> {
        let attempt = self.take()?;
        answer(done, move || attempt.abort(&reason).map(Report::from))
    }
}

impl Drop for NativeAttempt {
    fn drop(&mut self) {
        // An abort asks the cluster.
        if let Some(attempt) = self.attempt.get_mut().take() {
            drop_elsewhere(attempt);
        }
    }
}
