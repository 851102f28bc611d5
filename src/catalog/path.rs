//! Paths as etcd v2 reads them, checked once.

use std::fmt;
use std::str::FromStr;

use crate::names::NameError;

/// What etcd v2 makes of a path: slashes at the ends and double ones do not count, nor do
/// segments that are a dot.
fn clean(kind: &'static str, text: &str) -> Result<String, NameError> {
    let refuse = |reason| {
        Err(NameError {
            kind,
            text: text.to_owned(),
            reason,
        })
    };
    if text.chars().any(char::is_control) {
        return refuse("holds a control character, such as a tab or the end of a line");
    }
    let segments: Vec<&str> = text
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
        .collect();
    if segments.contains(&"..") {
        // etcd v2 follows it, out of the registry and into the keys of others.
        return refuse("holds `..`, which would lead out of the registry");
    }
    Ok(segments.join("/"))
}

/// The key below which a catalog is, such as `/production`.
///
/// It is read as etcd v2 does: `foo`, `/foo` and `/foo/` are the same root. `/` is the root of all
/// keys, where services are at `/service/...`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeRoot {
    /// What the keys begin with: empty, or with a slash in front and none at the end.
    prefix: String,
}

impl TreeRoot {
    /// What all keys begin with: nothing for `/`, otherwise a slash and the segments.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The first part of the keys of one registry: `<root>/<registry>/`.
    pub(super) fn of(&self, registry: &str) -> String {
        format!("{}/{registry}/", self.prefix)
    }
}

impl FromStr for TreeRoot {
    type Err = NameError;

    /// # Errors
    ///
    /// For an empty text, for control characters and for `..` as a segment.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "tree root";
        if text.is_empty() {
            return Err(NameError {
                kind: KIND,
                text: String::new(),
                reason: "is empty; write / for the root of all keys",
            });
        }
        let path = clean(KIND, text)?;
        let prefix = match path.as_str() {
            "" => path,
            _ => format!("/{path}"),
        };
        Ok(Self { prefix })
    }
}

impl fmt::Display for TreeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => f.write_str("/"),
            prefix => f.write_str(prefix),
        }
    }
}

/// The name of a service, of a type of services, or of a switch: one segment of a key, or several
/// with slashes between.
///
/// It is read as etcd v2 does: `/a//b/` is `a/b`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    /// The segments with single slashes between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryName {
    type Err = NameError;

    /// # Errors
    ///
    /// For a name without segments, for control characters and for `..` as a segment.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "name";
        match clean(KIND, text)? {
            path if path.is_empty() => Err(NameError {
                kind: KIND,
                text: text.to_owned(),
                reason: "is empty",
            }),
            path => Ok(Self(path)),
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_the_same_with_and_without_its_slashes() {
        for text in ["foo", "/foo", "/foo/", "//foo/.", "./foo"] {
            let root: TreeRoot = text.parse().unwrap();
            assert_eq!(root.prefix(), "/foo", "{text}");
        }
        let deep: TreeRoot = "a//b/".parse().unwrap();
        assert_eq!(deep.of("switch"), "/a/b/switch/");
    }

    #[test]
    fn a_slash_alone_is_the_root_of_all_keys() {
        let root: TreeRoot = "/".parse().unwrap();
        assert_eq!(root.of("service"), "/service/");
        assert_eq!(root.to_string(), "/");
        let error = "".parse::<TreeRoot>().unwrap_err().to_string();
        assert!(error.contains("write / for"), "{error}");
    }

    #[test]
    fn a_name_has_segments_and_stays_in_its_registry() {
        for (text, name) in [
            ("a", "a"),
            ("/a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("a b", "a b"),
            ("..a", "..a"),
            ("ü", "ü"),
        ] {
            assert_eq!(text.parse::<EntryName>().unwrap().as_str(), name);
        }
        for text in ["", "/", "./.", "..", "a/../b", "a\nb", "a\0"] {
            assert!(text.parse::<EntryName>().is_err(), "{text:?}");
        }
    }
}
