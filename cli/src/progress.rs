//! Progress of long work: a moving line on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Shows how a run goes on.
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    started: Instant,
    last: (Instant, u64),
    next_line: Instant,
}

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

impl Progress {
    pub(crate) fn start(quiet: bool, what: &str) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        let now = Instant::now();
        // A quiet run prints no lines either.
        let next_line = if quiet { now + Duration::from_secs(1 << 31) } else { now + Duration::from_secs(2) };
        Self { bar, terminal, started: now, last: (now, 0), next_line }
    }

    /// Shows the counts so far.
    pub(crate) fn show(&mut self, records: u64, details: &str) {
        let now = Instant::now();
        let (then, before) = self.last;
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds < 0.2 {
            return;
        }
        let rate = (records.saturating_sub(before)) as f64 / seconds;
        self.last = (now, records);
        let text = format!("{} records, {}/s{details}", HumanCount(records), HumanCount(rate as u64));
        if self.terminal {
            self.bar.set_message(text);
        } else if now >= self.next_line {
            eprintln!("{} {text}", self.bar.prefix());
            self.next_line = now + LINES;
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
