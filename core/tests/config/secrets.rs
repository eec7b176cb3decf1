//! Secrets: never shown, and taken from the environment or a file.

use std::io::Write;

use ksem::config::librdkafka::property_names;
use ksem::config::{Config, ProblemKind, shown};

use crate::{only, parse, sound, text};

const CANARY: &str = "canary-8d1f";

#[test]
fn secrets_are_never_shown() {
    let mut config = sound();
    for name in property_names().chain(["no.such.property"]) {
        let value = if name == "bootstrap.servers" { format!("u:{CANARY},x@b:1") } else { CANARY.to_owned() };
        // Harmless names never hold a secret, so they are checked for one in front of an `@` only.
        let harmless = shown(name, "plain") == "plain";
        let value = if harmless { format!("u:{CANARY}@b") } else { value };
        config.kafka.set(name, value);
    }
    config.exec.command = Some(format!("handler --token={CANARY}"));
    let error = config.validate().expect_err("many problems");
    for shown in [format!("{config:?}"), format!("{config:#?}"), config.kafka.to_string(), format!("{error} {error:?}")]
    {
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains("kafka") || shown.contains("***"));
    }
    for name in ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.client.secret", "sasl.username"]
    {
        assert_eq!(shown(name, CANARY), "***");
    }
    let wrong = [
        text("", &format!("sasl.password = {CANARY}")),
        text("", &format!("sasl.password = \"{CANARY}")),
        text("", &format!("sasl.password = [\"{CANARY}\"]")),
        text("", &format!("sasl.pasword = \"{CANARY}\"")),
        text("", &format!("sasl.password = \"file:/no/such/file\"\nacks = \"{CANARY}\"")),
        text("", &format!("sasl.password = \"{CANARY}\\u0000\"")),
        text(&format!("guarantee = \"{CANARY}\""), &format!("[batch]\nmax_records = \"{CANARY}\"")),
    ];
    for text in wrong {
        let error = parse(&text).expect_err(&text);
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
    let error =
        Config::from_json_str(&format!("{{\"kafka\":{{\"sasl.password\":\"{CANARY}\" x"), "json").expect_err("JSON");
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
}

#[test]
fn secrets_are_resolved_by_reference() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{CANARY}").expect("written");
    let path = file.path().display();
    let config = parse(&text("", &format!(
        "sasl.password = \"file:{path}\"\nsasl.username = \"env:CARGO_PKG_NAME\"\nclient.id = \"env:CARGO_PKG_NAME\""
    )))
    .expect("resolved");
    assert_eq!(config.kafka.get("sasl.password"), Some(CANARY));
    assert_eq!(config.kafka.get("sasl.username"), Some("ksem"));
    assert_eq!(config.kafka.get("client.id"), Some("env:CARGO_PKG_NAME"), "only secrets are references");

    let empty = tempfile::NamedTempFile::new().expect("a file");
    let empty = format!("file:{}", empty.path().display());
    for reference in ["env:KSEM_TEST_UNSET", "env:", "env:A=B", "file:", "file:/no/such/file", empty.as_str()] {
        only(&text("", &format!("sasl.password = \"{reference}\"")), "kafka.sasl.password", ProblemKind::Missing);
    }
    let mut config = sound();
    config.kafka.set("sasl.password", "env:CARGO_PKG_NAME");
    config.resolve_secrets().expect("set");
    assert_eq!(config.kafka.get("sasl.password"), Some("ksem"));
}
