//! How many attempts it takes, in which order, and who is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::{Content, Messages, Parts, Run};
use crate::record::{Position, TopicPartition};

/// Every second offset is missing, as behind control records or after compaction.
struct Sparse(i64);

impl Messages for Sparse {
    fn get(&self, index: usize) -> Parts<'_> {
        Parts { offset: self.0 + 2 * index as i64, timestamp: None, key: None, value: None, headers: &() }
    }
}

/// A batch of so many records, in runs of 7 that go over three partitions in turn.
fn batch(from: i64, len: usize) -> Arc<Content> {
    let run = |start: usize| {
        let len = (len - start).min(7);
        let (first, last) = (from + 2 * start as i64, from + 2 * (start + len - 1) as i64);
        let next = Position { offset: last + 1, leader_epoch: Some(3) };
        Run { source: TopicPartition::new("in", (start / 7 % 3) as i32), epoch: 1, start, len, first, next }
    };
    Arc::new(Content::new(Arc::new(Sparse(from)), (0..len).step_by(7).map(run).collect(), 100 * len))
}

fn unit(batches: &[usize]) -> Unit {
    let mut from = 0;
    let mut parts = batches.iter().map(|len| {
        let content = batch(from, *len);
        from += 2 * *len as i64;
        content
    });
    let mut unit = Unit::new(parts.next().expect("one batch"));
    parts.for_each(|part| unit.push(part));
    unit
}

fn settings(max_attempts: u32) -> RetryConfig {
    RetryConfig { max_attempts, backoff_ms: 1, max_backoff_ms: 8 }
}

fn offsets(unit: &Unit) -> Vec<i64> {
    unit.parts().iter().flat_map(|part| (0..part.len()).map(|index| part.record(index).offset)).collect()
}

/// What a simulated handler does with poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    Which,
    Permanent,
    WhichForGood,
}

#[derive(Debug, Default)]
struct Seen {
    done: Vec<i64>,
    buried: BTreeMap<i64, u32>,
    /// Calls of the handler with a record alone or with others.
    calls: usize,
    records: usize,
    committed: BTreeMap<TopicPartition, i64>,
}

fn run(unit: Unit, poison: &BTreeSet<i64>, says: Says, max_attempts: u32) -> Seen {
    let retry = settings(max_attempts);
    let policy = Policy { retry: &retry, sets_aside: true };
    let mut seen = Seen::default();
    let mut pending = vec![Piece::new(unit)];
    while let Some(piece) = pending.pop() {
        if let Some(cause) = piece.given_up() {
            assert_eq!(piece.unit.records(), 1, "one record is given up at a time");
            let offset = offsets(&piece.unit)[0];
            assert_eq!(seen.buried.insert(offset, cause.attempts), None, "{offset} has two dead letters");
            assert!(cause.first <= cause.last);
        } else {
            seen.calls += 1;
            let bad = |part: &Arc<Content>| -> Vec<usize> {
                (0..part.len()).filter(|index| poison.contains(&part.record(*index).offset)).collect()
            };
            let failed = piece.unit.parts().iter().map(bad).enumerate().find(|(_, bad)| !bad.is_empty());
            seen.records += piece.unit.records();
            if let Some((part, bad)) = failed {
                let mut failure = HandlerFailure::new("poison");
                if matches!(says, Says::Which | Says::WhichForGood) {
                    failure = bad.into_iter().fold(failure, HandlerFailure::of);
                }
                if matches!(says, Says::Permanent | Says::WhichForGood) {
                    failure = failure.permanent();
                }
                let error = Error::new(Code::HandlerFailed, "poison").caused_by(failure);
                pending.extend(piece.failed(error, Some(part), policy).into_iter().rev());
                continue;
            }
            seen.done.extend(offsets(&piece.unit));
        }
        for (source, position) in piece.unit.offsets() {
            let before = seen.committed.insert(source, position.offset);
            assert!(before.is_none_or(|before| before < position.offset), "an offset went back");
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_is_done_or_buried_once_and_in_order(
        batches in prop::collection::vec(1_usize..60, 1..5),
        poison in prop::collection::btree_set(0_i64..120, 0..12),
        says in prop::sample::select(vec![Says::Nothing, Says::Which, Says::Permanent, Says::WhichForGood]),
        max_attempts in 1_u32..5,
    ) {
        let unit = unit(&batches);
        let (all, last) = (offsets(&unit), unit.offsets());
        let poison: BTreeSet<i64> = poison.into_iter().map(|id| 2 * id).filter(|id| all.contains(id)).collect();
        let seen = run(unit, &poison, says, max_attempts);
        let good: Vec<i64> = all.into_iter().filter(|id| !poison.contains(id)).collect();
        prop_assert_eq!(&seen.done, &good, "the good ones, in order");
        prop_assert!(seen.buried.keys().eq(&poison), "{:?}", seen.buried);
        prop_assert_eq!(seen.committed, last.into_iter().map(|(source, next)| (source, next.offset)).collect());
        if says == Says::WhichForGood {
            prop_assert!(seen.buried.values().all(|attempts| *attempts <= poison.len() as u32 + 1));
        }
    }
}

/// 10 attempts of each half would be some 1,500 calls, most of them after a long wait.
#[test]
fn finding_one_record_in_thousands_takes_about_as_many_failures_as_halvings() {
    let seen = run(unit(&[8192]), &BTreeSet::from([2 * 5_000]), Says::Nothing, 10);
    // Two of the whole, one of each half on the way and of its neighbour, and ten of the record.
    assert!(seen.calls <= 2 + 2 * 13 + 10, "{} calls", seen.calls);
    assert!(seen.records <= 5 * 8192, "{} records were handled", seen.records);
    assert_eq!(seen.buried[&10_000], 2 + 12 + 10, "attempts of the record, in whatever company");
}

#[test]
fn a_record_that_is_named_costs_no_search() {
    let poison = BTreeSet::from([2 * 5_000]);
    assert_eq!(run(unit(&[8192]), &poison, Says::Which, 3).calls, 1 + 1 + 2 + 1, "all, before, alone, behind");
    assert_eq!(run(unit(&[8192]), &poison, Says::WhichForGood, 3).calls, 1 + 1 + 1, "all, before, behind");
}

#[test]
fn an_accident_that_is_over_costs_one_more_try_of_the_whole() {
    let retry = RetryConfig { backoff_ms: 60_000, max_backoff_ms: 60_000, ..settings(10) };
    let failed =
        |piece: Piece, failure: Error| piece.failed(failure, Some(0), Policy { retry: &retry, sets_aside: true });
    let error = || Error::new(Code::HandlerFailed, "a time-out");
    let mut pieces = failed(Piece::new(unit(&[100])), error());
    assert_eq!(pieces.len(), 1);
    let piece = pieces.remove(0);
    assert!(piece.patience() > Duration::ZERO && piece.given_up().is_none());
    assert_eq!(failed(piece, error()).len(), 2, "then it is halved");
    // What the handler calls an accident is tried as often as `max_attempts` says.
    let mut piece = Piece::new(unit(&[100]));
    for _ in 1..10 {
        let mut pieces = failed(piece, error().caused_by(HandlerFailure::new("away").retryable()));
        assert_eq!(pieces.len(), 1);
        piece = pieces.remove(0);
    }
    assert_eq!(failed(piece, error().caused_by(HandlerFailure::new("away").retryable())).len(), 2);
}

#[test]
fn without_a_dead_letter_topic_a_batch_is_tried_as_a_whole() {
    let retry = settings(3);
    let policy = Policy { retry: &retry, sets_aside: false };
    let mut piece = Piece::new(unit(&[100]));
    for attempt in 1..=3 {
        let mut pieces = piece.failed(Error::new(Code::HandlerFailed, "no"), Some(0), policy);
        assert_eq!(pieces.len(), 1);
        piece = pieces.remove(0);
        assert_eq!(piece.given_up().is_some(), attempt == 3, "attempt {attempt}");
    }
    assert_eq!(piece.unit.records(), 100);
}

#[test]
fn a_slice_ends_at_its_last_record() {
    let content = batch(1_000, 10);
    let slice = content.slice(5..9);
    let runs: Vec<_> = slice.runs().iter().map(|run| (run.source.partition, run.first, run.next.offset)).collect();
    assert_eq!(runs, [(0, 1_010, 1_013), (1, 1_014, 1_017)]);
    assert_eq!((slice.len(), slice.bytes()), (4, 400));
    let epochs: Vec<_> = slice.runs().iter().map(|run| run.next.leader_epoch).collect();
    assert_eq!(epochs, [Some(3), None], "only the end of a run knows its epoch");
    assert!((0..4).all(|index| slice.record(index).offset == 1_010 + 2 * index as i64));
}
