//! The binary under test.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Returns where the `ksem` binary is: `KSEM_BIN`, or the one that Cargo builds next to this test, which is made or
/// brought up to date by the first call.
///
/// # Panics
/// If it can't be built.
pub fn ksem_binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("KSEM_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    // target/release/deps/test-0123456789abcdef
    let target = test.ancestors().nth(3).expect("a test lies in Cargo's target folder");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "ksem-cli", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .expect("running Cargo");
    assert!(status.success(), "Cargo could not build ksem: {status}");
    target.join("release").join("ksem")
}
