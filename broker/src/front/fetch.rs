//! `Fetch`, answered from the logs by the front itself.
//!
//! The broker behind it answers a fetch with everything there is from the offset on, whatever size the client asked
//! for. That is fine for a handful of records; with some hundred thousand, every fetch copies them all, and
//! librdkafka drops a connection that sends more than `receive.message.max.bytes`. So the limits are kept here.

use std::time::Duration;

use krafka::testing::{ClusterState, PartitionState};
use tokio::time::Instant;

use super::Shared;
use super::wire::{Frame, Header, Malformed, Reader};

/// The one version that the broker advertises.
pub(super) const VERSION: i16 = 11;
/// What one reply holds at most, however much a client asks for.
const MOST_BYTES: usize = 64 << 20;

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 76;

struct Request<'a> {
    max_wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    read_committed: bool,
    topics: Vec<(&'a str, Vec<Position>)>,
}

struct Position {
    partition: i32,
    leader_epoch: i32,
    offset: i64,
    max_bytes: usize,
}

impl<'a> Request<'a> {
    fn read(mut body: Reader<'a>) -> Result<Self, Malformed> {
        let _replica_id = body.i32()?;
        let max_wait = Duration::from_millis(u64::try_from(body.i32()?).unwrap_or(0));
        let min_bytes = usize::try_from(body.i32()?).unwrap_or(0);
        let max_bytes = usize::try_from(body.i32()?).unwrap_or(0).min(MOST_BYTES);
        let read_committed = body.i8()? == 1;
        let _session_id = body.i32()?;
        let _session_epoch = body.i32()?;
        let mut topics = Vec::new();
        for _ in 0..body.array_len()? {
            let name = body.string()?;
            let mut positions = Vec::new();
            for _ in 0..body.array_len()? {
                let partition = body.i32()?;
                let leader_epoch = body.i32()?;
                let offset = body.i64()?;
                let _log_start_offset = body.i64()?;
                let max_bytes = usize::try_from(body.i32()?).unwrap_or(0);
                positions.push(Position { partition, leader_epoch, offset, max_bytes });
            }
            topics.push((name, positions));
        }
        Ok(Self { max_wait, min_bytes, max_bytes, read_committed, topics })
    }
}

/// Answers one fetch, holding it until there is something to return or its time is over, as a broker does.
pub(super) async fn answer(shared: &Shared, header: &Header<'_>, body: Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let request = Request::read(body)?;
    let deadline = Instant::now() + request.max_wait;
    loop {
        // Registered before the logs are read, so that an append in between is not missed.
        let appended = shared.appended.notified();
        tokio::pin!(appended);
        appended.as_mut().enable();
        let (reply, bytes, failed) = shared.broker.with_state(|state| reply(state, header.correlation_id, &request));
        if failed || bytes >= request.min_bytes || Instant::now() >= deadline {
            return Ok(reply);
        }
        let _ = tokio::time::timeout_at(deadline, appended).await;
    }
}

/// The reply as things are now, the number of bytes of records in it, and whether a partition has an error.
fn reply(state: &ClusterState, correlation_id: i32, request: &Request<'_>) -> (Vec<u8>, usize, bool) {
    let (mut bytes, mut failed) = (0, false);
    let mut frame = Frame::new();
    // No throttling, no error, and session 0: this broker keeps no fetch sessions.
    frame.i32(correlation_id).i32(0).i16(0).i32(0).i32(request.topics.len() as i32);
    for (name, positions) in &request.topics {
        frame.string(name).i32(positions.len() as i32);
        for position in positions {
            let log = state.partition(name, position.partition);
            let error = check(log, position);
            frame.i32(position.partition).i16(error);
            match log {
                Some(log) if error == 0 => {
                    bytes += records(&mut frame, log, position, request, bytes);
                }
                _ => {
                    failed = true;
                    let (end, start) = log.map_or((-1, -1), |log| (log.next_offset, log.log_start_offset));
                    frame.i64(end).i64(end).i64(start).i32(0).i32(-1).i32(0);
                }
            }
        }
    }
    (frame.finish(), bytes, failed)
}

fn check(log: Option<&PartitionState>, position: &Position) -> i16 {
    let Some(log) = log else {
        return UNKNOWN_TOPIC_OR_PARTITION;
    };
    if position.leader_epoch >= 0 && position.leader_epoch < log.leader_epoch {
        FENCED_LEADER_EPOCH
    } else if position.leader_epoch > log.leader_epoch {
        UNKNOWN_LEADER_EPOCH
    } else if position.offset < log.log_start_offset || position.offset > log.next_offset {
        OFFSET_OUT_OF_RANGE
    } else {
        0
    }
}

/// Writes the offsets, the aborted transactions and the records of one partition, and returns the records' bytes.
fn records(
    frame: &mut Frame,
    log: &PartitionState,
    position: &Position,
    request: &Request<'_>,
    already: usize,
) -> usize {
    let stable = log.open_transactions.values().copied().min().unwrap_or(log.next_offset);
    let limit = if request.read_committed { stable } else { log.next_offset };
    let room = position.max_bytes.min(request.max_bytes.saturating_sub(already));
    let first = first_batch_after(&log.log, position.offset);
    let (mut bytes, mut last, mut upper) = (0, first, position.offset);
    for batch in &log.log[first..] {
        // A reply's first batch is sent even if it is larger than the client's limit; it could never go on otherwise.
        let fits = bytes + batch.len() <= room || bytes + already == 0;
        let end = batch_end(batch);
        if end > limit || !fits {
            break;
        }
        bytes += batch.len();
        upper = end;
        last += 1;
    }
    frame.i64(log.next_offset).i64(stable).i64(log.log_start_offset);
    if request.read_committed {
        // Markers are appended in order, so the list is sorted by them. Only what overlaps the records that are
        // sent may be named: a client would take a later transaction of that producer for the aborted one.
        let from = log.aborted_transactions.partition_point(|(_, _, marker)| *marker < position.offset);
        let overlaps = |(_, first, _): &&(i64, i64, i64)| *first < upper;
        let aborted = &log.aborted_transactions[from..];
        frame.i32(aborted.iter().filter(overlaps).count() as i32);
        for (producer_id, first_offset, _) in aborted.iter().filter(overlaps) {
            frame.i64(*producer_id).i64(*first_offset);
        }
    } else {
        frame.i32(-1);
    }
    // No preferred read replica.
    frame.i32(-1).i32(bytes as i32);
    for batch in &log.log[first..last] {
        frame.bytes(batch);
    }
    bytes
}

/// The index of the first batch that has a record at or after `offset`.
pub(crate) fn first_batch_after<B: AsRef<[u8]>>(log: &[B], offset: i64) -> usize {
    log.partition_point(|batch| batch_end(batch.as_ref()) <= offset)
}

/// The offset after a stored batch's last record. A batch that is too short for its header cannot have been stored.
fn batch_end(batch: &[u8]) -> i64 {
    let base = Reader::new(batch).i64().unwrap_or(0);
    let count = batch.get(57..).and_then(|tail| Reader::new(tail).i32().ok()).unwrap_or(0);
    base + i64::from(count)
}
