//! Changes that become one revision.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::proto::PbKeyValue;

use super::event::{Change, Commit, Kind};
use super::range::KeyRange;
use super::{Store, Version, footprint_of, footprint_of_commit, size};

/// One revision in the making. It changes the store at once, so that what
/// follows in a transaction reads what came before; there is no way back, and
/// whatever can be refused is to be checked before the first change.
pub(crate) struct Writer<'a> {
    store: &'a mut Store,
    changes: Vec<Change>,
    /// Something was removed, so that a put may be the second change of its key.
    removed: bool,
    /// A key may have been changed twice.
    twice: bool,
    /// About the bytes of versions that came and went within this revision.
    unseen: usize,
}

impl Store {
    /// Begins a revision, which comes to be if something is changed.
    pub(crate) fn write(&mut self) -> Writer<'_> {
        Writer {
            store: self,
            changes: Vec::new(),
            removed: false,
            twice: false,
            unseen: 0,
        }
    }

    /// Keeps a version that was replaced or removed for reads at older
    /// revisions. One that came and went in the same revision was never seen:
    /// gives the bytes that only the history has then.
    fn retire(&mut self, key: Bytes, kv: Arc<PbKeyValue>, until: i64) -> usize {
        let footprint = footprint_of(&kv);
        self.live -= footprint;
        if kv.mod_revision < until {
            let versions = self.past.entry(key).or_default();
            versions.0.push_back(Version { kv, until });
            self.kept += footprint;
            0
        } else {
            self.bytes -= size(&kv);
            footprint
        }
    }
}

impl Writer<'_> {
    /// The store as it is with the changes so far.
    pub(super) fn store(&self) -> &Store {
        self.store
    }

    /// The revision of the answer: the next one as soon as there are changes.
    pub(crate) fn revision(&self) -> i64 {
        self.store.revision + i64::from(!self.changes.is_empty())
    }

    /// Writes a key; gives what was there.
    pub(crate) fn put(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        lease: i64,
    ) -> Option<Arc<PbKeyValue>> {
        let revision = self.store.revision + 1;
        let previous = self.store.current.get_key_value(&key[..]);
        let (index, previous) = match previous {
            Some((index, kv)) => (index.clone(), Some(Arc::clone(kv))),
            None => (Bytes::copy_from_slice(&key), None),
        };
        let kv = Arc::new(PbKeyValue {
            create_revision: previous.as_ref().map_or(revision, |p| p.create_revision),
            version: previous.as_ref().map_or(0, |p| p.version) + 1,
            mod_revision: revision,
            key,
            value,
            lease,
        });
        self.store.bytes += size(&kv);
        self.store.live += footprint_of(&kv);
        self.store.current.insert(index.clone(), Arc::clone(&kv));
        self.twice |= self.removed;
        if let Some(previous) = &previous {
            self.twice |= previous.mod_revision == revision;
            self.unseen += self.store.retire(index, Arc::clone(previous), revision);
        }
        self.changes.push(Change {
            kind: Kind::Put,
            kv,
            previous: previous.clone(),
        });
        previous
    }

    /// Removes a key; gives what was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Arc<PbKeyValue>> {
        let revision = self.store.revision + 1;
        let (index, previous) = self.store.current.remove_entry(key)?;
        self.removed = true;
        self.twice |= previous.mod_revision == revision;
        self.unseen += self.store.retire(index, Arc::clone(&previous), revision);
        let gone = PbKeyValue {
            key: key.to_vec(),
            mod_revision: revision,
            ..PbKeyValue::default()
        };
        self.changes.push(Change {
            kind: Kind::Delete,
            kv: Arc::new(gone),
            previous: Some(Arc::clone(&previous)),
        });
        Some(previous)
    }

    /// Removes the keys of a range, in order; gives what was there.
    pub(crate) fn remove_range(&mut self, range: KeyRange<'_>) -> Vec<Arc<PbKeyValue>> {
        if let KeyRange::One(key) = range {
            return self.remove(key).into_iter().collect();
        }
        let keys = self.store.current.range::<[u8], _>(range.bounds());
        let keys: Vec<Bytes> = keys.map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// To a watch, what was before an event is what was before its revision, as in etcd, also when the
    /// transaction changed the key before; and before a key's creation there was nothing.
    fn tell_what_was_before_the_revision(&mut self) {
        let mut before: HashMap<&[u8], Option<&Arc<PbKeyValue>>> = HashMap::new();
        let mut all = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let first = before.entry(&change.kv.key);
            all.push(first.or_insert(change.previous.as_ref()).cloned());
        }
        for (change, previous) in self.changes.iter_mut().zip(all) {
            let creates =
                change.kind == Kind::Put && change.kv.create_revision == change.kv.mod_revision;
            change.previous = previous.filter(|_| !creates);
        }
    }

    /// Ends the revision; nothing if nothing was changed.
    pub(crate) fn commit(mut self) -> Option<Arc<Commit>> {
        if self.changes.is_empty() {
            return None;
        }
        if self.twice {
            self.tell_what_was_before_the_revision();
        }
        self.store.revision += 1;
        let commit = Arc::new(Commit {
            revision: self.store.revision,
            events: self.changes,
            unseen: self.unseen,
        });
        self.store.kept += footprint_of_commit(&commit);
        self.store.history.push_back(Arc::clone(&commit));
        Some(commit)
    }
}
