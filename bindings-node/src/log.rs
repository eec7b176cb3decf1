//! Log records for JavaScript.
//!
//! A record may be written by any thread, with any lock held, and on the event loop's own thread too. So nothing here
//! waits: the list of sinks is copied before it is used, a full queue drops the record and counts it, and a sink's
//! function does not keep its event loop alive. The list is the process's, and a sink belongs to one environment.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{SystemTime, UNIX_EPOCH};

use ksem::error::{Code, Error};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Result, Status};
use napi_derive::napi;
use parking_lot::RwLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::error::to_js;

/// So many records may wait for an event loop that is busy.
const QUEUE: usize = 4096;

/// A log record.
#[napi(object)]
pub struct LogRecord {
    /// How bad it is.
    #[napi(ts_type = "LogLevel")]
    pub level: String,
    /// Which part of ksem writes it; `librdkafka` is the client library.
    pub target: String,
    /// What happened.
    pub message: String,
    /// Facts, by name.
    pub fields: HashMap<String, String>,
    /// Milliseconds since 1970.
    pub timestamp: f64,
    /// How many records before this one were dropped because the event loop was busy.
    pub dropped: f64,
}

type Write = ThreadsafeFunction<LogRecord, (), LogRecord, Status, false, true, QUEUE>;

struct Sink {
    id: u32,
    level: Level,
    write: Write,
    dropped: AtomicU64,
}

static SINKS: RwLock<Vec<Arc<Sink>>> = RwLock::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(1);
/// The most that any sink asks for, as [`number`] counts it.
static MOST: AtomicU8 = AtomicU8::new(0);

/// Adds a sink and returns its number.
#[napi(catch_unwind)]
pub fn add_log(#[napi(ts_arg_type = "(record: LogRecord) => void")] write: Write, level: String) -> Result<u32> {
    let level = level.parse().map_err(|_| {
        let text = format!("`{level}` is no level; use error, warn, info, debug or trace");
        to_js(&Error::new(Code::Misuse, text))
    })?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let sink = Arc::new(Sink { id, level, write, dropped: AtomicU64::new(0) });
    change(|sinks| sinks.push(sink));
    install();
    Ok(id)
}

/// Removes a sink.
#[napi(catch_unwind)]
pub fn remove_log(id: u32) {
    change(|sinks| sinks.retain(|sink| sink.id != id));
}

/// Changes the list in one step, since environments change it at the same time.
fn change(change: impl FnOnce(&mut Vec<Arc<Sink>>)) {
    let mut place = SINKS.write();
    let mut sinks: Vec<_> = place.iter().filter(|sink| !sink.write.aborted()).cloned().collect();
    change(&mut sinks);
    MOST.store(sinks.iter().map(|sink| number(sink.level)).max().unwrap_or(0), Ordering::Relaxed);
    let old = std::mem::replace(&mut *place, sinks);
    drop(place);
    // Behind the lock, since a sink's end calls into Node.js.
    drop(old);
    tracing::callsite::rebuild_interest_cache();
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only where somebody else has the log already, who keeps it.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ToSinks));
    });
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

struct ToSinks;

impl<S: Subscriber> Layer<S> for ToSinks {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("ksem") || metadata.target() == "librdkafka";
        ours && number(*metadata.level()) <= MOST.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match MOST.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let sinks = SINKS.read().clone();
        let level = *event.metadata().level();
        for sink in sinks.iter().filter(|sink| level <= sink.level) {
            let dropped = sink.dropped.swap(0, Ordering::Relaxed);
            let status = sink.write.call(record(event, dropped), ThreadsafeFunctionCallMode::NonBlocking);
            if status != Status::Ok {
                sink.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
            }
        }
    }
}

fn record(event: &Event<'_>, dropped: u64) -> LogRecord {
    let mut texts = Texts::default();
    event.record(&mut texts);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    LogRecord {
        level: event.metadata().level().as_str().to_ascii_lowercase(),
        target: event.metadata().target().to_owned(),
        message: texts.message,
        fields: texts.fields,
        timestamp: now.as_millis() as f64,
        dropped: dropped as f64,
    }
}

#[derive(Default)]
struct Texts {
    message: String,
    fields: HashMap<String, String>,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }
}

impl Texts {
    fn note(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text);
        }
    }
}
