//! Who this instance is: stable across restarts, and different from every other running instance.
//!
//! Without a configured `transactions.instance_id`, an instance takes the first free slot in a
//! state folder. The slot is a locked file that holds the id, so a restart (after `kill -9` too)
//! takes the same slot and with it the same `transactional.id`s, while a second instance on the
//! host takes the next slot.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::error::{Code, Error, Result};

/// An instance's identity, held for as long as the pipeline is open.
#[derive(Debug)]
pub(crate) struct Identity {
    instance: String,
    /// This run of the instance: a later run has a larger one.
    incarnation: u128,
    // The lock ends with the file, so with the process too.
    _slot: Option<File>,
}

/// More instances of one group on one host than this are a mistake.
const SLOTS: usize = 1_000;

impl Identity {
    pub(crate) fn acquire(config: &Config) -> Self {
        if let Some(instance) = &config.transactions.instance_id {
            return Self::new(instance.clone(), None);
        }
        let folder = state_dir(config).join(safe(&config.group));
        match take_slot(&folder) {
            Ok((instance, slot)) => Self::new(instance, Some(slot)),
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "no state folder: the instance id is new at every start, so what a killed run left open \
                     waits for its time-out; set `transactions.instance_id` or `transactions.state_dir`"
                );
                Self::new(unique(), None)
            }
        }
    }

    fn new(instance: String, slot: Option<File>) -> Self {
        Self { instance, incarnation: nanos(), _slot: slot }
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn transactional_id(&self, group: &str, lane: usize) -> String {
        format!("{group}-{}-{lane}", self.instance)
    }

    /// What is stored with every committed offset: who committed it.
    pub(crate) fn mark(&self) -> String {
        format!("ksem/1 {} {}", self.instance, self.incarnation)
    }

    /// Returns whether the mark is that of a later run of this instance.
    pub(crate) fn is_superseded_by(&self, mark: &str) -> bool {
        let mut parts = mark.split(' ');
        let (format, instance, incarnation) = (parts.next(), parts.next(), parts.next());
        format == Some("ksem/1")
            && instance == Some(self.instance.as_str())
            && incarnation.and_then(|text| text.parse().ok()).is_some_and(|other: u128| other > self.incarnation)
    }
}

fn state_dir(config: &Config) -> PathBuf {
    let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    config
        .transactions
        .state_dir
        .clone()
        .or_else(|| from_env("KSEM_STATE_DIR"))
        .or_else(|| from_env("XDG_STATE_HOME").map(|dir| dir.join("ksem")))
        .or_else(|| from_env("HOME").map(|home| home.join(".local/state/ksem")))
        .unwrap_or_else(|| std::env::temp_dir().join("ksem"))
}

/// Group names may have any character; file names may not.
fn safe(group: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_string() } else { format!("%{:x}", c as u32) }
    };
    // "." and ".." are names of folders, so every name gets a prefix.
    format!("group-{}", group.chars().map(keep).collect::<String>())
}

fn take_slot(folder: &Path) -> Result<(String, File)> {
    let failed = |error: std::io::Error| Error::new(Code::Internal, "the state folder is not usable").caused_by(error);
    fs::create_dir_all(folder).map_err(failed)?;
    for slot in 0..SLOTS {
        let path = folder.join(format!("slot-{slot}"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return read_or_name(file).map_err(failed),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(Error::new(Code::Internal, format!("{SLOTS} instances of the group are running here")))
}

fn read_or_name(mut file: File) -> std::io::Result<(String, File)> {
    let mut name = String::new();
    file.read_to_string(&mut name)?;
    let name = match name.trim() {
        "" => {
            let name = unique();
            file.rewind()?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            name
        }
        name => name.to_owned(),
    };
    Ok((name, file))
}

/// 16 hexadecimal digits that no other instance has: time, process and an address mixed.
fn unique() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds it from the system's random source.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u128(nanos());
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config { group: "my group/1".into(), ..Config::default() };
        config.transactions.state_dir = Some(dir.to_owned());
        config
    }

    #[test]
    fn a_restart_takes_the_same_id_and_a_second_instance_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Identity::acquire(&config(dir.path()));
        let second = Identity::acquire(&config(dir.path()));
        assert_ne!(first.instance(), second.instance());
        let name = first.instance().to_owned();
        drop(first);
        let again = Identity::acquire(&config(dir.path()));
        assert_eq!(again.instance(), name);
    }

    #[test]
    fn a_later_run_of_the_same_instance_supersedes_and_nothing_else_does() {
        let of = |instance: &str, incarnation| Identity { instance: instance.into(), incarnation, _slot: None };
        let me = of("a", 5);
        assert!(me.is_superseded_by(&of("a", 6).mark()));
        for other in [of("a", 5).mark(), of("a", 4).mark(), of("b", 6).mark(), String::new(), "ksem/1 a x".into()] {
            assert!(!me.is_superseded_by(&other), "{other}");
        }
    }
}
