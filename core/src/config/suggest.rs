//! What a misspelt or misplaced name was probably meant to be.

use super::{FIELDS, properties};

/// The known name closest to `name`, if one is close enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normal(name);
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed || prefix(&name, &normal(candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `maxRecords`, `max-records` and `max_records` are the same to a person.
fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Whether one is the start of the other, as in `bootstrap` or `exec_command_line`.
fn prefix(name: &str, candidate: &str) -> bool {
    name.len().min(candidate.len()) >= 4 && (name.starts_with(candidate) || candidate.starts_with(name))
}

/// The message for a field that the table at `path` doesn't have.
pub(super) fn unknown_field(path: &str, key: &str, known: &[&'static str]) -> String {
    let place = if path.is_empty() { String::new() } else { format!(" of `{path}`") };
    if let Some(name) = nearest(key, known.iter().copied()) {
        return format!("unknown field; did you mean `{name}`?");
    }
    let elsewhere = |field: &&&str| field.rsplit_once('.').is_some_and(|(_, leaf)| normal(leaf) == normal(key));
    if let Some(field) = FIELDS.iter().find(elsewhere) {
        return format!("unknown field; did you mean `{field}`?");
    }
    let dotted = format!("{key}.");
    if properties::names().any(|name| name == key || name.starts_with(&dotted)) {
        return "unknown field; librdkafka's properties belong into the table `[kafka]`".to_owned();
    }
    format!("unknown field; remove it, or use one of the fields{place}: {}", known.join(", "))
}
