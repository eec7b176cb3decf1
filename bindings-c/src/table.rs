//! The table of error codes, the other words of the core as C strings, and the version.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use ksem::error::{Code, Outcome, Result};
use ksem::{Applied, Guarantee};

use crate::boundary::{c_text, guard, misuse, value};
use crate::constants::{self, ksem_applied, ksem_guarantee, ksem_status};
use crate::error::ksem_error;

static WORDS: LazyLock<HashMap<&'static str, CString>> = LazyLock::new(|| {
    let of_code =
        |code: &Code| [code.name(), code.doc(), code.class().name(), code.retry().name(), code.outcome().name()];
    let of_codes = Code::ALL.iter().flat_map(of_code);
    let of_outcomes = [Outcome::NotApplied, Outcome::Applied, Outcome::Unknown].map(Outcome::name);
    let of_applied = [Applied::Applied, Applied::Lost, Applied::Redelivered].map(Applied::name);
    let all = of_codes.chain(of_outcomes).chain(of_applied).chain(Guarantee::ALL.map(Guarantee::name));
    all.map(|word| (word, c_text(word))).collect()
});

/// A word of the core, for C. It lives as long as the process.
pub(crate) fn word(word: &'static str) -> *const c_char {
    WORDS.get(word).map_or(c"".as_ptr(), |word| word.as_ptr())
}

fn code(status: ksem_status) -> Result<Code> {
    let found = Code::ALL.iter().find(|code| code.number() as ksem_status == status);
    found.copied().ok_or_else(|| misuse(format!("{status} is no code")))
}

/// Returns how many error codes there are.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_count() -> usize {
    Code::ALL.len()
}

/// Returns an error code, in the order of the numbers; 0 behind the last one.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_at(index: usize) -> ksem_status {
    Code::ALL.get(index).map_or(0, |code| code.number() as ksem_status)
}

/// Returns a code's name, such as `producer_fenced`; NULL for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_name(status: ksem_status) -> *const c_char {
    value(std::ptr::null(), || Ok(word(code(status)?.name())))
}

/// Returns one sentence about a code; NULL for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_doc(status: ksem_status) -> *const c_char {
    value(std::ptr::null(), || Ok(word(code(status)?.doc())))
}

/// Returns a code's class, as `ksem_error_class` does; NULL for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_class(status: ksem_status) -> *const c_char {
    value(std::ptr::null(), || Ok(word(code(status)?.class().name())))
}

/// Returns what a code's caller should do, as `ksem_error_retry` does; NULL for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_retry(status: ksem_status) -> *const c_char {
    value(std::ptr::null(), || Ok(word(code(status)?.retry().name())))
}

/// Returns a code's usual outcome; NULL for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_code_outcome(status: ksem_status) -> *const c_char {
    value(std::ptr::null(), || Ok(word(code(status)?.outcome().name())))
}

/// Reads a guarantee's name, such as `exactly_once`; hyphens and capitals are accepted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ksem_guarantee_parse(
    name: *const c_char,
    guarantee: *mut ksem_guarantee,
    error: *mut *mut ksem_error,
) -> ksem_status {
    guard(error, || {
        let found: Guarantee =
            text!(name)?.parse().map_err(|error: ksem::UnknownGuarantee| misuse(error.to_string()))?;
        put!(guarantee, found as ksem_guarantee);
        Ok(())
    })
}

/// Returns a guarantee's name; NULL for a number that is no guarantee.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_guarantee_name(guarantee: ksem_guarantee) -> *const c_char {
    value(std::ptr::null(), || Ok(word(constants::guarantee(guarantee)?.name())))
}

/// Returns the name of what became of a batch: "applied", "lost" or "redelivered"; NULL for another number.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_applied_name(applied: ksem_applied) -> *const c_char {
    let all = [Applied::Applied, Applied::Lost, Applied::Redelivered];
    let found = all.into_iter().find(|item| *item as ksem_applied == applied);
    found.map_or(std::ptr::null(), |item| word(item.name()))
}

/// Returns the version of the library, such as "0.1.0". The header's `KSEM_VERSION` is what a program was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn ksem_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}
