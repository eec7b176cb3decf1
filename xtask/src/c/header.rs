//! `include/ksem.h`: made from the crate's sources by cbindgen, and from the core's table of errors.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};

use crate::parts::root;

/// The sources, in the order in which a reader wants their declarations.
const SOURCES: [&str; 11] =
    ["constants", "error", "batch", "output", "handler", "report", "metrics", "attempt", "pipeline", "broker", "table"];
/// Those that only the last part of a program needs.
const LAST: &str = "log";

/// What holds for every function.
const RULES: &str = "\
/* ksem: at-most-once, at-least-once and exactly-once read-process-write for Kafka.
 *
 * Made by `cargo xtask gen` from bindings-c/src. Changes go there.
 *
 * What holds for every function:
 *
 * - A function that can fail returns KSEM_OK or the error's code. `error`, its last argument, may be NULL; if not, it gets NULL,
 *   or a handle with the details, to be freed with ksem_error_free. Out parameters for handles get NULL unless it succeeds.
 * - What ksem hands out by `*_new`, `*_start`, `*_open_*` or an out parameter is freed once with the `*_free` of its type, whatever
 *   was done with it in between. Handles that are returned as a value belong to the one that they were asked from.
 * - A NULL handle, NULL text and text that is no UTF-8 are errors (KSEM_MISUSE), where NULL is not allowed by name; functions
 *   that can't fail return 0, NULL or an empty array for them. A handle that was freed must not be used.
 * - Texts end with NUL. What a call is given is copied, or not needed after the call.
 * - A pipeline and a broker may be used by several threads at once, any other handle by one at a time.
 * - The numbers of codes and constants never change.
 */";

pub(crate) fn path() -> PathBuf {
    root().join("include/ksem.h")
}

/// Writes the header.
pub(crate) fn write() -> Result<()> {
    fs::write(path(), text()?).with_context(|| format!("writing {}", path().display()))
}

/// Fails if what is committed is not what would be written.
pub(crate) fn check() -> Result<()> {
    let committed = fs::read_to_string(path()).with_context(|| format!("reading {}", path().display()))?;
    ensure!(committed == text()?, "include/ksem.h is not what its sources say; run `cargo xtask gen`");
    Ok(())
}

fn text() -> Result<String> {
    let config = Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Both,
        documentation_style: DocumentationStyle::C99,
        include_guard: Some("KSEM_H".into()),
        header: Some(RULES.into()),
        after_includes: Some(format!("\n{}{}", version()?, codes()?)),
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        usize_is_size_t: true,
        line_length: 120,
        tab_width: 4,
        ..Config::default()
    };
    let sources = SOURCES.iter().chain([&LAST]).map(|name| root().join(format!("bindings-c/src/{name}.rs")));
    let builder = sources.fold(Builder::new().with_config(config), Builder::with_src);
    let bindings = builder.generate().context("making the header")?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).context("the header")
}

/// The version, from the one place where it is written.
fn version() -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let parts: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().context("the version")?;
    let [major, minor, patch] = parts[..] else { return Err(anyhow!("{version} has not three parts")) };
    let number = major * 10_000 + minor * 100 + patch;
    Ok(format!(
        "/* The version of this header; `ksem_version` returns the library's. */\n#define KSEM_VERSION \"{version}\"\n\
         /* The same as a number: major * 10000 + minor * 100 + patch. */\n#define KSEM_VERSION_NUMBER {number}\n"
    ))
}

/// The codes, from the rows of the core's table: `1001 ConfigInvalid "config_invalid" Config Never NotApplied "…"`.
fn codes() -> Result<String> {
    let table = fs::read_to_string(root().join("core/src/error.rs")).context("reading the core's errors")?;
    let rows =
        table.split_once("\nerror_codes! {\n").and_then(|(_, rest)| rest.split_once("\n}")).map(|(rows, _)| rows);
    let mut text = String::new();
    for row in rows.context("core/src/error.rs has no table of errors")?.lines() {
        let [number, name, doc] = columns(row).with_context(|| format!("not a row of the table of errors: {row}"))?;
        let doc = doc.replace("\\\"", "\"");
        write!(text, "\n/* {doc} */\n#define KSEM_{} {number}", name.to_uppercase())?;
    }
    Ok(text)
}

fn columns(row: &str) -> Option<[&str; 3]> {
    let mut quoted = row.split('"');
    let number = quoted.next()?.split_whitespace().next()?;
    let name = quoted.next()?;
    let doc = quoted.skip(1).collect::<Vec<_>>();
    // A doc may quote: it goes to the last quote of the row.
    let start = row.find(doc.first()?)?;
    Some([number, name, row.get(start..row.rfind('"')?)?])
}
