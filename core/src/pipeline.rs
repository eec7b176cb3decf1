//! The public entry: open, poll, process, run, close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Guarantee;
use crate::attempt::Attempt;
use crate::batch::Batch;
use crate::config::Config;
use crate::config::librdkafka::consumer_properties;
use crate::engine::attempt::Probe;
use crate::engine::identity::Identity;
use crate::engine::lane::Lane;
use crate::engine::shared::Shared;
use crate::error::{Code, Error, Result};
use crate::handler::HandlerResult;
use crate::kafka::admin::Admin;
use crate::kafka::{Bells, Consumer, GroupEvents, GroupMetadata};
use crate::metrics::{Metrics, Report};
use crate::mutation::Mutation;
use crate::output::Output;
use crate::progress::CaughtUp;
use crate::publish::Publisher;
use crate::record::TopicPartition;

/// An open pipeline: one member of the consumer group, with its lanes.
///
/// ```no_run
/// use ksem::{Config, Pipeline};
///
/// let config = Config::from_toml_file("pipeline.toml")?;
/// let pipeline = Pipeline::open(config)?;
/// pipeline.run(|batch, out| {
///     for (i, record) in batch.records().enumerate() {
///         out.send("invoices", record.key, record.value);
///         out.forward("analytics", i);
///     }
///     Ok(())
/// })?;
/// pipeline.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pipeline {
    shared: Arc<Shared>,
    lanes: Vec<Arc<Lane>>,
    publisher: Publisher,
    member: Mutex<Option<JoinHandle<()>>>,
    leave: Arc<AtomicBool>,
    next_lane: AtomicUsize,
    runs: AtomicBool,
    closed: AtomicBool,
}

/// When [`Pipeline::run_until`] ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When it is stopped.
    Stopped,
    /// When the group's committed offsets have reached the end that the inputs had at the start.
    CaughtUp,
}

/// Stops a pipeline from another thread or a signal handler.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Asks the pipeline to end: batches in flight finish within `shutdown.deadline_ms`.
    pub fn stop(&self) {
        self.0.drain();
    }
}

/// A lane for each partition is the most that can be used; more than this many add nothing.
const MOST_LANES: usize = 4;
/// Twice as many units in flight as lanes work at once: while one is committed, the next one is filled, with another
/// producer than the one whose markers are being written. More than so many of one lane add nothing.
const IN_FLIGHT: usize = 8;
const MOST_OF_A_LANE: usize = 4;
/// Where other lanes keep the processors busy, a unit of so many records is the only one of its lane: by 10,000 it made
/// exactly-once a tenth faster.
const LARGE: usize = 5_000;

impl Pipeline {
    /// Opens a pipeline: checks the configuration and the topics, joins the group, and makes the
    /// producers of the configured guarantee.
    ///
    /// # Errors
    /// `config_invalid`, `broker_unavailable`, `topic_unknown`, `output_topic_missing`,
    /// `not_authorized`, `authentication_failed`, `guarantee_unavailable`.
    pub fn open(config: Config) -> Result<Self> {
        Self::open_probed(config, None)
    }

    /// As [`open`](Self::open), with a probe that is told of every step: for crash tests.
    #[doc(hidden)]
    pub fn open_probed(
        config: Config,
        probe: Option<Arc<dyn Fn(Guarantee, crate::discipline::Step) + Send + Sync>>,
    ) -> Result<Self> {
        Self::open_mutated(config, probe, None)
    }

    /// As [`open_probed`](Self::open_probed), with a planted bug: for the tests of what judges a pipeline.
    #[doc(hidden)]
    pub fn open_mutated(
        config: Config,
        probe: Option<Arc<dyn Fn(Guarantee, crate::discipline::Step) + Send + Sync>>,
        mutation: Option<Mutation>,
    ) -> Result<Self> {
        config.validate().map_err(|error| Error::new(Code::ConfigInvalid, error.to_string()))?;
        let inputs = check_topics(&config)?;
        let lanes = config.transactions.lanes.unwrap_or(MOST_LANES).clamp(1, inputs.len().max(1));
        let identity = Identity::acquire(&config);
        let properties = consumer_properties(&config, Some(identity.instance()), lanes);
        let (start_from, guarantee) = (config.start_from, config.guarantee);
        let bells = Arc::new(Bells::new(lanes));
        let probe = probe.map(|tell| Arc::new(Telling(tell)) as Arc<dyn Probe>);
        let shared = Arc::new(Shared::new(config, identity, inputs, lanes, Arc::clone(&bells), probe, mutation));
        let events: Arc<dyn GroupEvents> = Arc::clone(&shared) as _;
        let consumer = Consumer::open(&properties, lanes, start_from, Arc::downgrade(&events), bells)?;
        let depth = shared.config.transactions.in_flight.unwrap_or(IN_FLIGHT.div_ceil(lanes).min(MOST_OF_A_LANE));
        let chosen = shared.config.transactions.in_flight.is_some();
        let most = if chosen || lanes == 1 { usize::MAX } else { LARGE };
        let lanes: Vec<_> = (0..lanes).map(|id| Arc::new(Lane::new(id, depth, most, Arc::clone(&shared)))).collect();
        // Before the subscription: the first batch would wait for the producers otherwise, and
        // what a predecessor left open holds its offsets back until they are initialised.
        thread::scope(|scope| {
            let preparing: Vec<_> =
                slots(&lanes).map(|(lane, slot)| scope.spawn(move || lane.prepare(slot, guarantee))).collect();
            preparing
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
                .collect::<Result<Vec<()>>>()
        })?;
        consumer.subscribe(&shared.config.inputs)?;
        shared.set_consumer(consumer);
        let leave = Arc::new(AtomicBool::new(false));
        let member = spawn_member(Arc::clone(&shared), Arc::clone(&leave))?;
        let id = format!("{}-{}-publish", shared.config.group, shared.identity.instance());
        let publisher = Publisher::new(shared.config.clone(), id);
        Ok(Self {
            shared,
            lanes,
            publisher,
            member: Mutex::new(Some(member)),
            leave,
            next_lane: AtomicUsize::new(0),
            runs: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Returns the next batch, or `None` if none came in time.
    ///
    /// A lane has one batch out at a time, so a caller that holds a batch of every lane gets
    /// `None`. A batch that is dropped unprocessed comes again.
    ///
    /// # Errors
    /// What ended the pipeline, such as `offset_lost` or `producer_fenced`.
    pub fn poll(&self, timeout: Duration) -> Result<Option<Batch>> {
        let until = Instant::now() + timeout;
        loop {
            self.check()?;
            let seen = self.shared.bells.any().count();
            let first = self.next_lane.fetch_add(1, Ordering::Relaxed);
            for index in 0..self.lanes.len() {
                if let Some(batch) = self.lanes[(first + index) % self.lanes.len()].next(Duration::ZERO)? {
                    return Ok(Some(batch));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.is_stopping() {
                return Ok(None);
            }
            self.shared.bells.any().wait(seen, left.min(Duration::from_millis(100)));
        }
    }

    /// Processes one batch under the guarantee: [`begin`](Self::begin), the handler, then commit
    /// or abort, and again as `[retry]` says.
    ///
    /// The handler runs on the caller's thread. What it sends is kept until it has succeeded, so
    /// a failed call leaves nothing.
    ///
    /// # Errors
    /// `handler_failed` when the attempts are used up, and whatever ends the pipeline. The batch
    /// is not lost: it comes again with the next poll or the next start.
    pub fn process(
        &self,
        batch: Batch,
        guarantee: Guarantee,
        mut handler: impl FnMut(&Batch, &mut Output) -> HandlerResult,
    ) -> Result<Report> {
        self.check()?;
        self.lane(&batch)?.process(batch, guarantee, &mut handler)
    }

    /// Begins an attempt at a batch, for callers with their own control flow.
    ///
    /// # Errors
    /// As [`process`](Self::process); also if the batch moved to another member meanwhile.
    pub fn begin(&self, batch: Batch, guarantee: Guarantee) -> Result<Attempt> {
        self.check()?;
        let lane = Arc::clone(self.lane(&batch)?);
        Attempt::begin(lane, batch, guarantee)
    }

    /// Sends records whose input is not Kafka: with `acks` 0 or 1, with `acks=all`, or in one
    /// transaction over all topics.
    ///
    /// # Errors
    /// `delivery_failed`, `commit_outcome_unknown`, and what the topics refuse.
    pub fn publish(&self, output: &Output, guarantee: Guarantee) -> Result<u64> {
        self.check()?;
        self.publisher.publish(output, guarantee)
    }

    /// Polls and processes with every lane at once, until [`stop`](Self::stop) or an error.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn run(&self, handler: impl Fn(&Batch, &mut Output) -> HandlerResult + Sync) -> Result<()> {
        self.run_until(Until::Stopped, handler)
    }

    /// As [`run`](Self::run), and may end by itself.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn run_until(&self, until: Until, handler: impl Fn(&Batch, &mut Output) -> HandlerResult + Sync) -> Result<()> {
        self.check()?;
        if self.runs.swap(true, Ordering::SeqCst) {
            return Err(already_running());
        }
        let result = self.run_lanes(until, &handler);
        self.runs.store(false, Ordering::SeqCst);
        result
    }

    fn run_lanes(&self, until: Until, handler: &(impl Fn(&Batch, &mut Output) -> HandlerResult + Sync)) -> Result<()> {
        let mut caught_up = match until {
            Until::Stopped => None,
            Until::CaughtUp => Some(CaughtUp::at_the_start(&self.shared)?),
        };
        thread::scope(|scope| {
            let work = |lane: &Lane, slot| lane.work(slot, handler).unwrap_or_else(|error| self.shared.fail(error));
            let workers: Vec<_> =
                slots(&self.lanes).map(|(lane, slot)| scope.spawn(move || work(lane, slot))).collect();
            while !self.shared.is_stopping() {
                thread::sleep(Duration::from_millis(50));
                if caught_up.as_mut().is_some_and(|target| target.is_reached(&self.shared)) {
                    self.shared.drain();
                }
            }
            for worker in workers {
                if worker.join().is_err() {
                    self.shared.fail(panicked());
                }
            }
        });
        self.shared.take_failure().map_or(Ok(()), Err)
    }

    /// Asks the pipeline to end; [`run`](Self::run) returns when the batches in flight are done.
    pub fn stop(&self) {
        self.shared.drain();
    }

    /// Returns whether it was stopped, has failed, or is closed: [`poll`](Self::poll) has no more batches.
    pub fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    /// Returns a handle that stops the pipeline from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Returns the counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.snapshot()
    }

    /// Returns the instance id, configured or found.
    pub fn instance_id(&self) -> &str {
        self.shared.identity.instance()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Leaves the group and closes the clients, within `shutdown.deadline_ms`. Calls after it are
    /// `misuse`; closing again does nothing.
    ///
    /// # Errors
    /// `shutdown_deadline` if the cluster did not let go in time, and the error that ended the
    /// pipeline if nobody has been told of it.
    pub fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        let result = self.shut_down();
        self.shared.take_failure().map_or(result, Err)
    }

    fn shut_down(&self) -> Result<()> {
        self.shared.drain();
        for lane in &self.lanes {
            // A batch that nobody will process must not hold up the group.
            if !lane.is_idle() {
                self.shared.assignment.release_lane(lane.id);
            }
        }
        self.leave.store(true, Ordering::SeqCst);
        let Some(member) = self.member.lock().take() else { return Ok(()) };
        let until = self.shared.deadline().unwrap_or_else(Instant::now);
        while !member.is_finished() {
            if Instant::now() >= until {
                return Err(Error::new(
                    Code::ShutdownDeadline,
                    "the group could not be left within `shutdown.deadline_ms`; its partitions move when the session ends",
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        for lane in &self.lanes {
            lane.close();
        }
        member.join().map_err(|_| panicked())
    }

    fn lane(&self, batch: &Batch) -> Result<&Arc<Lane>> {
        let foreign = || Error::new(Code::Misuse, "the batch belongs to another pipeline");
        self.lanes.get(batch.lane()).ok_or_else(foreign)
    }

    fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Misuse, "the pipeline is closed; open another one"));
        }
        self.shared.take_failure().map_or(Ok(()), Err)
    }

    pub(crate) fn check_idle(&self) -> Result<()> {
        if self.runs.load(Ordering::SeqCst) { Err(already_running()) } else { Ok(()) }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::warn!(%error, "closing the pipeline");
        }
    }
}

/// The consumer thread: polls for ever, so that the member stays in its group while handlers are
/// slow, and serves rebalances at once.
fn spawn_member(shared: Arc<Shared>, leave: Arc<AtomicBool>) -> Result<JoinHandle<()>> {
    let member = move || {
        let Ok(consumer) = shared.consumer() else { return };
        while !leave.load(Ordering::SeqCst) {
            consumer.serve(Duration::from_millis(50));
            if shared.metadata_is_stale.swap(false, Ordering::SeqCst) {
                // Between two polls no rebalance is half done, so what holds now is true of every
                // partition that is still assigned.
                if let Some(metadata) = consumer.metadata() {
                    shared.assignment.completed(metadata);
                }
            }
        }
        consumer.leave(Duration::from_secs(5));
    };
    thread::Builder::new()
        .name("ksem-member".into())
        .spawn(member)
        .map_err(|error| Error::new(Code::Internal, "the consumer thread can't be started").caused_by(error))
}

/// Returns the partitions of the inputs.
fn check_topics(config: &Config) -> Result<Vec<TopicPartition>> {
    let admin = Admin::connect(config)?;
    let mut partitions = Vec::new();
    for input in &config.inputs {
        let count = admin.partitions(input)?.ok_or_else(|| {
            Error::new(
                Code::TopicUnknown,
                format!(
                    "the input topic `{input}` does not exist; correct `inputs`, or create it with \
                     `ksem topic create {input}`"
                ),
            )
        })?;
        let topic: Arc<str> = input.as_str().into();
        partitions.extend((0..count as i32).map(|partition| TopicPartition::new(Arc::clone(&topic), partition)));
    }
    let routes = config.routes.iter().flat_map(|route| &route.to);
    let outputs: std::collections::BTreeSet<_> = routes.chain(&config.dead_letter.topic).collect();
    for output in outputs {
        admin.ensure_output(output)?;
    }
    Ok(partitions)
}

/// Every slot of every lane.
fn slots(lanes: &[Arc<Lane>]) -> impl Iterator<Item = (&Lane, usize)> {
    lanes.iter().flat_map(|lane| (0..lane.depth()).map(move |slot| (&**lane, slot)))
}

fn already_running() -> Error {
    Error::new(Code::Misuse, "the pipeline runs already, with all its lanes; open another one to run two")
}

fn panicked() -> Error {
    Error::new(Code::Panic, "a thread of the pipeline panicked")
}

/// Adapts a closure to the engine's probe.
struct Telling(Arc<dyn Fn(Guarantee, crate::discipline::Step) + Send + Sync>);

impl Probe for Telling {
    fn after(&self, guarantee: Guarantee, step: crate::discipline::Step) {
        (self.0)(guarantee, step);
    }
}

#[allow(dead_code)]
fn pipelines_are_shared_between_threads(pipeline: &Pipeline, metadata: &GroupMetadata) {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(pipeline);
    shared(metadata);
}
