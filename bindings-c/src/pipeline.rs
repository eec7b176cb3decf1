//! The pipeline: open, poll, process, run, publish, stop, close.

use std::ffi::{CString, c_char, c_void};
use std::io::{PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ksem::config::ConfigError;
use ksem::error::{Code, Error, Result};
use ksem::{Config, Next, Pipeline, Stopper};

use crate::attempt::ksem_attempt;
use crate::batch::ksem_batch;
use crate::boundary::{c_text, guard, out, value};
use crate::constants::{guarantee as given_guarantee, ksem_guarantee, ksem_status, ksem_until, until as given_until};
use crate::error::ksem_error;
use crate::handler::{Handler, ksem_handler};
use crate::metrics::ksem_metrics;
use crate::output::ksem_output;
use crate::report::ksem_report;

/// An open pipeline: one member of the consumer group. Several threads may use it at once. Free it with
/// `ksem_pipeline_free`, when no call is under way any more.
pub struct ksem_pipeline {
    pipeline: Arc<Pipeline>,
    bell: Bell,
    instance_id: CString,
}

/// Between two looks of a run at whether it is stopped.
const LOOK: Duration = Duration::from_millis(100);
/// Longer than anybody waits, and short enough to be added to a clock.
const FOR_EVER: u64 = 1 << 40;

impl ksem_pipeline {
    fn open(config: std::result::Result<Config, ConfigError>) -> Result<Self> {
        let config = config.map_err(|error| Error::new(Code::ConfigInvalid, error.to_string()))?;
        let pipeline = Arc::new(Pipeline::open(config)?);
        let bell = Bell::new(pipeline.stopper())?;
        Ok(Self { instance_id: c_text(pipeline.instance_id()), bell, pipeline })
    }

    /// The pipeline, which knows of a stop that was asked for.
    fn get(&self) -> &Arc<Pipeline> {
        if self.bell.rung.load(Ordering::SeqCst) {
            self.pipeline.stop();
        }
        &self.pipeline
    }

    /// Runs with the handler on this thread, while the lanes' threads do the rest.
    fn run(&self, until: ksem::Until, handler: Handler) -> Result<()> {
        let pipeline = self.get();
        let calls = pipeline.run_calls(until)?;
        loop {
            match calls.next(LOOK) {
                Next::Call(mut call) => {
                    let batch = call.batch().view();
                    match handler.call(pipeline, &batch, call.output()) {
                        Ok(()) => call.succeed(),
                        Err(cause) => call.fail(cause),
                    }
                }
                Next::Idle => drop(self.get()),
                Next::Over => return calls.finish(),
            }
        }
    }
}

/// Stops the pipeline when it is rung. Ringing takes no lock and no memory, so that a signal handler can do it.
struct Bell {
    rung: AtomicBool,
    // Both are there until the end.
    rope: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Bell {
    fn new(stopper: Stopper) -> Result<Self> {
        let failed =
            |error| Error::new(Code::Internal, "a pipe and a thread for stopping can't be made").caused_by(error);
        let (mut reader, rope) = std::io::pipe().map_err(failed)?;
        let listen = move || {
            // Nothing to read means that the pipeline is freed.
            if reader.read(&mut [0]).is_ok_and(|read| read > 0) {
                stopper.stop();
            }
        };
        let thread = thread::Builder::new().name("ksem-stop".into()).spawn(listen).map_err(failed)?;
        Ok(Self { rung: AtomicBool::new(false), rope: Some(rope), thread: Some(thread) })
    }

    fn ring(&self) {
        if let (false, Some(rope)) = (self.rung.swap(true, Ordering::SeqCst), &self.rope) {
            // The one byte always has room.
            let _ = (&*rope).write(&[1]);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        drop(self.rope.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// Opens a pipeline with the configuration in a TOML file: checks it and the topics, joins the group, and makes the
/// producers of the configured guarantee.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_open_file(
    path: *const c_char,
    pipeline: *mut *mut ksem_pipeline,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let pipeline = out(pipeline, Some("pipeline"))?;
        pipeline.put(ksem_pipeline::open(Config::from_toml_file(text!(path)?))?);
        Ok(())
    })
}

/// As `ksem_pipeline_open_file`, with the configuration as TOML text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_open_toml(
    toml: *const c_char,
    pipeline: *mut *mut ksem_pipeline,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let pipeline = out(pipeline, Some("pipeline"))?;
        pipeline.put(ksem_pipeline::open(Config::from_toml_str(text!(toml)?, "configuration"))?);
        Ok(())
    })
}

/// As `ksem_pipeline_open_file`, with the same fields as JSON text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_open_json(
    json: *const c_char,
    pipeline: *mut *mut ksem_pipeline,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let pipeline = out(pipeline, Some("pipeline"))?;
        pipeline.put(ksem_pipeline::open(Config::from_json_str(text!(json)?, "configuration"))?);
        Ok(())
    })
}

/// Gets the next batch. `*batch` is NULL if none came in time, if every lane's batch is out, or if the pipeline is stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_poll(
    pipeline: *const ksem_pipeline,
    timeout_ms: u64,
    batch: *mut *mut ksem_batch,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let batch = out(batch, Some("batch"))?;
        let timeout = Duration::from_millis(timeout_ms.min(FOR_EVER));
        if let Some(polled) = borrow!(pipeline)?.get().poll(timeout)? {
            batch.put(ksem_batch::polled(polled));
        }
        Ok(())
    })
}

/// Processes a batch under the guarantee: begins, calls the handler on this thread, commits or aborts, and tries again as
/// `[retry]` of the configuration says. What the handler sends is kept until it has succeeded. With a NULL `handler` the
/// configuration's routes are one. The batch can be read until it is freed, and not be processed again; if the call fails,
/// its records come again with a later poll. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_process(
    pipeline: *const ksem_pipeline,
    batch: *const ksem_batch,
    guarantee: ksem_guarantee,
    handler: ksem_handler,
    user: *mut c_void,
    report: *mut *mut ksem_report,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let report = out(report, None)?;
        let pipeline = borrow!(pipeline)?.get();
        let guarantee = given_guarantee(guarantee)?;
        let handler = Handler { function: handler, user };
        let batch = borrow!(batch)?.take()?;
        let done = pipeline.process(batch, guarantee, |batch, output| handler.call(pipeline, batch, output))?;
        report.put(ksem_report::new(done));
        Ok(())
    })
}

/// Polls and processes with the configured guarantee and several batches in flight, until it is stopped or fails. The
/// handler runs on this thread; with a NULL `handler` the configuration's routes are one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_run(
    pipeline: *const ksem_pipeline,
    until: ksem_until,
    handler: ksem_handler,
    user: *mut c_void,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let (pipeline, until) = (borrow!(pipeline)?, given_until(until)?);
        if handler.is_some() {
            return pipeline.run(until, Handler { function: handler, user });
        }
        let routed = pipeline.get();
        routed.run_until(until, |batch, output| routed.route(batch, output))
    })
}

/// Begins an attempt at a batch, for callers with their own control flow. Free the attempt, and the batch too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_begin(
    pipeline: *const ksem_pipeline,
    batch: *const ksem_batch,
    guarantee: ksem_guarantee,
    attempt: *mut *mut ksem_attempt,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let attempt = out(attempt, Some("attempt"))?;
        let pipeline = borrow!(pipeline)?.get();
        let guarantee = given_guarantee(guarantee)?;
        attempt.put(ksem_attempt::new(pipeline.begin(borrow!(batch)?.take()?, guarantee)?));
        Ok(())
    })
}

/// Sends records whose input is not Kafka, and waits for the acknowledgements: with `acks` 0 or 1, with `acks=all`, or in one
/// transaction over all topics. `records` stay as they are; `acknowledged` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_publish(
    pipeline: *const ksem_pipeline,
    records: *const ksem_output,
    guarantee: ksem_guarantee,
    acknowledged: *mut u64,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let pipeline = borrow!(pipeline)?.get();
        let records = borrow!(records)?;
        records.check()?;
        put!(acknowledged, pipeline.publish(records.records(), given_guarantee(guarantee)?)?);
        Ok(())
    })
}

/// Asks the pipeline to end: a run returns when the batches in flight are done, a poll returns at once. Any thread may call
/// it, and so may a signal handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_stop(pipeline: *const ksem_pipeline) {
    value((), || {
        borrow!(pipeline)?.bell.ring();
        Ok(())
    });
}

/// Leaves the group and closes the clients, within `shutdown.deadline_ms`. Calls after it fail with `KSEM_MISUSE`; closing
/// again does nothing. The handle is still to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_close(
    pipeline: *const ksem_pipeline,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || borrow!(pipeline)?.get().close())
}

/// Returns the instance id, configured or found. It lives as long as the pipeline.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_instance_id(pipeline: *const ksem_pipeline) -> *const c_char {
    value(c"".as_ptr(), || Ok(borrow!(pipeline)?.instance_id.as_ptr()))
}

/// Takes the counters as they are now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_metrics(
    pipeline: *const ksem_pipeline,
    metrics: *mut *mut ksem_metrics,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let metrics = out(metrics, Some("metrics"))?;
        metrics.put(ksem_metrics::new(&borrow!(pipeline)?.pipeline.metrics())?);
        Ok(())
    })
}

/// Frees a pipeline; one that was not closed is closed. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_pipeline_free(pipeline: *mut ksem_pipeline) {
    release!(pipeline);
}
