//! Where the fields of a TOML text stand, so that a problem that names a field gets its line.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::tree::{Element, Table, Value, join};

/// The byte offset of every field, by its path.
#[derive(Default)]
pub(super) struct Positions(BTreeMap<String, usize>);

impl Positions {
    /// The positions of a whole document.
    pub(super) fn of(table: &Table) -> Self {
        let mut positions = Self::default();
        positions.add_table("", table);
        positions
    }

    fn add_table(&mut self, path: &str, table: &Table) {
        for entry in table {
            let path = join(path, &entry.key);
            self.add(path.clone(), entry.at);
            self.add_value(&path, &entry.value);
        }
    }

    fn add_value(&mut self, path: &str, value: &Value) {
        match value {
            Value::Table(table) => self.add_table(path, table),
            Value::Array(array) => {
                for (index, Element { at, value }) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.add(path.clone(), *at);
                    self.add_value(&path, value);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, path: String, at: Option<usize>) {
        if let Some(at) = at {
            self.0.entry(path).or_insert(at);
        }
    }

    /// The offset of a field, or of the innermost table around it that is there.
    fn find(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(at) = self.0.get(path) {
                return Some(*at);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives every problem the line and column of its field, and sorts them as a reader meets them.
    pub(super) fn locate(&self, text: &str, problems: &mut [Problem]) {
        for problem in problems.iter_mut().filter(|problem| problem.line.is_none()) {
            if let Some(at) = self.find(&problem.path) {
                let (line, column) = line_and_column(text, at);
                (problem.line, problem.column) = (Some(line), Some(column));
            }
        }
        problems.sort_by_key(|problem| (problem.line.is_none(), problem.line, problem.column));
    }
}

/// Line and column, in characters and from 1, of a byte offset.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}
