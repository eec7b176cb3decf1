//! Sets up the link for Node.js, and where the macros put the types that they find in the source.

use std::path::PathBuf;

fn main() {
    napi_build::setup();
    println!("cargo::rerun-if-changed=build.rs");
    // target/release/build/ksem-node-0123456789abcdef/out
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    let Some(profile) = out.ancestors().nth(3) else { return };
    let types = profile.join("ksem-node-types");
    if std::fs::create_dir_all(&types).is_ok() {
        println!("cargo::rustc-env=NAPI_TYPE_DEF_TMP_FOLDER={}", types.display());
    }
}
