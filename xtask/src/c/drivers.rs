//! The conformance drivers of C and C++ (tests/PROTOCOL.md): built against what was built of libksem.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::install::{self, Symbols};
use super::programs::{Language, NEEDS, folder};
use crate::needs::{self, Need};
use crate::parts::{root, succeed};

const JSON: [Need; 2] = [
    Need::new("pkg-config", "libcjson", "the driver of C reads JSON with cJSON", "libcjson-dev"),
    Need::new(
        "pkg-config",
        "nlohmann_json",
        "the driver of C++ reads JSON with nlohmann's library",
        "nlohmann-json3-dev",
    ),
];

/// Builds the driver of C, and returns the command that starts it.
pub(crate) fn c() -> Result<Vec<String>> {
    let sources = ["main.c", "handler.c", "json.c"].map(|name| root().join("tests/drivers/c").join(name));
    build("driver-c", &sources, &["-lcjson"])
}

/// Builds the driver of C++, and returns the command that starts it.
pub(crate) fn cpp() -> Result<Vec<String>> {
    build("driver-cpp", &[root().join("tests/drivers/cpp/main.cpp")], &[])
}

/// Builds the bench's program in C, and returns the command that starts it.
pub(crate) fn layer_c() -> Result<Vec<String>> {
    build("layer-c", &[root().join("bench/peers/c/layer.c")], &["-lcjson"])
}

/// Builds the bench's program in C++, and returns the command that starts it.
pub(crate) fn layer_cpp() -> Result<Vec<String>> {
    build("layer-cpp", &[root().join("bench/peers/cpp/layer.cpp")], &[])
}

/// Both are built, start, and end when they are told to.
pub(crate) fn test() -> Result<()> {
    for command in [c()?, cpp()?] {
        let mut driver = Command::new(&command[0]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        if let Some(input) = &mut driver.stdin {
            writeln!(input, r#"{{"id": 1, "do": "exit"}}"#)?;
        }
        let output = driver.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains("\"ok\":{}"), "{command:?} said {said:?}: {}", output.status);
    }
    Ok(())
}

fn build(name: &str, sources: &[PathBuf], libraries: &[&str]) -> Result<Vec<String>> {
    needs::provide(&NEEDS)?;
    needs::provide(&JSON)?;
    let prefix = folder()?.join("prefix");
    install::into(&prefix, Symbols::All)?;
    let program = folder()?.join(name);
    let mut compiler = Language::of(&sources[0]).compiler();
    compiler.args(["-O1", "-g", "-pthread", "-D_DEFAULT_SOURCE"]).args(sources).arg("-o").arg(&program);
    compiler.arg("-I").arg(prefix.join("include")).arg("-L").arg(prefix.join("lib")).arg("-lksem");
    succeed(compiler.args(libraries).arg(format!("-Wl,-rpath,{}", prefix.join("lib").display())))?;
    Ok(vec![program.display().to_string()])
}
