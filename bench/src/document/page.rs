//! The page.

use std::fmt::Write;

use super::throughput::{Cadence, Contestant, Ratio, Spread, Throughput};
use super::{PLOTS, Plot, Subject};
use crate::latency::result::{Latency, Row};
use crate::machine::Machine;
use crate::report::grouped;

/// What the page is made of.
pub(super) struct Page<'a> {
    pub(super) machine: &'a Machine,
    pub(super) throughput: Option<&'a Throughput>,
    pub(super) latency: &'a [Latency],
    pub(super) plots: &'a [Plot],
}

/// A line of the page. Writing to a string can't fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _ = writeln!($text, $($arg)*); };
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        line!(text, "# Benchmarks\n");
        line!(
            text,
            "Written by `cargo xtask bench report`; [bench/README.md](../bench/README.md) says what is measured and how."
        );
        line!(
            text,
            "Compare only figures of one run: between machines, and between runs, they move by more than most changes are worth.\n"
        );
        self.machine(&mut text);
        if let Some(throughput) = self.throughput {
            self.throughput(&mut text, throughput);
        }
        for (index, latency) in self.latency.iter().enumerate() {
            self.latency(&mut text, index, latency);
        }
        self.again(&mut text);
        text
    }

    fn machine(&self, text: &mut String) {
        let machine = self.machine;
        line!(text, "## The machine\n\n| | |\n|---|---|");
        line!(text, "| processors | {} × {} |", machine.processors, machine.processor);
        line!(text, "| memory | {:.1} GiB |", machine.memory_bytes as f64 / f64::from(1 << 30));
        line!(text, "| system | {} |", machine.system);
        for (name, version) in &machine.versions {
            line!(text, "| {name} | {version} |");
        }
        for (name, version) in self.throughput.iter().flat_map(|throughput| &throughput.versions) {
            line!(text, "| {name} | {version} |");
        }
        line!(text, "\nBroker, clients and bench share the processors, on the loopback interface.\n");
    }

    fn throughput(&self, text: &mut String, throughput: &Throughput) {
        let work = &throughput.work;
        line!(
            text,
            "## Throughput\n\nRecords of {} bytes, keyed, in {} partitions, copied from one topic to another; medians of {} rounds.",
            work.size,
            work.partitions,
            work.rounds
        );
        line!(
            text,
            "Every run was checked: each record is in the output once, and the group's offsets are at the end.\n"
        );
        for Cadence { name, .. } in throughput.cadences() {
            line!(text, "### With {}\n", Cadence::words(&name));
            self.plot(text, &Subject::Throughput(name.clone()), &format!("Records/s with {}", Cadence::words(&name)));
            line!(text, "| contestant | records/s | slowest - fastest | CPU s/M | peak MiB | broker s/M |");
            line!(text, "|---|---:|---:|---:|---:|---:|");
            let here = |row: &&Contestant| row.parts().is_some_and(|(_, _, cadence)| cadence == name);
            for row in throughput.contestants.iter().filter(here) {
                contestant(text, row, work.records);
            }
            line!(text, "");
        }
        if !throughput.ratios.is_empty() {
            line!(text, "### Ratios\n\nOf medians; in brackets, within one round.\n");
            line!(text, "| | ratio | target | |\n|---|---:|---:|---|");
            throughput.ratios.iter().for_each(|ratio| self::ratio(text, ratio));
            line!(text, "");
        }
    }

    fn latency(&self, text: &mut String, index: usize, latency: &Latency) {
        let work = &latency.work;
        line!(text, "## Latency{}\n", if index == 0 { String::new() } else { format!(", {}", index + 1) });
        line!(
            text,
            "Milliseconds from the time at which a record had to be sent to the moment at which a reader of committed records has it. \
             The load keeps to its schedule whatever happens: {} bytes a record, {} partitions, {} s a run after {} s that are not \
             measured, {} run{} of each guarantee at each rate. **Bold** is the best run by p99; `late` is the p99 of how late the load itself \
             sent. \"no pipeline\" is the same without ksem: what load, broker and reader take by themselves.\n",
            work.size,
            work.partitions,
            work.seconds,
            work.warm_up_s,
            work.runs,
            if work.runs == 1 { "" } else { "s" },
        );
        self.plot(text, &Subject::Latency(index), "Latency by percentile, rate and guarantee");
        line!(text, "| guarantee | records/s | p50 | p99 | p99.9 | max | late | cores busy | visible of produced |");
        line!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        latency.rows.iter().for_each(|row| runs(text, row));
        line!(text, "");
        if latency.rows.iter().any(|row| row.pass().is_some()) {
            line!(text, "| target | best p99 | runs that met it | |\n|---|---:|---:|---|");
            latency.rows.iter().for_each(|row| target(text, row));
            line!(text, "");
        }
        settings(text, latency);
    }

    fn plot(&self, text: &mut String, of: &Subject, words: &str) {
        if let Some(plot) = self.plots.iter().find(|plot| plot.of == *of) {
            line!(text, "![{words}]({PLOTS}/{})\n", plot.file);
        }
    }

    fn again(&self, text: &mut String) {
        line!(text, "## To repeat it\n\n```console");
        let mut report = "cargo xtask bench report".to_owned();
        if let Some(throughput) = self.throughput {
            let work = &throughput.work;
            let records = work.records.map_or_else(String::new, |records| format!(" --records {records}"));
            let cadences: Vec<String> = throughput.cadences().into_iter().map(|cadence| cadence.name).collect();
            line!(
                text,
                "$ cargo xtask bench --cadence {}{records} --size {} --rounds {} --json result.json",
                cadences.join(","),
                work.size,
                work.rounds
            );
            report += " --json result.json";
        }
        for (index, latency) in self.latency.iter().enumerate() {
            let file = if index == 0 { "latency.json".to_owned() } else { format!("latency-{}.json", index + 1) };
            line!(text, "$ cargo xtask bench latency {} --json {file}", arguments(latency));
            let _ = write!(report, " --latency {file}");
        }
        line!(text, "$ {report} --out docs\n```");
    }
}

fn contestant(text: &mut String, row: &Contestant, records: Option<u64>) {
    let records = row.runs.first().and_then(|run| run.records).or(records);
    let a_million = |spread: Spread| records.map(|records| spread.median / (records as f64 / 1e6));
    let Some(speed) = row.records_per_s else {
        let why = row.trouble.as_ref().and_then(|trouble| {
            let inner = trouble.as_object().and_then(|kinds| kinds.values().next()).unwrap_or(trouble);
            inner.as_str().map(|why| why.lines().next().unwrap_or_default().replace('|', "\\|"))
        });
        line!(text, "| `{}` | - | did not run: {} | | | |", row.name, why.unwrap_or_default());
        return;
    };
    let number =
        |value: Option<f64>, digits: usize| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
    line!(
        text,
        "| `{}` | {} | {} - {} | {} | {} | {} |",
        row.name,
        grouped(speed.median),
        grouped(speed.min),
        grouped(speed.max),
        number(row.client_cpu_s.and_then(a_million), 2),
        number(row.client_peak_bytes.map(|spread| spread.median / f64::from(1 << 20)), 0),
        number(row.broker_cpu_s.and_then(a_million), 2),
    );
}

fn ratio(text: &mut String, ratio: &Ratio) {
    let Some(value) = ratio.value else { return };
    let rounds = ratio.rounds.map_or_else(String::new, |(min, max)| format!(" [{min:.2} - {max:.2}]"));
    let target = ratio.at_least.map_or_else(String::new, |least| format!("at least {least}"));
    let verdict = if ratio.pass { "PASS" } else { "FAIL" };
    line!(text, "| `{}` / `{}` | {value:.2}{rounds} | {target} | {verdict} |", ratio.over, ratio.under);
}

fn runs(text: &mut String, row: &Row) {
    for (index, run) in row.runs.iter().enumerate() {
        let bold = if row.best() == Some(index) && row.runs.len() > 1 { "**" } else { "" };
        let records = if run.is_correct() {
            "all, once".to_owned()
        } else {
            let (visible, produced) = (grouped(run.visible as f64), grouped(run.produced as f64));
            format!("WRONG: {visible} of {produced}, {} repeated", run.repeated)
        };
        line!(
            text,
            "| {} | {} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {:.2} | {:.2} | {records} |",
            if index == 0 { row.guarantee.as_deref().unwrap_or("no pipeline") } else { "" },
            if index == 0 { grouped(row.rate as f64) } else { String::new() },
            run.p50_ms,
            run.p99_ms,
            run.p999_ms,
            run.max_ms,
            run.load_late_p99_ms,
            run.cores.all(),
        );
    }
}

fn target(text: &mut String, row: &Row) {
    let (Some(pass), Some(met), Some(most)) = (row.pass(), row.met(), row.target_p99_ms) else { return };
    let best = row.best().map_or_else(|| "-".to_owned(), |best| format!("{:.2} ms", row.runs[best].p99_ms));
    line!(
        text,
        "| {}: {} records/s with p99 of at most {most} ms | {best} | {met} of {} | {} |",
        row.guarantee.as_deref().unwrap_or_default(),
        grouped(row.rate as f64),
        row.runs.len(),
        if pass { "PASS" } else { "FAIL" }
    );
}

fn settings(text: &mut String, latency: &Latency) {
    let mut shown: Vec<String> = Vec::new();
    for row in &latency.rows {
        let Some(guarantee) = &row.guarantee else { continue };
        let set: Vec<String> = row.settings.iter().map(|(field, value)| format!("`{field} = {value}`")).collect();
        let set = if set.is_empty() { "ksem's defaults".to_owned() } else { set.join(", ") };
        let sentence = format!("{guarantee}: {set}");
        if !shown.contains(&sentence) {
            shown.push(sentence);
        }
    }
    line!(text, "Settings: {}.\n", shown.join("; "));
}

/// The arguments that measure the same again.
fn arguments(latency: &Latency) -> String {
    let measured = |row: &&Row| row.guarantee.is_some();
    let rows: Vec<&Row> = latency.rows.iter().filter(measured).collect();
    let targets = !rows.is_empty() && rows.iter().all(|row| row.target_p99_ms.is_some());
    let mut arguments = if targets {
        "--targets".to_owned()
    } else {
        let mut rates: Vec<String> = latency.rows.iter().map(|row| row.rate.to_string()).collect();
        rates.dedup();
        let mut guarantees: Vec<&str> = rows.iter().filter_map(|row| row.guarantee.as_deref()).collect();
        guarantees.sort_unstable();
        guarantees.dedup();
        let all = guarantees.len() == 3;
        let only = guarantees.join(" --guarantee ");
        format!("--rate {}{}", rates.join(","), if all { String::new() } else { format!(" --guarantee {only}") })
    };
    let _ = write!(arguments, " --seconds {} --runs {}", latency.work.seconds, latency.work.runs);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{curves, plots, throughput};

    #[test]
    fn the_page_has_every_figure_and_every_plot() {
        let throughput = throughput::tests::document();
        let latency = [curves::tests::document()];
        let plots = plots(Some(&throughput), &latency).expect("plots");
        let machine = Machine::here();
        let text = Page { machine: &machine, throughput: Some(&throughput), latency: &latency, plots: &plots }.text();
        for expected in [
            "| `ksem-eos-10k` | 427,408 | 384,667 - 470,149 | 2.50 | 95 | 1.00 |",
            "| `streams-eos-100ms` | - | did not run: no java",
            "| `ksem-eos-10k` / `ksem-alo-10k` | 0.83 [0.64 - 0.83] | at least 0.65 | PASS |",
            "**14.50**",
            "exactly_once: 50,000 records/s with p99 of at most 15 ms | 14.50 ms | 1 of 2 | PASS |",
            "exactly_once: ksem's defaults",
            "$ cargo xtask bench --cadence 10k,100ms --size 200 --rounds 3 --json result.json",
            "--rate 1000,50000 --guarantee at_most_once --guarantee exactly_once --seconds 30 --runs 2",
            "Apache Kafka",
        ] {
            assert!(text.contains(expected), "no `{expected}` in:\n{text}");
        }
        assert_eq!(plots.len(), 3);
        for plot in &plots {
            assert!(text.contains(&format!("](benchmarks/{})", plot.file)), "{}", plot.file);
        }
    }
}
