//! What the key space says, as endpoints.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::keys::{self, Key};
use crate::discovery::EndpointFeed;
use crate::endpoint::{EndpointDescription, service_info};
use crate::keyspace::{Change, Sink};
use crate::names::{EndpointId, SessionId, TopKey};

/// Keys below the top key that are no endpoints, with the reason. A key is in
/// it as long as it is in etcd.
pub type Rejected = BTreeMap<String, String>;

/// Turns changes of keys into changes of endpoints.
///
/// It keeps every key that carries an endpoint. If several sessions carry the
/// same endpoint, the newest key counts, and only when the last one goes is
/// the endpoint gone.
pub(super) struct View {
    top: TopKey,
    /// Our own session, whose endpoints are no news to us (rule E09).
    own: SessionId,
    feed: EndpointFeed,
    rejected: Arc<Mutex<Rejected>>,
    /// Which endpoint a key carries.
    carried: HashMap<Vec<u8>, EndpointId>,
    carriers: HashMap<EndpointId, Vec<Carrier>>,
}

/// One key that carries an endpoint.
struct Carrier {
    key: Vec<u8>,
    mod_revision: i64,
    description: Arc<EndpointDescription>,
}

impl View {
    pub(super) fn new(
        top: TopKey,
        own: SessionId,
        feed: EndpointFeed,
        rejected: Arc<Mutex<Rejected>>,
    ) -> Self {
        Self {
            top,
            own,
            feed,
            rejected,
            carried: HashMap::new(),
            carriers: HashMap::new(),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8], mod_revision: i64) {
        match self.read(&key, value) {
            Ok(None) => self.accept(&key),
            Ok(Some(description)) => {
                self.accept(&key);
                self.carry(key, mod_revision, Arc::new(description));
            }
            Err(reason) => {
                let shown = String::from_utf8_lossy(&key).into_owned();
                warn!(key = %shown, %reason, "a key is no endpoint; it is left alone");
                self.rejected.lock().insert(shown, reason);
                // A value that became unreadable describes nothing any more.
                self.drop_key(&key);
            }
        }
    }

    fn read(&self, key: &[u8], value: &[u8]) -> Result<Option<EndpointDescription>, String> {
        let id = match keys::parse(&self.top, key) {
            Err(error) => return Err(error.to_string()),
            Ok(Key::Session(session)) => {
                debug!(%session, "session seen");
                return Ok(None);
            }
            Ok(Key::Endpoint(session, _)) if session == self.own => return Ok(None),
            Ok(Key::Endpoint(_, id)) => id,
        };
        let info = service_info::decode(value).map_err(|error| error.to_string())?;
        if *info.description.id() != id {
            return Err(format!(
                "the key ends with '{id}', and the value's endpoint.id is '{}'",
                info.description.id()
            ));
        }
        Ok(Some(info.description))
    }

    fn accept(&self, key: &[u8]) {
        self.rejected
            .lock()
            .remove(String::from_utf8_lossy(key).as_ref());
    }

    fn carry(&mut self, key: Vec<u8>, mod_revision: i64, description: Arc<EndpointDescription>) {
        let id = description.id().clone();
        let carriers = self.carriers.entry(id.clone()).or_default();
        carriers.retain(|carrier| carrier.key != key);
        carriers.push(Carrier {
            key: key.clone(),
            mod_revision,
            description,
        });
        self.carried.insert(key, id.clone());
        self.publish(&id);
    }

    fn drop_key(&mut self, key: &[u8]) {
        let Some(id) = self.carried.remove(key) else {
            return;
        };
        if let Some(carriers) = self.carriers.get_mut(&id) {
            carriers.retain(|carrier| carrier.key != key);
        }
        self.publish(&id);
    }

    /// Tells the listeners what counts of an endpoint now, if it is news.
    fn publish(&mut self, id: &EndpointId) {
        let newest = self
            .carriers
            .get(id)
            .and_then(|carriers| carriers.iter().max_by_key(|c| c.mod_revision));
        let Some(newest) = newest else {
            self.carriers.remove(id);
            if let Some(gone) = self.feed.remove(id) {
                info!(endpoint = %gone, "endpoint removed");
            }
            return;
        };
        match self.feed.get(id) {
            Some(known) if known.same_content(&newest.description) => return,
            Some(_) => info!(endpoint = %newest.description, "endpoint modified"),
            None => info!(endpoint = %newest.description, "endpoint added"),
        }
        self.feed.set(id.clone(), Arc::clone(&newest.description));
    }
}

impl Sink for View {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put {
                    key,
                    value,
                    mod_revision,
                    ..
                } => self.put(key, &value, mod_revision),
                Change::Delete { key, .. } => {
                    self.accept(&key);
                    self.drop_key(&key);
                }
            }
        }
    }

    fn synced(&mut self, revision: i64) {
        debug!(
            revision,
            endpoints = self.carriers.len(),
            "all endpoints known"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::service_info::{ServiceInfo, encode};
    use crate::props;

    const OWN: &str = "00000000-0000-4000-8000-000000000000";
    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const TWO: &str = "22222222-2222-4222-8222-222222222222";

    struct Bench {
        view: View,
        revision: i64,
        feed: EndpointFeed,
        rejected: Arc<Mutex<Rejected>>,
    }

    fn bench() -> Bench {
        let (feed, rejected) = (EndpointFeed::new(), Arc::default());
        let top = "top".parse().unwrap();
        let view = View::new(
            top,
            OWN.parse().unwrap(),
            feed.clone(),
            Arc::clone(&rejected),
        );
        Bench {
            view,
            revision: 0,
            feed,
            rejected,
        }
    }

    fn value(id: &str, note: &str) -> Vec<u8> {
        let properties = props! {
            "objectClass" => ["a.A"], "endpoint.id" => id, "endpoint.service.id" => 1_i64,
            "endpoint.framework.uuid" => "fw", "service.imported.configs" => ["c"],
            "ecf.endpoint.id" => "http://h/", "ecf.endpoint.id.ns" => "ns",
            "ecf.rsvc.id" => 1_i64, "ecf.endpoint.ts" => 1_i64, "note" => note,
        };
        let info = ServiceInfo::new(EndpointDescription::new(properties).unwrap());
        encode(&info, "h").unwrap().into_bytes()
    }

    impl Bench {
        fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
            self.revision += 1;
            self.view.apply(vec![Change::Put {
                key: key.as_ref().to_vec(),
                value: value.as_ref().to_vec().into(),
                mod_revision: self.revision,
                lease: 1,
            }]);
        }

        fn delete(&mut self, key: &str) {
            self.revision += 1;
            self.view.apply(vec![Change::Delete {
                key: key.as_bytes().to_vec(),
                mod_revision: self.revision,
            }]);
        }

        fn notes(&self) -> Vec<(String, String)> {
            let entries = self.feed.snapshot();
            let note = |d: &EndpointDescription| d.properties().get_str("note").unwrap().to_owned();
            entries
                .iter()
                .map(|(id, d)| (id.to_string(), note(d)))
                .collect()
        }
    }

    fn noted(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        let entries = entries.iter();
        entries
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn endpoints_of_others_come_change_and_go() {
        let mut bench = bench();
        bench.put(format!("top/{ONE}"), ONE);
        bench.put(format!("top/{ONE}/e"), value("e", "first"));
        assert_eq!(bench.notes(), noted(&[("e", "first")]));
        bench.put(format!("top/{ONE}/e"), value("e", "second"));
        assert_eq!(bench.notes(), noted(&[("e", "second")]));
        bench.delete(&format!("top/{ONE}/e"));
        bench.delete(&format!("top/{ONE}"));
        assert!(bench.notes().is_empty());
    }

    #[test]
    fn own_endpoints_are_no_news() {
        let mut bench = bench();
        bench.put(format!("top/{OWN}/e"), value("e", "own"));
        assert!(bench.notes().is_empty());
        assert!(bench.rejected.lock().is_empty());
    }

    #[test]
    fn a_value_put_again_is_no_news() {
        let mut bench = bench();
        bench.put(format!("top/{ONE}/e"), value("e", "same"));
        let mut listener = bench.feed.listen(|_| true);
        assert!(listener.try_next().is_some());
        bench.put(format!("top/{ONE}/e"), value("e", "same"));
        assert!(listener.try_next().is_none());
    }

    #[test]
    fn of_two_sessions_with_one_endpoint_the_newer_counts_and_the_losers_end_is_silent() {
        let mut bench = bench();
        bench.put(format!("top/{ONE}/e"), value("e", "old"));
        bench.put(format!("top/{TWO}/e"), value("e", "new"));
        assert_eq!(bench.notes(), noted(&[("e", "new")]));
        let mut listener = bench.feed.listen(|_| true);
        assert!(listener.try_next().is_some());
        bench.delete(&format!("top/{ONE}/e"));
        assert!(listener.try_next().is_none());
        bench.put(format!("top/{ONE}/e"), value("e", "newest"));
        bench.delete(&format!("top/{ONE}/e"));
        assert_eq!(bench.notes(), noted(&[("e", "new")]));
        bench.delete(&format!("top/{TWO}/e"));
        assert!(bench.notes().is_empty());
    }

    #[test]
    fn rubbish_is_reported_for_its_key_alone_and_no_longer_than_it_is_there() {
        let mut bench = bench();
        let rubbish = [
            (format!("top/{ONE}/json").into_bytes(), &b"{"[..]),
            (format!("top/{ONE}/bytes").into_bytes(), b"\xff"),
            (b"top/no-uuid/e".to_vec(), b"x"),
            (b"top/\xff/e".to_vec(), b"x"),
            (format!("top/{ONE}/a/b").into_bytes(), b"x"),
        ];
        for (key, value) in &rubbish {
            bench.put(key, value);
        }
        bench.put(format!("top/{ONE}/other"), value("e", "wrong id"));
        bench.put(format!("top/{ONE}/good"), value("good", "fine"));
        assert_eq!(bench.notes(), noted(&[("good", "fine")]));
        assert_eq!(bench.rejected.lock().len(), 6);
        bench.put(format!("top/{ONE}/json"), value("json", "mended"));
        bench.delete(&format!("top/{ONE}/bytes"));
        assert_eq!(bench.rejected.lock().len(), 4);
        assert_eq!(bench.notes().len(), 2);
        bench.put(format!("top/{ONE}/json"), "broken again");
        assert_eq!(bench.notes(), noted(&[("good", "fine")]));
        assert_eq!(bench.rejected.lock().len(), 5);
    }
}
