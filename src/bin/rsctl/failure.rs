//! How a command ends that does not end well: one line, and an exit code.

use std::io;
use std::process::ExitCode;

use osgi_remote::discovery::etcd::ConfigError;
use osgi_remote::keyspace::Error;

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

/// The library's settings, by whose names it tells cures, and the options that are meant here.
const OPTIONS: [(&str, &str); 9] = [
    ("etcd.hostname", "--endpoints"),
    ("etcd.cacert", "--cacert"),
    ("etcd.cert", "--cert"),
    ("etcd.key", "--key"),
    ("etcd.user", "--user"),
    ("etcd.password", "--password"),
    ("etcd.top_key", "--top-key"),
    ("etcd.dial_timeout", "--dial-timeout"),
    ("etcd.call_timeout", "--command-timeout"),
];

/// A text of the library with the names of options in place of those of settings.
pub(crate) fn in_options(text: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some(at) = rest.find("etcd.") {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
        // A full stop may end the sentence and not belong to the name.
        let name = from[..end].trim_end_matches('.');
        let is_whole = !before.ends_with(is_of_name);
        let option = OPTIONS.iter().find(|(setting, _)| *setting == name);
        out.push_str(before);
        out.push_str(match option {
            Some((_, option)) if is_whole => option,
            _ => name,
        });
        rest = &from[name.len()..];
    }
    out.push_str(rest);
    out
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
        Self::new(code_of(&error), error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cures_name_options_and_nothing_else_is_changed() {
        for (text, expected) in [
            ("give it (etcd.cacert)", "give it (--cacert)"),
            ("set etcd.user, etcd.password.", "set --user, --password."),
            ("etcd.keepalive_interval", "etcd.keepalive_interval"),
            ("my.etcd.key and etcd.key.x", "my.etcd.key and etcd.key.x"),
            ("etcd. etcd.key", "etcd. --key"),
            ("etcd at localhost:2379", "etcd at localhost:2379"),
        ] {
            assert_eq!(in_options(text), expected);
        }
    }
}
