//! The tests of the C and C++ interface: as they are, under the sanitizers, and under valgrind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::header;
use super::install::{self, Symbols};
use super::programs::{self, Language, NEEDS, compile, folder, run};
use crate::needs;
use crate::parts::{root, succeed};

const LIMIT: Duration = Duration::from_secs(120);

/// Rounds of open and close that a process must not grow by.
const ROUNDS: &str = "100";

/// Of addresses, of leaks, and of undefined behaviour.
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn source(name: &str) -> PathBuf {
    root().join("bindings-c/tests").join(name)
}

/// A prefix with what was built.
fn prefix() -> Result<PathBuf> {
    needs::provide(&NEEDS)?;
    let prefix = folder()?.join("prefix");
    install::into(&prefix, Symbols::All)?;
    Ok(prefix)
}

/// The headers by themselves, and the tests.
pub(crate) fn on_the_embedded_broker() -> Result<()> {
    let prefix = prefix()?;
    header::check()?;
    compiles_alone(&prefix, "ksem.h", &Language::C, "c")?;
    compiles_alone(&prefix, "ksem.h", &Language::Cpp, "c++")?;
    compiles_alone(&prefix, "ksem.hpp", &Language::Cpp, "c++")?;
    for name in ["interface.c", "interface.cpp"] {
        run(&mut Command::new(compile(&source(name), &prefix, &[])?), LIMIT)?;
    }
    run(Command::new(compile(&source("rounds.c"), &prefix, &[])?).arg(ROUNDS), LIMIT)
}

fn compiles_alone(prefix: &Path, header: &str, language: &Language, as_language: &str) -> Result<()> {
    let header = prefix.join("include").join(header);
    // As a main file, `#pragma once` and the like would be warned about; ksem has none.
    succeed(language.compiler().args(["-fsyntax-only", "-x", as_language]).arg(header))
}

/// The tests with the sanitizers of addresses, leaks and undefined behaviour.
pub(crate) fn sanitized() -> Result<()> {
    let prefix = prefix()?;
    let sanitized = |program: &Path| {
        let mut command = Command::new(program);
        let suppressions = format!("suppressions={}:print_suppressions=0", source("lsan.supp").display());
        command.env("LSAN_OPTIONS", suppressions).env("ASAN_OPTIONS", "detect_leaks=1:fast_unwind_on_malloc=0");
        command
    };
    let planted = compile(&source("planted.c"), &prefix, &SANITIZERS)?;
    for mistake in ["leak", "use-after-free"] {
        fails(sanitized(&planted).arg(mistake))?;
    }
    for name in ["interface.c", "interface.cpp"] {
        run(&mut sanitized(&compile(&source(name), &prefix, &SANITIZERS)?), LIMIT)?;
    }
    Ok(())
}

/// The tests under valgrind: no leak, and no read of what was not written.
pub(crate) fn under_valgrind() -> Result<()> {
    let prefix = prefix()?;
    let valgrind = |program: &Path| {
        let mut command = Command::new("valgrind");
        // What is lost indirectly hangs on something that is lost definitely.
        command.args(["--quiet", "--leak-check=full", "--show-leak-kinds=definite"]);
        command.args(["--errors-for-leak-kinds=definite", "--error-exitcode=9", "--fair-sched=yes"]);
        command.arg(format!("--suppressions={}", source("valgrind.supp").display())).arg(program);
        command
    };
    let planted = compile(&source("planted.c"), &prefix, &[])?;
    for mistake in ["leak", "use-after-free"] {
        fails(valgrind(&planted).arg(mistake))?;
    }
    for name in ["interface.c", "interface.cpp"] {
        run(&mut valgrind(&compile(&source(name), &prefix, &[])?), LIMIT)?;
    }
    Ok(())
}

/// A mistake that was planted has to be found, or the tool finds nothing.
fn fails(command: &mut Command) -> Result<()> {
    let status = programs::end(command.stdout(Stdio::null()).stderr(Stdio::null()), LIMIT)?;
    ensure!(!status.success(), "{} found nothing", programs::shown(command));
    Ok(())
}
