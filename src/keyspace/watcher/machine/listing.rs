//! How a watcher lists its range and tells the differences.

use std::time::Instant;

use rand::RngExt;

use super::*;
use crate::keyspace::range::Entry;

impl WatcherMachine {
    pub(super) fn list(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.relist = false;
        self.audit_at = self
            .config
            .audit_interval
            .map(|pause| now + pause.mul_f64(self.rng.random_range(2.0 / 3.0..4.0 / 3.0)));
        let list = List {
            pages: Pages::new(
                self.config.start.clone(),
                self.config.end.clone(),
                self.page_size,
                false,
            ),
            first: self.mirror.is_empty(),
            differences: Vec::new(),
            audits: matches!(self.state, State::Live { .. })
                .then_some(self.cursor)
                .flatten(),
            cluster: 0,
        };
        self.mirror.begin();
        self.read_page(list, out);
    }

    fn read_page(&mut self, list: List, out: &mut Vec<Action>) {
        let call = self.call();
        let request = list.pages.request().clone();
        self.state = State::Listing { call, list };
        out.push(Action::ReadPage { call, request });
    }

    pub(super) fn page(
        &mut self,
        call: CallId,
        result: Result<Page, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let idle = State::Pausing { until: now };
        let mut list = match std::mem::replace(&mut self.state, idle) {
            State::Listing { call: page, list } if page == call => list,
            other => {
                self.state = other;
                return;
            }
        };
        match result {
            Ok(page) => self.listed(list, page, now, out),
            Err(failure) if failure.kind == FailureKind::TooLarge && list.pages.halve() => {
                self.page_size = list.pages.request().limit;
                self.read_page(list, out);
            }
            Err(failure) if failure.kind == FailureKind::Compacted => {
                // The rest of this listing cannot be read any more.
                self.relist = true;
                self.pause(now);
            }
            Err(failure) => {
                self.cursor = None;
                self.fail(Step::List, failure, now, out);
            }
        }
    }

    fn listed(&mut self, mut list: List, mut page: Page, now: Instant, out: &mut Vec<Action>) {
        if list.pages.revision() == 0 {
            list.cluster = page.header.cluster;
            if self.is_other_history(page.header) {
                self.note_history_lost();
            }
        } else if list.cluster != page.header.cluster {
            // Pages of two stores make no listing.
            self.note_history_lost();
            return self.pause(now);
        }
        let more = list.pages.advance(&page);
        let entries = std::mem::take(&mut page.entries);
        if !self.history_lost && entries.iter().any(|entry| self.mirror.is_ahead_of(entry)) {
            // The keys before were compared by their revisions; they have to be told anew.
            self.note_history_lost();
            return self.list(now, out);
        }
        let mut fresh = Vec::new();
        for entry in entries {
            if !self.mirror.lists(&entry) && !self.history_lost {
                continue;
            }
            if list
                .audits
                .is_some_and(|cursor| entry.mod_revision <= cursor)
            {
                self.counts.repairs += 1;
            }
            if list.first {
                self.mirror.deliver(&entry);
                fresh.push(change(entry));
            } else {
                list.differences.push(entry);
            }
        }
        if more {
            // Asked for before the page is delivered, so that the server works meanwhile.
            self.read_page(list, out);
            self.deliver(fresh, out);
        } else {
            self.deliver(fresh, out);
            self.complete(list, page.header, now, out);
        }
    }

    /// A listing is complete: tell the differences, removals first, and watch from there.
    fn complete(&mut self, list: List, header: Header, now: Instant, out: &mut Vec<Action>) {
        let revision = list.pages.revision();
        if std::mem::take(&mut self.history_lost) {
            self.relist = false;
            out.push(Action::HistoryLost);
        }
        let mut changes: Vec<Change> = self
            .mirror
            .take_unlisted()
            .into_iter()
            .map(|key| Change::Delete {
                key,
                mod_revision: revision,
            })
            .collect();
        changes.reserve(list.differences.len());
        for entry in list.differences {
            self.mirror.deliver(&entry);
            changes.push(change(entry));
        }
        self.deliver(changes, out);
        self.seen = Header { revision, ..header };
        self.newest = revision;
        self.cursor = Some(revision);
        self.synced = Some(revision);
        self.listed_at = Some(now);
        self.counts.lists += 1;
        self.listed = true;
        out.push(Action::Synced(revision));
        self.resume(now, out);
    }
}

pub(super) fn change(entry: Entry) -> Change {
    Change::Put {
        key: entry.key,
        value: entry.value,
        mod_revision: entry.mod_revision,
        lease: entry.lease,
    }
}
