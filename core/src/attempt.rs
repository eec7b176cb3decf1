//! An attempt at a batch in the caller's own control flow.

use std::sync::Arc;

use crate::Guarantee;
use crate::batch::Batch;
use crate::engine::attempt::Drive;
use crate::engine::lane::Lane;
use crate::error::{Code, Error, Result};
use crate::metrics::Report;
use crate::output::Output;

/// A batch between begin and commit. Dropped without a commit, it is aborted.
///
/// It is made once: a failed attempt gives its batch back, and the next poll delivers it again.
pub struct Attempt {
    lane: Arc<Lane>,
    open: Option<(Batch, Drive)>,
    output: Output,
}

impl Attempt {
    pub(crate) fn begin(lane: Arc<Lane>, batch: Batch, guarantee: Guarantee) -> Result<Self> {
        match lane.begin(&batch, guarantee) {
            Ok(drive) => Ok(Self { lane, open: Some((batch, drive)), output: Output::default() }),
            Err(Err(error)) => Err(error),
            Err(Ok(report)) => {
                let cause = report.cause.unwrap_or_default();
                Err(Error::new(Code::TransactionFailed, format!("the attempt could not begin: {cause}")))
            }
        }
    }

    /// Returns the batch.
    ///
    /// # Panics
    /// Never: the batch is there until the attempt is consumed.
    pub fn batch(&self) -> &Batch {
        &self.open.as_ref().expect("an attempt has its batch until it ends").0
    }

    /// Returns where to send.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Commits: the outputs and the offsets, in the order of the guarantee.
    ///
    /// # Errors
    /// What ends the pipeline. A report that says `Redelivered` is not an error: nothing was
    /// applied, and the batch comes again.
    pub fn commit(self) -> Result<Report> {
        self.end(Ok(()))
    }

    /// Aborts: nothing is applied, and the batch comes again. Under at-most-once its offsets are
    /// committed already, so it is lost, and counted.
    ///
    /// # Errors
    /// What ends the pipeline.
    pub fn abort(self, reason: &str) -> Result<Report> {
        self.end(Err(Error::new(Code::HandlerFailed, reason)))
    }

    fn end(mut self, handled: Result<()>) -> Result<Report> {
        let ended = || Error::new(Code::Misuse, "the attempt has ended");
        let (mut batch, drive) = self.open.take().ok_or_else(ended)?;
        self.lane.end(&mut batch, drive, handled, &mut self.output)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((mut batch, drive)) = self.open.take() {
            let dropped = Err(Error::new(Code::HandlerFailed, "the attempt was dropped"));
            if let Err(error) = self.lane.end(&mut batch, drive, dropped, &mut self.output) {
                tracing::warn!(%error, "aborting a dropped attempt");
            }
        }
    }
}
