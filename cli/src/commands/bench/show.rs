//! What `ksem bench` prints.

use indicatif::HumanCount;

use super::measure::Speed;
use super::{Findings, Found};
use crate::commands::topic::{say, table};
use crate::exit::{Done, Failure};

pub(super) fn show(findings: &Findings, json: bool) -> Done {
    if json {
        let text = serde_json::to_string(findings).map_err(|error| Failure::internal(error.to_string()))?;
        return say(&text);
    }
    let Findings { records, size, partitions, replication, guarantees, advice } = findings;
    let plural = if *replication == 1 { "" } else { "s" };
    say(&format!(
        "{} records of {size} bytes, {partitions} partitions with {replication} replica{plural}\n",
        HumanCount(*records)
    ))?;
    let base = guarantees.iter().find(|found| found.guarantee == "at_least_once").and_then(|found| found.speed);
    let rows = guarantees.iter().map(|found| row(found, base)).collect();
    let head = ["GUARANTEE", "RECORDS/S", "BATCH P50 MS", "P99 MS", "CPU S/M", "SPEED", "CPU"];
    say(&table(&head, 1, rows))?;
    say("\nBATCH: from the handler's start to the commit; at_most_once commits before it, and its end is the")?;
    say("acknowledgement of its records. SPEED, CPU: at_least_once is 1.")?;
    for found in guarantees {
        if let Some(reason) = &found.reason {
            say(&format!("\n{}: {reason}", found.guarantee))?;
        }
    }
    say("")?;
    advice.iter().try_for_each(|sentence| say(&format!("* {sentence}")))
}

fn row(found: &Found, base: Option<Speed>) -> Vec<String> {
    let mut cells = vec![found.guarantee.to_owned()];
    let Some(speed) = found.speed else {
        cells.extend(["not available", "-", "-", "-", "-", "-"].map(str::to_owned));
        return cells;
    };
    let relative = |of: fn(Speed) -> f64| {
        base.map(of).filter(|base| *base > 0.0).map_or_else(|| "-".into(), |base| format!("{:.2}", of(speed) / base))
    };
    cells.extend([
        HumanCount(speed.records_per_s as u64).to_string(),
        format!("{:.1}", speed.batch_p50_ms),
        format!("{:.1}", speed.batch_p99_ms),
        format!("{:.2}", speed.cpu_s_per_million),
        relative(|speed| speed.records_per_s),
        relative(|speed| speed.cpu_s_per_million),
    ]);
    cells
}
