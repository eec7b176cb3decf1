//! A lane: some of the partitions, their records in order, and one batch at a time.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::Guarantee;
use crate::batch::{Batch, Content, Home, Ticket};
use crate::discipline::Outcome;
use crate::engine::attempt::{self, Drive, Ended};
use crate::engine::collect::{Collector, End};
use crate::engine::shared::Shared;
use crate::error::{self, Code, Error, Result};
use crate::kafka::ports::KafkaPorts;
use crate::metrics::{Applied, Counters, Report};
use crate::output::Output;
use crate::record::{Position, TopicPartition};

/// What a handler returns: an error fails the batch.
pub type HandlerResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Lane {
    pub(crate) id: usize,
    shared: Arc<Shared>,
    place: Mutex<Place>,
    collector: Mutex<Collector>,
    ports: Mutex<KafkaPorts>,
    output: Mutex<Output>,
}

/// Where the lane's batch is.
#[derive(Default)]
struct Place {
    /// With the caller, or being processed.
    out: Option<Arc<Content>>,
    /// Here, to be delivered next.
    returned: Option<Arc<Content>>,
    /// What was committed last under which assignment: a partition's end is worth a commit only
    /// if it is behind that.
    committed: HashMap<TopicPartition, (u64, i64)>,
}

/// The time between two looks at whether a lane may go on, where nothing rings the bell.
const LOOK: Duration = Duration::from_millis(100);

impl Lane {
    pub(crate) fn new(id: usize, shared: Arc<Shared>) -> Self {
        Self {
            id,
            place: Mutex::default(),
            collector: Mutex::new(Collector::new(id)),
            ports: Mutex::new(KafkaPorts::new(Arc::clone(&shared), id)),
            output: Mutex::default(),
            shared,
        }
    }

    /// Makes the guarantee's producer.
    pub(crate) fn prepare(&self, guarantee: Guarantee) -> Result<()> {
        self.ports.lock().prepare_patiently(guarantee).map_err(|failure| at_start(guarantee, failure.error))
    }

    /// Returns the next batch, or `None` if none came in time. One batch is out at a time.
    pub(crate) fn next(self: &Arc<Self>, timeout: Duration) -> Result<Option<Batch>> {
        let until = Instant::now() + timeout;
        loop {
            let returned = {
                let mut place = self.place.lock();
                if place.out.is_some() {
                    return Ok(None);
                }
                place.returned.take()
            };
            let content = match returned {
                Some(content) => Some(content),
                None => self.collect(until.saturating_duration_since(Instant::now()))?.map(Arc::new),
            };
            let Some(content) = content.and_then(|content| self.current(content)) else {
                if Instant::now() >= until || self.shared.is_stopping() {
                    return Ok(None);
                }
                continue;
            };
            if self.shared.assignment.try_hold(self.id, &content) {
                self.place.lock().out = Some(Arc::clone(&content));
                let home: Arc<dyn Home> = Arc::clone(self) as _;
                return Ok(Some(Batch { content, ticket: Ticket { lane: self.id, home: Some(home) } }));
            }
            // One of its partitions is leaving: soon the rest can go on.
            self.place.lock().returned = Some(content);
            if Instant::now() >= until || self.shared.is_stopping() {
                return Ok(None);
            }
            self.shared.wait(Duration::from_millis(5));
        }
    }

    fn collect(&self, timeout: Duration) -> Result<Option<Content>> {
        let mut collector = self.collector.lock();
        let content = collector.collect(&self.shared, timeout.min(LOOK))?;
        if content.is_none() {
            self.commit_ends(&mut collector);
        }
        Ok(content)
    }

    /// Leaves out what moved to another member since it was fetched.
    fn current(&self, content: Arc<Content>) -> Option<Arc<Content>> {
        let gate = self.shared.assignment.gate();
        if gate.covers(&content) {
            return Some(content);
        }
        content.retain(|run| gate.current(run)).map(Arc::new)
    }

    /// Commits the positions behind control records, once everything in front of them is done:
    /// otherwise the lag of a transactional topic never becomes 0.
    fn commit_ends(&self, collector: &mut Collector) {
        let mut ends = collector.take_ends();
        if ends.is_empty() {
            return;
        }
        let gate = self.shared.assignment.gate();
        let place = self.place.lock();
        ends.retain(|end| {
            let owned = gate.ownership(&end.source).is_some_and(|ownership| ownership.epoch == end.epoch);
            let behind = match place.committed.get(&end.source) {
                Some((epoch, offset)) if *epoch == end.epoch => *offset < end.offset,
                _ => true,
            };
            owned && behind
        });
        drop(place);
        let position = |end: &End| (end.source.clone(), Position { offset: end.offset, leader_epoch: None });
        let offsets: Vec<_> = ends.iter().map(position).collect();
        let (false, Ok(consumer)) = (offsets.is_empty(), self.shared.consumer()) else { return };
        match consumer.commit(&offsets, &self.shared.mark, Duration::from_secs(5)) {
            Ok(()) => self.note_committed(ends.iter().map(|end| (&end.source, end.epoch, end.offset))),
            // The next batch's commit covers it.
            Err(failure) => tracing::debug!(error = %failure.error, "the partition's end was not committed"),
        }
    }

    fn note_committed<'a>(&self, ends: impl Iterator<Item = (&'a TopicPartition, u64, i64)>) {
        let mut place = self.place.lock();
        for (source, epoch, offset) in ends {
            place.committed.insert(source.clone(), (epoch, offset));
        }
    }

    /// Processes a batch until it is applied, lost, given back, or an error ends it.
    pub(crate) fn process(
        &self,
        mut batch: Batch,
        guarantee: Guarantee,
        handler: &mut dyn FnMut(&Batch, &mut Output) -> HandlerResult,
    ) -> Result<Report> {
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut output = self.output.lock();
        let result = loop {
            let ended = self.attempt(&batch, guarantee, &mut output, handler, &mut tally);
            if let Some(result) = self.settle(&mut batch, guarantee, ended, &mut tally) {
                break result;
            }
        };
        output.clear();
        let busy = started.elapsed();
        Counters::add(&self.shared.counters.busy_us, busy.as_micros() as u64);
        result.map(|report| Report { took: busy, ..report })
    }

    fn attempt(
        &self,
        batch: &Batch,
        guarantee: Guarantee,
        output: &mut Output,
        handler: &mut dyn FnMut(&Batch, &mut Output) -> HandlerResult,
        tally: &mut Tally,
    ) -> Ended {
        let mut ports = self.ports.lock();
        let probe = self.shared.probe.as_deref();
        let mut drive = Drive::new(guarantee);
        if let Some(ended) = drive.until_handler(&mut *ports, probe, batch) {
            return ended;
        }
        output.clear();
        tally.handled += 1;
        let started = Instant::now();
        let handled = guarded(|| handler(batch, output));
        let mut ended = drive.after_handler(handled, &mut *ports, probe, batch, output);
        if guarantee == Guarantee::ExactlyOnce && ended.outcome == Outcome::Retry {
            self.blame_slowness(&mut ended, started.elapsed());
        }
        ended
    }

    /// A batch that takes longer than its transaction may would fail for ever: it counts as one
    /// that the handler failed.
    fn blame_slowness(&self, ended: &mut Ended, took: Duration) {
        let allowed = Duration::from_millis(self.shared.config.transactions.timeout_ms);
        if took >= allowed {
            ended.outcome = Outcome::HandlerFailed;
            let error = Error::new(
                Code::TransactionTimedOut,
                format!(
                    "the batch took {:.1} s, longer than `transactions.timeout_ms` = {}; raise it, or make batches \
                     smaller with `batch.max_records`",
                    took.as_secs_f64(),
                    allowed.as_millis()
                ),
            );
            ended.failure = Some(error);
        }
    }

    /// Decides what an attempt's end means for the batch; `None` makes another attempt.
    fn settle(
        &self,
        batch: &mut Batch,
        guarantee: Guarantee,
        ended: Ended,
        tally: &mut Tally,
    ) -> Option<Result<Report>> {
        let counters = &self.shared.counters;
        let report = |applied, batch: &Batch, ended: &Ended, attempts| Report {
            applied,
            guarantee,
            records: batch.len(),
            outputs: ended.delivered.acknowledged,
            attempts,
            offsets: if applied == Applied::Redelivered { Vec::new() } else { batch.offsets() },
            took: Duration::ZERO,
            cause: ended.failure.as_ref().map(ToString::to_string),
        };
        match ended.outcome {
            Outcome::Applied => {
                let report = report(Applied::Applied, batch, &ended, tally.handled);
                Counters::add(&counters.records_in, report.records as u64);
                Counters::add(&counters.records_out, report.outputs);
                Counters::add(&counters.batches, 1);
                self.finish(batch);
                Some(Ok(report))
            }
            Outcome::Lost => {
                let report = report(Applied::Lost, batch, &ended, tally.handled);
                Counters::add(&counters.records_lost, report.records as u64);
                tracing::warn!(
                    batch = batch.content.describe(),
                    cause = report.cause,
                    "an at-most-once batch was lost"
                );
                self.finish(batch);
                Some(Ok(report))
            }
            Outcome::Revoked => {
                Counters::add(&counters.batches_revoked, 1);
                Some(Ok(report(Applied::Redelivered, batch, &ended, tally.handled)))
            }
            Outcome::Retry => {
                Counters::add(&counters.batches_retried, 1);
                tally.retries += 1;
                if !self.shared.assignment.gate().covers(&batch.content) {
                    Counters::add(&counters.batches_revoked, 1);
                    return Some(Ok(report(Applied::Redelivered, batch, &ended, tally.handled)));
                }
                if let Some(error) = &ended.failure {
                    tracing::warn!(%error, batch = batch.content.describe(), "not applied; trying again");
                }
                self.again(attempt::backoff(tally.retries), ended)
            }
            Outcome::HandlerFailed => {
                Counters::add(&counters.handler_failures, 1);
                self.after_handler_failure(batch, ended, tally)
            }
            Outcome::Stop => Some(Err(self.stop_error(ended.failure))),
        }
    }

    fn after_handler_failure(&self, batch: &Batch, ended: Ended, tally: &mut Tally) -> Option<Result<Report>> {
        tally.failures += 1;
        let retry = &self.shared.config.retry;
        let cause = ended.failure.as_ref().map_or_else(String::new, |error| error.message().to_owned());
        if tally.failures >= retry.max_attempts {
            let timed_out = ended.failure.as_ref().is_some_and(|error| error.code() == Code::TransactionTimedOut);
            let error = Error::new(
                if timed_out { Code::TransactionTimedOut } else { Code::HandlerFailed },
                format!(
                    "the handler failed {} times on the same batch, which is `retry.max_attempts`; nothing of it \
                     was applied and no committed offset has passed it: {cause}",
                    tally.failures
                ),
            );
            return Some(Err(error.with("batch", batch.content.describe())));
        }
        tracing::warn!(attempt = tally.failures, cause, batch = batch.content.describe(), "the handler failed");
        let millis = retry.backoff_ms.saturating_mul(1 << (tally.failures - 1).min(20)).min(retry.max_backoff_ms);
        self.again(jittered(millis), ended)
    }

    fn again(&self, backoff: Duration, ended: Ended) -> Option<Result<Report>> {
        if self.shared.wait(backoff) { None } else { Some(Err(self.stop_error(ended.failure))) }
    }

    fn stop_error(&self, failure: Option<Error>) -> Error {
        if self.shared.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let error = Error::new(
                Code::ShutdownDeadline,
                "`shutdown.deadline_ms` passed with a batch in flight; it is processed again after the next start",
            );
            return match failure {
                Some(cause) => error.caused_by(cause),
                None => error,
            };
        }
        failure.unwrap_or_else(|| Error::new(Code::Internal, "the pipeline stopped"))
    }

    /// The batch is done: its ticket has nothing to give back any more.
    fn finish(&self, batch: &mut Batch) {
        batch.ticket.home = None;
        self.note_committed(batch.content.ends());
        self.place.lock().out = None;
        self.shared.assignment.release(self.id);
    }

    /// Starts an attempt whose handler runs elsewhere.
    pub(crate) fn begin(&self, batch: &Batch, guarantee: Guarantee) -> std::result::Result<Drive, Result<Report>> {
        let mut drive = Drive::new(guarantee);
        let ended = drive.until_handler(&mut *self.ports.lock(), self.shared.probe.as_deref(), batch);
        match ended {
            None => Ok(drive),
            Some(ended) => Err(self.conclude(batch, guarantee, ended)),
        }
    }

    /// Ends such an attempt. It is made once: what to do about a failure is the caller's.
    pub(crate) fn end(
        &self,
        batch: &mut Batch,
        mut drive: Drive,
        handled: Result<()>,
        output: &Output,
    ) -> Result<Report> {
        let guarantee = drive.guarantee();
        let ended = drive.after_handler(handled, &mut *self.ports.lock(), self.shared.probe.as_deref(), batch, output);
        match ended.outcome {
            Outcome::Applied | Outcome::Lost => {
                let mut tally = Tally { handled: 1, ..Tally::default() };
                self.settle(batch, guarantee, ended, &mut tally)
                    .unwrap_or_else(|| Err(Error::new(Code::Internal, "a finished batch was not settled")))
            }
            _ => self.conclude(batch, guarantee, ended),
        }
    }

    /// An attempt that was not applied; the batch's ticket gives it back when it is dropped.
    fn conclude(&self, batch: &Batch, guarantee: Guarantee, ended: Ended) -> Result<Report> {
        match ended.outcome {
            Outcome::Stop => Err(self.stop_error(ended.failure)),
            _ => Ok(Report {
                applied: Applied::Redelivered,
                guarantee,
                records: batch.len(),
                outputs: 0,
                attempts: 1,
                offsets: Vec::new(),
                took: Duration::ZERO,
                cause: ended.failure.map(|error| error.to_string()),
            }),
        }
    }

    /// Returns whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        let place: MutexGuard<'_, Place> = self.place.lock();
        place.out.is_none() && place.returned.is_none()
    }

    /// Lets go of the producers.
    pub(crate) fn close(&self) {
        *self.ports.lock() = KafkaPorts::new(Arc::clone(&self.shared), self.id);
    }
}

impl Home for Lane {
    fn give_back(&self) {
        let mut place = self.place.lock();
        place.returned = place.out.take();
        drop(place);
        self.shared.assignment.release(self.id);
        self.shared.bell.ring();
    }
}

/// What happened to one batch so far.
#[derive(Default)]
struct Tally {
    /// Calls of the handler.
    handled: u32,
    /// Attempts that the handler failed.
    failures: u32,
    /// Attempts that failed otherwise.
    retries: u32,
}

/// A panic of the handler fails its batch like an error.
fn guarded(handler: impl FnOnce() -> HandlerResult) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(Error::new(Code::HandlerFailed, cause.to_string()).caused_by(cause)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::new(Code::Panic, format!("the handler panicked: {text}")))
        }
    }
}

/// Between half and all of it, so that lanes that failed together don't try again together.
fn jittered(millis: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(millis);
    Duration::from_millis(millis / 2 + random % (millis / 2 + 1))
}

/// At the start, a coordinator that does not answer means that the guarantee can't be given.
fn at_start(guarantee: Guarantee, error: Error) -> Error {
    if guarantee != Guarantee::ExactlyOnce || error.class() == error::Class::Config {
        return error;
    }
    Error::new(
        Code::GuaranteeUnavailable,
        "exactly-once is not available: the cluster gave no transactional producer; it needs Kafka 0.11 or later and \
         as many brokers as `transaction.state.log.replication.factor` and `transaction.state.log.min.isr` ask for \
         (3 and 2 unless set; a single broker needs 1 and 1)",
    )
    .with("cause", error)
}
