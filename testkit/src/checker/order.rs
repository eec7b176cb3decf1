//! Order: offsets, polls, runs of an instance, and the end (I6 to I8, I10, I11, I14).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::{INPUT, Range};
use super::index::{End, Index};
use super::{Promise, Verdict};

pub(super) fn check(promise: Promise, index: &Index<'_>, verdict: &mut Verdict) {
    offsets_go_on(index, verdict);
    polls_go_on(index, verdict);
    if promise == Promise::ExactlyOnce {
        not_before_its_end(index, verdict);
        successors_follow(index, verdict);
    }
    no_circle(index, verdict);
}

/// I6.
fn offsets_go_on(index: &Index<'_>, verdict: &mut Verdict) {
    for (partition, offsets) in &index.offsets {
        for pair in offsets.windows(2) {
            let ((_, before), (at, after)) = (pair[0], pair[1]);
            if after < before {
                verdict.broken("I6", || format!("partition {partition} went from {before} back to {after} at {at}"));
            }
        }
    }
    if index.drained.is_none() {
        return;
    }
    for (partition, records) in &index.inputs {
        let Some((last, _)) = records.last() else { continue };
        let committed = index.committed_offset(*partition);
        let end = index.ends.get(partition).copied().unwrap_or(last + 1);
        if !committed.is_some_and(|offset| offset > *last && offset <= end) {
            verdict.broken("I6", || {
                format!("partition {partition} ended at {committed:?}; its last record is {last} and its end {end}")
            });
        }
    }
}

/// Instance, run, assignment and partition.
type Assignment<'a> = (&'a str, u32, u64, i32);

/// I7.
fn polls_go_on(index: &Index<'_>, verdict: &mut Verdict) {
    // Attempts of one process and assignment, in order of their beginning.
    let mut polls: BTreeMap<Assignment<'_>, Vec<(u64, u64)>> = BTreeMap::new();
    for (number, attempt) in &index.attempts {
        let partitions: BTreeSet<i32> = attempt.inputs.iter().map(|range| range.partition).collect();
        for partition in partitions {
            let of = (attempt.instance, attempt.run, attempt.epoch, partition);
            polls.entry(of).or_default().push((attempt.begun, *number));
        }
    }
    for ((instance, run, _, partition), mut attempts) in polls {
        attempts.sort_unstable();
        // How far it has polled, and how far it has committed.
        let (mut polled, mut done) = (None::<i64>, i64::MIN);
        for (_, number) in attempts {
            let attempt = &index.attempts[&number];
            let mut ranges: Vec<_> = attempt.inputs.iter().filter(|range| range.partition == partition).collect();
            ranges.sort_unstable_by_key(|range| range.first);
            let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { continue };
            let of = || format!("{instance} run {run}, partition {partition}, attempt {number}");
            if polled.is_some_and(|polled| {
                let gap = Range { partition, first: polled + 1, last: first.first - 1 };
                !index.within(&gap).is_empty()
            }) {
                verdict.broken("I7", || format!("{} skips to {}", of(), first.first));
            }
            if first.first <= done {
                verdict.broken("I7", || format!("{} goes back to {} behind {done}, which is done", of(), first.first));
            }
            polled = polled.max(Some(last.last));
            if attempt.end == End::Ok {
                done = done.max(last.last);
            }
        }
    }
}

/// I8.
fn not_before_its_end(index: &Index<'_>, verdict: &mut Verdict) {
    for ((topic, partition), records) in &index.meanwhile {
        for (at, (offset, _, by)) in records {
            let committing = index.attempts.get(by).and_then(|attempt| attempt.committing);
            if committing.is_none_or(|committing| *at < committing) {
                verdict.broken("I8", || {
                    format!("{topic}[{partition}]@{offset} was seen before attempt {by} asked for its end")
                });
            }
        }
    }
}

/// I14: in a partition's log nothing of an older run of an instance follows something of a newer one.
fn successors_follow(index: &Index<'_>, verdict: &mut Verdict) {
    for ((topic, partition), records) in &index.committed {
        let mut newest: HashMap<&str, u32> = HashMap::new();
        for (offset, _, by) in records {
            let Some(attempt) = index.attempts.get(by) else { continue };
            let newest = newest.entry(attempt.instance).or_insert(attempt.run);
            if attempt.run < *newest {
                let (instance, run) = (attempt.instance, attempt.run);
                verdict.broken("I14", || {
                    format!("{topic}[{partition}]@{offset} is of {instance} run {run}, behind run {newest}")
                });
            }
            *newest = attempt.run.max(*newest);
        }
    }
}

/// I10: who reads from whom. An attempt reads from those whose outputs lie in its input ranges.
fn no_circle(index: &Index<'_>, verdict: &mut Verdict) {
    // Only where an output is the input as well: then the input's records have ids, and outputs name them.
    let mut writer: HashMap<u64, u64> = HashMap::new();
    for ((topic, _), records) in &index.committed {
        if *topic == INPUT {
            writer.extend(records.iter().map(|(_, id, by)| (*id, *by)));
        }
    }
    if writer.is_empty() {
        return;
    }
    let mut reads: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (number, attempt) in &index.attempts {
        reads.entry(*number).or_default().extend(index.ids(attempt).filter_map(|id| writer.get(&id).copied()));
    }
    // Take away what reads from nobody that is left, until nothing is, or only circles.
    loop {
        let left: BTreeSet<u64> = reads.keys().copied().collect();
        let before = reads.len();
        reads.retain(|number, from| from.iter().any(|other| other != number && left.contains(other)));
        if reads.len() == before {
            break;
        }
    }
    if !reads.is_empty() {
        verdict.broken("I10", || {
            format!("attempts that read from each other: {:?}", reads.keys().take(5).collect::<Vec<_>>())
        });
    }
}

/// I11, and whether the history is whole. Returns whether something did not end in time.
pub(super) fn ends(index: &Index<'_>, verdict: &mut Verdict) -> bool {
    if verdict.figures.inputs == 0 {
        verdict.not_known("there was no input, so nothing is proven");
    }
    if verdict.figures.attempts_ok == 0 {
        verdict.not_known("no attempt took effect, so nothing is proven");
    }
    if index.topics.is_empty() {
        verdict.not_known("no output was read to its end");
    }
    let Some((healed, limit)) = index.healed else {
        verdict.not_known("the faults did not end");
        return false;
    };
    let in_time = index.drained.is_some_and(|drained| drained <= healed + limit);
    if !in_time {
        verdict.not_known(format!("I11: not done {limit} ms after the last fault"));
    }
    for topic in &index.unstable {
        verdict.not_known(format!("I11: a transaction is still open on {topic}"));
    }
    !in_time || !index.unstable.is_empty()
}
