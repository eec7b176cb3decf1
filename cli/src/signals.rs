//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `stop` at the first signal; exits with status 130 at the second.
pub(crate) fn on_stop(stop: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(130);
            }
            stop();
        }
    })?;
    Ok(())
}

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
