//! What the tests need besides Rust, and how a machine gets it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::parts::succeed;

/// A program that has to be there.
pub(crate) struct Need {
    program: &'static str,
    version: &'static str,
    why: &'static str,
    debian: &'static str,
}

impl Need {
    /// A program, the argument that makes it say its version, what it is for, and Debian's package.
    pub(crate) const fn new(
        program: &'static str,
        version: &'static str,
        why: &'static str,
        debian: &'static str,
    ) -> Self {
        Self { program, version, why, debian }
    }
}

/// To compile librdkafka and OpenSSL.
pub(crate) const TO_BUILD: [Need; 4] = [
    Need { program: "cc", version: "--version", why: "librdkafka is written in C", debian: "build-essential" },
    Need { program: "c++", version: "--version", why: "librdkafka's build checks for it", debian: "build-essential" },
    Need { program: "make", version: "--version", why: "librdkafka is built with it", debian: "make" },
    Need { program: "perl", version: "-v", why: "OpenSSL's build is written in it", debian: "perl" },
];

/// To run real Kafka nodes.
pub(crate) const FOR_KAFKA: [Need; 2] = [
    Need {
        program: "java",
        version: "-version",
        why: "the tests run real Kafka nodes (Java 17 or later)",
        debian: "default-jre-headless",
    },
    Need {
        program: "mvn",
        version: "-version",
        why: "Kafka's jars come from Maven's central repository, once",
        debian: "maven",
    },
];

/// To count instructions.
pub(crate) const FOR_INSTRUCTIONS: [Need; 1] = [Need {
    program: "valgrind",
    version: "--version",
    why: "instructions of the hot path are counted with its tool callgrind",
    debian: "valgrind",
}];

/// To test and to package for Python.
pub(crate) const FOR_PYTHON: [Need; 1] = [Need {
    program: "python3",
    version: "--version",
    why: "the Python package is tested in an environment of its own (CPython 3.9 or later)",
    debian: "python3-venv",
}];

/// To test and to package for Node.js.
pub(crate) const FOR_NODE: [Need; 2] = [
    Need {
        program: "node",
        version: "--version",
        why: "the Node.js package is tested with it (18 or later)",
        debian: "nodejs",
    },
    Need {
        program: "npm",
        version: "--version",
        why: "what checks types comes with it, and it makes the package",
        debian: "npm",
    },
];

/// Makes sure that everything is there; installs it on Debian and Ubuntu where it may.
pub(crate) fn provide(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {} ({}), package {}", need.program, need.why, need.debian);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.debian).collect();
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("install {} and try again", packages.join(" "));
    }
    eprintln!("installing {}", packages.join(" "));
    let install = "apt-get update -q && apt-get install -y -q --no-install-recommends \"$@\"";
    let as_root = succeed(Command::new("sh").args(["-c", install, "sh"]).args(&packages));
    if as_root.is_err() {
        bail!("could not install; run: sudo apt-get install {}", packages.join(" "));
    }
    match missing.iter().find(|need| !is_there(need)) {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after installing {}", need.program, need.debian),
    }
}

fn is_there(need: &Need) -> bool {
    let quiet = Command::new(need.program).arg(need.version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}
