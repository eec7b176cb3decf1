//! Secrets given by reference: `env:NAME` and `file:/path` in place of the value.

use std::fs::File;
use std::io::Read;

use super::kafka::KafkaProperties;
use super::problem::{ProblemKind, Problems};
use super::properties;

/// No key or certificate is larger; a wrong path (a device, a log) ends here.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// Replaces every reference by what it refers to. Only librdkafka's sensitive properties may hold one.
pub(super) fn resolve(kafka: &mut KafkaProperties, problems: &Problems) {
    for (name, value) in kafka.values_mut() {
        if !properties::is_secret(name) {
            continue;
        }
        let found = if let Some(variable) = value.strip_prefix("env:") {
            from_environment(variable)
        } else if let Some(path) = value.strip_prefix("file:") {
            from_file(path)
        } else {
            continue;
        };
        match found {
            Ok(secret) => *value = secret,
            Err(message) => problems.add(&format!("kafka.{name}"), ProblemKind::Missing, message),
        }
    }
}

fn from_environment(variable: &str) -> Result<String, String> {
    // `env:` alone, or with `=` or NUL in the name, can't be a variable and must not panic.
    let value = if variable.is_empty() || variable.contains(['=', '\0']) { None } else { std::env::var_os(variable) };
    let problem = match value.map(std::ffi::OsString::into_string) {
        Some(Ok(secret)) if !secret.is_empty() => return Ok(secret),
        Some(Ok(_)) => "is empty",
        Some(Err(_)) => "is not UTF-8",
        None => "is not set",
    };
    Err(format!("the environment variable `{}` {problem}; set it before ksem starts", variable.escape_debug()))
}

fn from_file(path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes));
    let problem = match read.map(|_| String::from_utf8(bytes)) {
        Err(error) => format!("can't be read ({error})"),
        Ok(Ok(text)) if text.len() as u64 > MAX_SECRET_BYTES => "is larger than 1 MiB".to_owned(),
        Ok(Ok(text)) => match text.trim_end_matches(['\r', '\n']) {
            "" => "is empty".to_owned(),
            secret => return Ok(secret.to_owned()),
        },
        Ok(Err(_)) => "is not UTF-8".to_owned(),
    };
    Err(format!("the file `{}` {problem}; write the secret into it or name another file", path.escape_debug()))
}
