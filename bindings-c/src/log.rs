//! Log records, handed to the caller's own logging.

use std::ffi::{c_char, c_void};
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::boundary::{c_text, guard, misuse};
use crate::constants::ksem_status;
use crate::error::ksem_error;

/// How much a log record matters; a lower number matters more.
pub type ksem_level = i32;
/// Something failed.
pub const KSEM_ERROR: ksem_level = 1;
/// Something was lost, or is tried again.
pub const KSEM_WARN: ksem_level = 2;
/// What an operator wants to know.
pub const KSEM_INFO: ksem_level = 3;
/// Every step.
pub const KSEM_DEBUG: ksem_level = 4;
/// librdkafka's log, too.
pub const KSEM_TRACE: ksem_level = 5;

/// Takes a log record: one line, without a newline, which lives as long as the call. Any thread may call it, several at once.
pub type ksem_logger = Option<unsafe extern "C" fn(level: ksem_level, line: *const c_char, user: *mut c_void)>;

struct Logger {
    function: unsafe extern "C" fn(ksem_level, *const c_char, *mut c_void),
    user: *mut c_void,
}

// SAFETY: the caller promises that the function may be called on any thread, with the pointer that it gave.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

impl<S: Subscriber> Layer<S> for Logger {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => KSEM_ERROR,
            Level::WARN => KSEM_WARN,
            Level::INFO => KSEM_INFO,
            Level::DEBUG => KSEM_DEBUG,
            Level::TRACE => KSEM_TRACE,
        };
        let line = c_text(&line.0);
        // SAFETY: the caller's promise; the line lives during the call.
        unsafe { (self.function)(level, line.as_ptr(), self.user) }
    }
}

/// The message, and `name=value` for each field.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let between = if self.0.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{between}{value:?}"),
            name => write!(self.0, "{between}{name}={value:?}"),
        };
    }
}

/// Gives ksem's log records, down to a level, to a function, from now on. Once for each process: later calls fail.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_log_to(
    level: ksem_level,
    logger: ksem_logger,
    user: *mut c_void,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let level = match level {
            KSEM_ERROR => LevelFilter::ERROR,
            KSEM_WARN => LevelFilter::WARN,
            KSEM_INFO => LevelFilter::INFO,
            KSEM_DEBUG => LevelFilter::DEBUG,
            KSEM_TRACE => LevelFilter::TRACE,
            _ => return Err(misuse(format!("{level} is no level; use KSEM_ERROR to KSEM_TRACE"))),
        };
        let function = logger.ok_or_else(|| misuse("`logger` is NULL"))?;
        let subscriber = tracing_subscriber::registry().with(Logger { function, user }.with_filter(level));
        let taken = |_| misuse("the log goes elsewhere already");
        tracing::subscriber::set_global_default(subscriber).map_err(taken)
    })
}
