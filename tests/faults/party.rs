//! One party in a world: a discovery of its own, behind proxies of its own, and what it is seen to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use osgi_remote::discovery::etcd::{EtcdConfig, EtcdDiscovery, Health};
use osgi_remote::discovery::{Advertiser, Subscriber};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::feed;
use osgi_remote::keyspace::{Change, ConnectOptions, Sink, WatchConfig, WatchPhase, Watcher};
use osgi_remote::names::EndpointId;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::book::{Book, Recorder, Snapshot};
use crate::checker::{Client, News, Request, Scope, What, hash};
use crate::support::proxy::{Cut, Mode, Proxy};
use crate::world::same;

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
    keys: Client,
    map: Map,
    watcher: Watcher,
}

/// What a listener was told, folded.
type Told = Arc<Mutex<BTreeMap<String, Arc<EndpointDescription>>>>;
type Map = Arc<Mutex<BTreeMap<String, i64>>>;

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
        let health = observe(
            book.clone(),
            session,
            Arc::clone(&discovery),
            Arc::clone(&proxies),
        );
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
            .flat_map(|ears| [ears.endpoints, ears.keys]);
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
        let keys = self.book.client(format!("{}, keys", self.name));
        let scope = Scope::Keys;
        self.book.push(What::Listening {
            listener: keys,
            scope,
        });
        let map = Map::default();
        let sink = Keys {
            book: self.book.clone(),
            listener: keys,
            map: Arc::clone(&map),
        };
        let range = WatchConfig::prefix(format!("{}/", self.config.top_key));
        let watcher = Watcher::open(self.config.connect.clone(), range, sink).unwrap();
        self.ears = Some(Ears {
            endpoints,
            told,
            _listener: AbortOnDropHandle::new(tokio::spawn(listener)),
            keys,
            map,
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
        same(&format!("{name}'s watcher"), &ears.map.lock(), revisions)?;
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
        let map = ears.map.lock().clone();
        let entries = map
            .iter()
            .map(|(key, at)| (self.book.key(key), *at))
            .collect();
        self.book.push(What::View {
            listener: ears.keys,
            entries,
        });
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
        self.ears.as_ref().map(|ears| (ears.endpoints, ears.keys))
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

/// Writes down what a listener is told, until its feed ends.
async fn hear(
    book: Book,
    listener: Client,
    mut news: feed::Listener<EndpointId, Arc<EndpointDescription>>,
    told: Told,
) {
    while let Some(change) = news.next().await {
        let id = change.key().to_string();
        let (news, value) = match change {
            feed::Change::Added(_, value) => (News::Added, Some(value)),
            feed::Change::Modified { value, .. } => (News::Modified, Some(value)),
            feed::Change::EndMatch { .. } => unreachable!("this listener takes everything"),
            feed::Change::Removed(..) => (News::Removed, None),
        };
        let key = book.key(&id);
        let mut told = told.lock();
        book.push(What::Told {
            listener,
            news,
            key,
            revision: 0,
            value: 0,
        });
        match value {
            Some(value) => told.insert(id, value),
            None => told.remove(&id),
        };
    }
}

/// Writes down what a watcher of keys delivers.
struct Keys {
    book: Book,
    listener: Client,
    map: Map,
}

impl Sink for Keys {
    fn apply(&mut self, changes: Vec<Change>) {
        let listener = self.listener;
        let mut map = self.map.lock();
        for change in changes {
            let name = String::from_utf8_lossy(change.key()).into_owned();
            let key = self.book.key(&name);
            let revision = change.mod_revision();
            let (news, value) = match change {
                Change::Put { value, .. } => {
                    map.insert(name, revision);
                    (News::Put, hash(&value))
                }
                Change::Delete { .. } => {
                    map.remove(&name);
                    (News::Removed, 0)
                }
            };
            self.book.push(What::Told {
                listener,
                news,
                key,
                revision,
                value,
            });
        }
    }

    fn history_lost(&mut self) {
        let listener = self.listener;
        self.book.push(What::HistoryLost { listener });
    }
}

/// Writes down what a session says of itself, until it ends.
async fn observe(
    book: Book,
    client: Client,
    discovery: Arc<EtcdDiscovery>,
    proxies: Arc<Vec<Proxy>>,
) {
    let mut updates = discovery.health_updates();
    // Or the session would live as long as this.
    drop(discovery);
    let mut seen = Seen::default();
    let mut next = Some(updates.current());
    while let Some(health) = next {
        seen.note(&book, client, &health, &proxies);
        next = updates.changed().await;
    }
}

/// What was written down of a session so far.
#[derive(Default)]
struct Seen {
    lease: Option<i64>,
    claim: Option<(i64, Option<Instant>)>,
    dials: u64,
    calls: u64,
}

impl Seen {
    fn note(&mut self, book: &Book, client: Client, health: &Health, proxies: &[Proxy]) {
        let counts = health.counts;
        let dials = counts.session.dials + counts.watch.dials;
        for _ in self.dials..dials {
            self.request(book, client, Request::Dial);
        }
        self.dials = dials;
        if health.lease != self.lease
            && let Some(lease) = health.lease
        {
            book.push(What::Granted {
                lease,
                by: Some(client),
            });
        }
        self.lease = health.lease.or(self.lease);
        let claim = self.lease.map(|lease| (lease, health.registered_until));
        if claim == self.claim {
            return;
        }
        self.claim = claim;
        let Some((lease, until)) = claim else { return };
        // The last answer that the lease can rest on arrived, at the latest, with the last byte that the
        // proxies let through; it was asked for before that.
        let last = proxies.iter().filter_map(Proxy::last_down).max();
        if let (Some(last), Some(_)) = (last, until) {
            self.calls += 1;
            let (call, request) = (self.calls, Request::Renew);
            book.push_at(
                last,
                What::Sent {
                    client,
                    call,
                    request,
                },
            );
            let ttl = crate::world::TTL;
            book.push_at(last, What::Answered { client, call, ttl });
        }
        let until = until.map(|until| book.at(until));
        book.push(What::Registered {
            client,
            lease,
            until,
        });
    }

    fn request(&mut self, book: &Book, client: Client, request: Request) {
        self.calls += 1;
        let call = self.calls;
        book.push(What::Sent {
            client,
            call,
            request,
        });
    }
}
