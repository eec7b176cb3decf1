//! The handler's calls, handed to threads of the caller's.
//!
//! An event loop or an interpreter has threads of its own on which handlers must run. A pipeline that
//! runs keeps its lanes on threads of ksem's; each hands its batch over and waits for the answer, so
//! that retries, order and commits stay where they are.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};
use parking_lot::Mutex;

use crate::batch::Batch;
use crate::error::{Code, Error, Result};
use crate::handler::HandlerResult;
use crate::output::Output;
use crate::pipeline::{Pipeline, Stopper, Until};
use crate::{Guarantee, Report};

/// Work under way whose handler is the caller. Several threads may take calls from it.
///
/// Dropped, it gives up what is under way: nothing of it is applied, except under at-most-once, and
/// a pipeline that runs is stopped.
pub struct Calls<T: Send + 'static> {
    calls: Option<Receiver<Call>>,
    /// Dropped with the calls: lanes that wait for an answer stop waiting.
    there: Option<Sender<Infallible>>,
    work: Mutex<Option<JoinHandle<Result<T>>>>,
    stopper: Option<Stopper>,
}

/// One call of the handler: a batch, and where to send. Dropped without an answer, it is given up.
pub struct Call {
    batch: Batch,
    output: Output,
    answer: Option<Sender<Answer>>,
}

type Answer = (Output, HandlerResult);

/// What [`Calls::next`] found.
pub enum Next {
    /// A batch for the handler.
    Call(Call),
    /// Nothing yet.
    Idle,
    /// There will be none any more: [`Calls::finish`] has the result.
    Over,
}

impl Pipeline {
    /// As [`run_until`](Self::run_until), with the handler's calls handed to the caller.
    ///
    /// # Errors
    /// `misuse` if the pipeline runs already.
    pub fn run_calls(self: &Arc<Self>, until: Until) -> Result<Calls<()>> {
        self.check_idle()?;
        let pipeline = Arc::clone(self);
        Calls::start(Some(self.stopper()), move |handler| pipeline.run_until(until, handler))
    }

    /// As [`process`](Self::process), with the handler's calls handed to the caller: one for each attempt.
    ///
    /// # Errors
    /// `internal` if no thread can be started.
    pub fn process_calls(self: &Arc<Self>, batch: Batch, guarantee: Guarantee) -> Result<Calls<Report>> {
        let pipeline = Arc::clone(self);
        Calls::start(None, move |handler| pipeline.process(batch, guarantee, handler))
    }
}

impl<T: Send + 'static> Calls<T> {
    fn start(
        stopper: Option<Stopper>,
        work: impl FnOnce(&(dyn Fn(&Batch, &mut Output) -> HandlerResult + Sync)) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let (caller, calls) = unbounded();
        let (there, gone) = bounded(0);
        let caller = Caller { calls: caller, gone };
        let work = move || work(&|batch: &Batch, output: &mut Output| caller.hand_over(batch, output));
        let work = thread::Builder::new().name("ksem-calls".into()).spawn(work).map_err(|error| {
            Error::new(Code::Internal, "the thread that runs the pipeline can't be started").caused_by(error)
        })?;
        Ok(Self { calls: Some(calls), there: Some(there), work: Mutex::new(Some(work)), stopper })
    }

    /// Waits for the next call. `timeout` of 0 looks without waiting.
    pub fn next(&self, timeout: Duration) -> Next {
        let Some(calls) = &self.calls else { return Next::Over };
        match calls.recv_timeout(timeout) {
            Ok(call) => Next::Call(call),
            Err(RecvTimeoutError::Timeout) => Next::Idle,
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }

    /// Waits for the end and returns the result, once. Calls that nobody has taken are given up.
    ///
    /// # Errors
    /// What ended the work.
    pub fn finish(mut self) -> Result<T> {
        self.end().unwrap_or_else(|| Err(Error::new(Code::Misuse, "the result was taken already")))
    }

    fn end(&mut self) -> Option<Result<T>> {
        drop((self.calls.take(), self.there.take()));
        let work = self.work.get_mut().take()?;
        let panicked = |_| Err(Error::new(Code::Panic, "the thread that runs the pipeline panicked"));
        Some(work.join().unwrap_or_else(panicked))
    }
}

impl<T: Send + 'static> Drop for Calls<T> {
    fn drop(&mut self) {
        if let (Some(stopper), Some(_)) = (&self.stopper, &self.calls) {
            stopper.stop();
        }
        if let Some(Err(error)) = self.end() {
            tracing::debug!(%error, "what was under way was given up");
        }
    }
}

impl Call {
    /// Returns the batch. It may be kept beyond the answer: its memory lives as long as it.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Returns where to send.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// The handler has succeeded.
    pub fn succeed(self) {
        self.answer(Ok(()));
    }

    /// The handler has failed: the batch is tried again, as `[retry]` says.
    pub fn fail(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.answer(Err(cause.into()));
    }

    fn answer(mut self, result: HandlerResult) {
        if let Some(answer) = self.answer.take() {
            // Nobody waits only if the lane is gone.
            let _ = answer.send((mem::take(&mut self.output), result));
        }
    }
}

/// The lanes' side.
struct Caller {
    calls: Sender<Call>,
    gone: Receiver<Infallible>,
}

impl Caller {
    /// Gives the batch away and waits for the answer.
    fn hand_over(&self, batch: &Batch, output: &mut Output) -> HandlerResult {
        let (answer, answered) = bounded(1);
        let call = Call { batch: batch.view(), output: mem::take(output), answer: Some(answer) };
        let given_up = || Error::new(Code::HandlerCancelled, "the caller gave the batch up; it comes again");
        self.calls.send(call).map_err(|_| given_up())?;
        let (filled, result) = select! {
            recv(answered) -> answer => answer.map_err(|_| given_up())?,
            recv(self.gone) -> _ => return Err(given_up().into()),
        };
        *output = filled;
        result
    }
}
