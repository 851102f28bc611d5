//! Which keys a watcher has delivered, and at which revision.

use std::collections::BTreeMap;

use super::range::Entry;
use super::watcher::Change;

/// The delivered state of a range, without the values, which would double the memory.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    keys: BTreeMap<Box<[u8]>, Delivered>,
    /// Counts listings; a key that the current one has not shown carries an older number.
    listing: u32,
}

#[derive(Debug, Clone, Copy)]
struct Delivered {
    mod_revision: i64,
    lease: i64,
    listing: u32,
}

impl Mirror {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What is delivered, in the order of the keys.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let keys = self.keys.iter();
        keys.map(|(key, delivered)| (&key[..], delivered.mod_revision))
    }

    /// Takes an event of the watch. Returns what of it is news: only what is newer, per key, since
    /// a watch that is opened again repeats its last revision.
    pub(crate) fn apply(&mut self, change: Change) -> Option<Change> {
        match &change {
            Change::Put {
                key,
                mod_revision,
                lease,
                ..
            } => {
                let delivered = Delivered {
                    mod_revision: *mod_revision,
                    lease: *lease,
                    listing: self.listing,
                };
                match self.keys.get_mut(key.as_slice()) {
                    Some(known) if known.mod_revision >= *mod_revision => return None,
                    Some(known) => *known = delivered,
                    None => {
                        self.keys.insert(key.clone().into_boxed_slice(), delivered);
                    }
                }
            }
            Change::Delete { key, mod_revision } => {
                let known = self.keys.get(key.as_slice())?;
                if known.mod_revision >= *mod_revision {
                    return None;
                }
                self.keys.remove(key.as_slice());
            }
        }
        Some(change)
    }

    /// Starts a listing.
    pub(crate) const fn begin(&mut self) {
        self.listing = self.listing.wrapping_add(1);
    }

    /// Takes a key that the listing shows. Returns whether it differs from what was delivered, in
    /// either direction: the listing is the truth, also after a store went back in time.
    pub(crate) fn lists(&mut self, entry: &Entry) -> bool {
        match self.keys.get_mut(entry.key.as_slice()) {
            Some(known) => {
                known.listing = self.listing;
                known.mod_revision != entry.mod_revision || known.lease != entry.lease
            }
            None => true,
        }
    }

    /// Whether a key was delivered at a later revision than the listing shows. Within one history
    /// of the store that cannot be.
    pub(crate) fn is_ahead_of(&self, entry: &Entry) -> bool {
        self.keys
            .get(entry.key.as_slice())
            .is_some_and(|known| known.mod_revision > entry.mod_revision)
    }

    /// Ends a listing: returns the keys that it did not show, and forgets them.
    pub(crate) fn take_unlisted(&mut self) -> Vec<Vec<u8>> {
        let listing = self.listing;
        self.keys
            .extract_if(.., |_, known| known.listing != listing)
            .map(|(key, _)| key.into_vec())
            .collect()
    }

    /// Takes a key as delivered that a listing showed.
    pub(crate) fn deliver(&mut self, entry: &Entry) {
        self.keys.insert(
            entry.key.clone().into_boxed_slice(),
            Delivered {
                mod_revision: entry.mod_revision,
                lease: entry.lease,
                listing: self.listing,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(key: &str, mod_revision: i64) -> Change {
        Change::Put {
            key: key.as_bytes().to_vec(),
            value: Bytes::from_static(b"v"),
            mod_revision,
            lease: 1,
        }
    }

    fn delete(key: &str, mod_revision: i64) -> Change {
        Change::Delete {
            key: key.as_bytes().to_vec(),
            mod_revision,
        }
    }

    fn entry(key: &str, mod_revision: i64) -> Entry {
        Entry {
            key: key.as_bytes().to_vec(),
            value: Bytes::from_static(b"v"),
            create_revision: 0,
            mod_revision,
            version: 0,
            lease: 1,
        }
    }

    #[test]
    fn what_is_not_newer_for_its_key_is_dropped() {
        let mut mirror = Mirror::default();
        assert!(mirror.apply(put("a", 5)).is_some());
        assert!(mirror.apply(put("a", 5)).is_none());
        assert!(mirror.apply(put("a", 4)).is_none());
        assert!(mirror.apply(delete("a", 5)).is_none());
        assert!(mirror.apply(put("a", 6)).is_some());
    }

    #[test]
    fn a_deletion_of_an_unknown_key_is_dropped() {
        let mut mirror = Mirror::default();
        assert!(mirror.apply(delete("a", 5)).is_none());
        assert!(mirror.apply(put("a", 6)).is_some());
        assert!(mirror.apply(delete("a", 7)).is_some());
        assert!(mirror.apply(delete("a", 8)).is_none());
    }

    #[test]
    fn a_listing_finds_what_is_new_changed_and_gone() {
        let mut mirror = Mirror::default();
        for key in ["same", "changed", "gone"] {
            mirror.apply(put(key, 5));
        }
        mirror.begin();
        assert!(!mirror.lists(&entry("same", 5)));
        assert!(mirror.lists(&entry("changed", 6)));
        assert!(mirror.lists(&entry("new", 7)));
        assert_eq!(mirror.take_unlisted(), [b"gone".to_vec()]);
        assert_eq!(mirror.len(), 2);
    }

    #[test]
    fn a_listing_that_was_given_up_leaves_no_trace() {
        let mut mirror = Mirror::default();
        mirror.apply(put("a", 5));
        mirror.apply(put("b", 5));
        mirror.begin();
        mirror.lists(&entry("a", 5));
        mirror.begin();
        mirror.lists(&entry("b", 5));
        assert_eq!(mirror.take_unlisted(), [b"a".to_vec()]);
    }

    #[test]
    fn a_key_that_went_back_in_time_is_noticed_and_taken() {
        let mut mirror = Mirror::default();
        mirror.apply(put("a", 50));
        mirror.begin();
        let older = entry("a", 3);
        assert!(mirror.is_ahead_of(&older));
        assert!(mirror.lists(&older));
        mirror.deliver(&older);
        assert!(!mirror.is_ahead_of(&older));
    }
}
