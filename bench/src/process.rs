//! What a process has used so far, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// User and system CPU time of a process, with all its threads.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("{path} has no CPU times"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory that was resident at once, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    kib(&text, "VmHWM:").map(|kib| kib * 1024).with_context(|| format!("{path} has no VmHWM"))
}

/// The memory that is resident now, in bytes.
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    kib(&text, "VmRSS:").map(|kib| kib * 1024).with_context(|| format!("{path} has no VmRSS"))
}

/// The name before the numbers may hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_whitespace().skip(11);
    let user: u64 = numbers.next()?.parse().ok()?;
    let system: u64 = numbers.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 1 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (cut"), None);
        assert_eq!(kib("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"), Some(1234));
        assert_eq!(kib("VmPeak:\t 9 kB\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(cpu_seconds(std::process::id()).is_ok());
        let (peak, now) = (peak_memory(std::process::id()), resident_memory(std::process::id()));
        assert!(peak.is_ok_and(|bytes| bytes > 1 << 16) && now.is_ok_and(|bytes| bytes > 1 << 16));
    }
}
