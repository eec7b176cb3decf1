//! Programs in C and C++: compiled, and run with a limit of time.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::needs::Need;
use crate::parts::{root, succeed};

/// For the tests of libksem.
pub(crate) const NEEDS: [Need; 3] = [
    Need::new("valgrind", "--version", "the C and C++ interface is run under it", "valgrind"),
    Need::new("pkg-config", "--version", "the installed library is found with it", "pkg-config"),
    Need::new("cmake", "--version", "the installed library is found with it", "cmake"),
];

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The language of a source, by its name.
pub(crate) enum Language {
    C,
    Cpp,
}

impl Language {
    pub(crate) fn of(source: &Path) -> Self {
        if source.extension() == Some(OsStr::new("cpp")) { Self::Cpp } else { Self::C }
    }

    /// The compiler with the standard that is promised, and every warning an error.
    pub(crate) fn compiler(&self) -> Command {
        let (program, standard) = match self {
            Self::C => ("cc", "-std=c11"),
            Self::Cpp => ("c++", "-std=c++17"),
        };
        let mut command = Command::new(program);
        command.arg(standard).args(STRICT);
        command
    }
}

/// Where the programs and a prefix with libksem are.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = root().join("target/c");
    fs::create_dir_all(&folder).context("making target/c")?;
    Ok(folder)
}

/// Compiles a test against libksem in a prefix; `flags` are in its name.
pub(crate) fn compile(source: &Path, prefix: &Path, flags: &[&str]) -> Result<PathBuf> {
    let name = source.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
    let program = folder()?.join(format!("{name}{}", flags.concat().replace(['=', ','], "-")));
    let mut compiler = Language::of(source).compiler();
    // POSIX, for threads and signals.
    compiler.args(["-g", "-O1", "-pthread", "-D_DEFAULT_SOURCE"]).args(flags).arg(source).arg("-o").arg(&program);
    compiler.arg("-I").arg(prefix.join("include")).arg("-L").arg(prefix.join("lib")).arg("-lksem");
    succeed(compiler.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display())))?;
    Ok(program)
}

/// Runs a program that has to end by itself within the limit, with status 0.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let status = end(command.stdin(Stdio::null()), limit)?;
    ensure!(status.success(), "{}: {status}", shown(command));
    Ok(())
}

/// Waits for the end; a program that takes longer is killed.
pub(crate) fn end(command: &mut Command, limit: Duration) -> Result<std::process::ExitStatus> {
    let mut child = command.spawn().with_context(|| format!("starting {}", shown(command)))?;
    let until = std::time::Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if std::time::Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("{} took longer than {} s", shown(command), limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn shown(command: &Command) -> String {
    format!("{command:?}").replace('"', "")
}
