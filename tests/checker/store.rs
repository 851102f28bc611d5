//! The store as the history tells it. Judges I2 and I10.

use super::history::{By, Client, Entry, History, Key, What};
use super::verdict::{Bench, Invariant};

/// The keys and leases at one point of the history.
#[derive(Debug)]
pub(super) struct Store {
    keys: Vec<Option<Entry>>,
    /// Every lease that was ever granted, and by whom.
    granted: Vec<(i64, Option<Client>)>,
    /// Counts histories.
    pub(super) epoch: u32,
    /// For each key: whether it is a session's, and whether it is the session key itself.
    owned: Vec<Owned>,
    /// What was put, ever; sorted.
    put: Vec<(Key, i64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owned {
    No,
    Root,
    Below,
}

impl Store {
    pub(super) fn new(history: &History) -> Self {
        let mut owned = vec![Owned::No; history.keys()];
        let mut put = Vec::new();
        let mut roots: Vec<Key> = Vec::new();
        for record in history.records() {
            match &record.what {
                What::Opened { root, .. } if !roots.contains(root) => roots.push(*root),
                What::Put {
                    key,
                    revision,
                    value,
                    ..
                } => put.push((*key, *revision, *value)),
                _ => {}
            }
        }
        for (number, owned) in (0..).zip(&mut owned) {
            let key = Key(number);
            if roots.contains(&key) {
                *owned = Owned::Root;
            } else if roots.iter().any(|root| history.is_of(key, *root)) {
                *owned = Owned::Below;
            }
        }
        put.sort_unstable();
        Self {
            keys: vec![None; history.keys()],
            granted: Vec::new(),
            epoch: 0,
            owned,
            put,
        }
    }

    /// Whether the recorder saw the store's writes at all.
    pub(super) const fn is_recorded(&self) -> bool {
        !self.put.is_empty()
    }

    pub(super) fn was_put(&self, key: Key, revision: i64, value: u64) -> bool {
        self.put.binary_search(&(key, revision, value)).is_ok()
    }

    pub(super) fn granted_by(&self, lease: i64) -> Option<Client> {
        let found = self.granted.iter().rfind(|(id, _)| *id == lease);
        found.and_then(|(_, by)| *by)
    }

    pub(super) fn is_session_key(&self, key: Key) -> bool {
        self.owned[key.0 as usize] != Owned::No
    }

    pub(super) fn take(
        &mut self,
        history: &History,
        record: usize,
        what: &What,
        bench: &mut Bench,
    ) {
        match what {
            What::Put {
                key,
                revision,
                value,
                lease,
                by,
            } => {
                let entry = Entry {
                    key: *key,
                    revision: *revision,
                    value: *value,
                    lease: *lease,
                };
                self.judge_put(history, record, entry, *by, bench);
                self.keys[key.0 as usize] = Some(entry);
            }
            What::Delete { key, .. } => self.keys[key.0 as usize] = None,
            What::Granted { lease, by } => {
                // A grant that is carried out a second time, long after its caller gave up on it,
                // brings back a lease that had ended: nobody has it, and it runs out. Keys that a
                // late write put under it have to move.
                let again = self.granted.iter().any(|(id, _)| id == lease);
                self.granted.push((*lease, by.filter(|_| !again)));
            }
            What::Wiped => {
                self.keys.fill(None);
                self.epoch += 1;
            }
            _ => {}
        }
    }

    fn judge_put(&self, history: &History, record: usize, entry: Entry, by: By, bench: &mut Bench) {
        let owned = self.owned[entry.key.0 as usize];
        if by == By::Meddler || owned == Owned::No {
            return;
        }
        let name = || history.name(entry.key);
        bench.judge(Invariant::NoImmortals, record, entry.lease != 0, || {
            format!("`{}` was put without a lease", name())
        });
        // A peer that watches everything takes a value put again for a second ADDED. That a key
        // changes hands is another registration.
        if owned == Owned::Below {
            let again = self.keys[entry.key.0 as usize].is_some_and(|before| {
                let owner = self.granted_by(entry.lease);
                before.value == entry.value
                    && (before.lease == entry.lease
                        || owner.is_some() && owner == self.granted_by(before.lease))
            });
            bench.judge(Invariant::Peers, record, !again, || {
                format!("`{}` was put again with the same value", name())
            });
        }
    }
}
