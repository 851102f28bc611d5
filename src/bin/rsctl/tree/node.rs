//! Keys as a tree.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osgi_remote::keyspace::Entry;
use serde::Serialize;

use crate::output::printable;
use crate::secrets;

/// Segments of a key that are told apart; the rest of a longer key is one segment. Whoever may write
/// can write a key of thousands of slashes. JSON of this depth, two levels for each segment, is below
/// the limit of 128 that readers have.
const DEPTH: usize = 50;

/// How much of a value is shown unless all is asked for.
const BEGINNING: usize = 40;

/// What stands at one place of the tree.
#[derive(Debug, Default)]
pub(super) struct Node {
    key: Option<Key>,
    below: BTreeMap<Vec<u8>, Node>,
    /// Keys below that are not shown.
    hidden: usize,
}

#[derive(Debug)]
struct Key {
    name: Vec<u8>,
    /// Of the value as it is in etcd, in bytes.
    size: usize,
    /// Without what is secret in it; `None` if it was not read.
    value: Option<Vec<u8>>,
    lease: Option<i64>,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
}

/// A node as JSON and YAML have it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<ShownKey>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Shown>,
    /// Keys below that --depth leaves out.
    #[serde(skip_serializing_if = "is_zero")]
    hidden: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Debug, Serialize)]
struct ShownKey {
    /// Of a key that is no UTF-8, with replacements.
    key: String,
    /// The key itself, if it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value itself, if it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// In hexadecimal; null for none.
    lease: Option<String>,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
}

impl Node {
    /// Puts a key to its place below `folder`, with which it begins. The place is never deeper than
    /// [`DEPTH`], so that walks down the tree may call themselves.
    pub(super) fn add(&mut self, folder: &str, entry: Entry, has_value: bool) {
        let rest = entry.key.get(folder.len()..).unwrap_or_default().to_vec();
        let mut place = self;
        for segment in rest.splitn(DEPTH, |byte| *byte == b'/') {
            place = place.below.entry(segment.to_vec()).or_default();
        }
        place.key = Some(Key {
            name: entry.key,
            size: entry.value.len(),
            value: has_value.then(|| secrets::masked(&entry.value)),
            lease: entry.lease,
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
        });
    }

    /// Leaves so many levels below this one, and counts what goes.
    pub(super) fn cut(&mut self, levels: Option<u32>) {
        let Some(levels) = levels else { return };
        if levels == 0 {
            self.hidden = self.below.values().map(Self::count).sum();
            self.below.clear();
        }
        for node in self.below.values_mut() {
            node.cut(Some(levels - 1));
        }
    }

    fn count(&self) -> usize {
        let below: usize = self.below.values().map(Self::count).sum();
        below + usize::from(self.key.is_some())
    }

    pub(super) fn shown(&self, name: &str) -> Shown {
        let below = self.below.iter();
        Shown {
            name: name.to_owned(),
            key: self.key.as_ref().map(Key::shown),
            children: below
                .map(|(segment, node)| node.shown(&text_of(segment)))
                .collect(),
            hidden: self.hidden,
        }
    }

    pub(super) fn text(&self, name: &str, values: bool) -> String {
        let mut text = printable(name);
        if self.below.is_empty() {
            text.push_str("\n(no keys)");
        }
        text.push('\n');
        self.lines(&mut text, "", values);
        text
    }

    fn lines(&self, text: &mut String, indent: &str, values: bool) {
        let mut left = self.below.len();
        for (segment, node) in &self.below {
            left -= 1;
            let (branch, further) = if left == 0 {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            let name = match segment.as_slice() {
                // As in a//b, or a key that ends with a slash.
                b"" => "''".to_owned(),
                segment => printable(&text_of(segment)),
            };
            text.push_str(&format!("{indent}{branch}{name}"));
            if let Some(key) = &node.key {
                text.push_str(&key.line(values));
            }
            if node.hidden > 0 {
                text.push_str(&format!("  +{} below", node.hidden));
            }
            text.push('\n');
            node.lines(text, &format!("{indent}{further}"), values);
        }
    }
}

impl Key {
    fn shown(&self) -> ShownKey {
        let base64 = |bytes: &[u8]| {
            let is_text = std::str::from_utf8(bytes).is_ok();
            (!is_text).then(|| BASE64.encode(bytes))
        };
        ShownKey {
            key: text_of(&self.name),
            key_base64: base64(&self.name),
            size: self.value.as_ref().map(|_| self.size),
            value: self.value.as_deref().map(text_of),
            value_base64: self.value.as_deref().and_then(base64),
            lease: self.lease.map(|lease| format!("{lease:016x}")),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
        }
    }

    fn line(&self, values: bool) -> String {
        let lease = match self.lease {
            Some(lease) => format!("  lease {lease:016x}"),
            None => "  no lease".to_owned(),
        };
        let Some(value) = &self.value else {
            return lease;
        };
        let text = text_of(value);
        let beginning: String = text.chars().take(BEGINNING).collect();
        let shown = if values || beginning.len() == text.len() {
            printable(&text)
        } else {
            format!("{}…", printable(&beginning))
        };
        format!("  {}{lease}  {shown}", size(self.size))
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    match bytes {
        ..KIB => format!("{bytes} B"),
        _ => format!("{}.{} KiB", bytes / KIB, bytes % KIB * 10 / KIB),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(key: &str, value: &str) -> Entry {
        Entry {
            key: key.into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            create_revision: 1,
            mod_revision: 2,
            version: 1,
            lease: None,
        }
    }

    fn tree(folder: &str, keys: &[&str]) -> Node {
        let mut root = Node::default();
        for key in keys {
            root.add(folder, entry(key, "v"), false);
        }
        root
    }

    #[test]
    fn keys_are_split_at_slashes_and_a_key_may_have_others_below_it() {
        let text = tree("top/", &["top/a", "top/a/b", "top/c//d", "top/e/"]).text("top/", false);
        let expected = "\
top/
├── a  no lease
│   └── b  no lease
├── c
│   └── ''
│       └── d  no lease
└── e
    └── ''  no lease
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_too_deep_is_counted() {
        let mut root = tree("", &["a/b", "a/b/c", "a/d", "e"]);
        root.cut(Some(1));
        assert_eq!(root.text("", false), "\n├── a  +3 below\n└── e  no lease\n");
    }

    #[test]
    fn the_rest_of_a_key_of_very_many_slashes_is_one_segment() {
        let long = format!("a{}z", "/".repeat(100_000));
        let mut root = tree("", &[&long]);
        let text = root.text("", false);
        let last = text.lines().last().unwrap_or_default();
        let expected = format!("└── {}z  no lease", "/".repeat(100_000 - (DEPTH - 1)));
        assert!(last.ends_with(&expected), "{} lines", text.lines().count());
        assert_eq!(text.lines().count(), 1 + DEPTH);
        let mut at = &serde_json::json!(root.shown("x"));
        let mut depth = 0;
        while let Some(below) = at.get("children") {
            (at, depth) = (&below[0], depth + 1);
        }
        assert_eq!(depth, DEPTH);
        assert_eq!(at["key"]["key"], long);
        root.cut(Some(2));
        assert!(root.text("", false).ends_with("''  +1 below\n"));
    }

    #[test]
    fn values_are_cut_unless_all_is_asked_for_and_steer_no_terminal() {
        let mut root = Node::default();
        root.add("", entry("a", &format!("\u{1b}{}", "x".repeat(2000))), true);
        let line = root.text("", false);
        assert!(line.contains("1.9 KiB  no lease  \\u{1b}xxx"), "{line}");
        assert!(
            line.trim_end().ends_with("x…") && line.len() < 120,
            "{line}"
        );
        assert!(root.text("", true).len() > 2000);
    }

    #[test]
    fn credentials_of_groups_are_hidden_in_each_form() {
        let group = r#"{"name":"g","spec":{"username":"ada","password":"s3cret"}}"#;
        let mut root = Node::default();
        root.add("", entry("a", group), true);
        let json = serde_json::json!(root.shown("x")).to_string();
        for form in [root.text("", false), root.text("", true), json] {
            assert!(!form.contains("s3cret") && !form.contains("ada"), "{form}");
        }
        assert!(root.text("", true).contains(r#""password":"hidden""#));
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_in_json() {
        let mut root = Node::default();
        let mut binary = entry("a", "");
        (binary.key, binary.value) = (vec![b'a', 0xff], Bytes::from_static(&[0xff]));
        root.add("", binary, true);
        let shown = serde_json::json!(root.shown("x"));
        let key = &shown["children"][0]["key"];
        assert_eq!(
            (&key["key_base64"], &key["value_base64"]),
            (&"Yf8=".into(), &"/w==".into())
        );
    }
}
