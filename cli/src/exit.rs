//! How a command fails: the message, and the exit status.

use std::io::IsTerminal;
use std::process::ExitCode;

use ksem::error::Class;

/// A command's result.
pub(crate) type Done<T = ()> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of ksem.
    Ksem(ksem::Error),
    /// Something of the command's own.
    Own {
        /// The exit status.
        status: u8,
        /// What happened and what to do.
        message: String,
    },
    /// The message is on the screen already.
    Said(u8),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Own { status: 2, message: message.into() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Own { status: 1, message: message.into() }
    }

    pub(crate) fn report(self) -> ExitCode {
        let (status, message) = match self {
            Self::Ksem(error) => (status(error.class()), error.to_string()),
            Self::Own { status, message } => (status, message),
            Self::Said(status) => return ExitCode::from(status),
        };
        let label = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        if std::io::stderr().is_terminal() {
            eprintln!("{label}error{label:#}: {message}");
        } else {
            eprintln!("error: {message}");
        }
        ExitCode::from(status)
    }
}

fn status(class: Class) -> u8 {
    match class {
        Class::Internal => 1,
        Class::Config => 2,
        Class::Unavailable => 3,
        Class::Transaction => 4,
        Class::Handler => 5,
        Class::Data => 6,
    }
}

impl From<ksem::Error> for Failure {
    fn from(error: ksem::Error) -> Self {
        Self::Ksem(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // The reader of a pipe has gone: nobody is left to be told.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::Said(0) } else { Self::internal(error.to_string()) }
    }
}
