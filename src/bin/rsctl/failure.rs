//! How a command ends that does not end well: one line, and an exit code.

use std::io;
use std::process::ExitCode;

use osgi_remote::discovery::etcd::ConfigError;
use osgi_remote::keyspace::Error;

use crate::advice::{self, in_options};
use crate::output::{note, printable};

/// The exit codes, as `rsctl --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The answer is no.
    No = 1,
    /// The command line, a file or a setting cannot be used.
    Usage = 2,
    /// etcd or a service cannot be reached, or does not answer.
    Unreachable = 3,
    /// User, password, certificate or permission.
    Denied = 4,
    /// Anything else.
    Failed = 5,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// One line, or nothing if all was said on stdout.
    text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        let text = in_options(&text.into());
        Self { code, text }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::new(Code::No, text)
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Code::Failed, text)
    }

    /// All was said; only the code is left.
    pub(crate) fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Puts what was being done in front.
    pub(crate) fn of(self, what: impl std::fmt::Display) -> Self {
        Self::new(self.code, format!("{what}: {}", self.text))
    }

    /// Writes the line to stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.text.is_empty() {
            // Parts of it are what others wrote.
            let line = printable(&self.text.replace('\n', " "));
            note(&format!("{ERROR}rsctl:{ERROR:#} {line}"));
        }
        ExitCode::from(self.code as u8)
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an error of the key space means for the exit code.
fn code_of(error: &Error) -> Code {
    match error {
        Error::NotReady { cause, .. } => code_of(cause),
        Error::Endpoint { .. }
        | Error::Config { .. }
        | Error::TooLarge { .. }
        | Error::RefusedSize { .. } => Code::Usage,
        Error::Connect { .. }
        | Error::Renew { .. }
        | Error::Revoke { .. }
        | Error::Write {
            uncertain: true, ..
        } => Code::Unreachable,
        Error::Tls { .. }
        | Error::Authenticate { .. }
        | Error::Denied { .. }
        | Error::NotPermitted { .. } => Code::Denied,
        _ => Code::Failed,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(code_of(&error), advice::text(&error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::KeySpace(error) => error.into(),
            error => Self::usage(error.to_string()),
        }
    }
}

/// Of writing to stdout. A reader that has enough, such as `head`, is no failure to speak of.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Code::Failed);
        }
        Self::failed(format!("cannot write the output: {error}"))
    }
}
