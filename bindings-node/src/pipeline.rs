//! Pipelines.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ksem::error::{Code, Error};
use ksem::{Config, Guarantee, Output, Pipeline, Until};
use napi::Result;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::attempt::NativeAttempt;
use crate::batch::NativeBatch;
use crate::error::to_js;
use crate::output;
use crate::reply::{Done, Ring, answer, drop_elsewhere};
use crate::report::{Metrics, Report};
use crate::work::{NativeWork, Waiting, wait};

/// How long a thread that polls takes to see that nobody waits for it any more.
const SLICE: Duration = Duration::from_millis(100);

/// An open pipeline.
#[napi]
pub struct NativePipeline {
    open: Mutex<Option<Arc<Pipeline>>>,
    instance_id: String,
    /// The counters at its end.
    last: Arc<OnceLock<ksem::Metrics>>,
    stopping: Arc<Stopping>,
}

/// When it was stopped. The core can't end a handler that runs elsewhere, so the deadline is kept here.
pub struct Stopping {
    since: OnceLock<Instant>,
    deadline: Duration,
}

impl Stopping {
    /// Whether handlers that have no end are given up.
    pub fn is_overdue(&self) -> bool {
        self.since.get().is_some_and(|since| since.elapsed() >= self.deadline)
    }
}

/// Opens a pipeline: `config` is a path to TOML, or JSON, which starts with a brace.
#[napi(catch_unwind)]
pub fn open_pipeline(
    config: String,
    #[napi(ts_arg_type = "(error: Error | null, pipeline: NativePipeline) => void")] done: Done<NativePipeline>,
) -> Result<()> {
    answer(done, move || {
        // No text is no path either.
        let text = config.trim_start();
        let read = if text.is_empty() || text.starts_with('{') {
            Config::from_json_str(&config, "configuration")
        } else {
            Config::from_toml_file(&config)
        };
        let config = read.map_err(|error| Error::new(Code::ConfigInvalid, error.to_string()))?;
        let deadline = Duration::from_millis(config.shutdown.deadline_ms);
        let pipeline = Pipeline::open(config)?;
        Ok(NativePipeline {
            instance_id: pipeline.instance_id().to_owned(),
            open: Mutex::new(Some(Arc::new(pipeline))),
            last: Arc::default(),
            stopping: Arc::new(Stopping { since: OnceLock::new(), deadline }),
        })
    })
}

impl NativePipeline {
    fn pipeline(&self) -> ksem::Result<Arc<Pipeline>> {
        let closed = || Error::new(Code::Misuse, "the pipeline is closed; open another one");
        self.open.lock().clone().ok_or_else(closed)
    }

    fn open(&self) -> Result<Arc<Pipeline>> {
        self.pipeline().map_err(|error| to_js(&error))
    }
}

#[napi]
impl NativePipeline {
    /// The instance id, configured or found.
    #[napi(getter, catch_unwind)]
    pub fn instance_id(&self) -> String {
        self.instance_id.clone()
    }

    /// Whether there are no more batches: it was stopped, has failed, or is closed.
    #[napi(getter, catch_unwind)]
    pub fn stopping(&self) -> bool {
        self.pipeline().map_or(true, |pipeline| pipeline.is_stopping())
    }

    /// Waits for a batch.
    #[napi(catch_unwind)]
    pub fn poll(
        &self,
        timeout_ms: f64,
        #[napi(ts_arg_type = "(error: Error | null, batch: NativeBatch | null) => void")] done: Done<
            Option<NativeBatch>,
        >,
    ) -> Result<()> {
        let pipeline = self.open()?;
        let timeout = Duration::try_from_secs_f64(timeout_ms / 1e3).unwrap_or(Duration::MAX);
        answer(done, move || {
            let started = Instant::now();
            loop {
                let left = timeout.saturating_sub(started.elapsed());
                let batch = pipeline.poll(left.min(SLICE))?;
                if batch.is_some() || left <= SLICE || pipeline.is_stopping() {
                    return Ok(batch.map(NativeBatch::polled));
                }
            }
        })
    }

    /// Processes a batch with a handler: `ring` tells that it is to be called.
    #[napi(catch_unwind)]
    pub fn process(
        &self,
        batch: &NativeBatch,
        guarantee: Option<String>,
        #[napi(ts_arg_type = "() => void")] ring: Ring,
        #[napi(ts_arg_type = "(error: Error | null, report: Report) => void")] done: Done<Report>,
    ) -> Result<NativeWork> {
        let pipeline = self.open()?;
        let guarantee = chosen(&pipeline, guarantee)?;
        let batch = batch.take()?;
        let (waiting, stopping) = (Arc::new(Waiting::default()), Arc::clone(&self.stopping));
        let work = NativeWork::new(&waiting);
        answer(done, move || {
            let calls = pipeline.process_calls(batch, guarantee)?;
            wait(calls, &waiting, &ring, &stopping, || ()).map(Report::from)
        })?;
        Ok(work)
    }

    /// Processes a batch as the configuration's routes say.
    #[napi(catch_unwind)]
    pub fn process_routes(
        &self,
        batch: &NativeBatch,
        guarantee: Option<String>,
        #[napi(ts_arg_type = "(error: Error | null, report: Report) => void")] done: Done<Report>,
    ) -> Result<()> {
        let pipeline = self.open()?;
        let guarantee = chosen(&pipeline, guarantee)?;
        let batch = batch.take()?;
        answer(done, move || {
            pipeline.process(batch, guarantee, |batch, output| pipeline.route(batch, output)).map(Report::from)
        })
    }

    /// Polls and processes with every lane at once: `ring` tells that the handler is to be called.
    #[napi(catch_unwind)]
    pub fn run(
        &self,
        until_caught_up: bool,
        #[napi(ts_arg_type = "() => void")] ring: Ring,
        #[napi(ts_arg_type = "(error: Error | null) => void")] done: Done<()>,
    ) -> Result<NativeWork> {
        let pipeline = self.open()?;
        let (waiting, stopping) = (Arc::new(Waiting::default()), Arc::clone(&self.stopping));
        let work = NativeWork::new(&waiting);
        answer(done, move || {
            let calls = pipeline.run_calls(until(until_caught_up))?;
            wait(calls, &waiting, &ring, &stopping, || pipeline.stop())
        })?;
        Ok(work)
    }

    /// As `run`, as the configuration's routes say.
    #[napi(catch_unwind)]
    pub fn run_routes(
        &self,
        until_caught_up: bool,
        #[napi(ts_arg_type = "(error: Error | null) => void")] done: Done<()>,
    ) -> Result<()> {
        let pipeline = self.open()?;
        answer(done, move || pipeline.run_until(until(until_caught_up), |batch, output| pipeline.route(batch, output)))
    }

    /// Begins an attempt at a batch.
    #[napi(catch_unwind)]
    pub fn begin(
        &self,
        batch: &NativeBatch,
        guarantee: Option<String>,
        #[napi(ts_arg_type = "(error: Error | null, attempt: NativeAttempt) => void")] done: Done<NativeAttempt>,
    ) -> Result<()> {
        let pipeline = self.open()?;
        let guarantee = chosen(&pipeline, guarantee)?;
        let batch = batch.take()?;
        answer(done, move || pipeline.begin(batch, guarantee).map(NativeAttempt::new))
    }

    /// Sends records whose input is not Kafka, and returns how many were acknowledged.
    #[napi(catch_unwind)]
    pub fn publish(
        &self,
        sent: &[u8],
        guarantee: Option<String>,
        #[napi(ts_arg_type = "(error: Error | null, records: number) => void")] done: Done<f64>,
    ) -> Result<()> {
        let pipeline = self.open()?;
        let guarantee = chosen(&pipeline, guarantee)?;
        let mut output = Output::default();
        output::read(sent, &mut output, 0)?;
        answer(done, move || pipeline.publish(&output, guarantee).map(|records| records as f64))
    }

    /// Asks it to end.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.stopping.since.get_or_init(Instant::now);
        if let Ok(pipeline) = self.pipeline() {
            pipeline.stop();
        }
    }

    /// Leaves the group and lets go of everything. Closing again does nothing.
    #[napi(catch_unwind)]
    pub fn close(&self, #[napi(ts_arg_type = "(error: Error | null) => void")] done: Done<()>) -> Result<()> {
        self.stop();
        let (pipeline, last) = (self.open.lock().take(), Arc::clone(&self.last));
        answer(done, move || {
            let Some(pipeline) = pipeline else { return Ok(()) };
            let result = pipeline.close();
            last.get_or_init(|| pipeline.metrics());
            result
        })
    }

    /// The counters.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> Result<Metrics> {
        let now = self.pipeline().ok().map(|pipeline| pipeline.metrics());
        let counters = now.or_else(|| self.last.get().copied()).unwrap_or_default();
        Metrics::of(counters).map_err(|error| to_js(&error))
    }
}

impl Drop for NativePipeline {
    fn drop(&mut self) {
        // Leaving the group asks the cluster.
        if let Some(pipeline) = self.open.get_mut().take() {
            pipeline.stop();
            drop_elsewhere(pipeline);
        }
    }
}

fn until(caught_up: bool) -> Until {
    if caught_up { Until::CaughtUp } else { Until::Stopped }
}

/// The guarantee that was named, or the configured one.
fn chosen(pipeline: &Pipeline, name: Option<String>) -> Result<Guarantee> {
    let Some(name) = name else { return Ok(pipeline.config().guarantee) };
    let unknown = |error: ksem::UnknownGuarantee| to_js(&Error::new(Code::Misuse, error.to_string()));
    name.parse().map_err(unknown)
}
