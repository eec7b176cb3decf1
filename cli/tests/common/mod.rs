//! Runs the real binary against an embedded broker.
#![allow(unreachable_pub, reason = "a module of tests")]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ksem_broker::EmbeddedBroker;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No command of these tests may take longer; the errors have to come within ten seconds.
pub const LIMIT: Duration = Duration::from_secs(10);

pub fn broker(topics: &[(&str, i32)]) -> EmbeddedBroker {
    let builder = EmbeddedBroker::builder().auto_create_topics(false);
    topics
        .iter()
        .fold(builder, |builder, (name, partitions)| builder.topic(*name, *partitions))
        .start()
        .expect("a broker")
}

/// What a command left.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl Done {
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.err);
        self
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("UTF-8")
    }

    pub fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    pub fn json(&self) -> Vec<Value> {
        self.lines().into_iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    pub fn fails(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in: {}", self.err);
        }
    }
}

pub fn start(bootstrap: &str, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ksem"))
        .args(args)
        .env("KSEM_BOOTSTRAP", bootstrap)
        .env_remove("KSEM_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ksem starts")
}

/// Waits for the end, and ends what takes too long.
pub fn finish(mut child: Child) -> Done {
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("a pipe");
            }
            bytes
        })
    };
    drop(child.stdin.take());
    let out = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let until = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None if Instant::now() > until => child.kill().expect("it ends"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let err = String::from_utf8(err.join().expect("a thread")).expect("UTF-8");
    Done { status: status.code(), out: out.join().expect("a thread"), err }
}

pub fn with_input(bootstrap: &str, args: &[&str], input: &[u8]) -> Done {
    let mut child = start(bootstrap, args);
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A command that ends early does not read everything.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let done = finish(child);
    feeder.join().expect("a thread");
    done
}

pub fn ksem(bootstrap: &str, args: &[&str]) -> Done {
    with_input(bootstrap, args, b"")
}

pub fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it lives");
}
