//! Any keys below a prefix: as a list, and as a tree.

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::secrets;

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// The whole key.
    pub(crate) key: String,
    /// The key without the prefix.
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The keys of a prefix, as templates see them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Keys {
    /// In the order of the keys.
    pub(crate) list: Vec<Entry>,
    /// By the segments between slashes.
    pub(crate) tree: Tree,
}

/// Segments of a key that are told apart; the rest of a longer key is one segment. Somebody may
/// write a key of a million slashes.
const DEPTH: usize = 64;

/// What is at a segment: a value, more segments, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    value: Option<String>,
    below: BTreeMap<String, Tree>,
}

/// A value alone is text. With others below it, it is under the empty segment.
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Some(value) if self.below.is_empty() => serializer.serialize_str(value),
            value => {
                let own = value.as_ref().map(|value| ("", value));
                let mut map = serializer.serialize_map(None)?;
                if let Some((segment, value)) = own {
                    map.serialize_entry(segment, value)?;
                }
                for (segment, tree) in &self.below {
                    map.serialize_entry(segment, tree)?;
                }
                map.end()
            }
        }
    }
}

/// Whether the credentials of groups may lie open in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Credentials {
    /// "hidden" stands in their place.
    Hidden,
    /// As they are.
    Shown,
}

/// Reads a key; it and its value must be text.
pub(super) fn parse(
    prefix: &str,
    key: &[u8],
    value: &[u8],
    credentials: Credentials,
) -> Result<Entry, String> {
    let text = |bytes: Vec<u8>, what: &str| {
        String::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8"))
    };
    let key = text(key.to_vec(), "the key")?;
    let value = match credentials {
        Credentials::Hidden => secrets::masked(value),
        Credentials::Shown => value.to_vec(),
    };
    let value = text(value, "the value")?;
    let name = key.strip_prefix(prefix).unwrap_or(&key).to_owned();
    Ok(Entry { key, name, value })
}

impl Keys {
    /// Of entries in the order of their keys.
    pub(super) fn new(list: Vec<Entry>) -> Self {
        let mut tree = Tree::default();
        for entry in &list {
            // A prefix without a slash at its end leaves one at the beginning of names.
            let path = entry.name.strip_prefix('/').unwrap_or(&entry.name);
            tree.insert(path, &entry.value);
        }
        Self { list, tree }
    }
}

impl Tree {
    fn insert(&mut self, path: &str, value: &str) {
        let mut at = self;
        for segment in path.splitn(DEPTH, '/') {
            at = at.below.entry(segment.to_owned()).or_default();
        }
        at.value = Some(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Keys {
        let entry = |name: &&str| {
            let key = format!("p{name}");
            parse("p", key.as_bytes(), name.as_bytes(), Credentials::Hidden)
        };
        Keys::new(
            names
                .iter()
                .map(|name| entry(name).unwrap_or_else(|e| panic!("{e}")))
                .collect(),
        )
    }

    #[test]
    fn keys_become_a_tree_by_their_slashes() {
        let tree = serde_json::to_value(keys(&["/a", "/a/b", "/a/c/d", "/e"]).tree);
        let expected = serde_json::json!({
            "a": {"": "/a", "b": "/a/b", "c": {"d": "/a/c/d"}},
            "e": "/e",
        });
        assert_eq!(tree.unwrap_or_default(), expected);
    }

    #[test]
    fn a_key_of_many_slashes_is_no_deep_tree() {
        let long = "/".repeat(100_000);
        let tree = serde_json::to_value(keys(&[&long]).tree).unwrap_or_default();
        let mut at = &tree;
        let mut depth = 0;
        while let Some((_, below)) = at.as_object().and_then(|map| map.iter().next()) {
            (at, depth) = (below, depth + 1);
        }
        assert_eq!(depth, DEPTH);
    }

    #[test]
    fn a_list_has_whole_keys_and_names_below_the_prefix() {
        let list = keys(&["/a/b"]).list;
        assert_eq!(
            (list[0].key.as_str(), list[0].name.as_str()),
            ("p/a/b", "/a/b")
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(
            parse("p", b"p\xff", b"", Credentials::Hidden),
            Err("the key is not UTF-8".to_owned())
        );
        assert_eq!(
            parse("p", b"p", b"\xff", Credentials::Hidden),
            Err("the value is not UTF-8".to_owned())
        );
    }

    #[test]
    fn credentials_of_groups_are_hidden_unless_asked_for() {
        let group = r#"{"name":"web","spec":{"username":"ada","password":"s3cret"}}"#;
        let value = |credentials| {
            let entry = parse(
                "/services/",
                b"/services/web",
                group.as_bytes(),
                credentials,
            );
            entry.map(|entry| entry.value)
        };
        let hidden = r#"{"name":"web","spec":{"username":"hidden","password":"hidden"}}"#;
        assert_eq!(value(Credentials::Hidden).as_deref(), Ok(hidden));
        assert_eq!(value(Credentials::Shown).as_deref(), Ok(group));
    }
}
