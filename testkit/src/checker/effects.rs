//! Effects: what is visible, against what had to be (I1 to I5, I9, I13).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::INPUT;
use super::index::{End, Index};
use super::{Promise, Verdict};

pub(super) fn check(promise: Promise, index: &Index<'_>, verdict: &mut Verdict) {
    for topic in &index.topics {
        once(promise, index, topic, verdict);
        in_order(promise, index, topic, verdict);
    }
    attempts(promise, index, verdict);
    one_record_an_offset(index, verdict);
    within_what_was_told(promise, index, verdict);
}

/// How often each id is visible in a topic.
fn times(index: &Index<'_>, topic: &str) -> HashMap<u64, u64> {
    let mut times = HashMap::new();
    for (_, records) in index.committed.iter().filter(|((of, _), _)| *of == topic) {
        for (_, id, _) in records {
            *times.entry(*id).or_default() += 1;
        }
    }
    times
}

/// I1, and that nothing is visible that was never in the input; I5 for what is committed and what is not.
fn once(promise: Promise, index: &Index<'_>, topic: &str, verdict: &mut Verdict) {
    let mut times = times(index, topic);
    for (partition, records) in &index.inputs {
        let committed = index.committed_offset(*partition).unwrap_or(0);
        for (offset, id) in records {
            let count = times.remove(id).unwrap_or(0);
            if count == 0 {
                verdict.figures.lost += 1;
                if promise != Promise::AtMostOnce {
                    verdict.broken("I1", || format!("record {id} has no effect in {topic}"));
                    if *offset < committed {
                        let place = format!("{partition}@{offset}");
                        verdict.broken("I5", || format!("{place} is committed and has no effect in {topic}"));
                    }
                }
            }
            if count > 1 {
                verdict.figures.repeated += count - 1;
                if promise != Promise::AtLeastOnce {
                    verdict.broken("I1", || format!("record {id} has {count} effects in {topic}"));
                }
            }
            if count > 0 && *offset >= committed && promise != Promise::AtLeastOnce {
                let place = format!("{partition}@{offset}");
                verdict.broken("I5", || format!("{place} has an effect in {topic} and is not committed"));
            }
        }
    }
    for id in times.keys() {
        verdict.broken("I1", || format!("{topic} has a record of {id}, which was never in the input"));
    }
}

/// I5: outputs of one input partition have its order, in each partition of an output.
fn in_order(promise: Promise, index: &Index<'_>, topic: &str, verdict: &mut Verdict) {
    if promise == Promise::AtLeastOnce {
        // What is repeated is out of order.
        return;
    }
    let mut place: HashMap<u64, (i32, i64)> = HashMap::new();
    for (partition, records) in &index.inputs {
        place.extend(records.iter().map(|(offset, id)| (*id, (*partition, *offset))));
    }
    for ((_, output), records) in index.committed.iter().filter(|((of, _), _)| *of == topic) {
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for (at, id, _) in records {
            let Some((partition, offset)) = place.get(id) else { continue };
            if last.insert(*partition, *offset).is_some_and(|before| before > *offset) {
                verdict.broken("I5", || {
                    format!("{topic}[{output}]@{at} is record {id}, behind later ones of {partition}")
                });
            }
        }
    }
}

/// I2, I3 and I9: an attempt's outputs.
fn attempts(promise: Promise, index: &Index<'_>, verdict: &mut Verdict) {
    // By attempt: which (topic, id) are visible.
    let mut visible: HashMap<u64, HashSet<(&str, u64)>> = HashMap::new();
    for ((topic, _), records) in &index.committed {
        for (offset, id, attempt) in records {
            if !index.attempts.contains_key(attempt) {
                verdict.broken("I2", || format!("{topic}@{offset} was made by attempt {attempt}, which nobody began"));
            }
            visible.entry(*attempt).or_default().insert((*topic, *id));
        }
    }
    if promise != Promise::ExactlyOnce {
        return;
    }
    for (number, attempt) in &index.attempts {
        let Some(seen) = visible.get(number) else {
            if attempt.end == End::Ok && index.ids(attempt).next().is_some() {
                verdict.figures.torn += 1;
                verdict.broken("I3", || format!("attempt {number} took effect and none of its outputs is visible"));
            }
            continue;
        };
        if attempt.end == End::Fail {
            verdict.broken("I2", || format!("attempt {number} failed, and {} of its outputs are visible", seen.len()));
            continue;
        }
        let missing = index.ids(attempt).flat_map(|id| index.topics.iter().map(move |topic| (*topic, id)));
        let missing = missing.filter(|output| !seen.contains(output)).count();
        if missing > 0 {
            verdict.figures.torn += 1;
            let invariant = if attempt.end == End::Info { "I9" } else { "I3" };
            verdict.broken(invariant, || {
                format!("attempt {number}: {} outputs are visible, {missing} are not", seen.len())
            });
        }
    }
}

/// I4.
fn one_record_an_offset(index: &Index<'_>, verdict: &mut Verdict) {
    for (place, records) in &index.uncommitted {
        let known: HashMap<i64, (u64, u64)> = records.iter().map(|(offset, id, by)| (*offset, (*id, *by))).collect();
        if known.len() < records.iter().collect::<HashSet<_>>().len() {
            verdict.broken("I4", || format!("{place:?} has an offset with two records"));
        }
        let committed = index.committed.get(place).into_iter().flatten();
        let meanwhile = index.meanwhile.get(place).into_iter().flatten().map(|(_, seen)| seen);
        for (offset, id, attempt) in committed.chain(meanwhile) {
            if known.get(offset) != Some(&(*id, *attempt)) {
                verdict.broken("I4", || format!("{place:?}@{offset} was {id} to one reader and not to another"));
            }
        }
    }
    for place in index.committed.keys().chain(index.meanwhile.keys()) {
        if place.0 != INPUT && !index.uncommitted.contains_key(place) {
            verdict.not_known(format!("{place:?} was not read uncommitted"));
        }
    }
}

/// I13.
fn within_what_was_told(promise: Promise, index: &Index<'_>, verdict: &mut Verdict) {
    match promise {
        Promise::AtMostOnce => {
            let lost = verdict.figures.lost / index.topics.len().max(1) as u64;
            let told = index.reported_lost + index.killed_in_flight;
            if lost > told {
                verdict.broken("I13", || format!("{lost} records are lost, and at most {told} may be"));
            }
        }
        Promise::AtLeastOnce => {
            let mut done: HashMap<u64, u64> = HashMap::new();
            for (number, attempt) in index.attempts.iter().filter(|(_, attempt)| attempt.end == End::Ok) {
                for id in index.ids(attempt) {
                    if let Some(before) = done.insert(id, *number) {
                        let text = || format!("record {id} was done by {before} and again by attempt {number}");
                        verdict.broken("I13", text);
                    }
                }
            }
        }
        Promise::ExactlyOnce => {}
    }
}
