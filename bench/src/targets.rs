//! What ksem has to reach, as ratios within one run. What it may use is in [`crate::limits`].

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cadence::Cadence;
use crate::child::Run;
use crate::contestant::{self, Contestant};
use crate::limits;
use crate::report::{self, Row, Spread};

/// One contestant's speed over another's.
pub(crate) struct Target {
    over: &'static str,
    under: &'static str,
    at_least: f64,
}

pub(crate) const fn target(over: &'static str, at_least: f64, under: &'static str) -> Target {
    Target { over, under, at_least }
}

/// Medians of one run with one node, 200 bytes and 4 partitions.
const TARGETS: &[Target] = &[
    target("ksem-eos-100ms", 0.9, "ksem-alo-100ms"),
    target("ksem-eos-100ms", 3.0, "streams-eos-100ms"),
    target("ksem-eos-100ms", 3.0, "streams-eos-100ms-threads2"),
    target("ksem-eos-100ms", 5.0, "quix-eos-100ms"),
    target("ksem-eos-10k", 0.75, "ksem-alo-10k"),
    target("ksem-eos-10k", 1.1, "franz-go-eos-10k"),
    target("ksem-eos-10k", 1.8, "java-eos-10k"),
    target("ksem-eos-10k", 1.05, "confluent-rust-eos-10k"),
    target("ksem-eos-10k", 3.0, "confluent-python-eos-10k"),
    target("ksem-eos-1k", 3.0, "franz-go-eos-1k"),
    target("ksem-eos-1k", 3.0, "java-eos-1k"),
    target("ksem-eos-1k", 1.4, "krafka-eos-1k"),
    target("ksem-eos-1k", 1.4, "confluent-rust-eos-1k"),
    target("ksem-eos-100", 5.0, "franz-go-eos-100"),
    target("ksem-eos-100", 2.0, "java-eos-100"),
    target("ksem-alo-10k", 0.9, "franz-go-alo-10k"),
    target("ksem-alo-10k", 2.0, "java-alo-10k"),
    target("ksem-alo-10k", 3.0, "streams-alo-100ms"),
    target("ksem-alo-10k", 3.0, "streams-alo-100ms-threads2"),
    target("ksem-alo-10k", 5.0, "rdkafka-plain-alo-10k"),
    target("ksem-alo-1k", 1.3, "franz-go-alo-1k"),
    target("ksem-amo-10k", 1.0, "ksem-alo-10k"),
    target("ksem-eos-100ms-calls100", 0.9, "ksem-eos-10k"),
    target("ksem-eos-1k-lane1", 1.5, "ksem-eos-1k-lane1-serial"),
    target("ksem-eos-100ms-defaults", 0.9, "ksem-eos-100ms-tuned"),
    target("ksem-eos-10k-defaults", 0.9, "ksem-eos-10k-tuned"),
];

/// The targets whose first contestant commits at one of these cadences: then both of them run, whenever the other
/// one commits, and each target belongs to one cadence.
fn targets(cadences: &[Cadence]) -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(|target| contestant::cadence(target.over).is_some_and(|of| cadences.contains(&of)))
}

/// Whom the targets and the limits at these cadences name, in the order of a bench without options.
pub(crate) fn contestants(cadences: &[Cadence], set: &[(String, String)]) -> Vec<Contestant> {
    let named = targets(cadences).flat_map(|target| [target.over, target.under]);
    let named: BTreeSet<&str> = named.chain(limits::contestants(cadences)).collect();
    let mut contestants = contestant::all(&Cadence::DEFAULTS, set, &[]);
    contestants.retain(|contestant| named.contains(contestant.name().as_str()));
    contestants
}

/// What became of a target.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) over: &'static str,
    pub(crate) under: &'static str,
    at_least: f64,
    /// The ratio of the medians.
    value: Option<f64>,
    /// The smallest and the largest ratio within one round.
    rounds: Option<(f64, f64)>,
    pub(crate) pass: bool,
}

/// Judges every target of these cadences.
pub(crate) fn ratios(rows: &[Row], cadences: &[Cadence]) -> Vec<Ratio> {
    judge(rows, targets(cadences))
}

/// Judges targets. One whose contestants did not run is not met.
pub(crate) fn judge(rows: &[Row], targets: impl IntoIterator<Item = &'static Target>) -> Vec<Ratio> {
    let find = |name: &str| rows.iter().find(|row| row.trouble.is_none() && row.contestant.name() == name);
    let ratio = |target: &Target| {
        let Target { over, under, at_least } = *target;
        let pair = find(over).zip(find(under));
        let value = pair.and_then(|(over, under)| {
            let speed = |run: &Run| run.records_per_s;
            Some(over.spread(speed)?.median / under.spread(speed)?.median)
        });
        let rounds = pair.and_then(|(over, under)| {
            let pairs = over.runs.iter().zip(&under.runs);
            Spread::of(pairs.map(|(over, under)| over.records_per_s / under.records_per_s))
        });
        Ratio {
            over,
            under,
            at_least,
            value,
            rounds: rounds.map(|spread| (spread.min, spread.max)),
            pass: value.is_some_and(|value| value >= at_least),
        }
    };
    targets.into_iter().map(ratio).collect()
}

/// The ratios, as they are printed.
pub(crate) fn verdicts(ratios: &[Ratio]) -> String {
    let line = |Ratio { over, under, at_least, value, rounds, pass }: &Ratio| {
        report::verdict(*value, *rounds, *pass, &format!(", at least {at_least}: {over} / {under}"))
    };
    ratios.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::rows;

    #[test]
    fn targets_name_contestants_that_exist() {
        let judged = ratios(&rows(|_| 100.0), &Cadence::DEFAULTS);
        assert_eq!(judged.len(), TARGETS.len());
        let missing: Vec<&Ratio> = judged.iter().filter(|ratio| ratio.value.is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn targets_are_judged() {
        let speed = |name: &str| match name {
            "ksem-eos-10k" => 80.0,
            _ => 100.0,
        };
        let judged = ratios(&rows(speed), &Cadence::DEFAULTS);
        let verdict = |over: &str, under: &str| {
            let of = |ratio: &&Ratio| ratio.over == over && ratio.under == under;
            judged.iter().find(of).map(|ratio| ratio.pass)
        };
        assert_eq!(verdict("ksem-eos-10k", "ksem-alo-10k"), Some(true));
        assert_eq!(verdict("ksem-eos-10k", "franz-go-eos-10k"), Some(false));
        assert!(
            verdicts(&judged).contains("FAIL     0.80 [0.80 - 0.80], at least 1.1: ksem-eos-10k / franz-go-eos-10k")
        );
        let nobody = ratios(&[], &Cadence::DEFAULTS);
        assert!(nobody.iter().all(|ratio| !ratio.pass), "what did not run is not met");
        assert!(verdicts(&nobody).lines().all(|line| line.starts_with("NOT RUN")));
    }
    #[test]
    fn who_is_named_runs_and_nobody_else() {
        let names =
            |cadences: &[Cadence]| -> Vec<String> { contestants(cadences, &[]).iter().map(Contestant::name).collect() };
        let thousand = names(&[Cadence::Records(1_000)]);
        assert!(thousand.contains(&"ksem-eos-1k-lane1-serial".to_owned()));
        assert!(thousand.iter().all(|name| name.contains("-1k")), "{thousand:?}");
        assert!(!thousand.contains(&"platformatic-eos-1k".to_owned()), "no target names it");
        let ten = names(&[Cadence::Records(10_000)]);
        assert!(ten.contains(&"streams-alo-100ms".to_owned()), "a target of 10,000 names it");
        assert!(ten.contains(&"ksem-amo-10k".to_owned()) && !ten.contains(&"ksem-eos-1k".to_owned()));
        assert!(ratios(&[], &[Cadence::Records(1_000)]).len() < TARGETS.len());
    }
}
