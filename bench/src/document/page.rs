//! The page: its frame, and the sections in order.

use std::fmt::Write;

use anyhow::Result;

use super::{Documents, PLOTS, delay, dimensions, growth, speed};
use crate::machine::Machine;

/// The page and its plots, by file.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) plots: Vec<(String, String)>,
}

impl Page {
    pub(super) fn of(documents: &Documents) -> Result<Self> {
        let mut page = Self::default();
        line!(page.text, "# Benchmarks\n");
        line!(
            page.text,
            "Written by `cargo xtask bench report`; [bench/README.md](../bench/README.md) says what is measured and how."
        );
        line!(
            page.text,
            "Compare only figures of one run: between machines, and between runs, they move by more than most changes are worth.\n"
        );
        page.machine(&documents.machine()?, documents);
        speed::targets(&mut page, &documents.throughput);
        speed::write(&mut page, &documents.throughput)?;
        dimensions::write(&mut page, &documents.dimensions)?;
        growth::write(&mut page, &documents.growth)?;
        delay::write(&mut page, &documents.latency)?;
        page.again(documents);
        Ok(page)
    }

    /// Puts a plot here.
    pub(super) fn plot(&mut self, words: &str, file: String, svg: String) {
        line!(self.text, "![{words}]({PLOTS}/{file})\n");
        self.plots.push((file, svg));
    }

    fn machine(&mut self, machine: &Machine, documents: &Documents) {
        let text = &mut self.text;
        line!(text, "## The machine\n\n| | |\n|---|---|");
        line!(text, "| processors | {} × {} |", machine.processors, machine.processor);
        line!(text, "| memory | {:.1} GiB |", machine.memory_bytes as f64 / f64::from(1 << 30));
        line!(text, "| system | {} |", machine.system);
        for (name, version) in documents.versions(machine) {
            line!(text, "| {name} | {version} |");
        }
        line!(text, "\nBroker, clients and bench share the processors, on the loopback interface.\n");
    }

    /// The commands that measure the same again, a run each.
    fn again(&mut self, documents: &Documents) {
        let text = &mut self.text;
        line!(text, "## To repeat it\n\n```console");
        let mut report = "cargo xtask bench report".to_owned();
        for (file, arguments) in documents.commands() {
            line!(text, "$ cargo xtask bench {arguments} --json {file}");
            let _ = write!(report, " --json {file}");
        }
        line!(text, "$ {report} --out docs\n```");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{curves, throughput};

    #[test]
    fn the_page_has_every_figure_and_every_plot() {
        let documents = Documents {
            throughput: vec![
                ("ten.json".to_owned(), throughput::tests::document()),
                ("thousand.json".to_owned(), throughput::tests::another()),
            ],
            latency: vec![("latency.json".to_owned(), curves::tests::document())],
            dimensions: vec![("dimensions.json".to_owned(), crate::dimensions::result::tests::document())],
            growth: vec![("growth.json".to_owned(), crate::growth::result::tests::document())],
        };
        let Page { text, plots } = Page::of(&documents).expect("a page");
        for expected in [
            "| `ksem-eos-10k` | 427,408 | 384,667 - 470,149 | 2.50 | 95 | 1.00 |",
            "| `streams-eos-100ms` | - | did not run: no java",
            "| `ksem-eos-10k` / `ksem-alo-10k` | 0.83 [0.64 - 0.83] | at least 0.65 | PASS |",
            "| `ksem-eos-1k` / `java-eos-1k` | 2.00 [1.90 - 2.10] | at least 3 | FAIL |",
            "| `ksem-eos-100` / `java-eos-100` | - | at least 2 | not measured |",
            "| `ksem-eos-10k` | client CPU s/M | 1.40 [1.30 - 1.60] | at most 1.5 | PASS |",
            "2 are met, 1 are not, 1 were not measured.",
            "**14.50**",
            "exactly_once: 50,000 records/s with p99 of at most 15 ms | 14.50 ms | 1 of 2 | PASS |",
            "exactly_once: ksem's defaults",
            "$ cargo xtask bench --cadence 10k,100ms --size 200 --rounds 3 --json ten.json",
            "$ cargo xtask bench --cadence 1k --targets --json thousand.json",
            "--rate 1000,50000 --guarantee at_most_once --guarantee exactly_once --seconds 30 --runs 2 --json latency.json",
            "$ cargo xtask bench report --json ten.json --json thousand.json --json dimensions.json --json growth.json --json latency.json --out docs",
            "| records/s | 100 B | 200 B | 1,000 B | 10,000 B |",
            "| `java-eos-10k` | 1,000,000 | 500,000 | 100,000 | 10,000 |",
            "| client CPU s/M | none | lz4 | zstd |",
            "none 100 %, lz4 40 %, zstd 40 %.",
            "$ cargo xtask bench dimensions --json dimensions.json",
            "* `ksem-eos-10k`: not linear; at 2: client CPU a record 2.00 ×",
            "| 8,000 | 50,000 | 150,000 | 50,000 | 200,000 |",
            "90 MiB at most, +60.0 MiB an hour",
            "$ cargo xtask bench growth --json growth.json",
            "1,000,000 records of 200 bytes in 4 partitions on one node, medians of 3 rounds.",
            "| franz-go | 1.2.3 |",
            "Apache Kafka",
        ] {
            assert!(text.contains(expected), "no `{expected}` in:\n{text}");
        }
        assert_eq!(plots.len(), 3 + 3 + 2 + 1);
        for (file, _) in &plots {
            assert!(text.contains(&format!("](benchmarks/{file})")), "{file}");
        }
    }

    #[test]
    fn a_cadence_is_shown_once_and_guests_stand_beside_it() {
        let documents = Documents {
            throughput: vec![
                ("thousand.json".to_owned(), throughput::tests::another()),
                ("ten.json".to_owned(), throughput::tests::document()),
            ],
            ..Documents::default()
        };
        let text = Page::of(&documents).expect("a page").text;
        // The run by 1,000 has one contestant by 10,000, for a ratio.
        assert_eq!(text.matches("### With a commit every 10,000 records").count(), 1);
        let (_, behind) = text.split_once("### With a commit every 1,000 records").expect("its section");
        let (section, _) = behind.split_once("###").expect("more sections");
        assert!(section.contains("In the same run") && section.contains("| `ksem-alo-10k` | 500,000 |"), "{section}");
    }
}
