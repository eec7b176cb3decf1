//! The conformance driver of Rust: see `tests/PROTOCOL.md`.

mod forms;
mod handler;

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ksem::config::ConfigError;
use ksem::error::Code;
use ksem::{Attempt, Batch, Config, Error, Guarantee, Output, Pipeline};
use ksem_broker::EmbeddedBroker;
use serde_json::{Value, json};

use handler::Script;

/// What became of a request.
enum Reply {
    Ok(Value),
    Error(Value),
    Cannot(&'static str),
    Broken(String),
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        Self::Error(forms::error(&error))
    }
}

impl From<String> for Reply {
    fn from(broken: String) -> Self {
        Self::Broken(broken)
    }
}

/// A value or what to reply instead.
type Done<T = Value> = Result<T, Reply>;

/// The objects that the runner has named.
#[derive(Default)]
struct Named {
    pipes: HashMap<String, Arc<Pipeline>>,
    /// `None` when it was used up.
    batches: HashMap<String, Option<Batch>>,
    attempts: HashMap<String, Option<Attempt>>,
    brokers: HashMap<String, Option<EmbeddedBroker>>,
}

#[derive(Default)]
struct Driver {
    named: Mutex<Named>,
    resumed: Mutex<Vec<String>>,
    changed: Condvar,
}

const MOVED: &str = "the compiler refuses a value that was moved";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() {
    let driver = Arc::<Driver>::default();
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        let request: Value = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(error) => return eprintln!("a line that is no JSON: {error}"),
        };
        if request["do"] == "exit" {
            say(&json!({ "id": request["id"], "ok": {} }));
            break;
        }
        let driver = Arc::clone(&driver);
        thread::spawn(move || {
            let id = request["id"].clone();
            say(&match driver.serve(&request).unwrap_or_else(|instead| instead) {
                Reply::Ok(result) => json!({ "id": id, "ok": result }),
                Reply::Error(error) => json!({ "id": id, "error": error }),
                Reply::Cannot(why) => json!({ "id": id, "cannot": why }),
                Reply::Broken(what) => json!({ "id": id, "broken": what }),
            });
        });
    }
    // Without closing what is open.
    std::process::exit(0);
}

/// Writes a line at once.
fn say(line: &Value) {
    let mut out = io::stdout().lock();
    // Nobody reads it when the runner is gone, and then the input ends too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, String> {
    request[name].as_str().ok_or_else(|| format!("`{name}` is no text"))
}

fn guarantee(request: &Value) -> Result<Guarantee, String> {
    text(request, "guarantee")?.parse().map_err(|error| format!("{error}"))
}

fn invalid(error: &ConfigError) -> Error {
    Error::new(Code::ConfigInvalid, error.to_string())
}

impl Driver {
    fn serve(self: &Arc<Self>, request: &Value) -> Done<Reply> {
        let result = match text(request, "do")? {
            "hello" => json!({ "language": "rust", "version": env!("CARGO_PKG_VERSION"), "protocol": 1 }),
            "errors" => forms::error_table(),
            "open" => self.open(request)?,
            "poll" => self.poll(request)?,
            "drop" => {
                drop(self.batch(request)?);
                json!({})
            }
            "process" => self.process(request)?,
            "run" => {
                let script = Script::of(Arc::clone(self), request)?;
                self.pipe(request)?.run(|batch, output| script.call(batch, output))?;
                json!({})
            }
            "begin" => {
                let attempt = self.pipe(request)?.begin(self.batch(request)?, guarantee(request)?)?;
                lock(&self.named).attempts.insert(text(request, "attempt")?.into(), Some(attempt));
                json!({})
            }
            "send" => self.with_attempt(request, |attempt| forms::send(&request["records"], attempt.output()))?,
            "forward" => self.with_attempt(request, |attempt| {
                let topic = text(request, "topic")?;
                (0..attempt.batch().len()).for_each(|index| attempt.output().forward(topic, index));
                Ok(())
            })?,
            "commit" => forms::report(&self.attempt(request)?.commit()?),
            "abort" => forms::report(&self.attempt(request)?.abort(text(request, "reason")?)?),
            "publish" => {
                let mut output = Output::default();
                forms::send(&request["records"], &mut output)?;
                json!({ "records": self.pipe(request)?.publish(&output, guarantee(request)?)? })
            }
            "stop" => {
                self.pipe(request)?.stop();
                json!({})
            }
            "close" => {
                self.pipe(request)?.close()?;
                json!({})
            }
            "metrics" => serde_json::to_value(self.pipe(request)?.metrics()).map_err(|error| error.to_string())?,
            "broker" => self.broker(request)?,
            "broker_stop" => {
                lock(&self.named).brokers.insert(text(request, "broker")?.into(), None);
                json!({})
            }
            "resume" => {
                lock(&self.resumed).push(text(request, "at")?.into());
                self.changed.notify_all();
                json!({})
            }
            other => return Err(Reply::Broken(format!("no verb `{other}`"))),
        };
        Ok(Reply::Ok(result))
    }

    fn pipe(&self, request: &Value) -> Result<Arc<Pipeline>, String> {
        let name = text(request, "pipe")?;
        lock(&self.named).pipes.get(name).cloned().ok_or_else(|| format!("no pipe `{name}`"))
    }

    /// Takes a batch, which moves it.
    fn batch(&self, request: &Value) -> Done<Batch> {
        let name = text(request, "batch")?;
        let mut named = lock(&self.named);
        let place = named.batches.get_mut(name).ok_or_else(|| format!("no batch `{name}`"))?;
        place.take().ok_or(Reply::Cannot(MOVED))
    }

    fn attempt(&self, request: &Value) -> Done<Attempt> {
        let name = text(request, "attempt")?;
        let mut named = lock(&self.named);
        let place = named.attempts.get_mut(name).ok_or_else(|| format!("no attempt `{name}`"))?;
        place.take().ok_or(Reply::Cannot(MOVED))
    }

    fn with_attempt(&self, request: &Value, work: impl FnOnce(&mut Attempt) -> Result<(), String>) -> Done {
        let mut attempt = self.attempt(request)?;
        let done = work(&mut attempt);
        lock(&self.named).attempts.insert(text(request, "attempt")?.into(), Some(attempt));
        Ok(done.map(|()| json!({}))?)
    }

    fn open(&self, request: &Value) -> Done {
        let config = if let Some(path) = request["config_file"].as_str() {
            Config::from_toml_file(Path::new(path))
        } else {
            let config = request["config"].to_string();
            Config::from_json_str(request["config_text"].as_str().unwrap_or(&config), "the scenario")
        };
        let pipe = Pipeline::open(config.map_err(|error| invalid(&error))?)?;
        let instance = pipe.instance_id().to_owned();
        lock(&self.named).pipes.insert(text(request, "pipe")?.into(), Arc::new(pipe));
        Ok(json!({ "instance_id": instance }))
    }

    fn poll(&self, request: &Value) -> Done {
        let timeout = Duration::from_millis(request["timeout_ms"].as_u64().unwrap_or(0));
        let Some(batch) = self.pipe(request)?.poll(timeout)? else { return Ok(json!({ "records": 0 })) };
        let mut result = json!({ "records": batch.len() });
        if request["columns"] == true {
            forms::columns(&batch, &mut result);
        }
        lock(&self.named).batches.insert(text(request, "batch")?.into(), Some(batch));
        Ok(result)
    }

    fn process(self: &Arc<Self>, request: &Value) -> Done {
        let script = Script::of(Arc::clone(self), request)?;
        let (pipe, batch) = (self.pipe(request)?, self.batch(request)?);
        let report = pipe.process(batch, guarantee(request)?, |batch, output| script.call(batch, output))?;
        Ok(forms::report(&report))
    }

    fn broker(&self, request: &Value) -> Done {
        let mut builder = EmbeddedBroker::builder();
        for topic in request["topics"].as_array().into_iter().flatten() {
            let name = topic[0].as_str().ok_or_else(|| "a topic has a name".to_owned())?;
            builder = builder.topic(name, topic[1].as_i64().unwrap_or(1) as i32);
        }
        let broker = builder.start().map_err(|error| Error::new(Code::ListenDenied, error.to_string()))?;
        let bootstrap = broker.bootstrap().to_owned();
        lock(&self.named).brokers.insert(text(request, "broker")?.into(), Some(broker));
        Ok(json!({ "bootstrap": bootstrap }))
    }

    /// Tells that a handler stands here, and waits.
    fn pause(&self, event: &Value, at: &str) {
        say(event);
        let mut resumed = lock(&self.resumed);
        while !resumed.iter().any(|name| name == at) {
            resumed = self.changed.wait(resumed).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
