//! Who one is to etcd.

use std::fmt;

/// A user of etcd and the password.
///
/// The password is sent to etcd and shown nowhere: not by `Debug`, in no error, in no log. Without
/// TLS it crosses the network as plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// A user by name, and the password.
    #[must_use]
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            password: password.into(),
        }
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_name_and_not_the_password() {
        let shown = format!("{:#?}", Credentials::new("ada", "s3cret"));
        assert!(shown.contains("ada"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
