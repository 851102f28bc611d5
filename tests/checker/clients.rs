//! What sessions want, claim and ask for. Judges I1, I8, I9, I11 and I12.

use std::time::Duration;

use super::history::{By, Client, End, Entry, Fault, Key, Request, What};
use super::listeners::Place;
use super::store::Store;
use super::verdict::{Bench, Invariant};

#[derive(Debug, Default)]
struct Session {
    client: Client,
    /// The session key and its value, for sessions.
    root: Option<(Key, u64)>,
    gone: bool,
    wants: Vec<(Key, u64)>,
    claim: Option<(i64, Duration)>,
    /// Grants and renewals under way: call and sending time.
    sent: Vec<(u64, Duration)>,
    /// Until when the last answered grant or renewal holds; none before the first was recorded.
    covered: Option<Duration>,
    clock_stopped: Duration,
    cut_since: Option<Duration>,
    /// Requests sent in this outage.
    requests: u32,
    /// Sent something since the last outage of all was over.
    is_back: bool,
}

/// All sessions, and all clients as far as they ask for something.
#[derive(Debug, Default)]
pub(super) struct Clients {
    sessions: Vec<Session>,
    all_cut_since: Option<Duration>,
    /// First requests since the last outage of all was over.
    back: Vec<Duration>,
    healed: bool,
}

impl Clients {
    fn session(&mut self, client: Client) -> &mut Session {
        let at = match self.sessions.iter().position(|s| s.client == client) {
            Some(at) => at,
            None => {
                self.sessions.push(Session {
                    client,
                    ..Session::default()
                });
                self.sessions.len() - 1
            }
        };
        &mut self.sessions[at]
    }

    pub(super) fn take(
        &mut self,
        place: &Place<'_>,
        what: &What,
        store: &Store,
        bench: &mut Bench,
    ) {
        match what {
            What::Opened {
                client,
                root,
                value,
            } => self.session(*client).root = Some((*root, *value)),
            What::Wants { client, key, value } => {
                let session = self.session(*client);
                if let (Some((root, of_root)), Some(value)) = (&mut session.root, value)
                    && root == key
                {
                    *of_root = *value;
                    return;
                }
                let wants = &mut session.wants;
                wants.retain(|(wanted, _)| wanted != key);
                wants.extend(value.map(|value| (*key, value)));
            }
            What::Gone { client } => {
                let session = self.session(*client);
                session.gone = true;
                session.claim = None;
            }
            What::Registered {
                client,
                lease,
                until,
            } => self.session(*client).claims(place, *lease, *until, bench),
            What::Sent {
                client,
                call,
                request,
            } => self.sent(place, *client, *call, *request, bench),
            What::Answered { client, call, ttl } => self.session(*client).answered(*call, *ttl),
            What::ClockStopped { client, time } => self.session(*client).clock_stopped += *time,
            What::Ended {
                lease,
                how: End::Expired,
            } => self.judge_claims(place, *lease, bench),
            What::Put { key, by, .. }
                if place.rest && *by != By::Meddler && store.is_session_key(*key) =>
            {
                bench.judge(Invariant::Quiet, place.record, false, || {
                    format!("`{}` was put at rest", place.history.name(*key))
                });
            }
            What::Began { .. } | What::Healed { .. } => self.fault(place.at, what),
            What::Rest => bench.judge(Invariant::Quiet, place.record, true, String::new),
            What::Read { entries, living } if place.rest => {
                self.judge_registered(place, entries, living, store, bench);
                self.judge_leases(place, living, store, bench);
            }
            What::Holds {
                client,
                what,
                count,
                allowed,
            } => bench.judge(Invariant::NoLeaks, place.record, count <= allowed, || {
                format!("client {client} holds {count} {what}, and may hold {allowed}")
            }),
            _ => {}
        }
    }

    fn fault(&mut self, at: Duration, what: &What) {
        match *what {
            What::Began {
                fault: Fault::CutOff,
                client,
            } => match client {
                Some(client) => self.session(client).cut(at),
                None => {
                    self.all_cut_since = Some(at);
                    // What is sent in this outage is no coming back from the one before.
                    self.healed = false;
                    self.sessions.iter_mut().for_each(|s| s.cut(at));
                }
            },
            What::Healed {
                fault: Fault::CutOff,
                client,
            } => match client {
                Some(client) => self.session(client).cut_since = None,
                None => {
                    self.all_cut_since = None;
                    self.healed = true;
                    self.back.clear();
                    for session in &mut self.sessions {
                        session.cut_since = None;
                        session.is_back = false;
                    }
                }
            },
            _ => {}
        }
    }

    fn sent(
        &mut self,
        place: &Place<'_>,
        client: Client,
        call: u64,
        request: Request,
        bench: &mut Bench,
    ) {
        let healed = self.healed;
        let all_cut_since = self.all_cut_since;
        let session = self.session(client);
        if matches!(request, Request::Grant | Request::Renew) {
            session.sent.push((call, place.at));
        }
        if place.rest && request == Request::Write {
            bench.judge(Invariant::Quiet, place.record, false, || {
                format!("client {client} wrote at rest")
            });
        }
        if session.cut_since.is_none() {
            session.cut_since = all_cut_since;
        }
        session.judge_outage(place, bench);
        if healed && !std::mem::replace(&mut session.is_back, true) {
            self.back.push(place.at);
            self.judge_herd(place, bench);
        }
    }

    /// I12: not all in one instant.
    fn judge_herd(&self, place: &Place<'_>, bench: &mut Bench) {
        let Some(herd) = &place.limits.herd else {
            return;
        };
        if self.sessions.len() < herd.clients {
            return;
        }
        let since = place.at.saturating_sub(herd.window);
        let together = self.back.iter().filter(|at| **at >= since).count();
        bench.judge(
            Invariant::Gentle,
            place.record,
            together <= herd.at_most,
            || format!("{together} clients came back within {:?}", herd.window),
        );
    }

    /// I8, against the store: nobody claims a lease that ran out.
    fn judge_claims(&self, place: &Place<'_>, lease: i64, bench: &mut Bench) {
        for session in &self.sessions {
            let Some((claimed, until)) = session.claim else {
                continue;
            };
            if claimed == lease {
                let honest = until <= place.at + session.clock_stopped;
                bench.judge(Invariant::Honesty, place.record, honest, || {
                    let client = session.client;
                    format!("client {client} claims lease {lease:x} until {until:?}; it ran out")
                });
            }
        }
    }

    /// I1. Of several processes with one session id, one has it.
    fn judge_registered(
        &self,
        place: &Place<'_>,
        entries: &[Entry],
        living: &[i64],
        store: &Store,
        bench: &mut Bench,
    ) {
        let mut roots: Vec<Key> = Vec::new();
        for (root, _) in self.sessions.iter().filter_map(|s| s.root) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        for root in roots {
            let mut found: Vec<Entry> = entries
                .iter()
                .filter(|entry| place.history.is_of(entry.key, root))
                .copied()
                .collect();
            found.sort_unstable();
            let of_root = |session: &&Session| session.root.is_some_and(|(key, _)| key == root);
            let mut holders = self.sessions.iter().filter(of_root).filter(|s| !s.gone);
            let holds = if holders.clone().next().is_none() {
                // What somebody else left under the session id without a lease is not ours to end.
                found.iter().all(|entry| entry.lease == 0)
            } else {
                holders.any(|session| session.has(&found, living, store))
            };
            bench.judge(Invariant::Registered, place.record, holds, || {
                let name = |key: &Key| place.history.name(*key).to_owned();
                let found: Vec<_> = found
                    .iter()
                    .map(|e| (name(&e.key), e.value, e.lease))
                    .collect();
                let wanted: Vec<_> = self
                    .sessions
                    .iter()
                    .filter(of_root)
                    .filter(|s| !s.gone)
                    .map(|s| {
                        (
                            s.client,
                            s.wants.iter().map(|(k, v)| (name(k), v)).collect(),
                        )
                    })
                    .collect::<Vec<(_, Vec<_>)>>();
                format!(
                    "below `{}` there is {found:x?}, wanted {wanted:x?}, leases {living:x?}",
                    name(&root)
                )
            });
        }
    }

    /// I9: one live lease for each session.
    fn judge_leases(&self, place: &Place<'_>, living: &[i64], store: &Store, bench: &mut Bench) {
        for session in self.sessions.iter().filter(|s| s.root.is_some()) {
            let client = session.client;
            let of_client = |lease: &&i64| store.granted_by(**lease) == Some(client);
            let count = living.iter().filter(of_client).count();
            let allowed = usize::from(!session.gone);
            bench.judge(Invariant::NoLeaks, place.record, count <= allowed, || {
                format!("client {client} has {count} leases, and may have {allowed}")
            });
        }
    }
}

impl Session {
    const fn cut(&mut self, at: Duration) {
        self.cut_since = Some(at);
        self.requests = 0;
    }

    fn answered(&mut self, call: u64, ttl: Duration) {
        if let Some(at) = self.sent.iter().position(|(sent, _)| *sent == call) {
            let (_, sent) = self.sent.swap_remove(at);
            // An answer that comes late covers no less than one before.
            self.covered = self.covered.max(Some(sent + ttl));
        }
    }

    /// I8, against the session's own calls.
    fn claims(
        &mut self,
        place: &Place<'_>,
        lease: i64,
        until: Option<Duration>,
        bench: &mut Bench,
    ) {
        self.claim = until.map(|until| (lease, until));
        let Some(until) = until else { return };
        let covered = self.covered;
        let honest = covered.is_none_or(|covered| until <= covered + self.clock_stopped);
        bench.judge(Invariant::Honesty, place.record, honest, || {
            let client = self.client;
            format!("client {client} claims until {until:?}, the last answer covers {covered:?}")
        });
    }

    /// I12: requests in an outage stay under the backoff's bound.
    fn judge_outage(&mut self, place: &Place<'_>, bench: &mut Bench) {
        let Some(since) = self.cut_since else { return };
        self.requests += 1;
        let outage = place.at.saturating_sub(since);
        let limits = place.limits;
        let allowed = f64::from(limits.outage_burst) + outage.as_secs_f64() * limits.outage_rate;
        let holds = f64::from(self.requests) <= allowed;
        bench.judge(Invariant::Gentle, place.record, holds, || {
            let (client, requests) = (self.client, self.requests);
            format!("client {client} sent {requests} requests in an outage of {outage:?}")
        });
    }

    /// Whether the keys of the session are exactly as this process wants them.
    fn has(&self, found: &[Entry], living: &[i64], store: &Store) -> bool {
        let Some(root) = self.root else { return false };
        let Some(lease) = found.iter().find(|e| e.key == root.0).map(|e| e.lease) else {
            return false;
        };
        let by = store.granted_by(lease);
        let mut wanted = self.wants.clone();
        wanted.push(root);
        wanted.sort_unstable();
        living.contains(&lease)
            && by.is_none_or(|by| by == self.client)
            && found.iter().all(|entry| entry.lease == lease)
            && found
                .iter()
                .map(|entry| (entry.key, entry.value))
                .eq(wanted)
    }
}
