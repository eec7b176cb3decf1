//! The Node.js package: its types, its tests, and the package itself.

use std::env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::needs::{self, FOR_NODE};
use crate::parts::{root, succeed};
use crate::test::{built, built_file};

/// Runs the package's own tests on the addon that the workspace's build has made.
pub(crate) fn tests() -> Result<()> {
    assemble()?;
    let mut node = Command::new("node");
    node.args(["--expose-gc", "--test"]).args(test_files()?).current_dir(package_folder());
    succeed(node.env("KSEM_EXAMPLE", work_folder()?.join("orders.mjs")))
}

/// By name: versions of Node.js differ in what they make of a folder.
fn test_files() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(package_folder().join("test"))?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect())
}

/// Checks that the types are those of the source, and that what uses them compiles.
pub(crate) fn types() -> Result<()> {
    install()?;
    generate(true)?;
    succeed(
        Command::new("npx")
            .args(["--no-install", "tsc", "--project", "test/tsconfig.json"])
            .current_dir(package_folder()),
    )
}

/// Writes `lib/native.d.ts` from what the build has found in the source, or checks it.
pub(crate) fn generate(check: bool) -> Result<()> {
    install()?;
    let mut script = Command::new("node");
    script.arg("scripts/types.mjs").arg(built("ksem")?.with_file_name("ksem-node-types"));
    succeed(script.args(check.then_some("--check")).current_dir(package_folder()))
}

/// Makes `dist/ksem-VERSION.tgz` with this platform's addon, and uses it in a folder that has nothing else.
pub(crate) fn package() -> Result<()> {
    needs::provide(&FOR_NODE)?;
    let dist = root().join("dist");
    fs::create_dir_all(&dist)?;
    let addon = assemble()?;
    if OS == "linux" {
        // The line tables are larger than the code.
        succeed(Command::new("strip").arg("--strip-debug").arg(&addon))?;
    }
    fs::copy(root().join("LICENSE"), package_folder().join("LICENSE"))?;
    succeed(npm(&["pack", "--silent", "--pack-destination"]).arg(&dist).current_dir(package_folder()))?;
    let archive = dist.join(format!("ksem-{}.tgz", env!("CARGO_PKG_VERSION")));
    ensure!(archive.exists(), "npm has made no {}", archive.display());
    let empty = work_folder()?.join("empty");
    if empty.exists() {
        fs::remove_dir_all(&empty)?;
    }
    fs::create_dir_all(&empty)?;
    fs::write(empty.join("package.json"), "{ \"private\": true }\n")?;
    // Nothing but the archive: no registry, and no compiler.
    succeed(npm(&["install", "--offline", "--no-audit", "--no-fund", "--silent"]).arg(&archive).current_dir(&empty))?;
    for (from, to) in
        [("examples/node/orders.mjs", "orders.mjs"), ("bindings-node/test/example.test.mjs", "example.test.mjs")]
    {
        fs::copy(root().join(from), empty.join(to))?;
    }
    succeed(Command::new("node").args(["-e", "require('ksem/testing')"]).current_dir(&empty))?;
    succeed(Command::new("node").args(["--test", "example.test.mjs"]).current_dir(&empty))
}

/// The command that starts the conformance driver.
pub(crate) fn driver() -> Result<Vec<String>> {
    program("driver.mjs")
}

/// The command that starts the bench's program.
pub(crate) fn layer() -> Result<Vec<String>> {
    program("layer.mjs")
}

/// The command that starts one of the programs that use the package.
fn program(name: &str) -> Result<Vec<String>> {
    assemble()?;
    Ok(vec!["node".into(), work_folder()?.join(name).display().to_string()])
}

/// Puts the addon where the package looks for it, and the programs that use the package where they find it.
fn assemble() -> Result<PathBuf> {
    needs::provide(&FOR_NODE)?;
    let native = package_folder().join("native");
    fs::create_dir_all(&native)?;
    let addon = native.join(format!("ksem.{}.node", platform()));
    let module = built_file(&format!("{DLL_PREFIX}ksem_node{DLL_SUFFIX}"))?;
    // A process that still has the old one keeps it.
    let fresh = native.join("fresh");
    fs::copy(&module, &fresh).with_context(|| format!("{}: build the workspace first", module.display()))?;
    fs::rename(fresh, &addon)?;
    let folder = work_folder()?;
    link(&package_folder(), &folder.join("node_modules/ksem"))?;
    let bench = ["bench/peers/node/job.mjs", "bench/peers/node/layer.mjs"];
    for program in ["examples/node/orders.mjs", "tests/drivers/node/driver.mjs"].iter().chain(&bench) {
        let source = root().join(program);
        fs::copy(&source, folder.join(source.file_name().unwrap_or_default()))?;
    }
    Ok(addon)
}

fn link(package: &Path, at: &Path) -> Result<()> {
    fs::create_dir_all(at.parent().context("a folder")?)?;
    let _ = fs::remove_file(at);
    #[cfg(unix)]
    std::os::unix::fs::symlink(package, at)?;
    #[cfg(windows)]
    std::os::windows::fs::symlink_dir(package, at)?;
    Ok(())
}

/// What the package's own tests need, as the lock file says. Once for each lock file.
fn install() -> Result<()> {
    needs::provide(&FOR_NODE)?;
    let wanted = fs::read_to_string(package_folder().join("package-lock.json"))?;
    let stamp = package_folder().join("node_modules/package-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    succeed(npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(package_folder()))?;
    fs::write(stamp, wanted)?;
    Ok(())
}

fn npm(args: &[&str]) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.args(args);
    command
}

fn package_folder() -> PathBuf {
    root().join("bindings-node")
}

fn work_folder() -> Result<PathBuf> {
    let folder = root().join("target/node");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// This platform, as `lib/native.js` names it.
fn platform() -> String {
    let system = match OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let architecture = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let abi = match OS {
        "linux" if cfg!(target_env = "musl") => "-musl",
        "linux" => "-gnu",
        "windows" => "-msvc",
        _ => "",
    };
    format!("{system}-{architecture}{abi}")
}
