//! TOML and JSON: the same fields from both, and an answer to any text.

use ksem::config::{Config, ProblemKind};
use proptest::prelude::*;

use crate::{parse, sound};

#[test]
fn json_has_the_same_fields_and_problems() {
    let json = |text: &str| Config::from_json_str(text, "json");
    let config =
        json(r#"{"group":"g","inputs":["in"],"kafka":{"bootstrap":{"servers":"localhost:9092"}},"batch":null}"#);
    assert_eq!(config.expect("sound"), sound());
    let error =
        json(r#"{"group":7,"inputs":["in"],"kafka":{"bootstrap.servers":"b:1"},"bach":{}}"#).expect_err("wrong");
    assert_eq!(
        error.to_string(),
        "json: group: wrong type: found an integer; set it to a string\njson: bach: unknown field; did you mean `batch`?"
    );
    let kind = |text| json(text).expect_err("wrong").problems[0].kind;
    assert_eq!(kind("{}"), ProblemKind::Empty);
    assert_eq!(kind(""), ProblemKind::Empty);
    assert_eq!(kind("[]"), ProblemKind::WrongType);
    assert_eq!(kind("{\"group\":"), ProblemKind::Syntax);
    assert_eq!(kind(r#"{"group":"g","group":"h"}"#), ProblemKind::Syntax);
}

/// A sound configuration as JSON, with any of its fields there or not.
fn any_config() -> impl Strategy<Value = serde_json::Value> {
    let top = (
        prop::sample::select(vec!["at_most_once", "at_least_once", "exactly_once"]),
        prop::sample::select(vec!["earliest", "latest", "fail"]),
        prop::collection::btree_set("[a-z0-9._-]{3,9}", 1..4),
    );
    let tables =
        (1..1_000_000u64, 0..1000u64, 1001..=900_000u64, prop::option::of(1..=64u64), 0..=100u64, any::<bool>());
    (top, tables, "\\PC{0,20}").prop_map(
        |((guarantee, word, inputs), (records, linger, timeout, lanes, backoff, flag), odd)| {
            let first = inputs.iter().next().cloned().unwrap_or_default();
            serde_json::json!({
                "group": format!("g{odd}"), "guarantee": guarantee, "start_from": word, "on_lost_offsets": word,
                "inputs": inputs, "route": [{"from": first, "to": [format!("{first}-OUT")]}],
                "batch": {"max_records": records, "linger_ms": linger},
                "transactions": {"timeout_ms": timeout, "lanes": lanes.unwrap_or(1), "instance_id": first},
                "retry": {"backoff_ms": backoff}, "security": {"allow_unverified_tls": flag},
                "kafka": {"bootstrap.servers": "b:1", "client.id": odd, "check.crcs": flag, "linger.ms": 0},
            })
        },
    )
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_and_toml_read_the_same(value in any_config()) {
        let toml = toml::to_string(&value).expect("TOML");
        let from_json = Config::from_json_str(&value.to_string(), "json").expect("sound");
        prop_assert_eq!(&from_json, &parse(&toml).expect("sound"));
        from_json.validate().expect("sound");
    }

    #[test]
    fn a_damaged_file_is_reported_without_panic(at in 0usize..3000, len in 0usize..40, with in "[\\PC\\n]{0,6}") {
        let mut chars: Vec<char> = Config::reference().chars().collect();
        let start = at.min(chars.len());
        let end = (start + len).min(chars.len());
        chars.splice(start..end, with.chars());
        let text: String = chars.into_iter().collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.problems.is_empty());
            prop_assert_eq!(error.to_string().lines().count(), error.problems.len());
            for problem in error.problems {
                prop_assert!(problem.line.is_none_or(|line| line <= text.lines().count() + 1));
            }
        }
    }

    #[test]
    fn any_text_and_any_json_is_answered(text in "\\PC{0,60}", json in "[\\[\\]{}\":,0-9a-z.-]{0,40}") {
        let _ = parse(&text);
        let _ = Config::from_json_str(&json, "json");
    }
}
