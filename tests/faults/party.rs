//! One party in a world: a discovery of its own, behind proxies of its own, and what it is seen to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use osgi_remote::discovery::etcd::{EtcdConfig, EtcdDiscovery};
use osgi_remote::discovery::{Advertiser, Subscriber};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::keyspace::{ConnectOptions, WatchConfig, WatchPhase, Watcher};
use osgi_remote::names::EndpointId;
use tokio_util::task::AbortOnDropHandle;

use crate::book::{Recorder, Snapshot};
use crate::checker::{Client, Scope, What, hash};
use crate::recording::{Book, Keys, Observer, Told, hear};
use crate::support::proxy::{Cut, Mode, Proxy};
use crate::world::{TTL, same};

/// A session with the endpoints that it announces, and perhaps listeners.
pub struct Party {
    pub name: String,
    pub session: Client,
    pub discovery: Arc<EtcdDiscovery>,
    pub config: EtcdConfig,
    pub proxies: Arc<Vec<Proxy>>,
    /// By id: the description, and the bytes that are to be in etcd.
    pub wanted: BTreeMap<String, (EndpointDescription, String)>,
    ears: Option<Ears>,
    book: Book,
    /// Whether it is closed, or lost the session to somebody else.
    pub gone: bool,
    _health: AbortOnDropHandle<()>,
}

/// What a consumer listens with.
struct Ears {
    /// Of endpoints, as a user has it.
    endpoints: Client,
    told: Told,
    _listener: AbortOnDropHandle<()>,
    /// Of keys, with their revisions.
    keys: Keys,
    watcher: Watcher,
}

impl Party {
    pub fn start(
        book: &Book,
        name: &str,
        mut config: EtcdConfig,
        addresses: &str,
        proxies: Vec<Proxy>,
    ) -> Self {
        config.connect.endpoints = ConnectOptions::parse(addresses).unwrap().endpoints;
        let session = book.client(format!("{name}, session"));
        let proxies = Arc::new(proxies);
        let own = config.session_id.to_string();
        let root = format!("{}/{own}", config.top_key);
        book.push(What::Opened {
            client: session,
            root: book.key(&root),
            value: hash(own.as_bytes()),
        });
        let discovery = Arc::new(EtcdDiscovery::start(config.clone()).unwrap());
        let servers = Arc::clone(&proxies);
        let heard = move || servers.iter().filter_map(Proxy::last_down).max();
        let observer = Observer::new(book, session, TTL, heard);
        // With the discovery itself in it, the session would live as long as this.
        let health = observer.of_discovery(discovery.health_updates());
        Self {
            name: name.to_owned(),
            session,
            discovery,
            config,
            proxies,
            wanted: BTreeMap::new(),
            ears: None,
            book: book.clone(),
            gone: false,
            _health: AbortOnDropHandle::new(tokio::spawn(health)),
        }
    }

    /// All numbers of this party in the book, for a fault that is its own.
    pub fn clients(&self) -> Vec<Option<Client>> {
        let ears = self
            .ears
            .iter()
            .flat_map(|ears| [ears.endpoints, ears.keys.listener()]);
        std::iter::once(self.session)
            .chain(ears)
            .map(Some)
            .collect()
    }

    pub fn root(&self) -> String {
        format!("{}/{}", self.config.top_key, self.config.session_id)
    }

    pub fn key(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.root())
    }

    /// Announces an endpoint, or its new content; how it goes is seen in etcd.
    pub fn advertise(&mut self, endpoint: &EndpointDescription) {
        let value = service_info::encode(&ServiceInfo::new(endpoint.clone()), &self.config.host_ip);
        let value = value.unwrap();
        self.wants(endpoint.id().as_str(), Some(&value));
        let id = endpoint.id().to_string();
        self.wanted.insert(id, (endpoint.clone(), value));
        drop(self.discovery.advertise(endpoint).unwrap());
    }

    pub fn withdraw(&mut self, id: &str) {
        self.wants(id, None);
        self.wanted.remove(id);
        let id: EndpointId = id.parse().unwrap();
        drop(self.discovery.withdraw(&id));
    }

    fn wants(&self, id: &str, value: Option<&str>) {
        self.book.push(What::Wants {
            client: self.session,
            key: self.book.key(&self.key(id)),
            value: value.map(|value| hash(value.as_bytes())),
        });
    }

    /// Begins to listen, to endpoints and to keys.
    pub fn listen(&mut self) {
        let endpoints = self.book.client(format!("{}, listener", self.name));
        let scope = Scope::Endpoints;
        self.book.push(What::Listening {
            listener: endpoints,
            scope,
        });
        let told = Told::default();
        let listener = self.discovery.endpoints().listen(|_| true);
        let listener = hear(self.book.clone(), endpoints, listener, Arc::clone(&told));
        let keys = Keys::new(&self.book, format!("{}, keys", self.name));
        let range = WatchConfig::prefix(format!("{}/", self.config.top_key));
        let watcher = Watcher::open(self.config.connect.clone(), range, keys.clone()).unwrap();
        self.ears = Some(Ears {
            endpoints,
            told,
            _listener: AbortOnDropHandle::new(tokio::spawn(listener)),
            keys,
            watcher,
        });
    }

    pub async fn network(&self, mode: Mode) {
        for proxy in self.proxies.iter() {
            proxy.set(mode).await;
        }
    }

    pub async fn cut(&self, cut: Cut) {
        for proxy in self.proxies.iter() {
            proxy.cut(cut).await;
        }
    }

    /// Whether etcd holds exactly what this session wants, and the session knows it.
    pub fn is_registered(&self, snapshot: &Snapshot) -> Result<(), String> {
        let name = &self.name;
        let own = snapshot.entries.iter().filter(|(key, ..)| {
            let rest = key.strip_prefix(&self.root());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if self.gone {
            return Ok(());
        }
        let health = self.discovery.health();
        let lease = health.lease.ok_or_else(|| format!("{name} has no lease"))?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let found: BTreeMap<String, (String, i64)> = own
            .map(|(key, value, _, lease)| (key.clone(), (text(value), *lease)))
            .collect();
        let endpoints = self.wanted.iter();
        let endpoints = endpoints.map(|(id, (_, value))| (self.key(id), value.clone()));
        let root = (self.root(), self.config.session_id.to_string());
        let wanted = std::iter::once(root).chain(endpoints);
        let wanted = wanted.map(|(key, value)| (key, (value, lease))).collect();
        same(name, &found, &wanted)?;
        if !snapshot.leases.contains(&lease) {
            return Err(format!("the lease {lease:x} of {name} is not alive"));
        }
        if !health.is_connected() || health.pending > 0 {
            return Err(format!("{name}: {health}"));
        }
        Ok(())
    }

    /// Whether the consumer knows exactly these endpoints, and these keys.
    pub fn knows(
        &self,
        expected: &BTreeMap<String, EndpointDescription>,
        revisions: &BTreeMap<String, i64>,
    ) -> Result<(), String> {
        let ears = self.ears.as_ref().expect("a consumer");
        let name = &self.name;
        let view = self.view();
        let content = |description: &EndpointDescription| description.properties().clone();
        let wanted: BTreeMap<_, _> = expected
            .iter()
            .map(|(id, e)| (id.clone(), content(e)))
            .collect();
        let seen = view
            .iter()
            .map(|(id, e)| (id.clone(), content(e)))
            .collect();
        let ids = |map: &BTreeMap<String, _>| -> BTreeMap<String, ()> {
            map.keys().map(|id| (id.clone(), ())).collect()
        };
        same(name, &ids(&seen), &ids(&wanted))?;
        same(name, &versions(&view), &versions_of(expected))?;
        let told = ears.told.lock().clone();
        same(
            &format!("{name}'s listener"),
            &versions(&told),
            &versions(&view),
        )?;
        same(&format!("{name}'s watcher"), &ears.keys.map(), revisions)?;
        let health = self.discovery.health();
        if health.stale_since.is_some() || !health.suspects.is_empty() {
            return Err(format!("{name}: {health}"));
        }
        let status = ears.watcher.status().borrow().clone();
        if status.phase != WatchPhase::Live {
            return Err(format!("{name}'s watcher is {:?}", status.phase));
        }
        Ok(())
    }

    /// The endpoints as a user sees them now.
    pub fn view(&self) -> BTreeMap<String, Arc<EndpointDescription>> {
        let snapshot = self.discovery.endpoints().snapshot().into_iter();
        snapshot
            .map(|(id, endpoint)| (id.to_string(), endpoint))
            .collect()
    }

    /// Writes down what the listeners take for the present state, and how many connections there are.
    pub fn record(&self, holds: &[(&'static str, u64, u64)]) {
        for (what, count, allowed) in holds {
            self.holds(what, *count, *allowed);
        }
        let Some(ears) = &self.ears else { return };
        let view = self.view();
        let entries = view.keys().map(|id| (self.book.key(id), 0)).collect();
        self.book.push(What::View {
            listener: ears.endpoints,
            entries,
        });
        ears.keys.record();
    }

    pub fn holds(&self, what: &'static str, count: u64, allowed: u64) {
        self.book.push(What::Holds {
            client: self.session,
            what,
            count,
            allowed,
        });
    }

    /// Connections open now, and how many there may be: one for the session, one for each watch.
    pub fn connections(&self) -> (u64, u64) {
        let open = self.proxies.iter().map(|proxy| proxy.traffic().open).sum();
        let allowed = match (self.gone, &self.ears) {
            (true, _) => 0,
            (false, None) => 2,
            (false, Some(_)) => 3,
        };
        (open, allowed)
    }

    /// Lists the watched keys again.
    pub fn relist(&self) {
        if let Some(ears) = &self.ears {
            ears.watcher.relist();
        }
    }

    /// The key-space numbers of a consumer's listeners, for the count of removals.
    pub fn listeners(&self) -> Option<(Client, Client)> {
        self.ears
            .as_ref()
            .map(|ears| (ears.endpoints, ears.keys.listener()))
    }

    /// Ends the session with a goodbye.
    pub async fn close(&mut self, recorder: &Recorder) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        if let Some(lease) = self.discovery.health().lease {
            recorder.revokes(lease);
        }
        self.book.push(What::Gone {
            client: self.session,
        });
        if let Some(ears) = self.ears.take() {
            ears.watcher.close().await.unwrap();
        }
        if let Err(error) = self.discovery.close().await {
            panic!("{} cannot say goodbye: {error}", self.name);
        }
    }
}

type Versions = BTreeMap<String, Option<String>>;

fn versions(map: &BTreeMap<String, Arc<EndpointDescription>>) -> Versions {
    map.iter().map(|(id, e)| (id.clone(), version(e))).collect()
}

fn versions_of(map: &BTreeMap<String, EndpointDescription>) -> Versions {
    map.iter().map(|(id, e)| (id.clone(), version(e))).collect()
}

fn version(endpoint: &EndpointDescription) -> Option<String> {
    endpoint
        .properties()
        .get("version")
        .map(ToString::to_string)
}
