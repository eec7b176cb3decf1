//! One node: a Java process that can be killed, paused and started again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a node may take to stop by itself.
const STOP: Duration = Duration::from_secs(40);

/// Runs Java and outlives it only to report its end. Java is killed when standard input closes, which also happens
/// when the process that holds the other end is killed. (The system's own way to ask for that needs `unsafe` in Rust.)
const WATCHDOG: &str = r#"
log=$1; shift
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
java=$!
echo "$java"
# Nobody needs to read that a process was killed on purpose.
exec >/dev/null 2>&1
( read -r _ <&3; kill -KILL "$java" 2>/dev/null ) &
watcher=$!
exec 3<&-
wait "$java"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// How to start a node, the same every time.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) jars: PathBuf,
    pub(super) properties: PathBuf,
    pub(super) log: PathBuf,
    pub(super) heap_mb: u32,
    /// Compile less: a node starts sooner and uses less of the machine, and serves fewer records a second.
    pub(super) quick_start: bool,
}

impl Launch {
    /// The start of a Java command line with Kafka's classes.
    pub(super) fn java(&self, heap_mb: u32) -> Vec<String> {
        let mut command = vec!["java".to_owned()];
        if self.quick_start {
            command.push("-XX:TieredStopAtLevel=1".to_owned());
        }
        command.extend([
            format!("-Xmx{heap_mb}m"),
            // One thread collects: the nodes share few cores with the tests.
            "-XX:+UseSerialGC".to_owned(),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(),
            "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS".to_owned(),
            "-cp".to_owned(),
            format!("{}/*", self.jars.display()),
        ]);
        command
    }

    fn spawn(&self) -> Result<Running> {
        let mut command = self.java(self.heap_mb);
        command.extend(["kafka.Kafka".to_owned(), self.properties.display().to_string()]);
        let mut wrapper = Command::new("sh")
            .args(["-c", WATCHDOG, "sh"])
            .arg(&self.log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("starting sh")?;
        let mut line = String::new();
        let stdout = wrapper.stdout.take().context("sh has no standard output")?;
        BufReader::new(stdout).read_line(&mut line).context("reading Java's process id")?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("sh gave {line:?} for Java's process id"))?;
        Ok(Running { wrapper, pid })
    }
}

#[derive(Debug)]
struct Running {
    /// The watchdog. It ends when Java has ended; the pipe to it is what keeps Java alive.
    wrapper: Child,
    pid: Pid,
}

impl Running {
    fn is_alive(&mut self) -> bool {
        matches!(self.wrapper.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("sending {signal:?} to {}", self.pid.as_raw_nonzero()))
    }

    fn wait(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if self.wrapper.try_wait().context("waiting for a node")?.is_some() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// One node of a [`super::Cluster`]. All its methods may be called from any thread.
#[derive(Debug)]
pub struct Node {
    launch: Launch,
    address: String,
    running: Mutex<Option<Running>>,
}

impl Node {
    pub(super) fn start(launch: Launch, address: String) -> Result<Self> {
        let running = launch.spawn()?;
        Ok(Self { launch, address, running: Mutex::new(Some(running)) })
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `host:port` where clients reach this node, which stays the same after a restart.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process id of its Java process; `None` while it is down.
    pub fn pid(&self) -> Option<i32> {
        let mut running = self.running();
        let node = running.as_mut()?;
        node.is_alive().then(|| node.pid.as_raw_nonzero().get())
    }

    /// Whether its process exists; a paused one does.
    pub fn is_alive(&self) -> bool {
        self.running().as_mut().is_some_and(Running::is_alive)
    }

    /// Ends it at once, as `kill -9` does. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&self) -> Result<()> {
        let mut running = self.running();
        let Some(node) = running.as_mut() else {
            return Ok(());
        };
        if node.is_alive() {
            node.signal(Signal::KILL)?;
            ensure!(node.wait(Duration::from_secs(10))?, "a killed node did not end");
        }
        *running = None;
        Ok(())
    }

    /// Lets it shut down in order, and waits until it has. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// When it does not end in time; it is killed then.
    pub fn stop(&self) -> Result<()> {
        let mut running = self.running();
        let Some(node) = running.as_mut() else {
            return Ok(());
        };
        if node.is_alive() {
            // A paused process would not see the request to end.
            node.signal(Signal::CONT)?;
            node.signal(Signal::TERM)?;
            if !node.wait(STOP)? {
                node.signal(Signal::KILL)?;
                node.wait(Duration::from_secs(10))?;
                *running = None;
                bail!("the node at {} did not shut down within {STOP:?}, so it was killed", self.address);
            }
        }
        *running = None;
        Ok(())
    }

    /// Freezes it: its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it is down.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Ends a [`Node::pause`].
    ///
    /// # Errors
    ///
    /// When it is down.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut running = self.running();
        if let Some(node) = running.as_mut()
            && node.is_alive()
        {
            return node.signal(signal);
        }
        bail!("the node at {} is down", self.address)
    }

    /// Stops it if it runs, and starts it again with the same port and data. Returns as soon as the process was
    /// started; [`super::Cluster::wait_until_ready`] waits until it serves.
    ///
    /// # Errors
    ///
    /// When it cannot be stopped or started.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        *self.running() = Some(self.launch.spawn()?);
        Ok(())
    }

    /// The file that its warnings are written to.
    pub fn log_path(&self) -> &Path {
        &self.launch.log
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.launch.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // An error has nobody to go to here; the watchdog kills Java anyway once its pipe is closed.
        let _ = self.kill();
    }
}

/// The last part of a file, from the start of a line.
fn tail(path: &Path) -> std::io::Result<String> {
    const MOST: u64 = 6000;
    let mut file = File::open(path)?;
    let length = fs::metadata(path)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.split_once('\n') {
        Some((_, rest)) if length > MOST => rest.to_owned(),
        _ => text.into_owned(),
    })
}
