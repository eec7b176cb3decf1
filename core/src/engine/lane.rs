//! A lane: some of the partitions, their records in order, and the units of them in flight.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Guarantee;
use crate::batch::{Batch, Content, Home, Ticket};
use crate::engine::batcher::Limits;
use crate::engine::collect::Collector;
use crate::engine::order::{Order, Turn};
use crate::engine::pace::Pace;
use crate::engine::shared::Shared;
use crate::engine::unit::Unit;
use crate::error::{self, Code, Error, Result};
use crate::kafka::ports::KafkaPorts;
use crate::output::Output;
use crate::record::{Position, TopicPartition};

pub(crate) struct Lane {
    pub(crate) id: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) order: Arc<Order>,
    pub(super) pace: Pace,
    place: Mutex<Place>,
    collector: Mutex<Collector>,
    /// As many as units may be in flight.
    pub(super) slots: Vec<Mutex<Slot>>,
}

/// What one unit in flight works with.
pub(super) struct Slot {
    pub(super) ports: KafkaPorts,
    pub(super) output: Output,
}

/// Where the lane's batches are.
#[derive(Default)]
struct Place {
    /// With the caller of `poll`, or being processed for it.
    out: Option<Polled>,
    /// Here, to be delivered next.
    returned: Option<Arc<Content>>,
    /// What was committed last under which assignment: a position is worth a commit only if it is
    /// behind that.
    committed: HashMap<TopicPartition, (u64, i64)>,
    /// When the positions were looked at last.
    looked: Option<Instant>,
}

impl Place {
    /// Returns whether it is time to look at the positions, and nothing is here that they are behind.
    fn may_look(&mut self) -> bool {
        let is_due = self.returned.is_none() && self.looked.is_none_or(|then| then.elapsed() >= LOOK);
        if is_due {
            self.looked = Some(Instant::now());
        }
        is_due
    }
}

struct Polled {
    content: Arc<Content>,
    turn: Arc<Turn>,
}

/// The time between two looks at the positions of an idle lane.
const LOOK: Duration = Duration::from_millis(100);

impl Lane {
    /// A lane with at most `depth` units in flight, and only one where it has `most` records or more.
    pub(crate) fn new(id: usize, depth: usize, most: usize, shared: Arc<Shared>) -> Self {
        let slot = |number| {
            Mutex::new(Slot { ports: KafkaPorts::new(Arc::clone(&shared), id, number), output: Output::default() })
        };
        Self {
            id,
            order: Order::new(depth, most),
            pace: Pace::new(&shared.config),
            place: Mutex::default(),
            collector: Mutex::new(Collector::new(id)),
            slots: (0..depth).map(|index| slot(id * depth + index)).collect(),
            shared,
        }
    }

    /// Returns how many units may be in flight.
    pub(crate) fn depth(&self) -> usize {
        self.slots.len()
    }

    /// Makes the guarantee's producer of one slot.
    pub(crate) fn prepare(&self, slot: usize, guarantee: Guarantee) -> Result<()> {
        let prepared = self.slots[slot].lock().ports.prepare_patiently(guarantee);
        prepared.map_err(|failure| at_start(guarantee, failure.error))
    }

    /// Returns the next batch, or `None` if none came in time or another is out.
    pub(crate) fn next(self: &Arc<Self>, timeout: Duration) -> Result<Option<Batch>> {
        let Some(turn) = self.order.enter_alone() else { return Ok(None) };
        let Some(content) = self.take_first(&turn, self.pace.batch(), timeout)? else { return Ok(None) };
        self.place.lock().out = Some(Polled { content: Arc::clone(&content), turn: Arc::new(turn) });
        let home: Arc<dyn Home> = Arc::clone(self) as _;
        Ok(Some(Batch { content, ticket: Ticket { lane: self.id, home: Some(home) } }))
    }

    /// Takes the first batch of the unit that has its turn.
    pub(super) fn take_first(&self, turn: &Turn, limits: Limits, timeout: Duration) -> Result<Option<Arc<Content>>> {
        let first = self.take(turn, limits, timeout)?;
        if first.is_none() && turn.is_alone() && !self.shared.is_stopping() && self.place.lock().may_look() {
            self.commit_positions();
        }
        Ok(first)
    }

    /// Takes a batch of what is there, or comes within `timeout`, for the unit that has its turn.
    pub(super) fn take(&self, turn: &Turn, limits: Limits, timeout: Duration) -> Result<Option<Arc<Content>>> {
        let until = Instant::now() + timeout;
        let mut collector = self.collector.lock();
        loop {
            let returned = self.place.lock().returned.take();
            let content = match returned {
                Some(content) => Some(content),
                None => {
                    let patience = until.saturating_duration_since(Instant::now());
                    collector.collect(&self.shared, limits, patience)?.map(Arc::new)
                }
            };
            let Some(content) = content.and_then(|content| self.current(content)) else {
                if Instant::now() >= until || self.shared.is_stopping() {
                    return Ok(None);
                }
                continue;
            };
            if self.shared.assignment.try_hold((self.id, turn.number()), &content) {
                return Ok(Some(content));
            }
            // One of its partitions is leaving: soon the rest can go on.
            self.place.lock().returned = Some(content);
            if Instant::now() >= until || self.shared.is_stopping() {
                return Ok(None);
            }
            self.shared.wait(Duration::from_millis(5));
        }
    }

    /// Leaves out what moved to another member since it was fetched.
    fn current(&self, content: Arc<Content>) -> Option<Arc<Content>> {
        let gate = self.shared.assignment.gate();
        if gate.covers(content.runs()) {
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
            match place.committed.get_mut(source) {
                Some(known) => *known = (epoch, offset),
                None => drop(place.committed.insert(source.clone(), (epoch, offset))),
            }
        }
    }

    /// A unit is applied or lost for good.
    pub(super) fn settled(&self, unit: &Unit) {
        self.note_committed(unit.runs().map(|run| (&run.source, run.epoch, run.next.offset)));
    }

    /// Returns the turn of the batch that a caller has.
    pub(super) fn polled(&self) -> Result<Arc<Turn>> {
        let place = self.place.lock();
        let turn = place.out.as_ref().map(|out| Arc::clone(&out.turn));
        turn.ok_or_else(|| Error::new(Code::Misuse, "the batch is not out any more"))
    }

    /// Some of the batch that a caller has is applied: only the rest comes again.
    pub(super) fn leave_out(&self, rest: &[Arc<Content>]) {
        if let (Some(out), Some(rest)) = (self.place.lock().out.as_mut(), Content::join(rest)) {
            out.content = Arc::new(rest);
        }
    }

    /// The batch is done: its ticket has nothing to give back any more.
    pub(super) fn finish(&self, batch: &mut Batch) {
        batch.ticket.home = None;
        if let Some(out) = self.place.lock().out.take() {
            self.leave(&out.turn);
        }
    }

    /// Nothing of the unit is in flight any more.
    pub(super) fn leave(&self, turn: &Turn) {
        self.shared.assignment.release((self.id, turn.number()));
        turn.leave();
    }

    /// Returns whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.order.is_empty() && self.place.lock().returned.is_none()
    }

    /// Lets go of the producers.
    pub(crate) fn close(&self) {
        for slot in &self.slots {
            slot.lock().ports.close();
        }
    }
}

impl Home for Lane {
    fn give_back(&self) {
        let mut place = self.place.lock();
        let Some(out) = place.out.take() else { return };
        place.returned = Some(out.content);
        drop(place);
        self.leave(&out.turn);
        self.shared.bells.ring_all();
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
