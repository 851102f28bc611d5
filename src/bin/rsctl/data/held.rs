//! A view of a source that outlives what happens to etcd. Pure.
//!
//! What vanishes is believed at once, or kept for a while as a suspect. It is kept if
//!
//! 1. it vanished during unrest: within the hold after the connection was lost and is back, or
//!    after etcd's history became another (wiped, restored, replaced); or
//! 2. it is much: at least three entries and 30 % of all within one hold; or
//! 3. nothing is left of the source.
//!
//! A suspect ends when its key is there again, or when the hold is over, the connection stands, and
//! a second listing does not have it either. If nothing is left of the source it never ends by
//! itself, unless empty sources are allowed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use osgi_remote::keyspace::Change;
use tokio::time::Instant;

use super::snapshot::{Data, Seen};
use super::{Item, Source};

/// As discovery's guard has them.
const MANY: usize = 3;
const PERCENT: usize = 30;

/// Ends that are remembered. More of them in one hold are many in any case.
const MOST_VANISHED: usize = 10_000;

/// Notes that wait to be told; more of them are only counted.
const MOST_NOTES: usize = 50;

/// How long what vanished is kept, and whether nothing may be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) hold: Duration,
    pub(crate) allow_empty: bool,
}

#[derive(Debug)]
struct Kept {
    item: Item,
    mod_revision: i64,
    /// Set for what vanished and is kept: until when, at least.
    suspect: Option<Instant>,
}

/// The view of one source.
#[derive(Debug)]
pub(super) struct Held {
    source: Source,
    rules: Rules,
    entries: BTreeMap<Vec<u8>, Kept>,
    /// Keys that could not be read, with the reason.
    rejected: BTreeMap<Vec<u8>, String>,
    /// When entries vanished of late.
    vanished: VecDeque<Instant>,
    unrest_until: Option<Instant>,
    /// A listing was asked for, to see whether suspects are gone indeed.
    confirming: bool,
    notes: Vec<String>,
    untold: usize,
}

impl Held {
    pub(super) fn new(source: Source, rules: Rules) -> Self {
        Self {
            source,
            rules,
            entries: BTreeMap::new(),
            rejected: BTreeMap::new(),
            vanished: VecDeque::new(),
            unrest_until: None,
            confirming: false,
            notes: Vec::new(),
            untold: 0,
        }
    }

    /// The data, with what is kept. None of it is a suspect that is there again.
    pub(super) fn data(&self) -> Data {
        let seen = self.entries.values().map(|kept| Seen {
            item: &kept.item,
            mod_revision: kept.mod_revision,
            there: kept.suspect.is_none(),
        });
        Data::of(&self.source, seen)
    }

    /// Entries that are there, entries that are kept, and keys that could not be read.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let counting = self.entries.values().filter(|kept| kept.item.counts());
        let (mut there, mut suspects) = (0, 0);
        for kept in counting {
            match kept.suspect {
                None => there += 1,
                Some(_) => suspects += 1,
            }
        }
        (there, suspects, self.rejected.len())
    }

    /// Takes changes of one delivery, in their order.
    pub(super) fn apply(&mut self, changes: Vec<Change>, now: Instant) {
        let was_empty = self.living() == 0;
        // What vanishes in this delivery; it is decided about when all of it is known.
        let mut gone = BTreeMap::new();
        for change in changes {
            match change {
                Change::Put {
                    key,
                    value,
                    mod_revision,
                    ..
                } => self.put(key, &value, mod_revision, &mut gone),
                Change::Delete { key, .. } => {
                    self.rejected.remove(&key);
                    self.take_out(key, &mut gone);
                }
            }
        }
        if !gone.is_empty() {
            self.decide(gone, now);
        }
        // Who comes first after all were gone gives the others time to follow.
        if was_empty && self.living() > 0 {
            self.hold_again(now);
        }
    }

    fn put(
        &mut self,
        key: Vec<u8>,
        value: &[u8],
        mod_revision: i64,
        gone: &mut BTreeMap<Vec<u8>, Kept>,
    ) {
        match self.source.parse(&key, value) {
            Ok(item) => {
                self.rejected.remove(&key);
                gone.remove(&key);
                if let Some(item) = item {
                    let kept = Kept {
                        item,
                        mod_revision,
                        suspect: None,
                    };
                    self.entries.insert(key, kept);
                }
            }
            Err(reason) => {
                let shown = String::from_utf8_lossy(&key).into_owned();
                let name = self.source.name();
                self.note(format!("{name}: key `{shown}` is left out: {reason}"));
                self.rejected.insert(key.clone(), reason);
                // It describes nothing any more, which is as good as gone.
                self.take_out(key, gone);
            }
        }
    }

    fn take_out(&mut self, key: Vec<u8>, gone: &mut BTreeMap<Vec<u8>, Kept>) {
        if self
            .entries
            .get(&key)
            .is_some_and(|kept| kept.suspect.is_none())
            && let Some(kept) = self.entries.remove(&key)
        {
            gone.insert(key, kept);
        }
    }

    /// Believes what vanished, or keeps it.
    fn decide(&mut self, gone: BTreeMap<Vec<u8>, Kept>, now: Instant) {
        let holders: BTreeSet<&[u8]> = gone
            .iter()
            .filter_map(|(key, kept)| kept.holder(key))
            .collect();
        let living: BTreeSet<&[u8]> = self.there().collect();
        let vanished = holders.difference(&living).count();
        let left = living.len();
        while self
            .vanished
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > self.rules.hold)
        {
            self.vanished.pop_front();
        }
        self.vanished.extend(std::iter::repeat_n(now, vanished));
        let over = self.vanished.len().saturating_sub(MOST_VANISHED);
        self.vanished.drain(..over);
        let of_late = self.vanished.len();
        let unrest = self.unrest_until.is_some_and(|until| now < until);
        let emptied = !holders.is_empty() && left == 0;
        let many = vanished > 0 && of_late >= MANY && of_late * 100 >= PERCENT * (of_late + left);
        let entries = gone.values().filter(|kept| kept.item.counts()).count();
        if unrest || emptied || many {
            let why = match (emptied, unrest) {
                (true, _) => "nothing is left of them",
                (false, true) => "soon after trouble with etcd",
                (false, false) => "too many at once",
            };
            let until = now + self.rules.hold;
            for (key, kept) in gone {
                let suspect = Some(until);
                self.entries.insert(key, Kept { suspect, ..kept });
            }
            if entries > 0 {
                self.note_kept(entries, why);
            }
        } else if self.entries.values().any(|kept| kept.suspect.is_some()) {
            // Groups go after their nodes, and their labels are needed for as long as these.
            let until = now + self.rules.hold;
            for (key, kept) in gone {
                if !kept.item.counts() {
                    let suspect = Some(until);
                    self.entries.insert(key, Kept { suspect, ..kept });
                }
            }
        }
    }

    fn note_kept(&mut self, entries: usize, why: &str) {
        let (name, hold) = (self.source.name(), self.rules.hold);
        let until = if self.living() == 0 && !self.rules.allow_empty {
            "until some are registered again; --allow-empty lets them go".to_owned()
        } else {
            format!("for {hold:?}, and until another reading of etcd has none of them")
        };
        self.note(format!(
            "{name}: HELD: {entries} vanished, {why}: they are kept {until}"
        ));
    }

    /// The holders of entries that are there.
    fn there(&self) -> impl Iterator<Item = &[u8]> {
        let there = self
            .entries
            .iter()
            .filter(|(_, kept)| kept.suspect.is_none());
        there.filter_map(|(key, kept)| kept.holder(key))
    }

    fn living(&self) -> usize {
        self.there().count()
    }

    /// The connection was lost and is back, or the history became another.
    pub(super) fn unsettle(&mut self, now: Instant) {
        self.unrest_until = Some(now + self.rules.hold);
        self.hold_again(now);
    }

    fn hold_again(&mut self, now: Instant) {
        self.confirming = false;
        let until = now + self.rules.hold;
        for kept in self.entries.values_mut() {
            if kept.suspect.is_some() {
                kept.suspect = Some(until);
            }
        }
    }

    /// When the first suspect may go, if etcd is read again; none while that is under way, and
    /// while suspects are all that there is.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.confirming || (self.living() == 0 && !self.rules.allow_empty) {
            return None;
        }
        self.entries.values().filter_map(|kept| kept.suspect).min()
    }

    /// A listing was asked for, after a deadline.
    pub(super) fn confirm(&mut self) {
        self.confirming = true;
    }

    /// A listing is complete: what it was to confirm is confirmed.
    pub(super) fn synced(&mut self, now: Instant) {
        if !std::mem::take(&mut self.confirming) {
            return;
        }
        if self.living() == 0 && !self.rules.allow_empty {
            return;
        }
        let before = self
            .entries
            .values()
            .filter(|kept| kept.item.counts())
            .count();
        self.entries
            .retain(|_, kept| kept.suspect.is_none_or(|until| until > now));
        let after = self
            .entries
            .values()
            .filter(|kept| kept.item.counts())
            .count();
        if before > after {
            let (name, ended) = (self.source.name(), before - after);
            self.note(format!(
                "{name}: {ended} that were kept are gone indeed, and are let go"
            ));
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(text);
        } else {
            self.untold += 1;
        }
    }

    /// What is to be told, once.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            notes.push(format!("{}: and {untold} more of such", self.source.name()));
        }
        notes
    }
}

impl Kept {
    /// Who vanishes with an entry: a session takes all its endpoints along, and counts once.
    fn holder<'a>(&'a self, key: &'a [u8]) -> Option<&'a [u8]> {
        match &self.item {
            Item::Endpoint(endpoint) => Some(endpoint.session.as_bytes()),
            item if item.counts() => Some(key),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
