//! The judge is judged: a history for every anomaly, and one beside it that looks like it and is none.

use ksem_testkit::checker::history::{self, Event, INPUT, Range, Seen, View, What};
use ksem_testkit::checker::{Outcome, Promise, Verdict, check};

const TOPICS: [&str; 2] = ["a", "b"];

/// A history in which everything went well: one input partition with ids 0 to 9 at offsets 0 to 9 and a control record
/// behind them; attempt 1 did 0 to 4, and attempt 2 did 5 to 9.
#[derive(Clone)]
struct History(Vec<Event>);

impl History {
    fn good() -> Self {
        let mut history = Self(Vec::new());
        history.attempt(1, 0, 0..5, "ok").attempt(2, 0, 5..10, "ok");
        history.add(What::Input { partition: 0, records: (0..10).map(|id| (id as i64, id)).collect(), end: 11 });
        let outputs: Vec<Seen> =
            (0..10).map(|id| (id as i64 + i64::from(id > 4), id, if id < 5 { 1 } else { 2 })).collect();
        for topic in TOPICS {
            for view in [View::Committed, View::Uncommitted] {
                history.add(What::Read { topic: topic.into(), partition: 0, view, records: outputs.clone() });
            }
            history.add(What::ReadAll { topic: topic.into(), stable: true });
        }
        history.add(What::Offset { partition: 0, offset: 5 }).add(What::Offset { partition: 0, offset: 10 });
        history.add(What::Healed { limit: 1000 }).add(What::Drained);
        history
    }

    /// Each event is a millisecond behind the one before.
    fn add(&mut self, what: What) -> &mut Self {
        self.0.push(Event { at: self.0.len() as u64, what });
        self
    }

    fn attempt(&mut self, attempt: u64, run: u32, ids: std::ops::Range<i64>, end: &str) -> &mut Self {
        let inputs = vec![Range { partition: 0, first: ids.start, last: ids.end - 1 }];
        self.add(What::Invoke { attempt, instance: "i".into(), run, epoch: u64::from(run), inputs });
        match end {
            "ok" => self.add(What::Committing { attempt }).add(What::Ok { attempt }),
            "fail" => self.add(What::Fail { attempt }),
            "info" => self.add(What::Info { attempt }),
            _ => self,
        }
    }

    /// Changes the outputs that a topic's readers see.
    fn outputs(&mut self, topic: &str, change: impl Fn(View, &mut Vec<Seen>)) -> &mut Self {
        for event in &mut self.0 {
            if let What::Read { topic: of, view, records, .. } = &mut event.what
                && *of == *topic
            {
                change(*view, records);
            }
        }
        self
    }

    fn both(&mut self, change: impl Fn(View, &mut Vec<Seen>)) -> &mut Self {
        TOPICS.iter().for_each(|topic| {
            self.outputs(topic, &change);
        });
        self
    }

    fn without(&mut self, unwanted: impl Fn(&What) -> bool) -> &mut Self {
        self.0.retain(|event| !unwanted(&event.what));
        self
    }

    fn replace(&mut self, change: impl Fn(&mut What)) -> &mut Self {
        self.0.iter_mut().for_each(|event| change(&mut event.what));
        self
    }
}

fn judged(promise: Promise, change: impl FnOnce(&mut History)) -> Verdict {
    let mut history = History::good();
    change(&mut history);
    // As it would be read from its file.
    let lines = history.0.iter().map(|event| serde_json::to_string(event).expect("a line"));
    let events: Vec<Event> = lines.map(|line| serde_json::from_str(&line).expect("an event")).collect();
    check(promise, &events)
}

#[track_caller]
fn breaks(promise: Promise, invariant: &str, change: impl FnOnce(&mut History)) {
    let verdict = judged(promise, change);
    assert_eq!(verdict.outcome, Outcome::Fail, "{verdict}");
    assert!(verdict.counts.contains_key(invariant), "{invariant} is not among them: {verdict}");
}

#[track_caller]
fn passes(promise: Promise, change: impl FnOnce(&mut History)) {
    let verdict = judged(promise, change);
    assert!(verdict.is_pass(), "{verdict}");
}

#[track_caller]
fn ends_as(outcome: Outcome, change: impl FnOnce(&mut History)) {
    let verdict = judged(ExactlyOnce, change);
    assert_eq!(verdict.outcome, outcome, "{verdict}");
}

use Promise::{AtLeastOnce, AtMostOnce, ExactlyOnce};

#[test]
fn what_went_well_passes_for_every_promise() {
    for promise in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        passes(promise, |_| {});
    }
}

#[test]
fn an_empty_history_proves_nothing() {
    assert_eq!(check(ExactlyOnce, &[]).outcome, Outcome::Unknown);
    ends_as(Outcome::Unknown, |history| {
        history.0.clear();
        history.add(What::Healed { limit: 1000 }).add(What::Drained);
    });
    // Nothing in, nothing out, and everything on time.
    ends_as(Outcome::Unknown, |history| {
        history.both(|_, seen| seen.clear());
        history.without(|what| matches!(what, What::Input { .. } | What::Invoke { .. }));
        history.without(|what| matches!(what, What::Ok { .. } | What::Committing { .. }));
    });
}

#[test]
fn i1_lost_and_repeated_records() {
    let lose = |history: &mut History| {
        history.both(|_, seen| seen.retain(|(_, id, _)| *id != 7));
    };
    breaks(ExactlyOnce, "I1", lose);
    breaks(AtLeastOnce, "I1", lose);
    let repeat = |history: &mut History| {
        history.both(|_, seen| seen.push((20, 7, 2)));
    };
    breaks(ExactlyOnce, "I1", repeat);
    breaks(AtMostOnce, "I1", repeat);
    breaks(AtLeastOnce, "I1", |history| {
        history.both(|_, seen| seen.push((20, 77, 2)));
    });
    // At-most-once may lose what was in flight, at-least-once may repeat what was not committed.
    passes(AtMostOnce, |history| {
        lose(history);
        history.add(What::Killed { in_flight: 1 });
    });
    passes(AtLeastOnce, |history| {
        history.attempt(3, 1, 7..8, "info");
        history.both(|_, seen| seen.push((20, 7, 3)));
    });
    // Twice in the log is not twice visible.
    passes(ExactlyOnce, |history| {
        history.attempt(3, 1, 7..8, "info");
        history.both(|view, seen| {
            if view == View::Uncommitted {
                seen.push((20, 7, 3));
            }
        });
    });
}

#[test]
fn i2_outputs_of_failed_attempts() {
    let fail = |history: &mut History| {
        history.replace(|what| {
            if *what == (What::Ok { attempt: 2 }) {
                *what = What::Fail { attempt: 2 };
            }
        });
    };
    breaks(ExactlyOnce, "I2", fail);
    breaks(ExactlyOnce, "I2", |history| {
        history.both(|_, seen| seen[9].2 = 99);
    });
    // It failed, and its successor did the work.
    passes(ExactlyOnce, |history| {
        fail(history);
        history.attempt(3, 1, 5..10, "ok");
        history.both(|_, seen| seen.iter_mut().skip(5).for_each(|(_, _, by)| *by = 3));
    });
}

#[test]
fn i3_torn_attempts() {
    breaks(ExactlyOnce, "I3", |history| {
        history.outputs("b", |_, seen| seen.truncate(5));
    });
    breaks(ExactlyOnce, "I3", |history| {
        history.both(|_, seen| seen.truncate(9));
    });
    // An attempt behind them takes nothing from them.
    passes(ExactlyOnce, |history| {
        history.replace(|what| {
            if let What::Input { records, .. } = what {
                records.push((10, 50));
            }
            if let What::Offset { offset, .. } = what
                && *offset == 10
            {
                *offset = 11;
            }
        });
        history.attempt(3, 0, 10..11, "ok");
        history.both(|_, seen| seen.push((11, 50, 3)));
    });
}

#[test]
fn i4_one_record_an_offset() {
    breaks(ExactlyOnce, "I4", |history| {
        history.outputs("a", |view, seen| {
            if view == View::Uncommitted {
                seen[3].1 = 4;
            }
        });
    });
    let meanwhile =
        |id| What::Read { topic: "a".into(), partition: 0, view: View::Meanwhile, records: vec![(3, id, 1)] };
    breaks(ExactlyOnce, "I4", |history| {
        history.add(meanwhile(4));
    });
    passes(ExactlyOnce, |history| {
        history.add(meanwhile(3));
    });
    ends_as(Outcome::Unknown, |history| {
        history.without(|what| matches!(what, What::Read { view: View::Uncommitted, .. }));
    });
}

#[test]
fn i5_effects_against_offsets() {
    // Committed, and not done: a loss that a jump of the offset hides.
    breaks(ExactlyOnce, "I5", |history| {
        history.both(|_, seen| seen.retain(|(_, _, by)| *by == 1));
    });
    // Done, and not committed.
    breaks(ExactlyOnce, "I5", |history| {
        history.without(|what| *what == What::Offset { partition: 0, offset: 10 });
    });
    breaks(ExactlyOnce, "I5", |history| {
        history.both(|_, seen| (seen[1].1, seen[2].1) = (2, 1));
    });
    // Order is promised within an input partition alone.
    passes(ExactlyOnce, |history| {
        history.replace(|what| {
            if let What::Input { records, .. } = what {
                records.retain(|(_, id)| *id != 1);
            }
        });
        history.add(What::Input { partition: 1, records: vec![(0, 1)], end: 1 });
        history.add(What::Offset { partition: 1, offset: 1 });
        let inputs = vec![Range { partition: 1, first: 0, last: 0 }];
        history.add(What::Invoke { attempt: 3, instance: "j".into(), run: 0, epoch: 0, inputs });
        history.add(What::Ok { attempt: 3 });
        history.both(|_, seen| (seen[1], seen[2]) = ((1, 2, 1), (2, 1, 3)));
    });
}

#[test]
fn i6_offsets_go_on() {
    let offset = |offset| What::Offset { partition: 0, offset };
    breaks(ExactlyOnce, "I6", |history| {
        history.add(offset(6)).add(offset(10));
    });
    // The last record's own offset.
    breaks(AtLeastOnce, "I6", |history| {
        history.replace(|what| {
            if *what == offset(10) {
                *what = offset(9);
            }
        });
    });
    breaks(AtLeastOnce, "I6", |history| {
        history.add(offset(12));
    });
    // Behind the control record.
    passes(ExactlyOnce, |history| {
        history.add(offset(10)).add(offset(11));
    });
}

#[test]
fn i7_polls_go_on() {
    breaks(ExactlyOnce, "I7", |history| {
        history.attempt(3, 0, 8..9, "fail");
    });
    breaks(ExactlyOnce, "I7", |history| {
        history.attempt(3, 7, 0..2, "fail").attempt(4, 7, 4..5, "fail");
    });
    // What failed is read again, and another assignment starts where it has to.
    passes(ExactlyOnce, |history| {
        history.attempt(3, 7, 0..2, "fail").attempt(4, 7, 0..2, "fail").attempt(5, 8, 4..5, "fail");
    });
    // An offset that no record has is not skipped.
    passes(ExactlyOnce, |history| {
        history.attempt(3, 7, 9..10, "fail").attempt(4, 7, 11..12, "fail");
    });
}

#[test]
fn i8_nobody_sees_what_is_not_committed() {
    let seen = |by| What::Read { topic: "a".into(), partition: 0, view: View::Meanwhile, records: vec![(3, 3, by)] };
    breaks(ExactlyOnce, "I8", |history| history.0.insert(0, Event { at: 0, what: seen(1) }));
    // Between the request and its answer it may be there.
    passes(ExactlyOnce, |history| history.0.insert(2, Event { at: 1, what: seen(1) }));
}

#[test]
fn i9_what_nobody_knows_is_one_or_the_other() {
    let unknown = |history: &mut History| {
        history.without(|what| *what == What::Ok { attempt: 2 });
    };
    breaks(ExactlyOnce, "I9", |history| {
        unknown(history);
        history.outputs("b", |_, seen| seen.truncate(5));
    });
    passes(ExactlyOnce, unknown);
    passes(ExactlyOnce, |history| {
        history.attempt(3, 1, 5..10, "info");
    });
}

#[test]
fn i10_no_circle() {
    let chain = |records| What::Read { topic: INPUT.into(), partition: 0, view: View::Committed, records };
    // Attempt 1 read what attempt 2 wrote, and the other way round.
    breaks(ExactlyOnce, "I10", |history| {
        history.add(chain(vec![(0, 0, 2), (5, 5, 1)]));
    });
    // One way is a chain.
    passes(ExactlyOnce, |history| {
        history.add(chain(vec![(5, 5, 1)]));
    });
}

#[test]
fn i11_everything_ends_in_time() {
    ends_as(Outcome::Hang, |history| {
        history.without(|what| *what == What::Drained);
    });
    ends_as(Outcome::Hang, |history| {
        history.replace(|what| {
            if let What::Healed { limit } = what {
                *limit = 0;
            }
        });
    });
    ends_as(Outcome::Hang, |history| {
        history.replace(|what| {
            if let What::ReadAll { stable, .. } = what {
                *stable = false;
            }
        });
    });
    ends_as(Outcome::Unknown, |history| {
        history.without(|what| matches!(what, What::Healed { .. }));
    });
    ends_as(Outcome::Pass, |history| {
        history.replace(|what| {
            if let What::Healed { limit } = what {
                *limit = 1;
            }
        });
    });
}

#[test]
fn i13_no_more_is_lost_or_repeated_than_was_told() {
    let lose = |history: &mut History| {
        history.both(|_, seen| seen.retain(|(_, id, _)| *id < 7));
    };
    breaks(AtMostOnce, "I13", |history| {
        lose(history);
        history.add(What::Lost { records: 1 }).add(What::Killed { in_flight: 1 });
    });
    passes(AtMostOnce, |history| {
        lose(history);
        history.add(What::Lost { records: 2 }).add(What::Killed { in_flight: 1 });
    });
    let again = |history: &mut History, end| {
        history.attempt(3, 1, 5..10, end);
        history.both(|_, seen| seen.extend((5..10).map(|id| (20 + id as i64, id, 3))));
    };
    breaks(AtLeastOnce, "I13", |history| again(history, "ok"));
    passes(AtLeastOnce, |history| again(history, "info"));
}

#[test]
fn i14_a_zombie_has_no_effect_behind_its_successor() {
    let run = |history: &mut History, first, second| {
        history.replace(|what| {
            if let What::Invoke { attempt, run, .. } = what {
                *run = if *attempt == 1 { first } else { second };
            }
        });
    };
    breaks(ExactlyOnce, "I14", |history| run(history, 1, 0));
    passes(ExactlyOnce, |history| run(history, 0, 1));
}

#[test]
fn what_contradicts_itself_or_hit_nothing_is_not_known() {
    ends_as(Outcome::Unknown, |history| {
        history.add(What::Fault { kind: "cut".into(), hits: 0 });
    });
    ends_as(Outcome::Pass, |history| {
        history.add(What::Fault { kind: "cut".into(), hits: 1 });
    });
    ends_as(Outcome::Unknown, |history| {
        history.add(What::Ok { attempt: 9 });
    });
    ends_as(Outcome::Unknown, |history| {
        history.add(What::Info { attempt: 1 });
    });
}

#[test]
fn a_file_is_read_as_it_was_written_and_a_torn_last_line_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let recorder = history::Recorder::append_to(&path).expect("a file");
    recorder.note(What::Ok { attempt: 1 }).expect("a line");
    recorder.note(What::Drained).expect("a line");
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, format!("{text}{{\"at\":5,\"op\":\"o")).expect("writing");
    let events: Vec<What> = history::read(&path).expect("a history").into_iter().map(|event| event.what).collect();
    assert_eq!(events, [What::Ok { attempt: 1 }, What::Drained]);
    std::fs::write(&path, format!("nonsense\n{text}")).expect("writing");
    assert!(history::read(&path).is_err());
}
