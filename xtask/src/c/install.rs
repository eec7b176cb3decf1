//! `cargo xtask install --prefix DIR`: the library, its headers, and what pkg-config and `CMake` need to find them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::parts::{root, succeed};
use crate::test::{built_file, cargo_on_all};

/// All packages have one version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The interface's version, as in the library's soname (bindings-c/build.rs).
const SONAME: &str = "libksem.so.0";

/// What a program that links `libksem.a` needs besides: what `rustc --print native-static-libs` says.
const STATIC_LIBS: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-lrt"];

/// Builds and installs.
pub(crate) fn run(prefix: &Path) -> Result<()> {
    cargo_on_all("build", &["--lib"])?;
    into(prefix, Symbols::Public)?;
    eprintln!("installed libksem {VERSION} in {}", prefix.display());
    Ok(())
}

/// Which names stay in the libraries.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Symbols {
    /// The interface's: debug information is ten times the library.
    Public,
    /// All, for tools that show where something happened.
    All,
}

/// Installs what was built.
pub(crate) fn into(prefix: &Path, symbols: Symbols) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "installing libksem is written for Linux; on others, copy it by hand");
    for header in ["ksem.h", "ksem.hpp"] {
        copy(&root().join("include").join(header), &prefix.join("include").join(header))?;
    }
    let lib = prefix.join("lib");
    let whole = format!("libksem.so.{VERSION}");
    copy(&built_file("libksem_c.so")?, &lib.join(&whole))?;
    copy(&built_file("libksem_c.a")?, &lib.join("libksem.a"))?;
    if symbols == Symbols::Public {
        strip(&lib.join(&whole), "--strip-unneeded");
        strip(&lib.join("libksem.a"), "--strip-debug");
    }
    for (name, target) in [(SONAME, whole.as_str()), ("libksem.so", SONAME)] {
        let link = lib.join(name);
        let _ = fs::remove_file(&link);
        symlink(target, &link).with_context(|| format!("linking {}", link.display()))?;
    }
    fill("ksem.pc.in", &lib.join("pkgconfig/ksem.pc"))?;
    fill("ksem-config.cmake.in", &lib.join("cmake/ksem/ksem-config.cmake"))?;
    fill("ksem-config-version.cmake.in", &lib.join("cmake/ksem/ksem-config-version.cmake"))?;
    let doc = prefix.join("share/doc/ksem");
    copy(&root().join("bindings-c/README.md"), &doc.join("README.md"))?;
    copy(&root().join("LICENSE"), &doc.join("LICENSE"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    // A program that has the old file open keeps it.
    let _ = fs::remove_file(to);
    fs::copy(from, to).map(drop).with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// Without the tool, everything stays.
fn strip(file: &Path, how: &str) {
    let stripped = succeed(Command::new("strip").arg(how).arg(file).stderr(Stdio::null()));
    if let Err(error) = stripped {
        eprintln!("not stripped: {error:#}");
    }
}

fn fill(template: &str, to: &Path) -> Result<()> {
    let from = root().join("bindings-c/packaging").join(template);
    let text = fs::read_to_string(&from).with_context(|| format!("reading {}", from.display()))?;
    let mut parts = VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // CMake wants a list, pkg-config a line.
    let separator = if template.ends_with(".cmake.in") { ";" } else { " " };
    let text = text
        .replace("@VERSION@", VERSION)
        .replace("@MAJOR@", major)
        .replace("@MINOR@", minor)
        .replace("@STATIC_LIBS@", &STATIC_LIBS.join(separator));
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::write(to, text).with_context(|| format!("writing {}", to.display()))
}
