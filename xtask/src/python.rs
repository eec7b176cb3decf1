//! The Python package: its tests, and the wheel.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::needs::{self, FOR_PYTHON};
use crate::parts::{forget_cargo, root, succeed};
use crate::test::built_file;

/// Runs the package's own tests on the module that the workspace's build has made.
pub(crate) fn tests() -> Result<()> {
    succeed(
        python()?
            .args(["-m", "pytest", "-q", "-p", "ksem.pytest_plugin", "-o"])
            .arg(format!("cache_dir={}", folder()?.join("pytest").display()))
            .current_dir(root().join("bindings-python")),
    )
}

/// Checks the types of the package and of what uses it, and the stubs against the module.
pub(crate) fn types() -> Result<()> {
    let cache = folder()?.join("mypy");
    let package = folder()?.join("package");
    let mypy = |targets: &[&str]| -> Result<()> {
        let mut command = python()?;
        command.args(["-m", "mypy", "--strict", "--config-file", "bindings-python/pyproject.toml", "--cache-dir"]);
        succeed(command.arg(&cache).args(targets).current_dir(root()).env("MYPYPATH", &package))
    };
    mypy(&["-p", "ksem"])?;
    mypy(&["bindings-python/tests"])?;
    for folder in ["examples/python", "tests/drivers/python"] {
        for program in fs::read_dir(root().join(folder))? {
            let program = program?.path();
            if program.extension().is_some_and(|extension| extension == "py") {
                mypy(&[&program.display().to_string()])?;
            }
        }
    }
    let mut stubtest = python()?;
    let config = root().join("bindings-python/pyproject.toml");
    stubtest.args(["-m", "mypy.stubtest", "ksem", "--mypy-config-file"]).arg(config);
    succeed(stubtest.current_dir(folder()?).env("MYPYPATH", &package))
}

/// The command that starts the conformance driver.
pub(crate) fn driver() -> Result<Vec<String>> {
    program("tests/drivers/python/driver.py", &[])
}

/// The command that starts the bench's program, with arguments.
pub(crate) fn layer(arguments: &[&str]) -> Result<Vec<String>> {
    program("bench/peers/python/layer.py", arguments)
}

/// The command that starts a program which uses the package.
fn program(file: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let python = tools()?.join("bin/python");
    assemble(&python)?;
    let words = [python.display().to_string(), root().join(file).display().to_string()].into_iter();
    Ok(words.chain(arguments.iter().map(ToString::to_string)).collect())
}

/// Builds the wheel, and uses it in an environment that has nothing else.
pub(crate) fn package() -> Result<()> {
    let dist = root().join("dist");
    fs::create_dir_all(&dist)?;
    for old in wheels(&dist)? {
        fs::remove_file(old)?;
    }
    let tools = tools()?;
    let mut maturin = Command::new(tools.join("bin/maturin"));
    maturin.args(["build", "--release", "--locked", "--manifest-path", "bindings-python/Cargo.toml", "--out"]);
    forget_cargo(&mut maturin);
    succeed(maturin.arg(&dist).current_dir(root()))?;
    let wheel = wheels(&dist)?.pop().context("maturin has made no wheel")?;
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(name.contains("-cp39-abi3-"), "{name} is not for every CPython from 3.9 on");
    let empty = folder()?.join("empty");
    if empty.exists() {
        fs::remove_dir_all(&empty)?;
    }
    venv(&empty)?;
    let python = empty.join("bin/python");
    // Nothing but the wheel: no index, and no compiler.
    succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(&wheel))?;
    succeed(Command::new(&python).arg(root().join("bindings-python/tests/test_example.py")).current_dir(&empty))
}

/// An interpreter that has the package and everything that its tests need.
pub(crate) fn python() -> Result<Command> {
    let python = tools()?.join("bin/python");
    assemble(&python)?;
    Ok(Command::new(python))
}

fn wheels(dist: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(dist)?.map(|entry| entry.map(|entry| entry.path()));
    let files = files.collect::<std::io::Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "whl")).collect())
}

fn folder() -> Result<PathBuf> {
    let folder = root().join("target/python");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The environment of the tests. It is made once, and again when what it should have has changed.
fn tools() -> Result<PathBuf> {
    needs::provide(&FOR_PYTHON)?;
    let tools = folder()?.join("venv");
    let requirements = root().join("bindings-python/requirements-test.txt");
    let (stamp, wanted) = (tools.join("requirements.txt"), fs::read_to_string(&requirements)?);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(tools);
    }
    venv(&tools)?;
    let mut pip = Command::new(tools.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    succeed(&mut pip)?;
    fs::write(stamp, wanted)?;
    Ok(tools)
}

fn venv(folder: &Path) -> Result<()> {
    let made = succeed(Command::new("python3").args(["-m", "venv"]).arg(folder));
    made.context("an environment for Python could not be made; on Debian the package python3-venv is needed for that")
}

/// Puts the sources and the module together, beside the sources, and tells the environment where they are.
fn assemble(python: &Path) -> Result<()> {
    let package = folder()?.join("package");
    let ksem = package.join("ksem");
    fs::create_dir_all(&ksem)?;
    for entry in fs::read_dir(root().join("bindings-python/python/ksem"))? {
        let source = entry?.path();
        if source.is_file() {
            fs::copy(&source, ksem.join(source.file_name().unwrap_or_default()))?;
        }
    }
    let module = built_file(&format!("{DLL_PREFIX}_ksem{DLL_SUFFIX}"))?;
    let target = ksem.join("_ksem.abi3.so");
    // A process that still has the old one keeps it.
    let fresh = ksem.join("_ksem.new");
    fs::copy(&module, &fresh).with_context(|| format!("{}: build the workspace first", module.display()))?;
    fs::rename(fresh, target)?;
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let answer = Command::new(python).args(["-c", ask]).output()?;
    let site = PathBuf::from(String::from_utf8(answer.stdout)?.trim());
    fs::write(site.join("ksem.pth"), format!("{}\n", package.display()))?;
    Ok(())
}
