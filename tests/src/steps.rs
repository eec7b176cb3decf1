//! A test of several steps that share a cluster.

use std::env;
use std::fmt::Write;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tracing_subscriber::EnvFilter;

/// Runs steps one after the other. One that fails does not keep the others from running.
#[derive(Debug, Default)]
pub struct Steps {
    only: Option<String>,
    ran: usize,
    failed: Vec<String>,
}

impl Steps {
    /// Starts with no step. `KSEM_LOG` shows what the library logs in this process, as it does for the command line.
    pub fn new() -> Self {
        if let Ok(filter) = EnvFilter::try_from_env("KSEM_LOG") {
            // Another test of this process may have set it up.
            let _ =
                tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(io::stderr).try_init();
        }
        Self { only: env::var("KSEM_TEST_ONLY").ok(), ..Self::default() }
    }

    /// Runs a step, which fails by panicking.
    pub fn step(&mut self, name: &str, work: impl FnOnce()) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            println!("     left out: {name}");
            return;
        }
        println!("     step: {name}");
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(work));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("     {verdict}: {name} ({:.1} s)", started.elapsed().as_secs_f64());
        self.ran += 1;
        if result.is_err() {
            self.failed.push(name.to_owned());
        }
    }

    /// Fails the test if a step has failed, or if there was none.
    ///
    /// # Panics
    /// Then.
    pub fn conclude(self) {
        let mut text = String::new();
        for name in &self.failed {
            let _ = write!(text, "\n  {name}");
        }
        assert!(self.failed.is_empty(), "{} of {} steps failed, see above:{text}", self.failed.len(), self.ran);
        assert!(self.ran > 0 || self.only.is_some(), "there was no step");
    }
}
