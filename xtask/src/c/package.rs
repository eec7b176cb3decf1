//! The tar of libksem: made in `dist/`, and used from an empty folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::install::{self, Symbols, VERSION};
use super::programs::{NEEDS, folder, run};
use crate::needs;
use crate::parts::{cargo, root, succeed};
use crate::test::{built, built_file};

const LIMIT: Duration = Duration::from_secs(60);

/// The name of the tar without its ending, and of the folder in it.
fn name() -> String {
    format!("libksem-{VERSION}-{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Makes `dist/libksem-….tar.gz` of what was built, and returns its path.
pub(crate) fn make() -> Result<PathBuf> {
    let staging = folder()?.join("package");
    let _ = fs::remove_dir_all(&staging);
    install::into(&staging.join(name()), Symbols::Public)?;
    let dist = root().join("dist");
    fs::create_dir_all(&dist)?;
    let tar = dist.join(format!("{}.tar.gz", name()));
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(&staging);
    succeed(command.arg("-czf").arg(&tar).arg(name()))?;
    eprintln!("made {}", tar.display());
    Ok(tar)
}

/// Runs the examples on `ksem broker`, and on real Kafka.
pub(crate) fn test() -> Result<()> {
    let (programs, prefix) = examples()?;
    for program in &programs {
        runs(program, &prefix)?;
    }
    // The static one has the first one's group, for which nothing is left there. That in Rust is built with the workspace.
    let rust = built_file("examples/orders")?;
    let names = [&programs[0], &programs[2], &rust].map(|program| program.display().to_string());
    let mut test = cargo(&["test", "--release", "--workspace", "--exclude", "xtask", "--test", "examples"]);
    test.args(["--", "--ignored", "--nocapture"]).env("KSEM_EXAMPLES", names.join("\n"));
    succeed(test.env("LD_LIBRARY_PATH", prefix.join("lib")))
}

/// Unpacks the tar in an empty folder, and builds the examples from there as a user would. Returns them and the prefix.
fn examples() -> Result<([PathBuf; 3], PathBuf)> {
    needs::provide(&NEEDS)?;
    let tar = make()?;
    let place = folder()?.join("unpacked");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    succeed(Command::new("tar").arg("-xzf").arg(&tar).arg("-C").arg(&place))?;
    let prefix = place.join(name());
    for example in ["c/orders.c", "cpp/orders.cpp"] {
        let from = root().join("examples").join(example);
        fs::copy(&from, place.join(from.file_name().unwrap_or_default()))?;
    }
    let programs =
        [with_pkg_config(&place, &prefix)?, with_static_library(&place, &prefix)?, with_cmake(&place, &prefix)?];
    Ok((programs, prefix))
}

fn with_pkg_config(place: &Path, prefix: &Path) -> Result<PathBuf> {
    shell(place, prefix, "cc orders.c $(pkg-config --cflags --libs ksem) -o orders-c")?;
    Ok(place.join("orders-c"))
}

fn with_static_library(place: &Path, prefix: &Path) -> Result<PathBuf> {
    let libksem = "$(pkg-config --variable=libdir ksem)/libksem.a";
    let others = "$(pkg-config --static --libs-only-l ksem | sed 's/-lksem//')";
    shell(place, prefix, &format!("cc orders.c $(pkg-config --cflags ksem) {libksem} {others} -o orders-static"))?;
    Ok(place.join("orders-static"))
}

fn with_cmake(place: &Path, prefix: &Path) -> Result<PathBuf> {
    let project = format!(
        "cmake_minimum_required(VERSION 3.16)\nproject(orders CXX)\nset(CMAKE_CXX_STANDARD 17)\n\
         find_package(ksem {VERSION} REQUIRED)\nadd_executable(orders orders.cpp)\n\
         target_link_libraries(orders PRIVATE ksem::ksem)\n"
    );
    fs::write(place.join("CMakeLists.txt"), project)?;
    shell(
        place,
        prefix,
        "cmake -S . -B build -DCMAKE_PREFIX_PATH=\"$PREFIX\" > cmake.log && cmake --build build >> cmake.log",
    )?;
    Ok(place.join("build/orders"))
}

fn shell(place: &Path, prefix: &Path, line: &str) -> Result<()> {
    let pkg_config = prefix.join("lib/pkgconfig");
    let mut command = Command::new("sh");
    succeed(command.args(["-ec", line]).current_dir(place).env("PKG_CONFIG_PATH", pkg_config).env("PREFIX", prefix))
}

/// Runs an example on a fresh broker, under each guarantee, and looks at what came out.
fn runs(program: &Path, prefix: &Path) -> Result<()> {
    let broker = Broker::start()?;
    let mut produce = Command::new("sh");
    produce.args(["-ec", "seq 1 1000 | \"$KSEM\" produce orders --bootstrap \"$BOOTSTRAP\""]);
    produce.env("KSEM", built("ksem")?).env("BOOTSTRAP", &broker.bootstrap);
    succeed(produce.stdout(Stdio::null()).stderr(Stdio::null()))?;
    for (before, guarantee) in ["at_most_once", "at_least_once", "exactly_once"].into_iter().enumerate() {
        let mut example = Command::new(program);
        example.args([&broker.bootstrap, guarantee]).env("LD_LIBRARY_PATH", prefix.join("lib"));
        run(&mut example, LIMIT)?;
        for (topic, expected) in [("invoices", "invoice for 1000"), ("analytics", "1000")] {
            let records = broker.records(topic)?;
            let (found, wanted) = (records.lines().count(), 1000 * (before + 1));
            ensure!(found == wanted, "{guarantee}: {topic} has {found} records, not {wanted}");
            let last = records.lines().filter(|line| *line == expected).count();
            ensure!(last == before + 1, "{guarantee}: {topic} has {expected:?} {last} times");
        }
    }
    Ok(())
}

/// `ksem broker` in a process of its own, until it is dropped.
struct Broker {
    child: Child,
    bootstrap: String,
}

impl Broker {
    fn start() -> Result<Self> {
        let mut command = Command::new(built("ksem")?);
        command.args(["broker", "--listen", "127.0.0.1:0", "--json"]);
        command.args(["orders:2", "invoices:2", "analytics:2"].iter().flat_map(|topic| ["--topic", topic]));
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting ksem broker")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the broker's output")?;
        let mut broker = Self { child, bootstrap: String::new() };
        BufReader::new(output).read_line(&mut line)?;
        let address = line.split('"').find(|text| text.starts_with("127.0.0.1:"));
        address.with_context(|| format!("the broker said {line:?}"))?.clone_into(&mut broker.bootstrap);
        Ok(broker)
    }

    /// The values of a topic's committed records, one a line.
    fn records(&self, topic: &str) -> Result<String> {
        let mut command = Command::new(built("ksem")?);
        command.args(["consume", topic, "--from-beginning", "--until-end", "--bootstrap", &self.bootstrap]);
        String::from_utf8(command.output()?.stdout).context("the records")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
