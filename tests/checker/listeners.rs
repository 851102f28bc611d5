//! What listeners and peers were told. Judges I3 to I7, and I10 for peers.

use std::time::Duration;

use super::Limits;
use super::history::{Client, Entry, Fault, History, Key, News, Scope, What};
use super::store::Store;
use super::verdict::{Bench, Invariant};

/// What one listener was told of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    present: bool,
    revision: i64,
    /// The store's history, and the listener's own count of lost ones, when it was told.
    epoch: (u32, u32),
}

#[derive(Debug)]
struct Listener {
    client: Client,
    scope: Option<Scope>,
    known: Vec<Known>,
    histories_lost: u32,
    cut_since: Option<Duration>,
}

/// All listeners and peers.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    listeners: Vec<Listener>,
    all_cut_since: Option<Duration>,
}

/// Where in the history something is judged.
pub(super) struct Place<'a> {
    pub(super) history: &'a History,
    pub(super) limits: &'a Limits,
    pub(super) record: usize,
    pub(super) at: Duration,
    /// Whether everything is to be at rest.
    pub(super) rest: bool,
}

impl Listeners {
    fn listener(&mut self, client: Client, place: &Place<'_>) -> &mut Listener {
        let at = match self.listeners.iter().position(|l| l.client == client) {
            Some(at) => at,
            None => {
                self.listeners.push(Listener {
                    client,
                    scope: None,
                    known: vec![Known::default(); place.history.keys()],
                    histories_lost: 0,
                    cut_since: None,
                });
                self.listeners.len() - 1
            }
        };
        &mut self.listeners[at]
    }

    pub(super) fn take(
        &mut self,
        place: &Place<'_>,
        what: &What,
        store: &Store,
        bench: &mut Bench,
    ) {
        match what {
            What::Listening { listener, scope } => {
                self.listener(*listener, place).scope = Some(*scope);
            }
            What::Told {
                listener,
                news,
                key,
                revision,
                value,
            } => {
                let cut = self.all_cut_since;
                let listener = self.listener(*listener, place);
                let cut = cut.into_iter().chain(listener.cut_since).min();
                listener.judge_silence(place, *news, *key, cut, bench);
                listener.told(place, *news, *key, *revision, store.epoch, bench);
                if *news != News::Removed && *revision > 0 && store.is_recorded() {
                    let was = store.was_put(*key, *revision, *value);
                    bench.judge(Invariant::NoPhantoms, place.record, was, || {
                        let name = place.history.name(*key);
                        format!("`{name}` of revision {revision} was never in the store")
                    });
                }
            }
            // Who listens no more is told no more.
            What::Gone { client } => {
                if let Some(listener) = self.listeners.iter_mut().find(|l| l.client == *client) {
                    listener.scope = None;
                }
            }
            What::HistoryLost { listener } => self.listener(*listener, place).histories_lost += 1,
            What::View { listener, entries } => {
                let listener = self.listener(*listener, place);
                listener.judge_view(place, Invariant::Replay, "its view", entries, bench);
            }
            What::Peer {
                observer,
                news,
                key,
            } => self
                .listener(*observer, place)
                .peer(place, *news, *key, bench),
            What::Began {
                fault: Fault::CutOff,
                client,
            } => match client {
                Some(client) => self.listener(*client, place).cut_since = Some(place.at),
                None => self.all_cut_since = Some(place.at),
            },
            What::Healed {
                fault: Fault::CutOff,
                client,
            } => {
                // An outage in which nothing was told at all is a case too.
                bench.judge(Invariant::Silence, place.record, true, String::new);
                match client {
                    Some(client) => self.listener(*client, place).cut_since = None,
                    None => self.all_cut_since = None,
                }
            }
            What::Read { entries, .. } if place.rest => self.judge_views(place, entries, bench),
            _ => {}
        }
    }

    fn judge_views(&self, place: &Place<'_>, entries: &[Entry], bench: &mut Bench) {
        let keys: Vec<(Key, i64)> = entries.iter().map(|e| (e.key, e.revision)).collect();
        for listener in &self.listeners {
            if listener.scope == Some(Scope::Keys) {
                listener.judge_view(place, Invariant::View, "a quorum read", &keys, bench);
            }
        }
    }
}

impl Listener {
    /// I7.
    fn judge_silence(
        &self,
        place: &Place<'_>,
        news: News,
        key: Key,
        cut: Option<Duration>,
        bench: &mut Bench,
    ) {
        let Some(since) = cut else { return };
        let limits = place.limits;
        let allowed = news != News::Removed
            || place.at <= since + limits.in_flight
            || limits
                .staleness
                .is_some_and(|stale| place.at >= since + stale);
        bench.judge(Invariant::Silence, place.record, allowed, || {
            let name = place.history.name(key);
            let client = self.client;
            format!("client {client} removed `{name}` while it was cut off since {since:?}")
        });
    }

    /// I4 and I5.
    fn told(
        &mut self,
        place: &Place<'_>,
        news: News,
        key: Key,
        revision: i64,
        epoch: u32,
        bench: &mut Bench,
    ) {
        let known = &mut self.known[key.0 as usize];
        let client = self.client;
        let name = || place.history.name(key);
        let in_order = match news {
            News::Added => !known.present,
            News::Modified | News::Removed => known.present,
            News::Put => true,
        };
        bench.judge(Invariant::Replay, place.record, in_order, || {
            let state = if known.present {
                "knew"
            } else {
                "did not know"
            };
            format!(
                "client {client} was told {news:?} of `{}`, which it {state}",
                name()
            )
        });
        let epoch = (epoch, self.histories_lost);
        if revision > 0 && known.revision > 0 && known.epoch == epoch {
            let forward = revision > known.revision;
            bench.judge(Invariant::Forward, place.record, forward, || {
                let before = known.revision;
                format!(
                    "client {client} was told of `{}` {before}, then {revision}",
                    name()
                )
            });
        }
        *known = Known {
            present: news != News::Removed,
            revision,
            epoch,
        };
    }

    /// I3 and I4.
    fn judge_view(
        &self,
        place: &Place<'_>,
        invariant: Invariant,
        other: &str,
        entries: &[(Key, i64)],
        bench: &mut Bench,
    ) {
        let present = self.known.iter().filter(|known| known.present).count();
        let same = entries.iter().all(|(key, revision)| {
            let known = self.known[key.0 as usize];
            known.present && (known.revision == *revision || known.revision == 0)
        });
        let holds = same && present == entries.len();
        bench.judge(invariant, place.record, holds, || {
            let name = |key: Key| place.history.name(key).to_owned();
            let told: Vec<_> = (0..)
                .zip(&self.known)
                .filter(|(_, known)| known.present)
                .map(|(number, known)| (name(Key(number)), known.revision))
                .collect();
            let mut there: Vec<_> = entries.iter().map(|(key, at)| (name(*key), *at)).collect();
            there.sort();
            format!(
                "client {} was told {told:?}, and {other} shows {there:?}",
                self.client
            )
        });
    }

    /// I10, as a peer tells it.
    fn peer(&mut self, place: &Place<'_>, news: News, key: Key, bench: &mut Bench) {
        let known = &mut self.known[key.0 as usize];
        let holds = news != News::Added || !known.present;
        bench.judge(Invariant::Peers, place.record, holds, || {
            format!(
                "peer {} saw `{}` ADDED twice",
                self.client,
                place.history.name(key)
            )
        });
        known.present = news != News::Removed;
    }
}
