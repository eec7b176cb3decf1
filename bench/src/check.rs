//! Whether a run was correct: every record is in the output once, and the group's offsets are at the end.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use ksem_testkit::reader::{self, Isolation};
use ksem_testkit::{ReadRecord, load};

use crate::programs::Job;
use crate::shape::Shape;

/// A transaction's markers are written after its commit was answered.
const MARKERS: Duration = Duration::from_secs(15);

/// Reads a run's output and offsets with a client that has nothing to do with any contestant. The input was loaded
/// before `started`: a record with a later timestamp did not keep its own.
pub(crate) fn run(job: &Job, shape: Shape, started: SystemTime) -> Result<()> {
    let system = &job.contestant.system;
    if !system.copies() {
        return check_offsets(job);
    }
    wait_for_markers(job)?;
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let latest = if system.keeps_timestamps() { started } else { i64::MAX };
    let mut tally = Tally::new(job.records, shape, latest);
    let deadline = Duration::from_mins(1) + Duration::from_micros(job.records * 50);
    reader::visit_topic(&job.bootstrap, &job.output, Isolation::ReadCommitted, deadline, |record| tally.add(&record))?;
    tally.verdict()?;
    check_offsets(job)
}

fn wait_for_markers(job: &Job) -> Result<()> {
    let started = Instant::now();
    loop {
        let stable = reader::end_offsets(&job.bootstrap, &job.output, Isolation::ReadCommitted)?;
        let all = reader::end_offsets(&job.bootstrap, &job.output, Isolation::ReadUncommitted)?;
        if stable == all {
            return Ok(());
        }
        ensure!(started.elapsed() < MARKERS, "a transaction is still open: {stable:?} of {all:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn check_offsets(job: &Job) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut sum = 0;
        for input in &job.inputs {
            sum += reader::committed_offsets(&job.bootstrap, &job.group, input)?.values().sum::<i64>();
        }
        if sum == job.records as i64 {
            return Ok(());
        }
        ensure!(started.elapsed() < MARKERS, "the group's offsets are {sum} in sum, not {}", job.records);
        thread::sleep(Duration::from_millis(50));
    }
}

/// Counts records and distinct ids.
struct Tally {
    records: u64,
    shape: Shape,
    started: i64,
    read: u64,
    distinct: u64,
    foreign: u64,
    restamped: u64,
    seen: Vec<u64>,
}

impl Tally {
    fn new(records: u64, shape: Shape, started: i64) -> Self {
        let seen = vec![0; records.div_ceil(64) as usize];
        Self { records, shape, started, read: 0, distinct: 0, foreign: 0, restamped: 0, seen }
    }

    fn add(&mut self, record: &ReadRecord) {
        self.read += 1;
        self.restamped += u64::from(record.timestamp >= self.started);
        let id = record.key.as_deref().and_then(load::key_id).filter(|id| *id < self.records);
        let is_copy = |id: &u64| record.value.as_deref() == Some(&self.shape.value(*id)[..]);
        let Some(id) = id.filter(is_copy) else {
            self.foreign += 1;
            return;
        };
        let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
        self.distinct += u64::from(self.seen[word] & bit == 0);
        self.seen[word] |= bit;
    }

    fn verdict(&self) -> Result<()> {
        let Self { records, read, distinct, foreign, restamped, .. } = *self;
        ensure!(foreign == 0, "{foreign} records of the output are not copies of the input");
        ensure!(restamped == 0, "{restamped} records of the output have a timestamp of their own");
        ensure!(read == records && distinct == records, "of {records} records, {read} came out, {distinct} distinct");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ids: &[(u64, u64)]) -> Result<()> {
        tally_at(0, ids)
    }

    const SHAPE: Shape = Shape { size: 50, ..Shape::STANDARD };

    fn tally_at(timestamp: i64, ids: &[(u64, u64)]) -> Result<()> {
        let mut tally = Tally::new(3, SHAPE, 1);
        for (key, value) in ids {
            tally.add(&ReadRecord {
                partition: 0,
                offset: 0,
                key: Some(key.to_string().into_bytes()),
                value: Some(SHAPE.value(*value)),
                headers: Vec::new(),
                timestamp,
            });
        }
        tally.verdict()
    }

    #[test]
    fn only_every_record_once_is_right() {
        assert!(tally(&[(2, 2), (0, 0), (1, 1)]).is_ok());
        assert!(tally(&[(0, 0), (1, 1)]).is_err(), "lost");
        assert!(tally(&[(0, 0), (1, 1), (2, 2), (2, 2)]).is_err(), "repeated");
        assert!(tally(&[(0, 0), (1, 1), (1, 1)]).is_err(), "lost and repeated");
        assert!(tally(&[(0, 0), (1, 2), (2, 1)]).is_err(), "mixed up");
        assert!(tally(&[(0, 0), (1, 1), (3, 3)]).is_err(), "foreign");
        assert!(tally_at(1, &[(0, 0), (1, 1), (2, 2)]).is_err(), "written with the time of the copy");
    }
}
