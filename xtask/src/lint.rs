//! `cargo xtask lint`: formatting, clippy, and the rules that are the project's own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::c;
use crate::needs::{self, TO_BUILD};
use crate::parts::{Parts, cargo, root, succeed};

/// No source file is longer than this, and no file of tests longer than that.
const MOST_LINES: usize = 500;
const MOST_LINES_OF_TESTS: usize = 800;

pub(crate) fn run() -> Result<()> {
    needs::provide(&TO_BUILD)?;
    let mut parts = Parts::default();
    parts.run("formatting", || succeed(&mut cargo(&["fmt", "--all", "--check"])));
    parts.run("clippy", || {
        succeed(&mut cargo(&["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    });
    parts.run("documentation", || {
        let mut command = cargo(&["doc", "--release", "--no-deps", "--workspace", "--quiet"]);
        succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    parts.run("layers", layers);
    parts.run("C header", c::header::check);
    parts.run("file sizes", sizes);
    parts.conclude()
}

/// Which words a folder's files may not contain: `ARCHITECTURE.md` says why.
const LAYERS: &[(&str, &[&str], &str)] = &[
    (
        "core/src/discipline",
        &["crate::engine", "crate::kafka", "std::time", "std::thread", "rdkafka"],
        "the disciplines are pure",
    ),
    ("core/src/engine", &["rdkafka_sys", "rdkafka::", "unsafe "], "librdkafka is named in core/src/kafka only"),
    ("core/src/config", &["rdkafka_sys", "crate::engine", "crate::kafka", "unsafe "], "configuration is data"),
    ("cli/src", &["rdkafka::", "rdkafka_sys", "unsafe "], "the command line uses the public interface"),
    ("bindings-python/src", &["rdkafka", "unsafe "], "the Python layer uses the public interface"),
    ("bindings-node/src", &["rdkafka::", "rdkafka_sys", "unsafe "], "the layer uses the public interface"),
    ("broker/src", &["rdkafka_sys", "unsafe "], "the embedded broker shares nothing with ksem's client"),
    ("bindings-c/src", &["rdkafka"], "the bindings use the public interface"),
    ("testkit/src", &["rdkafka", "ksem::", "unsafe "], "the judge shares no code with what it judges"),
];

fn layers() -> Result<()> {
    let mut broken = Vec::new();
    for (folder, words, why) in LAYERS {
        for file in sources(&root().join(folder))? {
            for (index, line) in fs::read_to_string(&file)?.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| code.contains(**word)) {
                    broken.push(format!("{}:{}: `{word}`: {why}", file.display(), index + 1));
                }
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("\n")) }
}

fn sizes() -> Result<()> {
    let mut long = Vec::new();
    for folder in [
        "core",
        "broker",
        "cli",
        "bindings-python",
        "bindings-c",
        "bindings-node",
        "testkit",
        "tests",
        "bench",
        "xtask",
    ] {
        for file in sources(&root().join(folder))? {
            let lines = fs::read_to_string(&file)?.lines().count();
            let tests = file.components().any(|part| part.as_os_str() == "tests");
            let most = if tests { MOST_LINES_OF_TESTS } else { MOST_LINES };
            if lines > most {
                long.push(format!("{}: {lines} lines, at most {most}", file.display()));
            }
        }
    }
    if long.is_empty() { Ok(()) } else { bail!("{}", long.join("\n")) }
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
