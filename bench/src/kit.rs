//! Builds the peers in other languages, once, in a folder under the workspace's target folder.
//!
//! A kit is a folder of `bench/peers`: a program, and a lock file or pinned versions of what it uses. It is copied,
//! built there with the language's own tools, and built again only when a file of it has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::contestant::{Contestant, System};
use crate::peers::Peer;

/// How a folder of `bench/peers` becomes programs. In commands, `{}` is the folder that it is built in.
#[derive(Debug)]
pub(crate) struct Kit {
    /// The folder that it is built in.
    name: &'static str,
    /// Its folder in `bench/peers`.
    source: &'static str,
    /// What is fetched, and from where.
    fetches: &'static str,
    /// Programs that have to be there, with the argument that makes them say their version and Debian's package.
    needs: &'static [(&'static str, &'static str, &'static str)],
    /// What an earlier build may have left that must not be in this one.
    clear: &'static [&'static str],
    /// The commands that build it, run in its folder.
    build: &'static [&'static [&'static str]],
    /// The start of a program's command line.
    run: &'static [&'static str],
}

pub(crate) const GO: Kit = Kit {
    name: "go",
    source: "go",
    fetches: "franz-go, with Go's module proxy",
    needs: &[("go", "version", "golang-go")],
    clear: &[],
    build: &[&["go", "build", "-o", "{}/copy", "."]],
    run: &["{}/copy"],
};

pub(crate) const JAVA: Kit = Kit {
    name: "java",
    source: "java",
    fetches: "Kafka's clients and Kafka Streams (70 MB), with Maven",
    needs: &[("javac", "-version", "default-jdk-headless"), ("mvn", "-version", "maven")],
    clear: &["jars", "classes"],
    build: &[
        &["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory={}/jars"],
        &["javac", "-cp", "{}/jars/*", "-d", "{}/classes", "Job.java", "Clients.java", "Streams.java"],
    ],
    run: &["java", "-cp", "{}/classes:{}/jars/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"],
};

/// Not a part of the workspace: the crate takes as long to compile as everything else together.
pub(crate) const CONFLUENT_RUST: Kit = Kit {
    name: "confluent-rust",
    source: "confluent-rust",
    fetches: "the confluent-kafka crate, with cargo, and takes some minutes",
    needs: &[("cargo", "--version", "cargo")],
    clear: &[],
    build: &[&["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", "{}/target"]],
    run: &["{}/target/release/copy"],
};

pub(crate) const CONFLUENT_PYTHON: Kit = Kit {
    name: "confluent-python",
    source: "python",
    fetches: "confluent-kafka, with pip",
    needs: PYTHON,
    clear: &["venv"],
    build: &[VENV, &["{}/venv/bin/python", "-m", "pip", "install", "-q", "-r", "requirements-confluent.txt"]],
    run: &["{}/venv/bin/python", "{}/confluent.py"],
};

pub(crate) const QUIX: Kit = Kit {
    name: "quix",
    source: "python",
    fetches: "Quix Streams, with pip",
    needs: PYTHON,
    clear: &["venv"],
    build: &[VENV, &["{}/venv/bin/python", "-m", "pip", "install", "-q", "-r", "requirements-quix.txt"]],
    run: &["{}/venv/bin/python", "-W", "ignore", "{}/quix.py"],
};

const PYTHON: &[(&str, &str, &str)] = &[("python3", "--version", "python3-venv")];
const VENV: &[&str] = &["python3", "-m", "venv", "{}/venv"];

/// With a Node.js of its own, from the same registry: the client needs a later one than many systems have.
pub(crate) const NODE: Kit = Kit {
    name: "node",
    source: "node",
    fetches: "@platformatic/kafka and Node.js (50 MB), with npm",
    needs: &[("npm", "--version", "npm")],
    clear: &[],
    build: &[&["npm", "ci", "--loglevel=error", "--no-audit", "--no-fund"]],
    run: &["{}/node_modules/.bin/node", "{}/copy.mjs"],
};

/// Builds what these contestants need. What can't be had is returned with the reason, by the kit's name.
pub(crate) fn provide<'a>(contestants: impl Iterator<Item = &'a Contestant>) -> BTreeMap<&'static str, String> {
    let mut missing = BTreeMap::new();
    let mut seen = Vec::new();
    for kit in contestants.filter_map(of) {
        if seen.contains(&kit.name) {
            continue;
        }
        seen.push(kit.name);
        if let Err(error) = kit.provide() {
            let reason = format!("{error:#}");
            eprintln!("{} will not run: {reason}", kit.name);
            missing.insert(kit.name, reason);
        }
    }
    missing
}

/// The kit of a contestant, if it has one.
pub(crate) fn of(contestant: &Contestant) -> Option<&'static Kit> {
    match &contestant.system {
        System::Peer { peer } => Peer::find(peer).map(|peer| peer.kit),
        _ => None,
    }
}

impl Kit {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The start of a program's command line.
    pub(crate) fn command(&self, program: &[&str]) -> Result<Command> {
        let folder = self.folder()?;
        let mut command = words(self.run, &folder);
        command.args(program);
        Ok(command)
    }

    fn provide(&self) -> Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(self.source);
        let files = read_files(&source)?;
        let folder = self.folder()?;
        // Written last: what it describes is complete.
        let stamp = folder.join("built-from");
        let current = files.iter().fold(String::new(), |all, (name, text)| all + name + "\n" + text + "\n");
        if fs::read_to_string(&stamp).is_ok_and(|built| built == current) {
            return Ok(());
        }
        for (program, version, package) in self.needs {
            need(program, version, package)?;
        }
        eprintln!("building bench/peers/{}, once; this fetches {}", self.source, self.fetches);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        for old in self.clear.iter().map(|name| folder.join(name)).filter(|old| old.exists()) {
            fs::remove_dir_all(&old).with_context(|| format!("clearing {}", old.display()))?;
        }
        for (name, text) in &files {
            fs::write(folder.join(name), text).with_context(|| format!("copying {name}"))?;
        }
        for step in self.build {
            let mut command = words(step, &folder);
            run(command.current_dir(&folder))?;
        }
        fs::write(&stamp, current).with_context(|| format!("writing {}", stamp.display()))
    }

    /// Where it is built: beside what cargo builds, so that `cargo clean` clears it too.
    fn folder(&self) -> Result<PathBuf> {
        let program = std::env::current_exe().context("the path of this program")?;
        let target = program.ancestors().nth(2).context("the target folder")?;
        Ok(target.join("bench-peers").join(self.name))
    }
}

/// A command line with the folder put in.
fn words(words: &[&str], folder: &Path) -> Command {
    let mut words = words.iter().map(|word| word.replace("{}", &folder.display().to_string()));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn read_files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}

fn need(program: &str, version: &str, package: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`{program}` is not installed (Debian's package {package})")
        }
        Err(error) => Err(error).with_context(|| format!("starting {program}")),
        Ok(_) => Ok(()),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {shown}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::PEERS;

    #[test]
    fn every_peer_has_a_folder_with_what_its_commands_name() {
        for peer in PEERS {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer.kit.source);
            let files = read_files(&source).expect("its folder");
            let run = peer.kit.run.iter().filter_map(|word| word.strip_prefix("{}/"));
            for name in run.filter(|name| Path::new(name).extension().is_some()) {
                assert!(files.contains_key(name), "{name}");
            }
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let error = need("no-such-program", "--version", "some-package").expect_err("it is not there");
        assert!(error.to_string().contains("`no-such-program` is not installed (Debian's package some-package)"));
        assert!(need("true", "--version", "coreutils").is_ok());
    }

    #[test]
    fn the_folder_is_put_into_commands() {
        let command = words(JAVA.run, Path::new("/there"));
        let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        assert_eq!(args[1], "/there/classes:/there/jars/*");
    }
}
