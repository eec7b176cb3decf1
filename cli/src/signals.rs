//! Ctrl-C and SIGTERM ask for a clean end; another Ctrl-C ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `stop` at the first signal; a Ctrl-C after that exits with status 130.
pub(crate) fn on_stop(stop: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    stop();
                }
                // Supervisors send SIGTERM to a process and to its group: only a person means it twice.
                Some(then) if signal == SIGINT && then.elapsed() > TWICE => std::process::exit(130),
                Some(_) => {}
            }
        }
    })?;
    Ok(())
}

/// Returns what is set at the first signal, for work that looks at it now and then.
pub(crate) fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    on_stop(move || told.store(true, Ordering::SeqCst))?;
    Ok(stop)
}

/// Two signals closer than this are one.
const TWICE: Duration = Duration::from_millis(300);

/// Ends the process when a handler or a broker does not let go in time: a deadline that is not
/// kept is none. What was in flight is not committed, so the next start processes it again.
pub(crate) fn exit_after(deadline: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(deadline);
        eprintln!(
            "error: [2004 shutdown_deadline] `shutdown.deadline_ms` passed with work in flight; it is processed again after the next start"
        );
        std::process::exit(3);
    });
}
