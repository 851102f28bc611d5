//! A group's credentials on their way in. They are taken from files and variables, and shown
//! nowhere.

use std::fs::File;
use std::io::{self, Read};

use clap::Args;
use osgi_remote::catalog::groups::GroupCredentials;

use crate::failure::Failure;

const USERNAME: &str = "RSCTL_GROUP_USERNAME";
const PASSWORD: &str = "RSCTL_GROUP_PASSWORD";

/// More than any password, and little enough to read by mistake.
const MOST_BYTES: u64 = 64 << 10;

/// With what a scraper logs in at the nodes; etcd's own user is given by --user.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// The user's name with which a scraper logs in at the nodes.
    ///
    /// Variable: RSCTL_GROUP_USERNAME. Default: what is there, or none.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The file whose first line is the password to the user's name; `-` for stdin.
    ///
    /// In place of a file: the variable RSCTL_GROUP_PASSWORD. Default: what is there, or none.
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
}

/// What is to be changed.
pub(super) struct Given {
    username: Option<String>,
    password: Option<String>,
}

impl CredentialArgs {
    pub(super) fn read(&self) -> Result<Given, Failure> {
        let password = match &self.password_file {
            Some(file) => Some(first_line(file)?),
            None => variable(PASSWORD)?,
        };
        let username = match &self.username {
            Some(name) => Some(name.clone()),
            None => variable(USERNAME)?,
        };
        Ok(Given { username, password })
    }
}

impl Given {
    pub(super) const fn is_nothing(&self) -> bool {
        self.username.is_none() && self.password.is_none()
    }

    /// These, and what is not given as it was.
    pub(super) fn over(&self, before: &GroupCredentials) -> GroupCredentials {
        let or = |given: &Option<String>, before: &str| {
            given.clone().unwrap_or_else(|| before.to_owned())
        };
        GroupCredentials::new(
            or(&self.username, before.username()),
            or(&self.password, before.password()),
        )
    }
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("the variable {name} is no UTF-8")))
        }
    }
}

fn first_line(file: &str) -> Result<String, Failure> {
    let read = if file == "-" {
        read(io::stdin().lock())
    } else {
        File::open(file).and_then(read)
    };
    let name = if file == "-" { "stdin" } else { file };
    let text = read
        .map_err(|error| Failure::usage(format!("no password can be read from {name}: {error}")))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::usage(format!(
            "the first line of {name} is empty; write the password there"
        )));
    }
    Ok(line.to_owned())
}

fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let read = from.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES {
        return Err(io::Error::other("it has more than 64 KiB"));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> Result<String, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, text).unwrap();
        first_line(path.to_str().unwrap())
    }

    #[test]
    fn the_first_line_is_the_password_with_its_spaces_and_without_its_end() {
        assert_eq!(written(b" s3 cret \r\nmore").unwrap(), " s3 cret ");
        assert_eq!(written(b"s3cret").unwrap(), "s3cret");
    }

    #[test]
    fn an_empty_line_too_much_and_no_text_are_refused_without_telling_it() {
        for text in [
            b"\ns3cret".to_vec(),
            vec![b's'; 70_000],
            b"s3cret\xff".to_vec(),
        ] {
            let error = written(&text).unwrap_err().to_string();
            assert!(
                !error.contains("s3cret") && !error.contains("ssss"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let before = GroupCredentials::new("ada", "old");
        let given = Given {
            username: None,
            password: Some("new".to_owned()),
        };
        assert_eq!(given.over(&before), GroupCredentials::new("ada", "new"));
    }
}
