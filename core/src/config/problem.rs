//! What is wrong with a configuration: one [`Problem`] each, all of them in one [`ConfigError`].

use std::cell::RefCell;
use std::fmt;

/// What sort of mistake a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// A name that ksem doesn't know.
    UnknownField,
    /// A value of another type than the field's.
    WrongType,
    /// A value of the right type that the field doesn't allow.
    OutOfRange,
    /// Something that has to be there is not: a field, a file, an environment variable.
    Missing,
    /// A librdkafka property that ksem sets itself.
    OwnedProperty,
    /// The text is not TOML, or not JSON.
    Syntax,
    /// Two fields that can't hold together.
    Conflict,
    /// There is no configuration in the text.
    Empty,
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, for example `batch.max_records` or `route[0].to[1]`; empty for the whole text.
    pub path: String,
    /// The line, counted from 1, where the source has lines.
    pub line: Option<usize>,
    /// The column, counted in characters from 1.
    pub column: Option<usize>,
    /// What sort of mistake this is.
    pub kind: ProblemKind,
    /// What is wrong, and what to set instead. It never holds the value of a Kafka property.
    pub message: String,
}

/// Everything that is wrong with a configuration.
///
/// [`Display`](fmt::Display) writes one line for each problem:
///
/// ```
/// let error = ksem::config::Config::from_toml_str("group = 7", "pipeline.toml").unwrap_err();
/// assert!(error.to_string().starts_with("pipeline.toml:1:1: group: wrong type"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Every problem, in the order of the source; those without a line come last.
    pub problems: Vec<Problem>,
    /// The name of the source, as its reader gave it: mostly a file name.
    pub source_name: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.source_name)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
                if let Some(column) = problem.column {
                    write!(f, ":{column}")?;
                }
            }
            f.write_str(": ")?;
            if !problem.path.is_empty() {
                write!(f, "{}: ", problem.path)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The problems found so far. Shared by all readers of one source, hence the cell.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes a problem of the field `path`.
    pub(super) fn add(&self, path: &str, kind: ProblemKind, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem {
            path: path.to_owned(),
            line: None,
            column: None,
            kind,
            message: message.into(),
        });
    }

    /// Whether something is wrong at `path` or below it: then a rule about its value says nothing new.
    pub(super) fn touch(&self, path: &str) -> bool {
        self.0.borrow().iter().any(|problem| {
            problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether something is wrong with the field `path` itself.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.borrow().iter().any(|problem| problem.path == path)
    }

    /// The problems, in the order in which they were found.
    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}
