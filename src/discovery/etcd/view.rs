//! What the key space says, as endpoints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::guard::{Guard, Vanished};
use super::keys::{self, Key};
use super::preference;
use crate::ambient;
use crate::discovery::EndpointFeed;
use crate::endpoint::{EndpointDescription, service_info};
use crate::keyspace::{Change, Sink};
use crate::meters;
use crate::names::{EndpointId, SessionId, TopKey};

/// Keys below the top key that are no endpoints, with the reason. A key is in
/// it as long as it is in etcd.
pub type Rejected = BTreeMap<String, String>;

/// An endpoint that is kept though its key is not in etcd, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suspect {
    /// The key that carried it.
    pub key: String,
    /// When it is removed, unless it comes back; `None` for one that is known
    /// from an earlier run and removed when etcd was read and does not have
    /// it.
    pub until: Option<Instant>,
}

/// What is to be said of a view's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewStatus {
    /// Endpoints of others.
    pub endpoints: usize,
    /// Sessions of others.
    pub sessions: usize,
    /// Keys that are no endpoints.
    pub rejected: Arc<Rejected>,
    /// Endpoints that are kept though their keys are not in etcd.
    pub suspects: Arc<BTreeMap<EndpointId, Suspect>>,
    /// Whether no endpoint is shown, because the view was stale for too long.
    pub withheld: bool,
}

/// The view, shared by the watcher that feeds it and the clock that ends its
/// suspects.
#[derive(Clone)]
pub(super) struct View {
    state: Arc<Mutex<State>>,
    status: Arc<watch::Sender<ViewStatus>>,
}

/// Turns changes of keys into changes of endpoints.
///
/// It keeps every key that carries an endpoint. If several sessions carry the
/// same endpoint, the newest key counts, and only when the last one goes is
/// the endpoint gone.
struct State {
    top: TopKey,
    /// Our own session, if there is one: its endpoints are no news to us (rule E09).
    own: Option<SessionId>,
    feed: EndpointFeed,
    guard: Option<Guard>,
    vanished: Vanished,
    // What the status shows is kept as it goes, and shared with it: events are
    // many, and neither counted nor copied anew for each.
    rejected: Arc<Rejected>,
    suspects: Arc<BTreeMap<EndpointId, Suspect>>,
    sessions: HashMap<SessionId, Session>,
    sessions_with_key: usize,
    carriers: HashMap<EndpointId, Vec<Carrier>>,
    /// Whether the whole range was delivered once.
    synced: bool,
    /// Whether listeners are told that there is nothing.
    withheld: bool,
}

/// What is known of another session.
#[derive(Debug, Default)]
struct Session {
    /// Whether its key is there.
    has_key: bool,
    /// Until when its endpoints are kept: its key went together with those of
    /// many others.
    held: Option<Instant>,
    /// Its endpoints whose keys are there.
    endpoints: usize,
}

/// One key that carries an endpoint.
struct Carrier {
    key: Vec<u8>,
    session: SessionId,
    mod_revision: i64,
    description: Arc<EndpointDescription>,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// The key is in etcd.
    There,
    /// It is not, and that is not believed yet.
    Suspect { until: Instant },
    /// It was there in an earlier run of this process.
    Remembered,
}

impl View {
    pub(super) fn new(
        top: TopKey,
        own: Option<SessionId>,
        feed: EndpointFeed,
        guard: Option<Guard>,
    ) -> Self {
        let state = State {
            top,
            own,
            feed,
            guard,
            vanished: Vanished::default(),
            rejected: Arc::default(),
            suspects: Arc::default(),
            sessions: HashMap::new(),
            sessions_with_key: 0,
            carriers: HashMap::new(),
            synced: false,
            withheld: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            status: Arc::new(watch::Sender::new(ViewStatus::default())),
        }
    }

    /// What is to be said of the view's health, and news of it.
    pub(super) fn status(&self) -> watch::Receiver<ViewStatus> {
        self.status.subscribe()
    }

    /// Begins with what an earlier run saw. What etcd has not, once it is
    /// read, is removed.
    pub(super) fn remember(&self, known: Vec<(String, EndpointDescription)>) {
        let mut state = self.state.lock();
        for (key, description) in known {
            state.remember(key.into_bytes(), Arc::new(description));
        }
        self.report(&state);
    }

    /// What a later run may begin with: each key that is there, with its
    /// endpoint.
    pub(super) fn known(&self) -> Vec<(String, Arc<EndpointDescription>)> {
        let state = self.state.lock();
        let carriers = state.carriers.values().flatten();
        let known = carriers.filter_map(|carrier| {
            let key = String::from_utf8(carrier.key.clone()).ok()?;
            Some((key, Arc::clone(&carrier.description)))
        });
        known.collect()
    }

    /// Takes all endpoints from the listeners, or gives them those that there
    /// are by now. What is known is kept.
    pub(super) fn withhold(&self, withheld: bool) {
        let mut state = self.state.lock();
        state.withheld = withheld;
        let mut ids: Vec<EndpointId> = state.carriers.keys().cloned().collect();
        ids.sort();
        for id in ids {
            state.publish(&id);
        }
        self.report(&state);
    }

    /// Whether the whole range was delivered once.
    pub(super) fn is_synced(&self) -> bool {
        self.state.lock().synced
    }

    /// When the first suspect's time is over; none without suspects.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.state.lock().next_deadline()
    }

    /// Removes the suspects whose time was over then.
    pub(super) fn expire(&self, then: Instant) {
        let mut state = self.state.lock();
        state.expire(then);
        self.report(&state);
    }

    /// Keeps the suspects whose time was over then once more, from now on.
    pub(super) fn hold_again(&self, then: Instant) {
        let mut state = self.state.lock();
        state.hold_again(then, Instant::now());
        self.report(&state);
    }

    fn report(&self, state: &State) {
        let status = state.status();
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                let (suspects, rejected) = (status.suspects.len(), status.rejected.len());
                meters::view(status.endpoints, status.sessions, suspects, rejected);
            }
            *known = status;
            changed
        });
    }
}

impl Sink for View {
    fn apply(&mut self, changes: Vec<Change>) {
        let mut state = self.state.lock();
        state.apply(changes, Instant::now());
        self.report(&state);
    }

    fn synced(&mut self, revision: i64) {
        let mut state = self.state.lock();
        state.synced(Instant::now());
        debug!(
            revision,
            endpoints = state.carriers.len(),
            "all endpoints known"
        );
        self.report(&state);
    }
}

impl State {
    fn apply(&mut self, changes: Vec<Change>, now: Instant) {
        self.note_vanished(&changes, now);
        for change in changes {
            match change {
                Change::Put {
                    key,
                    value,
                    mod_revision,
                    ..
                } => self.put(key, &value, mod_revision),
                Change::Delete { key, .. } => self.delete(&key),
            }
        }
    }

    /// Decides whether sessions that vanish with these changes are believed.
    ///
    /// It looks at all changes at once: after an outage hundreds of sessions
    /// can be gone in one delivery. A session that takes its endpoints back
    /// before its key goes has none by then, and does not count.
    fn note_vanished(&mut self, changes: &[Change], now: Instant) {
        let Some(guard) = &self.guard else {
            return;
        };
        let gone = changes.iter().filter_map(|change| {
            let Change::Delete { key, .. } = change else {
                return None;
            };
            match keys::parse(&self.top, key) {
                Ok(Key::Session(session)) => {
                    let known = self.sessions.get(&session)?;
                    (known.has_key && known.endpoints > 0).then_some(session)
                }
                _ => None,
            }
        });
        let gone: Vec<SessionId> = gone.collect();
        if gone.is_empty() {
            return;
        }
        let with_endpoints = self
            .sessions
            .values()
            .filter(|s| s.has_key && s.endpoints > 0);
        let living = with_endpoints.count().saturating_sub(gone.len());
        if !self.vanished.note(guard, gone.len(), living, now) {
            return;
        }
        warn!(
            sessions = gone.len(),
            living,
            hold = ?guard.hold,
            "many sessions vanished at once: their endpoints are kept for now"
        );
        let until = now + guard.hold.min(ambient::FAR);
        for session in gone {
            if let Some(known) = self.sessions.get_mut(&session) {
                known.held = Some(until);
            }
        }
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8], mod_revision: i64) {
        match self.read(&key, value) {
            Ok(None) => self.accept(&key),
            Ok(Some((session, description))) => {
                self.accept(&key);
                self.carry(Carrier {
                    key,
                    session,
                    mod_revision,
                    description: Arc::new(description),
                    presence: Presence::There,
                });
            }
            Err(reason) => {
                let shown = String::from_utf8_lossy(&key).into_owned();
                warn!(key = %shown, %reason, "a key is no endpoint; it is left alone");
                Arc::make_mut(&mut self.rejected).insert(shown, reason);
                // A value that became unreadable describes nothing any more.
                self.delete_endpoint(&key, None);
            }
        }
    }

    fn read(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(SessionId, EndpointDescription)>, String> {
        let (session, id) = match keys::parse(&self.top, key) {
            Err(error) => return Err(error.to_string()),
            Ok(Key::Session(session)) => {
                if !self.is_own(&session) {
                    let known = self.sessions.entry(session).or_default();
                    self.sessions_with_key += usize::from(!known.has_key);
                    (known.has_key, known.held) = (true, None);
                }
                return Ok(None);
            }
            Ok(Key::Endpoint(session, _)) if self.is_own(&session) => return Ok(None),
            Ok(Key::Endpoint(session, id)) => (session, id),
        };
        let info = service_info::decode(value).map_err(|error| error.to_string())?;
        if *info.description.id() != id {
            return Err(format!(
                "the key ends with '{id}', and the value's endpoint.id is '{}'",
                info.description.id()
            ));
        }
        let description = preference::from_wire(info).map_err(|error| error.to_string())?;
        Ok(Some((session, description)))
    }

    fn is_own(&self, session: &SessionId) -> bool {
        self.own.as_ref() == Some(session)
    }

    fn delete(&mut self, key: &[u8]) {
        self.accept(key);
        match keys::parse(&self.top, key) {
            Ok(Key::Session(session)) => {
                if let Some(known) = self.sessions.get_mut(&session) {
                    self.sessions_with_key -= usize::from(known.has_key);
                    known.has_key = false;
                }
                self.forget_if_empty(&session);
            }
            Ok(Key::Endpoint(session, _)) => {
                let hold = self.sessions.get(&session).and_then(|s| s.held);
                self.delete_endpoint(key, hold);
            }
            Err(_) => {}
        }
    }

    fn accept(&mut self, key: &[u8]) {
        if self.rejected.is_empty() {
            return;
        }
        let shown = String::from_utf8_lossy(key);
        if self.rejected.contains_key(shown.as_ref()) {
            Arc::make_mut(&mut self.rejected).remove(shown.as_ref());
        }
    }

    fn carry(&mut self, carrier: Carrier) {
        let id = carrier.description.id().clone();
        let carriers = self.carriers.entry(id.clone()).or_default();
        let before = carriers.iter().position(|known| known.key == carrier.key);
        let was_there = before.is_some_and(|at| carriers[at].presence == Presence::There);
        if !was_there && carrier.presence == Presence::There {
            self.sessions
                .entry(carrier.session.clone())
                .or_default()
                .endpoints += 1;
        }
        match before {
            Some(at) => carriers[at] = carrier,
            None => carriers.push(carrier),
        }
        self.publish(&id);
    }

    fn remember(&mut self, key: Vec<u8>, description: Arc<EndpointDescription>) {
        let Ok(Key::Endpoint(session, id)) = keys::parse(&self.top, &key) else {
            return;
        };
        if !self.is_own(&session) && id == *description.id() {
            self.carry(Carrier {
                key,
                session,
                mod_revision: 0,
                description,
                presence: Presence::Remembered,
            });
        }
    }

    /// Takes a key out, or keeps its endpoint as a suspect until `hold`.
    fn delete_endpoint(&mut self, key: &[u8], hold: Option<Instant>) {
        let Ok(Key::Endpoint(session, id)) = keys::parse(&self.top, key) else {
            return;
        };
        let Some(carriers) = self.carriers.get_mut(&id) else {
            return;
        };
        let Some(at) = carriers.iter().position(|carrier| carrier.key == key) else {
            return;
        };
        let was_there = carriers[at].presence == Presence::There;
        match hold {
            Some(until) => carriers[at].presence = Presence::Suspect { until },
            None => drop(carriers.swap_remove(at)),
        }
        if was_there && let Some(known) = self.sessions.get_mut(&session) {
            known.endpoints -= 1;
        }
        self.forget_if_empty(&session);
        self.publish(&id);
    }

    fn forget_if_empty(&mut self, session: &SessionId) {
        let empty = |s: &Session| !s.has_key && s.endpoints == 0;
        if self.sessions.get(session).is_some_and(empty) {
            self.sessions.remove(session);
        }
    }

    /// Tells the listeners what counts of an endpoint now, if it is news.
    fn publish(&mut self, id: &EndpointId) {
        let carriers = self.carriers.entry(id.clone()).or_default();
        // With one key there, what another one did is of no interest.
        if carriers.iter().any(|c| c.presence == Presence::There) {
            carriers.retain(|c| c.presence == Presence::There);
        }
        let newest = carriers.iter().max_by_key(|c| c.mod_revision);
        let suspect = newest.and_then(Carrier::suspect);
        if self.suspects.get(id) != suspect.as_ref() {
            let suspects = Arc::make_mut(&mut self.suspects);
            match suspect {
                Some(suspect) => suspects.insert(id.clone(), suspect),
                None => suspects.remove(id),
            };
        }
        let shown = newest.filter(|_| !self.withheld);
        let Some(newest) = shown else {
            if newest.is_none() {
                self.carriers.remove(id);
            }
            if let Some(gone) = self.feed.remove(id) {
                meters::event("removed");
                info!(endpoint = %gone, "endpoint removed");
            }
            return;
        };
        match self.feed.get(id) {
            Some(known) if known.same_content(&newest.description) => return,
            Some(_) => {
                meters::event("modified");
                info!(endpoint = %newest.description, "endpoint modified");
            }
            None => {
                meters::event("added");
                info!(endpoint = %newest.description, "endpoint added");
            }
        }
        // What a listing tells may have been there for long.
        if self.synced
            && let Some(lag) = age(&newest.description)
        {
            meters::lag(lag);
        }
        self.feed.set(id.clone(), Arc::clone(&newest.description));
    }

    /// The whole range has been delivered: what is only remembered is not
    /// there any more. The guard holds for it too.
    fn synced(&mut self, now: Instant) {
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        let missing: Vec<(Vec<u8>, SessionId)> = self
            .suspects
            .keys()
            .filter_map(|id| self.carriers.get(id))
            .flatten()
            .filter(|c| c.presence == Presence::Remembered)
            .map(|c| (c.key.clone(), c.session.clone()))
            .collect();
        let mut sessions: Vec<_> = missing.iter().map(|(_, session)| session).collect();
        sessions.sort();
        sessions.dedup();
        sessions.retain(|session| self.sessions.get(*session).is_none_or(|s| !s.has_key));
        let living = self.sessions.values().filter(|s| s.endpoints > 0).count();
        let hold = match &self.guard {
            Some(guard) if self.vanished.note(guard, sessions.len(), living, now) => {
                Some(now + guard.hold.min(ambient::FAR))
            }
            _ => None,
        };
        for (key, _) in missing {
            self.delete_endpoint(&key, hold);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.suspects
            .values()
            .filter_map(|suspect| suspect.until)
            .min()
    }

    fn hold_again(&mut self, then: Instant, now: Instant) {
        let Some(guard) = &self.guard else { return };
        let until = now + guard.hold.min(ambient::FAR);
        let over: Vec<EndpointId> = self
            .suspects
            .iter()
            .filter(|(_, suspect)| suspect.until.is_some_and(|until| until <= then))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            for carrier in self.carriers.get_mut(&id).into_iter().flatten() {
                carrier.presence = Presence::Suspect { until };
            }
            self.publish(&id);
        }
    }

    fn expire(&mut self, now: Instant) {
        let over = |s: &Suspect| s.until.is_some_and(|until| until <= now);
        let over = self.suspects.iter().filter(|(_, suspect)| over(suspect));
        let ids: Vec<EndpointId> = over.map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Some(carriers) = self.carriers.get_mut(&id) {
                carriers.clear();
            }
            self.publish(&id);
        }
    }

    fn status(&self) -> ViewStatus {
        ViewStatus {
            endpoints: self.carriers.len(),
            sessions: self.sessions_with_key,
            rejected: Arc::clone(&self.rejected),
            suspects: Arc::clone(&self.suspects),
            withheld: self.withheld,
        }
    }
}

impl Carrier {
    fn suspect(&self) -> Option<Suspect> {
        let until = match self.presence {
            Presence::There => return None,
            Presence::Suspect { until } => Some(until),
            Presence::Remembered => None,
        };
        Some(Suspect {
            key: String::from_utf8_lossy(&self.key).into_owned(),
            until,
        })
    }
}

/// How long ago a description was made, by its maker's clock; `None` for one
/// from the future.
fn age(description: &EndpointDescription) -> Option<Duration> {
    let made = u64::try_from(description.timestamp()).ok()?;
    ambient::since_1970().checked_sub(Duration::from_millis(made))
}

#[cfg(test)]
mod tests;
