//! What a watcher decides: a pure state machine.
//!
//! Connect; list the range in pages at one revision; watch from the next revision on. When the
//! watch ends it is opened again where it stood, elsewhere. Only when that cannot be (the history
//! is compacted, or is another) the range is listed again, and the differences are told.

mod listing;

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::event::{Action, CallId, Event, Message, Step, Trouble};
use super::{Change, WatchConfig, WatchCounts, WatchPhase};
use crate::keyspace::backoff::Backoff;
use crate::keyspace::connect::{Failure, FailureKind, Header};
use crate::keyspace::mirror::Mirror;
use crate::keyspace::range::{Entry, Page, Pages};

/// A watch that lived for this long was healthy, and the backoff starts over.
const HEALTHY: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum State {
    Down {
        retry_at: Instant,
    },
    Dialling {
        call: CallId,
    },
    /// Connected, and about to list or to open the watch.
    Pausing {
        until: Instant,
    },
    Listing {
        call: CallId,
        list: List,
    },
    Opening {
        call: CallId,
        revision: i64,
        give_up_at: Instant,
    },
    Live {
        call: CallId,
        since: Instant,
        heard: Instant,
        /// When the server was asked for a sign of life, and not heard since.
        asked: Option<Instant>,
    },
}

/// A listing under way.
#[derive(Debug)]
struct List {
    pages: Pages,
    /// Nothing had been delivered when it began: then there is nothing to remove, and every page
    /// can be delivered at once.
    first: bool,
    /// What differs, kept until the removals are known: they go first.
    differences: Vec<Entry>,
    /// The newest change that the watch had completely delivered, when this listing checks it.
    audits: Option<i64>,
    /// The cluster that sent the first page.
    cluster: u64,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct WatcherMachine {
    config: WatchConfig,
    endpoints: usize,
    call_timeout: Duration,
    rng: StdRng,
    backoff: Backoff,
    next_call: CallId,
    endpoint: usize,
    state: State,
    mirror: Mirror,
    page_size: u32,
    /// The cursor: all changes up to this revision have been delivered. None: list.
    ///
    /// It is the revision *before* the newest event, until something later shows that the newest
    /// revision is complete. A revision may come in several messages, and a client that took the
    /// first of them for all would miss the others when the stream breaks between them. Seeing the
    /// last revision twice costs nothing, because the mirror drops what is not newer.
    cursor: Option<i64>,
    /// The newest revision of which events have come.
    newest: i64,
    /// The highest values seen, to notice that history was lost.
    seen: Header,
    relist: bool,
    /// The watch is opened where a listing on this connection ended.
    listed: bool,
    /// The store's history is another one, so that equal revisions say nothing: the next listing
    /// delivers every key.
    history_lost: bool,
    audit_at: Option<Instant>,
    synced: Option<i64>,
    /// When the last listing was complete.
    listed_at: Option<Instant>,
    /// Since when nothing was heard that would have told of changes; None while the watch is live.
    stale_since: Option<Instant>,
    counts: WatchCounts,
}

impl WatcherMachine {
    /// `seed` determines delays.
    pub(crate) fn new(
        config: WatchConfig,
        endpoints: usize,
        call_timeout: Duration,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            page_size: config.page_size,
            config,
            endpoints,
            call_timeout,
            rng: StdRng::seed_from_u64(seed),
            backoff: Backoff::new(
                Duration::from_millis(800),
                Duration::from_millis(800),
                Duration::from_secs(30),
            ),
            next_call: 0,
            endpoint: 0,
            state: State::Down { retry_at: now },
            mirror: Mirror::default(),
            cursor: None,
            newest: 0,
            seen: Header::default(),
            relist: false,
            listed: false,
            history_lost: false,
            audit_at: None,
            synced: None,
            listed_at: None,
            stale_since: Some(now),
            counts: WatchCounts::default(),
        }
    }

    /// Takes one event and says what to do.
    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Tick => {}
            Event::Relist => self.relist = true,
            Event::Dialled { call, result } => self.dialled(call, result, now, &mut out),
            Event::Page { call, result } => self.page(call, result, now, &mut out),
            Event::Watch { call, result } => self.watched(call, result, now, &mut out),
        }
        self.advance(now, &mut out);
        out
    }

    /// When to tick, unless something happens before.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            State::Pausing { until } => Some(*until),
            State::Dialling { .. } | State::Listing { .. } => None,
            State::Opening { give_up_at, .. } => Some(*give_up_at),
            State::Live { heard, asked, .. } => {
                let sign = match asked {
                    Some(asked) => *asked + self.config.patience,
                    None => *heard + self.config.silence,
                };
                Some(self.audit_at.map_or(sign, |audit| audit.min(sign)))
            }
        }
    }

    pub(crate) const fn phase(&self) -> WatchPhase {
        match &self.state {
            State::Down { .. } | State::Dialling { .. } => WatchPhase::Connecting,
            State::Pausing { .. } | State::Listing { .. } => WatchPhase::Listing,
            State::Opening { .. } => WatchPhase::Opening,
            State::Live { .. } => WatchPhase::Live,
        }
    }

    pub(crate) const fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// The revision of the last complete listing.
    pub(crate) const fn synced(&self) -> Option<i64> {
        self.synced
    }

    /// When the last listing was complete.
    pub(crate) const fn listed_at(&self) -> Option<Instant> {
        self.listed_at
    }

    /// Since when changes may be missing; None while the watch is live.
    pub(crate) const fn stale_since(&self) -> Option<Instant> {
        self.stale_since
    }

    pub(crate) fn keys(&self) -> usize {
        self.mirror.len()
    }

    /// The keys that were delivered, with their modification revisions.
    #[cfg(test)]
    pub(crate) fn delivered(&self) -> impl Iterator<Item = (&[u8], i64)> {
        self.mirror.iter()
    }

    pub(crate) const fn counts(&self) -> WatchCounts {
        self.counts
    }

    const fn call(&mut self) -> CallId {
        self.next_call += 1;
        self.next_call
    }

    /// Does what time asks for.
    fn advance(&mut self, now: Instant, out: &mut Vec<Action>) {
        match &self.state {
            State::Down { retry_at } if now >= *retry_at => {
                let call = self.call();
                self.counts.dials += 1;
                self.state = State::Dialling { call };
                let endpoint = self.endpoint;
                out.push(Action::Dial { call, endpoint });
            }
            State::Pausing { until } if now >= *until => self.resume(now, out),
            State::Opening { give_up_at, .. } if now >= *give_up_at => {
                let waited = self.call_timeout;
                let cause = format!("no answer within {waited:?}");
                let failure = Failure::new(FailureKind::Unavailable, cause, waited);
                self.fail(Step::Watch, failure, now, out);
            }
            State::Live { .. } => self.attend(now, out),
            _ => {}
        }
    }

    /// Looks after a live watch.
    fn attend(&mut self, now: Instant, out: &mut Vec<Action>) {
        let State::Live {
            since,
            heard,
            asked,
            ..
        } = &mut self.state
        else {
            return;
        };
        if self.relist || self.audit_at.is_some_and(|at| now >= at) {
            return self.list(now, out);
        }
        match asked {
            // etcd 3.4.25 to 3.4.30 and 3.5.8 to 3.5.12 answer no request for progress on a watch
            // that was opened at an older revision, until it has an event (etcd issue 17507). The
            // next server would do the same for ever. A listing shows whether this one lives, and
            // the watch that is opened after it does answer.
            Some(at) if now >= *at + self.config.patience && heard == since && !self.listed => {
                self.list(now, out);
            }
            Some(at) if now >= *at + self.config.patience => {
                let waited = now.saturating_duration_since(*heard);
                let failure = Failure::new(
                    FailureKind::Unavailable,
                    format!("no sign of life for {waited:.1?}"),
                    waited,
                );
                self.fail(Step::Watch, failure, now, out);
            }
            None if now >= *heard + self.config.silence => {
                *asked = Some(now);
                out.push(Action::AskProgress);
            }
            _ => {}
        }
    }

    /// Goes on with a connection: from the cursor, or from a listing.
    fn resume(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.cursor {
            Some(cursor) if !self.relist => {
                let call = self.call();
                let revision = cursor + 1;
                self.state = State::Opening {
                    call,
                    revision,
                    give_up_at: now + self.call_timeout,
                };
                out.push(Action::Open { call, revision });
            }
            _ => self.list(now, out),
        }
    }

    /// Goes on with this connection, but not in a tight loop.
    fn pause(&mut self, now: Instant) {
        let until = now + self.backoff.next_delay(&mut self.rng);
        self.state = State::Pausing { until };
    }

    /// Gives the connection up, and tries the next endpoint after a pause.
    fn fail(&mut self, step: Step, failure: Failure, now: Instant, out: &mut Vec<Action>) {
        if let State::Live { since, heard, .. } = self.state {
            if now.saturating_duration_since(since) >= HEALTHY {
                self.backoff.reset();
            }
            self.stale_since = Some(heard);
        }
        self.stale_since.get_or_insert(now);
        self.counts.failures += 1;
        self.listed = false;
        let endpoint = self.endpoint;
        self.endpoint = (self.endpoint + 1) % self.endpoints;
        let retry_at = now + self.backoff.next_delay(&mut self.rng);
        self.state = State::Down { retry_at };
        out.push(Action::Disconnect);
        out.push(Action::Report(Trouble {
            step,
            endpoint,
            failure,
        }));
    }

    fn dialled(
        &mut self,
        call: CallId,
        result: Result<Header, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if !matches!(self.state, State::Dialling { call: dial } if dial == call) {
            return;
        }
        match result {
            Ok(header) => {
                if self.is_other_history(header) {
                    self.note_history_lost();
                } else if self.seen != Header::default() {
                    // A server that was started anew has another term. A wiped store begins with
                    // the first term again, and may by then have grown past our revision.
                    self.seen.term = header.term;
                    self.seen.revision = header.revision;
                }
                self.resume(now, out);
            }
            Err(failure) => self.fail(Step::Connect, failure, now, out),
        }
    }

    /// Whether the header of a linearizable read tells of another history of the store than the
    /// one that was followed. A header of the watch says less: a member may lag behind.
    fn is_other_history(&self, header: Header) -> bool {
        let seen = self.seen;
        seen != Header::default()
            && (header.cluster != seen.cluster
                || header.term < seen.term
                || header.revision < seen.revision)
    }

    fn note_history_lost(&mut self) {
        self.relist = true;
        if !self.history_lost {
            self.history_lost = true;
            self.counts.histories_lost += 1;
        }
    }

    fn deliver(&mut self, changes: Vec<Change>, out: &mut Vec<Action>) {
        if !changes.is_empty() {
            self.counts.changes += changes.len() as u64;
            out.push(Action::Deliver(changes));
        }
    }

    fn watched(
        &mut self,
        call: CallId,
        result: Result<Message, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        match &self.state {
            State::Opening { call: open, .. } | State::Live { call: open, .. } if *open == call => {
            }
            _ => return,
        }
        match result {
            Ok(message) => self.message(message, now, out),
            Err(failure) => self.fail(Step::Watch, failure, now, out),
        }
    }

    fn message(&mut self, message: Message, now: Instant, out: &mut Vec<Action>) {
        // The header of a watch says nothing of history by its revision and term, because a member
        // may lag behind, but it does by its cluster.
        if message.header.cluster != self.seen.cluster && message.header != Header::default() {
            self.note_history_lost();
            return self.pause(now);
        }
        // Before `created`, because a watch on a compacted revision has both in one message.
        if message.canceled {
            return self.canceled(message, now, out);
        }
        match &mut self.state {
            State::Opening { call, revision, .. } if message.created => {
                if message.header.revision < *revision - 1 {
                    // The server has not come as far as we have: it lags, or history was lost.
                    // A watch from the future would skip what comes between. A listing waits for
                    // the lagging, and tells what was lost.
                    return self.list(now, out);
                }
                let call = *call;
                self.counts.watches += 1;
                self.stale_since = None;
                self.state = State::Live {
                    call,
                    since: now,
                    heard: now,
                    asked: None,
                };
            }
            State::Live { heard, asked, .. } => {
                *heard = now;
                *asked = None;
            }
            _ => {}
        }
        self.follow(message, out);
    }

    /// Moves the cursor and delivers events.
    fn follow(&mut self, message: Message, out: &mut Vec<Action>) {
        let newest = message.changes.iter().map(Change::mod_revision).max();
        let complete = match newest {
            // Whatever came before this revision is complete.
            Some(newest) => {
                self.newest = self.newest.max(newest);
                newest - 1
            }
            // A sign of progress that the server sent by itself, after all events before it.
            // An answer to a request for progress overtakes events in etcd before 3.4.25 and
            // 3.5.8 (etcd issue 15220), so it counts as a sign of life only. So does the header of
            // `created`.
            None if message.addressed && !message.created => message.header.revision,
            None => return,
        };
        if let Some(cursor) = &mut self.cursor {
            *cursor = (*cursor).max(complete);
        }
        self.seen.revision = self.seen.revision.max(complete).max(self.newest);
        let before = message.changes.len();
        let mut changes = message.changes;
        let mirror = &mut self.mirror;
        let news: Vec<Change> = changes
            .drain(..)
            .filter_map(|change| mirror.apply(change))
            .collect();
        self.counts.repeats += (before - news.len()) as u64;
        self.deliver(news, out);
    }

    fn canceled(&mut self, message: Message, now: Instant, out: &mut Vec<Action>) {
        if message.compact_revision > 0 {
            // What lies between cannot be told any more, only the difference.
            tracing::debug!(
                compact_revision = message.compact_revision,
                "the watch is behind what is compacted"
            );
            return self.list(now, out);
        }
        let failure = Failure::canceled(&message.reason);
        self.fail(Step::Watch, failure, now, out);
    }
}

#[cfg(test)]
mod tests;
