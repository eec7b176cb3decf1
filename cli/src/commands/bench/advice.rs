//! What to make of the figures, in sentences.

use ksem::Config;

use super::measure::Speed;
use super::{Findings, Found};

/// A loss of throughput that nobody would notice among other differences.
const NOISE: f64 = 0.05;
/// From here on exactly-once is dear.
const DEAR: f64 = 0.35;
/// A run that is shorter says little.
const SHORT_S: f64 = 1.0;

pub(super) fn advice(findings: &Findings) -> Vec<String> {
    let of = |name: &str| findings.guarantees.iter().find(|found| found.guarantee == name);
    let speed = |name: &str| of(name).and_then(|found| found.speed);
    let (lossy, plain) = (speed("at_most_once"), speed("at_least_once"));
    let mut advice = Vec::new();
    match of("exactly_once") {
        Some(Found { speed: None, reason, .. }) => advice.push(without_transactions(reason.as_deref())),
        Some(Found { speed: Some(exact), .. }) => {
            if let Some(plain) = plain {
                advice.push(price(plain, *exact));
                advice.extend(slow_commits(plain, *exact));
            }
            advice.extend(small_batches(findings, *exact));
        }
        None => {}
    }
    advice.extend(lossy.zip(plain).map(|(lossy, plain)| at_most_once(lossy, plain)));
    advice.extend(circumstances(findings));
    advice
}

fn price(plain: Speed, exact: Speed) -> String {
    let lost = 1.0 - exact.records_per_s / plain.records_per_s;
    let cpu = exact.cpu_s_per_million / plain.cpu_s_per_million.max(1e-9);
    let cost = if lost < NOISE {
        format!("exactly_once is as fast as at_least_once here, with {cpu:.1} times its CPU time")
    } else {
        format!(
            "exactly_once costs {:.0} % of at_least_once's throughput here, and {cpu:.1} times its CPU time",
            lost * 100.0
        )
    };
    let choice = if lost <= DEAR {
        "choose it wherever a repeated record would do harm; at_least_once is enough where the handler is idempotent"
    } else {
        "that is dear: choose it where a repeated record does harm and the handler can't be made idempotent, and \
         at_least_once otherwise"
    };
    format!("{cost}: {choice}.")
}

fn without_transactions(reason: Option<&str>) -> String {
    let denied = reason.is_some_and(|reason| reason.contains("not_authorized"));
    let repair = if denied {
        "the cluster denies transactions to this user: it needs WRITE and DESCRIBE on its transactional ids"
    } else {
        "the cluster gives no transactional producer: its transaction.state.log.replication.factor and \
         transaction.state.log.min.isr have to fit its number of brokers"
    };
    format!(
        "exactly_once is not available: {repair}. Until that is changed, choose at_least_once and make the handler \
         idempotent."
    )
}

fn slow_commits(plain: Speed, exact: Speed) -> Option<String> {
    let slow = exact.batch_p50_ms > 50.0 && exact.batch_p50_ms > 4.0 * plain.batch_p50_ms;
    slow.then(|| {
        format!(
            "Half of the transactions took more than {:.0} ms to commit, against {:.0} ms for offsets alone: the transaction \
             coordinator is slow. Larger commits (commit.max_records, batch.linger_ms) need fewer transactions.",
            exact.batch_p50_ms, plain.batch_p50_ms
        )
    })
}

/// With a backlog, batches are full unless the records come slowly.
fn small_batches(findings: &Findings, exact: Speed) -> Option<String> {
    let most = Config::default().batch.max_records as u64;
    let mean = findings.records / exact.batches.max(1);
    // Some batches are small at the start and at the end of each partition.
    let enough = findings.records >= 8 * most * findings.partitions as u64;
    (enough && mean < most / 4).then(|| {
        format!(
            "A transaction held {mean} records on average, although up to {most} may be in one: records arrive more slowly than they \
             are processed. A larger batch.linger_ms makes fewer transactions, at the price of latency."
        )
    })
}

fn at_most_once(lossy: Speed, plain: Speed) -> String {
    let gain = lossy.records_per_s / plain.records_per_s - 1.0;
    if gain < 2.0 * NOISE {
        "at_most_once gains nothing worth a lost record here.".to_owned()
    } else {
        format!(
            "at_most_once is {:.0} % faster than at_least_once: for records that may be lost, such as metrics.",
            gain * 100.0
        )
    }
}

fn circumstances(findings: &Findings) -> Vec<String> {
    let speeds = || findings.guarantees.iter().filter_map(|found| Some((found.guarantee, found.speed?)));
    let mut facts = Vec::new();
    for (guarantee, speed) in speeds() {
        if speed.lost > 0 {
            facts.push(format!("{guarantee} lost {} records: the cluster did not acknowledge them.", speed.lost));
        }
        if speed.retried > 0 {
            facts.push(format!(
                "{guarantee} tried {} batches again: its figures hold more than the price of the guarantee.",
                speed.retried
            ));
        }
    }
    if findings.replication == 1 {
        facts.push(
            "The topics had one replica: real ones need more to survive a broker, and are slower. --replication 3 \
             measures that."
                .to_owned(),
        );
    }
    if speeds().any(|(_, speed)| speed.seconds < SHORT_S) {
        facts.push(format!(
            "A run took less than {SHORT_S} s, which says little: more --records give steadier figures."
        ));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(records_per_s: f64) -> Speed {
        Speed {
            records_per_s,
            seconds: 10.0,
            batch_p50_ms: 8.0,
            batch_p99_ms: 20.0,
            cpu_s_per_million: 2.0,
            batches: 100,
            retried: 0,
            lost: 0,
        }
    }

    fn findings(speeds: [Option<Speed>; 3]) -> Findings {
        let names = ["at_most_once", "at_least_once", "exactly_once"];
        let found = |(guarantee, speed): (&'static str, Option<Speed>)| Found {
            guarantee,
            available: speed.is_some(),
            speed,
            reason: speed.is_none().then(|| "[1006 guarantee_unavailable] no".to_owned()),
        };
        let guarantees = names.into_iter().zip(speeds).map(found).collect();
        Findings { records: 1_000_000, size: 200, partitions: 4, replication: 3, guarantees, advice: Vec::new() }
    }

    fn said(findings: &Findings) -> String {
        advice(findings).join("\n")
    }

    #[test]
    fn the_price_of_exactly_once_decides_the_choice() {
        let with = |exact| said(&findings([Some(speed(130.0)), Some(speed(100.0)), Some(speed(exact))]));
        assert!(with(98.0).contains("as fast as at_least_once"));
        let moderate = with(80.0);
        assert!(moderate.contains("costs 20 %") && moderate.contains("choose it wherever"), "{moderate}");
        assert!(moderate.contains("at_most_once is 30 % faster"), "{moderate}");
        assert_eq!(moderate.lines().count(), 2, "nothing else stands out: {moderate}");
        let dear = with(40.0);
        assert!(dear.contains("costs 60 %") && dear.contains("dear"), "{dear}");
    }

    #[test]
    fn a_cluster_without_transactions_is_told_what_to_change() {
        let mut findings = findings([Some(speed(100.0)), Some(speed(100.0)), None]);
        assert!(said(&findings).contains("transaction.state.log.replication.factor"));
        assert!(said(&findings).contains("choose at_least_once"));
        assert!(said(&findings).contains("at_most_once gains nothing"));
        findings.guarantees[2].reason = Some("[1004 not_authorized] denied".to_owned());
        assert!(said(&findings).contains("denies transactions to this user"));
    }

    #[test]
    fn what_stands_out_is_said() {
        let slow = Speed { batch_p50_ms: 90.0, batches: 1_000, retried: 2, seconds: 0.4, ..speed(50.0) };
        let mut findings = findings([Some(Speed { lost: 7, ..speed(100.0) }), Some(speed(100.0)), Some(slow)]);
        findings.replication = 1;
        let said = said(&findings);
        for words in [
            "more than 90 ms to commit",
            "held 1000 records on average",
            "lost 7 records",
            "tried 2 batches again",
            "--replication 3",
            "less than 1 s",
        ] {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
    }
}
