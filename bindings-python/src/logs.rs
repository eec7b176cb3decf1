//! Log records on their way to Python's `logging`.
//!
//! Threads of ksem's never wait for the interpreter: they put what they have to say into a queue, and a
//! thread of Python's takes it out.

use std::fmt::{Debug, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

/// As many may wait; what comes while so many do is counted, and lost.
const ROOM: usize = 8192;

/// A logger's name, `logging`'s level, and the text.
type Entry = (String, u8, String);

static QUEUE: OnceLock<(Sender<Entry>, Receiver<Entry>)> = OnceLock::new();
/// `logging`'s number of the lowest level that anybody wants.
static LEVEL: AtomicU8 = AtomicU8::new(30);
static LOST: AtomicU64 = AtomicU64::new(0);

fn queue() -> &'static (Sender<Entry>, Receiver<Entry>) {
    QUEUE.get_or_init(|| bounded(ROOM))
}

struct ToQueue;

impl<S: Subscriber> Layer<S> for ToQueue {
    // The level may change, so no answer is for ever.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        number(*metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let entry = (logger(metadata.target()), number(*metadata.level()), text.message + &text.fields);
        if queue().0.try_send(entry).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Everything is below the logger `ksem`.
fn logger(target: &str) -> String {
    let name = target.replace("::", ".");
    if name == "ksem" || name.starts_with("ksem.") { name } else { format!("ksem.{name}") }
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The message, and the other fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        // A String takes everything.
        debug_assert!(written.is_ok());
    }
}

/// Sets the lowest level that is queued, as `logging` numbers them.
#[pyfunction]
pub(crate) fn set_log_level(level: u8) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    LEVEL.store(level, Ordering::Relaxed);
    INSTALLED.get_or_init(|| {
        // Another extension module has its own copy of `tracing`, so nobody else has set one.
        let _ = tracing::subscriber::set_global_default(registry().with(ToQueue));
    });
}

/// Waits for log records, and returns all that are there.
#[pyfunction]
pub(crate) fn next_logs(py: Python<'_>, timeout: f64) -> Vec<Entry> {
    let queue = &queue().1;
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
    let mut entries: Vec<Entry> = py.detach(|| queue.recv_timeout(timeout)).into_iter().collect();
    entries.extend(queue.try_iter().take(ROOM));
    let lost = LOST.swap(0, Ordering::Relaxed);
    if lost > 0 {
        entries.push(("ksem".to_owned(), 30, format!("{lost} log records were lost: they came too fast")));
    }
    entries
}
