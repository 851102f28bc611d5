//! Where groups are, and what they may be called.

use std::fmt;

use super::Error;

/// The key below which all groups are, such as `/services`.
///
/// Each place has one spelling: neither a slash at the end, nor empty segments, nor `.` and `..`,
/// which Go's module would clean away in some of its calls and not in others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BasePath(String);

impl BasePath {
    /// What the documentation of Go's module has, and most of its users then.
    pub const DEFAULT: &str = "/services";

    /// Checks a path. A slash at its end is taken away.
    ///
    /// # Errors
    ///
    /// [`Error::Base`] when nothing is left, for an empty segment, `.` or `..`, and for control
    /// characters.
    pub fn new(path: &str) -> Result<Self, Error> {
        let refuse = |problem| {
            Err(Error::Base {
                path: path.to_owned(),
                problem,
            })
        };
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        let inner = trimmed.strip_prefix('/').unwrap_or(trimmed);
        if inner.trim().is_empty() {
            return refuse("it names no key; the whole key space is no place for groups");
        }
        if path.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        for segment in inner.split('/') {
            match segment {
                "" => return refuse("it has two slashes in a row"),
                "." | ".." => return refuse("it has a segment `.` or `..`"),
                _ => {}
            }
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The path, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BasePath {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for BasePath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self, Error> {
        Self::new(path)
    }
}

/// The name of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// The most characters of a new name.
    pub const LONGEST: usize = 63;

    /// A name that a new group may have: ASCII letters, digits, `-` and `_`, 1 to 63 of them.
    ///
    /// # Errors
    ///
    /// [`Error::Name`].
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let problem = if name.is_empty() {
            "it is empty"
        } else if !name.chars().all(allowed) {
            "it may have letters, digits, `-` and `_` only"
        } else if name.len() > Self::LONGEST {
            "it has more than 63 characters"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Error::name(name, problem))
    }

    /// A name that a group may have which others made. Go's module means to check names as
    /// [`GroupName::new`] does, and lets more through, such as `a.b`.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] for what is no segment of a key: nothing, or something with a slash or
    /// control characters.
    pub fn existing(name: &str) -> Result<Self, Error> {
        let problem = if name.is_empty() {
            "it is empty"
        } else if name.contains('/') {
            "it has a slash"
        } else if name.chars().any(char::is_control) {
            "it has a control character"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Error::name(name, problem))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`GroupName::new`].
impl std::str::FromStr for GroupName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_one_spelling() {
        for (path, kept) in [
            ("/services", "/services"),
            ("/services/", "/services"),
            ("services", "services"),
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(BasePath::new(path).unwrap().as_str(), kept);
        }
        assert_eq!(BasePath::default(), BasePath::new("/services").unwrap());
        for path in [
            "", "/", "//", " ", "/a//b", "/a//", "/a/../b", "./a", "/a\n",
        ] {
            assert!(BasePath::new(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_new_group_has_a_plain_name() {
        let longest = "x".repeat(63);
        for name in ["a", "A-b_9", "-", longest.as_str()] {
            assert_eq!(GroupName::new(name).unwrap().as_str(), name);
        }
        let too_long = "x".repeat(64);
        for name in ["", "a/b", "a.b", "a b", "ä", too_long.as_str()] {
            assert!(GroupName::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_group_that_others_made_may_have_any_name_that_is_a_segment() {
        GroupName::existing("a.b+ä").unwrap();
        for name in ["", "a/b", "a\u{1b}"] {
            assert!(GroupName::existing(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_with_which_name() {
        let error = GroupName::new("a b").unwrap_err();
        let expected =
            "`a b` is no name for a group: it may have letters, digits, `-` and `_` only";
        assert_eq!(error.to_string(), expected);
    }
}
