//! Which watches a key concerns, without asking each of them.

use std::collections::{BTreeMap, HashMap};

use super::range::{Range, Shape};

/// A watch, among all of the registry.
pub(super) type WatchKey = u64;

/// The ranges of all watches.
///
/// Nearly all are single keys or prefixes and are found by hashing. Other ranges are kept sorted by
/// their start, equal ones together: a look-up passes the distinct ones that begin before the key.
/// Of those there are few (iPOPO's is one, shared by all of a top key).
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<Vec<u8>, Vec<WatchKey>>,
    prefixes: HashMap<Vec<u8>, Vec<WatchKey>>,
    /// How many distinct prefixes of each length there are.
    lengths: BTreeMap<usize, usize>,
    others: BTreeMap<Range, Vec<WatchKey>>,
}

impl Index {
    pub(super) fn insert(&mut self, range: &Range, watch: WatchKey) {
        match range.shape() {
            Shape::Key(key) => self.keys.entry(key.to_vec()).or_default().push(watch),
            Shape::Prefix(prefix) => {
                let watches = self.prefixes.entry(prefix.to_vec()).or_default();
                if watches.is_empty() {
                    *self.lengths.entry(prefix.len()).or_default() += 1;
                }
                watches.push(watch);
            }
            Shape::Other => self.others.entry(range.clone()).or_default().push(watch),
        }
    }

    pub(super) fn remove(&mut self, range: &Range, watch: WatchKey) {
        match range.shape() {
            Shape::Key(key) => {
                take_out(&mut self.keys, key, watch);
            }
            Shape::Prefix(prefix) => {
                if take_out(&mut self.prefixes, prefix, watch)
                    && let Some(count) = self.lengths.get_mut(&prefix.len())
                {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&prefix.len());
                    }
                }
            }
            Shape::Other => {
                if let Some(watches) = self.others.get_mut(range) {
                    watches.retain(|other| *other != watch);
                    if watches.is_empty() {
                        self.others.remove(range);
                    }
                }
            }
        }
    }

    /// Names each watch whose range holds the key, once.
    pub(super) fn find(&self, key: &[u8], mut found: impl FnMut(WatchKey)) {
        if let Some(watches) = self.keys.get(key) {
            watches.iter().copied().for_each(&mut found);
        }
        for length in self.lengths.range(..=key.len()).map(|(length, _)| *length) {
            if let Some(watches) = self.prefixes.get(&key[..length]) {
                watches.iter().copied().for_each(&mut found);
            }
        }
        let begun = self
            .others
            .iter()
            .take_while(|(range, _)| range.start() <= key);
        for (range, watches) in begun {
            if range.contains(key) {
                watches.iter().copied().for_each(&mut found);
            }
        }
    }
}

/// Whether the entry went with its last watch.
fn take_out(map: &mut HashMap<Vec<u8>, Vec<WatchKey>>, key: &[u8], watch: WatchKey) -> bool {
    let Some(watches) = map.get_mut(key) else {
        return false;
    };
    watches.retain(|other| *other != watch);
    let last = watches.is_empty();
    if last {
        map.remove(key);
    }
    last
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(index: &Index, key: &[u8]) -> Vec<WatchKey> {
        let mut all = Vec::new();
        index.find(key, |watch| all.push(watch));
        all.sort_unstable();
        all
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        // Few different bytes, so that ranges touch and nest.
        let bytes = || prop::sample::select(vec![0u8, 1, b'a', b'b', 0xfe, 0xff]);
        let key = prop::collection::vec(bytes(), 0..4);
        let end = prop::collection::vec(bytes(), 0..4);
        let range = (key, end).prop_filter_map("no key in it", |(k, e)| Range::requested(k, e));
        prop::collection::vec(range, 1..20)
    }

    proptest! {
        #[test]
        fn the_index_finds_what_asking_each_range_finds(
            ranges in ranges(),
            key in prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', b'b', 0xff]), 1..5),
            gone in any::<prop::sample::Index>(),
        ) {
            let mut index = Index::default();
            let mut watches: BTreeMap<WatchKey, Range> = (0..).zip(ranges).collect();
            for (watch, range) in &watches {
                index.insert(range, *watch);
            }
            let asked = |watches: &BTreeMap<WatchKey, Range>| -> Vec<WatchKey> {
                let held = watches.iter().filter(|(_, range)| range.contains(&key));
                held.map(|(watch, _)| *watch).collect()
            };
            prop_assert_eq!(found(&index, &key), asked(&watches));
            let gone = gone.index(watches.len()) as WatchKey;
            index.remove(&watches.remove(&gone).unwrap(), gone);
            prop_assert_eq!(found(&index, &key), asked(&watches));
        }
    }

    #[test]
    fn nothing_stays_when_all_watches_are_gone() {
        let mut index = Index::default();
        let ranges = [("a", ""), ("a", "b"), ("a", "c"), ("", "\0")];
        let ranges = ranges.map(|(k, e)| Range::requested(k.into(), e.into()).unwrap());
        for (watch, range) in ranges.iter().enumerate() {
            index.insert(range, watch as WatchKey);
        }
        for (watch, range) in ranges.iter().enumerate() {
            index.remove(range, watch as WatchKey);
        }
        assert!(index.keys.is_empty() && index.prefixes.is_empty());
        assert!(index.lengths.is_empty() && index.others.is_empty());
    }
}
