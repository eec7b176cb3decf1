//! What the demo prints.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use super::{Crash, Findings, Speed};
use crate::exit::{Done, Failure};

/// Tables for people, or one JSON document; rows appear when they are known.
pub(super) struct Screen {
    json: bool,
    colours: bool,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        Self { json, colours: !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn introduce(&self, records: u64, bootstrap: &str) {
        if self.json {
            return;
        }
        println!("{records} orders become invoices and analytics, on an embedded broker at {bootstrap}.");
        println!("Each row: a process killed with SIGKILL at that point, started again, and the outcome counted.\n");
        println!("{:<14} {:<22} {:>8} {:>8} {:>9}   promise", "guarantee", "killed", "sent", "lost", "repeated");
    }

    pub(super) fn crash(&self, crash: &Crash) {
        if self.json {
            // Progress for those who watch; the document comes at the end.
            eprintln!("{} {}: {} lost, {} repeated", crash.guarantee, crash.crash_point, crash.lost, crash.repeated);
            return;
        }
        let verdict =
            if crash.kept { self.paint(AnsiColor::Green, "kept") } else { self.paint(AnsiColor::Red, "BROKEN") };
        // Padded first: escape sequences have no width.
        let number = |count: u64, width: usize| {
            let text = format!("{count:>width$}");
            if count > 0 { self.paint(AnsiColor::Yellow, &text) } else { text }
        };
        let Crash { guarantee, crash_point, sent, lost, repeated, .. } = crash;
        let (lost, repeated) = (number(*lost, 8), number(*repeated, 9));
        println!("{guarantee:<14} {crash_point:<22} {sent:>8} {lost} {repeated}   {verdict}");
        let _ = std::io::stdout().flush();
    }

    pub(super) fn speed(&self, speed: &Speed) {
        if self.json {
            eprintln!("{}: {:.0} records/s", speed.guarantee, speed.records_per_s);
            return;
        }
        if speed.guarantee == ksem::Guarantee::AtMostOnce.name() {
            println!("\n{:<14} {:>12} {:>10}", "guarantee", "records/s", "p99 (ms)");
        }
        println!("{:<14} {:>12.0} {:>10.1}", speed.guarantee, speed.records_per_s, speed.p99_ms);
    }

    pub(super) fn conclude(&self, findings: &Findings) -> Done {
        if self.json {
            let text = serde_json::to_string(findings).map_err(|error| Failure::internal(error.to_string()))?;
            println!("{text}");
            return Ok(());
        }
        let text = if findings.promise_held {
            self.paint(AnsiColor::Green, "Every promise held.")
        } else {
            self.paint(AnsiColor::Red, "A promise was broken.")
        };
        println!(
            "\nrecords/s: with a backlog. p99: from an order's timestamp to the commit of its outputs, at 5,000 orders/s."
        );
        println!("{text}");
        Ok(())
    }

    fn paint(&self, colour: AnsiColor, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let style = Style::new().bold().fg_color(Some(colour.into()));
        format!("{style}{text}{style:#}")
    }
}
