//! What is below the top key, read once: endpoints, sessions, and keys that are neither.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use indicatif::ProgressBar;
use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::discovery::etcd::preference;
use osgi_remote::endpoint::{EndpointDescription, service_info};
use osgi_remote::keyspace::{Client, Entry, Error, LeaseInfo, Range};
use osgi_remote::names::{EndpointId, SessionId, TopKey, ecf};
use osgi_remote::properties::Value;

use super::peer::Peer;

/// So many leases are asked for at a time.
const AT_ONCE: usize = 16;

/// Fewer leases are read before a progress bar would be seen.
const LONG: usize = 200;

/// All that is below the top key, at one revision.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The keys of each endpoint, the newest first: that one counts.
    pub(crate) endpoints: BTreeMap<EndpointId, Vec<Found>>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Keys that are no endpoints and no sessions, with the reason.
    pub(crate) rejected: Vec<(String, String)>,
}

/// One key that carries an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) session: SessionId,
    pub(crate) description: EndpointDescription,
    pub(crate) entry: Entry,
    pub(crate) peer: Peer,
}

/// The keys of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// The session's own key.
    pub(crate) key: Option<Entry>,
    /// Keys of endpoints.
    pub(crate) endpoints: usize,
    /// Those of them that cannot be read.
    pub(crate) unreadable: usize,
    /// The leases of all its keys; `None` is that of keys without one.
    pub(crate) leases: BTreeSet<Option<i64>>,
    pub(crate) peers: BTreeSet<Peer>,
    /// The least create revision of its keys.
    pub(crate) created: i64,
    /// When the oldest of its descriptions was made, by its maker's clock, in milliseconds since
    /// 1970.
    pub(crate) made: Option<i64>,
}

/// The range of all keys below the top key.
pub(crate) fn range(top: &TopKey) -> Range {
    let range = keys::range(top);
    Range::new(range.start, range.end)
}

/// What one key carries.
///
/// # Errors
///
/// Why it is no endpoint.
pub(crate) fn read_endpoint(top: &TopKey, entry: Entry) -> Result<Found, String> {
    match keys::parse(top, &entry.key) {
        Ok(Key::Endpoint(session, id)) => read_value(session, &id, entry),
        Ok(Key::Session(_)) => Err("it is the key of a session".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn read_value(session: SessionId, id: &EndpointId, entry: Entry) -> Result<Found, String> {
    let info = service_info::decode(&entry.value).map_err(|error| error.to_string())?;
    let written = info.description.id();
    if written != id {
        return Err(format!(
            "the key ends with '{id}', and the value's endpoint.id is '{written}'"
        ));
    }
    let description = preference::from_wire(info).map_err(|error| error.to_string())?;
    let peer = Peer::of(&entry.value, description.id().as_str());
    Ok(Found {
        session,
        description,
        entry,
        peer,
    })
}

impl Registry {
    pub(crate) async fn read(client: &Client, top: &TopKey) -> Result<Self, Error> {
        let listing = client.list(range(top)).await?;
        Ok(Self::of(top, listing.entries))
    }

    fn of(top: &TopKey, entries: Vec<Entry>) -> Self {
        let mut registry = Self {
            endpoints: BTreeMap::new(),
            sessions: BTreeMap::new(),
            rejected: Vec::new(),
        };
        for entry in entries {
            registry.add(top, entry);
        }
        for carriers in registry.endpoints.values_mut() {
            carriers.sort_by_key(|found| std::cmp::Reverse(found.entry.mod_revision));
        }
        registry
    }

    fn add(&mut self, top: &TopKey, entry: Entry) {
        let key = entry.key_text().into_owned();
        match keys::parse(top, &entry.key) {
            Ok(Key::Session(session)) => {
                let session = self.sessions.entry(session).or_default();
                session.note(&entry);
                session.key = Some(entry);
            }
            Ok(Key::Endpoint(id_of_session, id)) => {
                let session = self.sessions.entry(id_of_session.clone()).or_default();
                session.note(&entry);
                session.endpoints += 1;
                match read_value(id_of_session, &id, entry) {
                    Ok(found) => {
                        session.peers.insert(found.peer);
                        let made = found.description.properties().get(ecf::ENDPOINT_TIMESTAMP);
                        let made = made.and_then(Value::as_long).filter(|made| *made > 0);
                        session.made = session.made.into_iter().chain(made).min();
                        self.endpoints.entry(id).or_default().push(found);
                    }
                    Err(reason) => {
                        session.unreadable += 1;
                        self.rejected.push((key, reason));
                    }
                }
            }
            Err(error) => self.rejected.push((key, error.to_string())),
        }
    }
}

impl Session {
    fn note(&mut self, entry: &Entry) {
        self.leases.insert(entry.lease);
        self.created = match self.created {
            0 => entry.create_revision,
            created => created.min(entry.create_revision),
        };
    }
}

/// What etcd knows of leases; of one that is gone, nothing.
pub(crate) type Leases = BTreeMap<i64, Lease>;

/// How long a lease lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) granted: Duration,
    pub(crate) left: Duration,
}

/// Asks for leases, several at a time.
pub(crate) async fn leases(
    client: &Client,
    ids: impl IntoIterator<Item = i64>,
) -> Result<Leases, Error> {
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    let progress = if ids.len() < LONG {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(ids.len() as u64).with_message("leases")
    };
    let asked = ids.into_iter().map(|id| client.lease(id));
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut leases = Leases::new();
    while let Some(answer) = answers.next().await {
        progress.inc(1);
        if let Some(LeaseInfo {
            id, granted, left, ..
        }) = answer?
        {
            leases.insert(id, Lease { granted, left });
        }
    }
    progress.finish_and_clear();
    Ok(leases)
}
