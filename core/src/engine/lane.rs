//! A lane: some of the partitions, their records in order, and one batch at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::Guarantee;
use crate::batch::{Batch, Content, Home, Ticket};
use crate::engine::collect::Collector;
use crate::engine::shared::Shared;
use crate::error::{self, Code, Error, Result};
use crate::kafka::ports::KafkaPorts;
use crate::output::Output;
use crate::record::{Position, TopicPartition};

/// What a handler returns: an error fails the batch.
pub type HandlerResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Lane {
    pub(crate) id: usize,
    pub(super) shared: Arc<Shared>,
    place: Mutex<Place>,
    collector: Mutex<Collector>,
    pub(super) ports: Mutex<KafkaPorts>,
    pub(super) output: Mutex<Output>,
}

/// Where the lane's batch is.
#[derive(Default)]
struct Place {
    /// With the caller, or being processed.
    out: Option<Arc<Content>>,
    /// Here, to be delivered next.
    returned: Option<Arc<Content>>,
    /// What was committed last under which assignment: a position is worth a commit only if it is
    /// behind that.
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
        // Held to the end: what another caller has collected but not taken out yet would look as
        // if it were done.
        let mut collector = self.collector.lock();
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
                None => self.collect(&mut collector, until.saturating_duration_since(Instant::now()))?.map(Arc::new),
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

    fn collect(&self, collector: &mut Collector, timeout: Duration) -> Result<Option<Content>> {
        let content = collector.collect(&self.shared, timeout.min(LOOK))?;
        if content.is_none() && !self.shared.is_stopping() && collector.may_look() {
            self.commit_positions();
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
    fn commit_positions(&self) {
        let gate = self.shared.assignment.gate();
        let Ok(consumer) = self.shared.consumer() else { return };
        let (sources, epochs): (Vec<_>, Vec<_>) = gate.of_lane(self.id).unzip();
        let mut ahead = Vec::new();
        let place = self.place.lock();
        for ((source, epoch), offset) in sources.iter().zip(epochs).zip(consumer.positions(&sources)) {
            let Some(offset) = offset else { continue };
            let committed = match place.committed.get(source) {
                Some((of_epoch, committed)) if *of_epoch == epoch => *committed,
                _ => -1,
            };
            if offset > committed {
                ahead.push((source, epoch, offset));
            }
        }
        drop(place);
        if ahead.is_empty() {
            return;
        }
        let position = |offset| Position { offset, leader_epoch: None };
        let offsets: Vec<_> = ahead.iter().map(|(source, _, offset)| ((*source).clone(), position(*offset))).collect();
        match consumer.commit(&offsets, &self.shared.mark, Duration::from_secs(5)) {
            Ok(()) => self.note_committed(ahead.into_iter()),
            // The next batch's commit covers it.
            Err(failure) => tracing::debug!(error = %failure.error, "the position was not committed"),
        }
    }

    fn note_committed<'a>(&self, reached: impl Iterator<Item = (&'a TopicPartition, u64, i64)>) {
        let mut place = self.place.lock();
        for (source, epoch, offset) in reached {
            place.committed.insert(source.clone(), (epoch, offset));
        }
    }

    /// The batch is done: its ticket has nothing to give back any more.
    pub(super) fn finish(&self, batch: &mut Batch) {
        batch.ticket.home = None;
        self.note_committed(batch.content.ends());
        self.place.lock().out = None;
        self.shared.assignment.release(self.id);
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

/// At the start, a coordinator that does not answer means that the guarantee can't be given.
fn at_start(guarantee: Guarantee, error: Error) -> Error {
    if guarantee != Guarantee::ExactlyOnce || error.class() == error::Class::Config {
        return error;
    }
    Error::new(
        Code::GuaranteeUnavailable,
        "exactly_once is not available, so choose another `guarantee` or change the cluster: it gave no transactional producer; it needs Kafka \
         0.11 or later and as many brokers as its `transaction.state.log.replication.factor` and \
         `transaction.state.log.min.isr` ask for (3 and 2 unless set; a single broker needs 1 and 1)",
    )
    .with("cause", error)
}
