//! Gives the shared library the name under which programs look for it: the version of its interface is a part of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let argument = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "-Wl,-install_name,@rpath/libksem.0.dylib",
        Ok("windows") => return,
        _ => "-Wl,-soname,libksem.so.0",
    };
    println!("cargo::rustc-cdylib-link-arg={argument}");
}
