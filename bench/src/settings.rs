//! ksem's configuration for a run, as TOML.

use std::fmt::Write;

use ksem::Guarantee;

/// What every run needs, and `fields` with values as in TOML. A field that is set twice is taken as it was set last.
pub(crate) fn configuration(
    bootstrap: &str,
    group: &str,
    inputs: &[String],
    guarantee: Guarantee,
    fields: &[(String, String)],
) -> String {
    let mut all = vec![
        ("group".to_owned(), quoted(group)),
        ("inputs".to_owned(), format!("[{}]", inputs.iter().map(|input| quoted(input)).collect::<Vec<_>>().join(", "))),
        ("guarantee".to_owned(), quoted(guarantee.name())),
        ("kafka.bootstrap.servers".to_owned(), quoted(bootstrap)),
        // Given, so that nothing is left in the user's state folder.
        ("transactions.instance_id".to_owned(), quoted("bench")),
    ];
    for (field, value) in fields {
        all.retain(|(other, _)| other != field);
        all.push((field.clone(), value.clone()));
    }
    all.iter().fold(String::new(), |mut text, (field, value)| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{field} = {value}");
        text
    })
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
