//! Reads one table field by field, and remembers which fields it has, so that the rest can be reported.

use super::limits::Limit;
use super::problem::{ProblemKind, Problems};
use super::suggest::{nearest, unknown_field};
use super::tree::{Element, Entry, Table, Value, join};

/// A table that is being read. Each getter names a field of it; [`finish`](Self::finish) reports the others.
pub(super) struct Section<'a> {
    path: String,
    table: &'a Table,
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &str, table: &'a Table, problems: &'a Problems) -> Self {
        Self { path: path.to_owned(), table, known: Vec::new(), problems }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let (path, value) = self.take(name)?;
        text_at(&path, value, self.problems)
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let (path, value) = self.take(name)?;
        let Value::Array(array) = value else {
            wrong_type(&path, "an array of strings", value, self.problems);
            return None;
        };
        // A wrong element leaves a gap, so that the others keep their index.
        let read = |(index, element): (usize, &Element)| {
            text_at(&format!("{path}[{index}]"), &element.value, self.problems).unwrap_or_default()
        };
        Some(array.iter().enumerate().map(read).collect())
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let (path, value) = self.take(name)?;
        if let Value::Boolean(flag) = value {
            return Some(*flag);
        }
        wrong_type(&path, "true or false", value, self.problems);
        None
    }

    pub(super) fn integer<T: TryFrom<i128>>(&mut self, name: &'static str, limit: Limit) -> Option<T> {
        let (path, value) = self.take(name)?;
        let Value::Integer(number) = value else {
            wrong_type(&path, &format!("an integer from {} to {}", limit.min, limit.max), value, self.problems);
            return None;
        };
        let allowed = limit.allows(*number).then(|| T::try_from(*number).ok()).flatten();
        if allowed.is_none() {
            self.problems.add(&path, ProblemKind::OutOfRange, limit.message(*number));
        }
        allowed
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let (path, value) = self.take(name)?;
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let Value::Text(text) = value else {
            wrong_type(&path, &format!("one of {list}"), value, self.problems);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let hint = nearest(text, words.iter().map(|(word, _)| *word))
                .map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
            self.problems.add(&path, ProblemKind::OutOfRange, format!("unknown value; set it to one of {list}{hint}"));
        }
        found
    }

    /// The entries of a sub-table, or none when it isn't there.
    pub(super) fn table(&mut self, name: &'static str) -> &'a [Entry] {
        match self.take(name) {
            Some((_, Value::Table(table))) => table,
            Some((path, value)) => {
                wrong_type(&path, &format!("a table (`[{name}]`)"), value, self.problems);
                &[]
            }
            None => &[],
        }
    }

    /// A sub-table, read by `read` when it is there.
    pub(super) fn section(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'a>)) {
        match self.take(name) {
            Some((path, Value::Table(table))) => {
                let mut section = Section::new(&path, table, self.problems);
                read(&mut section);
                section.finish();
            }
            Some((path, value)) => wrong_type(&path, &format!("a table (`[{name}]`)"), value, self.problems),
            None => {}
        }
    }

    /// An array of tables, each read by `read`.
    pub(super) fn sections(&mut self, name: &'static str, mut read: impl FnMut(&mut Section<'a>)) {
        let expected = format!("an array of tables (`[[{name}]]`)");
        let Some((path, value)) = self.take(name) else {
            return;
        };
        let Value::Array(array) = value else {
            return wrong_type(&path, &expected, value, self.problems);
        };
        for (index, element) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match &element.value {
                Value::Table(table) => {
                    let mut section = Section::new(&path, table, self.problems);
                    read(&mut section);
                    section.finish();
                }
                value => wrong_type(&path, "a table", value, self.problems),
            }
        }
    }

    /// Notes that the field has to be there.
    pub(super) fn missing(&self, name: &str, message: &str) {
        let path = join(&self.path, name);
        if !self.problems.touch(&path) {
            self.problems.add(&path, ProblemKind::Missing, message);
        }
    }

    /// Reports every field that no getter asked for.
    pub(super) fn finish(self) {
        for entry in self.table.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let message = unknown_field(&self.path, &entry.key, &self.known);
            self.problems.add(&join(&self.path, &entry.key), ProblemKind::UnknownField, message);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<(String, &'a Value)> {
        self.known.push(name);
        let entry = self.table.iter().find(|entry| entry.key == name)?;
        (!matches!(entry.value, Value::Null)).then(|| (join(&self.path, name), &entry.value))
    }
}

fn text_at(path: &str, value: &Value, problems: &Problems) -> Option<String> {
    if let Value::Text(text) = value {
        return Some(text.clone());
    }
    wrong_type(path, "a string", value, problems);
    None
}

/// Reports a value of another type than expected. The value itself may be a secret and isn't named.
pub(super) fn wrong_type(path: &str, expected: &str, value: &Value, problems: &Problems) {
    let message = format!("wrong type: found {}; set it to {expected}", value.kind());
    problems.add(path, ProblemKind::WrongType, message);
}
