//! A process under test.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A process that is killed when this is dropped. Its standard error is kept.
#[derive(Debug)]
pub struct Run {
    child: Child,
    stderr: PathBuf,
    started: Instant,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Ended {
    /// Fails unless it ended with this status and said all of these.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn assert(&self, status: i32, said: &[&str]) {
        assert_eq!(self.status, Some(status), "the exit status; it wrote:\n{}", self.stderr);
        for text in said {
            assert!(self.stderr.contains(text), "it did not say {text:?}, but:\n{}", self.stderr);
        }
    }
}

impl Run {
    /// Starts a program. `stderr` names a file that is made for its standard error.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>, stderr: PathBuf) -> Self {
        let file = File::create(&stderr).expect("a file for standard error");
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", program.display()));
        Self { child, stderr, started: Instant::now() }
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read(&self.stderr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Since when it runs.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it has not ended. A paused process has not.
    pub fn is_alive(&mut self) -> bool {
        self.exit_status().is_none()
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("asking for a process")
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Panics
    /// If it had ended before.
    #[track_caller]
    pub fn kill(&mut self) {
        let earlier = self.exit_status();
        assert!(earlier.is_none(), "it had ended by itself ({earlier:?}) and said:\n{}", self.stderr());
        self.child.kill().expect("killing a process");
        self.child.wait().expect("waiting for a killed process");
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Freezes it, and waits until it is frozen.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        self.wait_until_paused(Duration::from_secs(10));
    }

    /// Waits until it is frozen, whoever asked for it.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn wait_until_paused(&self, limit: Duration) {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        crate::wait_until("the process is frozen", limit, || {
            waitid(WaitId::Pid(self.pid()), options).expect("asking for a process").is_some()
        });
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        // The child was not waited for, so the id is still its own.
        kill_process(self.pid(), signal).expect("sending a signal");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not in time.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.exit_status() {
                break status;
            }
            assert!(started.elapsed() < limit, "it did not end within {limit:?}; it said:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        };
        Ended { status: status.code(), stderr: self.stderr(), took: self.started.elapsed() }
    }

    /// Asks it to end, and fails unless it does so in good order.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn stop(self, limit: Duration) -> Ended {
        self.terminate();
        let ended = self.wait(limit);
        ended.assert(0, &[]);
        ended
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Whoever asks for a log wants to see it.
        if thread::panicking() || env::var_os("KSEM_LOG").is_some() {
            eprintln!("--- process {} had said:\n{}---", self.child.id(), self.stderr());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
