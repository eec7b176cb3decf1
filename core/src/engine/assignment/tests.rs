use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Assignment;
use crate::batch::{Content, Messages, Parts, Run};
use crate::record::{Position, TopicPartition};

struct NoMessages;

impl Messages for NoMessages {
    fn get(&self, _: usize) -> Parts<'_> {
        Parts { offset: 0, timestamp: None, key: None, value: None, headers: &() }
    }
}

fn content(source: &TopicPartition, epoch: u64) -> Content {
    let next = Position { offset: 1, leader_epoch: None };
    let run = Run { source: source.clone(), epoch, start: 0, len: 1, first: 0, next };
    Content::new(Arc::new(NoMessages), vec![run], 0)
}

fn partitions(count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new("orders", partition)).collect()
}

#[test]
fn partitions_are_spread_evenly_and_those_that_stay_keep_lane_and_epoch() {
    let assignment: Assignment<()> = Assignment::new(2);
    let first = assignment.assign(&partitions(4));
    assert_eq!(first.iter().filter(|o| o.lane == 0).count(), 2);
    let more = assignment.assign(&[TopicPartition::new("orders", 9)]);
    let kept = assignment.gate().ownership(&partitions(4)[0]).map(|o| (o.lane, o.epoch));
    assert_eq!(kept, Some((first[0].lane, first[0].epoch)));
    assert!(more[0].epoch > first[3].epoch);
}

#[test]
fn a_batch_of_a_partition_that_went_and_came_back_never_commits() {
    let assignment: Assignment<()> = Assignment::new(1);
    let sources = partitions(1);
    let old = content(&sources[0], assignment.assign(&sources)[0].epoch);
    assert!(assignment.gate().covers(old.runs()));
    assignment.revoke(&sources, false, Duration::from_millis(1));
    assert!(!assignment.gate().covers(old.runs()), "while it is gone");
    assignment.assign(&sources);
    assert!(!assignment.gate().covers(old.runs()), "and when it is back");
}

#[test]
fn revoking_waits_for_a_batch_in_flight_but_not_longer_than_the_deadline() {
    let assignment: Arc<Assignment<()>> = Arc::new(Assignment::new(1));
    let sources = partitions(1);
    let batch = content(&sources[0], assignment.assign(&sources)[0].epoch);
    assert!(assignment.try_hold((0, 0), &batch));
    let lane = Arc::clone(&assignment);
    let worker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        lane.release((0, 0));
    });
    let started = Instant::now();
    assignment.revoke(&sources, false, Duration::from_secs(10));
    assert!(started.elapsed() >= Duration::from_millis(45), "it waited for the batch");
    assert!(started.elapsed() < Duration::from_secs(5), "and no longer");
    worker.join().expect("the lane ends");

    let batch = content(&sources[0], assignment.assign(&sources)[0].epoch);
    assert!(assignment.try_hold((0, 0), &batch));
    let started = Instant::now();
    assignment.revoke(&sources, false, Duration::from_millis(50));
    assert!(started.elapsed() < Duration::from_secs(5), "a batch that never ends does not hold the group up");
    assert!(!assignment.gate().covers(batch.runs()));
}

#[test]
fn a_lost_partition_is_gone_at_once_and_a_leaving_one_starts_nothing() {
    let assignment: Arc<Assignment<()>> = Arc::new(Assignment::new(2));
    let sources = partitions(2);
    let owned = assignment.assign(&sources);
    let held = content(&sources[0], owned[0].epoch);
    assert!(assignment.try_hold((0, 0), &held));
    let other = Arc::clone(&assignment);
    let leaving = sources.clone();
    let revoking = thread::spawn(move || other.revoke(&leaving, false, Duration::from_millis(200)));
    thread::sleep(Duration::from_millis(50));
    assert!(!assignment.try_hold((1, 0), &content(&sources[1], owned[1].epoch)), "it is leaving");
    revoking.join().expect("revoking ends");

    let owned = assignment.assign(&sources);
    assert!(assignment.try_hold((0, 0), &content(&sources[0], owned[0].epoch)));
    let started = Instant::now();
    assignment.revoke(&sources, true, Duration::from_secs(10));
    assert!(started.elapsed() < Duration::from_secs(5), "what is lost is not waited for");
}

#[test]
fn what_is_in_flight_is_weighed() {
    let assignment: Assignment<()> = Assignment::new(1);
    let partition = &partitions(1)[0];
    let epoch = assignment.assign(&partitions(1))[0].epoch;
    assert_eq!(assignment.weight(), 0);
    assert!(assignment.try_hold((0, 1), &content(partition, epoch)));
    let one = assignment.weight();
    assert!(one > 0, "a record weighs something even where it is empty");
    assert!(
        assignment.try_hold((0, 1), &content(partition, epoch))
            && assignment.try_hold((0, 2), &content(partition, epoch))
    );
    assert_eq!(assignment.weight(), 3 * one);
    assignment.release((0, 1));
    assert_eq!(assignment.weight(), one);
}
