//! Ports that stay ours while a node is down.
//!
//! A port that the system picks may be given to anybody's outgoing connection as soon as the node that listened on it
//! stops. So these lie below the ranges that systems pick from, and a lock file for each keeps other test processes
//! away; the lock ends with the process, however that ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};

const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port on 127.0.0.1 that no other cluster uses while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        // Processes start at different places, so that they seldom try the same port.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = process::id().wrapping_mul(97);
        let folder = std::env::temp_dir().join("ksem-testkit-ports");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        for _ in 0..COUNT {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + (start.wrapping_add(step) % u32::from(COUNT)) as u16;
            let lock = folder.join(number.to_string());
            let lock = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no free port on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: Vec<Port> = (0..20).map(|_| Port::reserve().expect("a port")).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}
