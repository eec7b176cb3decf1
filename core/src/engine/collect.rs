//! Fills batches from a lane's queue.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::batch::{Content, Run};
use crate::engine::assignment::Gate;
use crate::engine::batcher::{Batcher, Limits};
use crate::engine::shared::Shared;
use crate::error::{Code, Error, Result};
use crate::kafka::GroupMetadata;
use crate::kafka::consumer::{Buffer, Fetch};
use crate::kafka::message::{Fetched, Message};
use crate::record::{Position, TopicPartition};

/// Takes records from one lane's queue.
pub(crate) struct Collector {
    lane: usize,
    buffer: Buffer,
    /// Under which epoch which offset comes next. A pause during an incremental rebalance may make
    /// librdkafka fetch anew what was taken from it at that moment.
    next: HashMap<TopicPartition, (u64, i64)>,
}

/// A batch that is being filled.
struct Filling {
    batcher: Batcher,
    messages: Vec<Message>,
    runs: Vec<Run>,
    failed: Option<Error>,
    out_of_range: Vec<(TopicPartition, String)>,
    /// Whether the last run may go on: its partition has not moved since.
    open: bool,
}

impl Collector {
    pub(crate) fn new(lane: usize) -> Self {
        Self { lane, buffer: Buffer::default(), next: HashMap::new() }
    }

    /// Returns a batch, or `None` if nothing came in time.
    pub(crate) fn collect(&mut self, shared: &Shared, limits: Limits, timeout: Duration) -> Result<Option<Content>> {
        let until = Instant::now() + timeout;
        let mut filling = Filling::new(limits);
        while !(shared.is_stopping() && filling.messages.is_empty()) {
            let bell = shared.bells.of(self.lane);
            let seen = bell.count();
            let room = filling.batcher.room();
            if room > 0 && self.take(shared, room, &mut filling)? == room {
                continue;
            }
            if filling.failed.is_some() || !filling.out_of_range.is_empty() {
                break;
            }
            let now = Instant::now();
            let patience = filling.batcher.patience(now, until.saturating_duration_since(now));
            if patience.is_zero() {
                break;
            }
            bell.wait(seen, patience);
        }
        Self::judge(shared, &mut filling)?;
        Ok(filling.close(shared))
    }

    /// Takes what is there. The gate makes sure that no partition moves between the moment when
    /// librdkafka hands a record out and the moment when its epoch is noted.
    fn take(&mut self, shared: &Shared, room: usize, filling: &mut Filling) -> Result<usize> {
        let gate = shared.assignment.gate();
        let now = Instant::now();
        filling.open = filling.runs.last().is_some_and(|run| gate.current(run));
        let taken = shared.consumer()?.fetch(self.lane, room, &mut self.buffer, |item| match item {
            Fetch::Message(message) => filling.add(message, &gate, self.lane, &mut self.next, now),
            Fetch::OutOfRange(source, text) => filling.out_of_range.push((source, text)),
            Fetch::Failed(error) => filling.failed = Some(error),
        });
        filling.end_run(&mut self.next);
        Ok(taken)
    }

    /// Turns errors that came with the records into what the configuration says.
    fn judge(shared: &Shared, filling: &mut Filling) -> Result<()> {
        for (source, text) in std::mem::take(&mut filling.out_of_range) {
            filling.failed.get_or_insert_with(|| offset_lost(shared, &source, &text));
        }
        // What was fetched before the error is still good.
        match filling.failed.take() {
            Some(error) if filling.messages.is_empty() => Err(error),
            Some(error) => {
                shared.fail(error);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Filling {
    fn new(limits: Limits) -> Self {
        Self {
            batcher: Batcher::new(limits),
            messages: Vec::new(),
            runs: Vec::new(),
            failed: None,
            out_of_range: Vec::new(),
            open: false,
        }
    }

    fn add(
        &mut self,
        message: Message,
        gate: &Gate<'_, GroupMetadata>,
        lane: usize,
        expected: &mut HashMap<TopicPartition, (u64, i64)>,
        now: Instant,
    ) {
        let raw = message.raw();
        let continues = self.open
            && self.messages.last().is_some_and(|last| {
                let last = last.raw();
                last.rkt == raw.rkt && last.partition == raw.partition
            });
        match self.runs.last_mut() {
            Some(run) if continues => {
                if raw.offset < run.next.offset {
                    return;
                }
                run.len += 1;
                run.next.offset = raw.offset + 1;
            }
            _ => {
                self.end_run(expected);
                let source = TopicPartition { topic: message.topic(), partition: raw.partition };
                // A partition that moved meanwhile: its new owner reads the record.
                let Some(ownership) = gate.ownership(&source).filter(|ownership| ownership.lane == lane) else {
                    return;
                };
                let seen = |(epoch, next): &(u64, i64)| *epoch == ownership.epoch && raw.offset < *next;
                if expected.get(&source).is_some_and(seen) {
                    return;
                }
                let (first, start) = (raw.offset, self.messages.len());
                let next = Position { offset: raw.offset + 1, leader_epoch: None };
                self.runs.push(Run { source, epoch: ownership.epoch, start, len: 1, first, next });
                self.open = true;
            }
        }
        self.batcher.add(message.bytes(), now);
        self.messages.push(message);
    }

    /// Notes how far the last run has come.
    fn end_run(&mut self, expected: &mut HashMap<TopicPartition, (u64, i64)>) {
        let (Some(run), Some(last)) = (self.runs.last_mut(), self.messages.last()) else { return };
        run.next.leader_epoch = last.leader_epoch();
        let reached = (run.epoch, run.next.offset);
        match expected.get_mut(&run.source) {
            Some(next) => *next = reached,
            None => {
                expected.insert(run.source.clone(), reached);
            }
        }
    }

    fn close(self, shared: &Shared) -> Option<Content> {
        if self.messages.is_empty() {
            return None;
        }
        let client = shared.consumer().ok()?.client().clone();
        let bytes = self.batcher.bytes();
        let fetched = Fetched::new(self.messages, client);
        Some(Content::new(std::sync::Arc::new(fetched), self.runs, bytes))
    }
}

fn offset_lost(shared: &Shared, source: &TopicPartition, text: &str) -> Error {
    let error = Error::new(
        Code::OffsetLost,
        format!(
            "the group's position in {source} is not in the log any more (retention, truncation, or a topic that was \
             made anew); set `on_lost_offsets` to \"earliest\" or \"latest\" to go on with a gap, or commit another \
             offset for group `{}`: {text}",
            shared.config.group
        ),
    );
    let timeout = Duration::from_secs(2);
    let consumer = shared.consumer().ok();
    let committed = consumer
        .and_then(|consumer| consumer.committed(std::slice::from_ref(source), timeout).ok())
        .and_then(|items| items.first().map(|item| item.offset));
    let log = consumer.and_then(|consumer| consumer.watermarks(source, timeout));
    match (committed, log) {
        (Some(committed), Some((low, high))) => {
            let error = error.with("committed", committed).with("log", format!("{low}..{high}"));
            if committed < low { error.with("missing_records", low - committed) } else { error }
        }
        _ => error,
    }
}
