//! What is wrong between keys.

use std::collections::BTreeMap;

use super::json::Json;
use super::{Effect, Item, Peer, Problem, Verdict, lint};
use crate::discovery::etcd::keys::{self, Key};
use crate::names::{EndpointId, SessionId, TopKey};

/// Looks at one key after another, and then at what is wrong between them.
///
/// It keeps keys, leases and locations, and no values.
///
/// ```
/// use osgi_remote::discovery::etcd::lint::{Effect, Item, Registry};
///
/// let mut registry = Registry::new("top".parse()?);
/// for session in ["4469111c-91c2-4dba-b64f-750d14243fda", "0f3e8a0e-7d2c-4b6a-9c55-2f1f6a1f7e10"] {
///     let key = format!("top/{session}/e1");
///     registry.add(Item { key: key.as_bytes(), value: b"{}", lease: Some(1) });
/// }
/// let between = registry.finish();
/// assert!(between.iter().any(|verdict| verdict.effect == Effect::Confuses));
/// # Ok::<(), osgi_remote::names::NameError>(())
/// ```
#[derive(Debug)]
pub struct Registry {
    top: TopKey,
    sessions: BTreeMap<SessionId, Session>,
    /// The keys of each endpoint id.
    carriers: BTreeMap<EndpointId, Vec<String>>,
    /// The keys of each location.
    locations: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Session {
    /// The lease of its own key, if that is there.
    own: Option<Option<i64>>,
    /// Its endpoints' keys, with their leases.
    endpoints: Vec<(String, Option<i64>)>,
}

impl Registry {
    /// An empty one.
    pub fn new(top: TopKey) -> Self {
        Self {
            top,
            sessions: BTreeMap::new(),
            carriers: BTreeMap::new(),
            locations: BTreeMap::new(),
        }
    }

    /// What is wrong with this key alone, as [`lint`] tells it.
    pub fn add(&mut self, item: Item<'_>) -> Vec<Verdict> {
        match keys::parse(&self.top, item.key) {
            Ok(Key::Session(session)) => {
                self.sessions.entry(session).or_default().own = Some(item.lease);
            }
            Ok(Key::Endpoint(session, id)) => {
                let key = String::from_utf8_lossy(item.key).into_owned();
                let session = self.sessions.entry(session).or_default();
                session.endpoints.push((key.clone(), item.lease));
                self.carriers.entry(id).or_default().push(key.clone());
                if let Some(location) = location(item.value) {
                    self.locations.entry(location).or_default().push(key);
                }
            }
            Err(_) => {}
        }
        lint(&self.top, item)
    }

    /// What is wrong between the keys that were added.
    pub fn finish(self) -> Vec<Verdict> {
        let mut found = Vec::new();
        for (id, session) in &self.sessions {
            session.judge(&self.top, id, &mut found);
        }
        for (id, keys) in self.carriers.iter().filter(|(_, keys)| keys.len() > 1) {
            for (key, peer) in keys
                .iter()
                .flat_map(|key| [(key, Peer::Ecf), (key, Peer::Ipopo)])
            {
                let cause = format!("'{id}' is also at {}", others(keys, key));
                let cure =
                    "its end in one session is its end for them: give each its own endpoint.id";
                let problem = Problem::new(Effect::Confuses, cause, cure).at("endpoint.id");
                found.push(problem.verdict(key, peer));
            }
        }
        for (location, keys) in self.locations.iter().filter(|(_, keys)| keys.len() > 1) {
            let [first, ..] = keys.as_slice() else {
                continue;
            };
            let cause = format!(
                "the location {location} is also that of {}",
                others(keys, first)
            );
            let cure = "it removes endpoints by their locations: give each its own";
            let problem = Problem::new(Effect::Confuses, cause, cure).at("location");
            found.push(problem.verdict(first, Peer::Ecf));
        }
        found
    }
}

impl Session {
    fn judge(&self, top: &TopKey, id: &SessionId, found: &mut Vec<Verdict>) {
        let key = keys::session(top, id);
        let Some(own) = self.own else {
            let problem = Problem::new(
                Effect::CannotTell,
                format!(
                    "the session of {} endpoints has no key of its own",
                    self.endpoints.len()
                ),
                format!("put '{id}' there, under the lease of the endpoints"),
            );
            found.push(problem.verdict(&key, Peer::OsgiRemote));
            return;
        };
        for (endpoint, lease) in &self.endpoints {
            // Keys without any lease are told of one by one.
            if let (Some(own), Some(lease)) = (own, lease)
                && own != *lease
            {
                let problem = Problem::new(
                    Effect::Outlives,
                    format!("it is under lease {lease:x}, and its session's key under {own:x}"),
                    "put both under one lease",
                );
                found.push(problem.verdict(endpoint, Peer::All));
            }
        }
    }
}

/// Some of the keys besides this one.
fn others(keys: &[String], but: &str) -> String {
    const MOST: usize = 2;
    let others: Vec<&str> = keys
        .iter()
        .map(String::as_str)
        .filter(|key| *key != but)
        .collect();
    let mut text = others
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(" and ");
    if others.len() > MOST {
        text.push_str(&format!(" and {} more", others.len() - MOST));
    }
    text
}

fn location(value: &[u8]) -> Option<String> {
    let json = Json::parse(std::str::from_utf8(value).ok()?).ok()?;
    json.get("location")?.as_text().map(str::to_owned)
}
