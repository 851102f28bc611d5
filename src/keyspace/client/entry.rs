//! Keys as they stand in the store, and ranges of them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::keyspace::range;

/// One key as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The store's revision at which the key was made.
    pub create_revision: i64,
    /// The store's revision of the last put.
    pub mod_revision: i64,
    /// How many times the key was put since it was made; 1 for a new key.
    pub version: i64,
    /// The lease that takes the key along when it ends; `None` if the key stays until it is
    /// deleted.
    pub lease: Option<i64>,
}

impl Entry {
    /// The key as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }

    /// The value as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn value_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

impl From<range::Entry> for Entry {
    fn from(entry: range::Entry) -> Self {
        Self {
            key: entry.key,
            value: entry.value,
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
            lease: Some(entry.lease).filter(|lease| *lease != 0),
        }
    }
}

/// The keys of a range, all as they stood at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the bytes of their keys.
    pub entries: Vec<Entry>,
    /// The store's revision at which they stood. Watching from the next one misses nothing.
    pub revision: i64,
    /// The id of the cluster. Another id is another store, with revisions of its own.
    pub cluster: u64,
}

/// A key, or all keys from one up to another.
///
/// A key by itself becomes a range of one key wherever a range is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    start: Vec<u8>,
    /// As etcd has it: empty for the one key, a zero byte for no end.
    end: Vec<u8>,
}

/// How etcd writes "no end".
const NO_END: [u8; 1] = [0];

impl Range {
    /// One key.
    #[must_use]
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self {
            start: key.into(),
            end: Vec::new(),
        }
    }

    /// All keys that begin with `prefix`; all keys at all if it is empty.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        if start.is_empty() {
            return Self::all();
        }
        let mut end = start.clone();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end = NO_END.to_vec(),
        }
        Self { start, end }
    }

    /// The keys from `start` up to but not including `end`. An `end` that is not after `start`
    /// makes a range without keys.
    #[must_use]
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        let (mut start, mut end) = (start.into(), end.into());
        if start.is_empty() {
            // No key is before it.
            start = vec![0];
        }
        if end <= start {
            // An empty end means "this key only" to etcd, and a zero byte "no end".
            if start == NO_END {
                start = vec![1];
            }
            end.clone_from(&start);
        }
        Self { start, end }
    }

    /// All keys of the store.
    #[must_use]
    pub fn all() -> Self {
        Self {
            start: NO_END.to_vec(),
            end: NO_END.to_vec(),
        }
    }

    /// The first key, as etcd's requests have it.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The end, as etcd's requests have it: not in the range; empty for a range of one key, and a
    /// zero byte for no end.
    #[must_use]
    pub fn end(&self) -> &[u8] {
        &self.end
    }

    /// Whether a key is in the range.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        if self.end.is_empty() {
            return key == self.start;
        }
        key >= self.start.as_slice() && (self.end == NO_END || key < self.end.as_slice())
    }

    /// The range in words of an error: the first key, and the end if there is one.
    pub(super) fn texts(&self) -> (String, Option<String>) {
        let end = (!self.end.is_empty()).then(|| text(&self.end));
        (text(&self.start), end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all keys");
        }
        let start = text(&self.start);
        match self.end.as_slice() {
            [] => write!(f, "`{start}`"),
            [0] => write!(f, "`{start}` and all keys after it"),
            end if *self == Self::prefix(self.start.clone()) => {
                debug_assert!(!end.is_empty());
                write!(f, "`{start}…`")
            }
            end => write!(f, "`{start}` up to `{}`", text(end)),
        }
    }
}

macro_rules! one_key {
    ($($of:ty),+) => {
        $(impl From<$of> for Range {
            fn from(key: $of) -> Self {
                Self::key(key)
            }
        })+
    };
}

one_key!(&str, String, Vec<u8>, &[u8]);

impl From<&Range> for Range {
    fn from(range: &Range) -> Self {
        range.clone()
    }
}

/// A key in an error: what is no text is replaced, and nothing in it steers a terminal.
pub(super) fn text(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for c in String::from_utf8_lossy(key).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_exactly_what_begins_with_it() {
        let range = Range::prefix("a/");
        assert!(range.contains("a/") && range.contains("a/b"));
        assert!(!range.contains("a") && !range.contains("a0") && !range.contains("b"));
        let last = Range::prefix([0xff, 0xff]);
        assert!(last.contains([0xff, 0xff, 1]) && !last.contains([0xff, 0xfe]));
        let edge = Range::prefix([b'a', 0xff]);
        assert_eq!(edge.end(), b"b");
        assert!(Range::prefix("").contains("anything"));
    }

    #[test]
    fn an_end_that_is_not_after_the_start_leaves_no_keys_and_never_means_all_or_one() {
        for end in ["", "\0", "a", "b"] {
            let range = Range::new("b", end);
            assert!(!range.contains("b") && !range.contains("c"), "{end:?}");
            assert!(!range.end().is_empty() && range.end() != [0], "{end:?}");
        }
        for start in ["", "\0"] {
            let range = Range::new(start, start);
            assert!(!range.contains(start) && !range.contains("a"));
        }
        assert!(Range::new("b", "c").contains("bz"));
        assert!(Range::new("", "c").contains("a"));
    }

    #[test]
    fn a_range_is_told_in_words() {
        assert_eq!(Range::key("k\n").to_string(), "`k\\n`");
        assert_eq!(Range::prefix("k/").to_string(), "`k/…`");
        assert_eq!(Range::new("a", "c").to_string(), "`a` up to `c`");
        assert_eq!(Range::prefix("").to_string(), "all keys");
        assert_eq!(
            Range::prefix([0xff]).to_string(),
            "`\u{fffd}` and all keys after it"
        );
    }
}
