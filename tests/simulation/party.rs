//! One host with a framework on it, and what it is seen to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use osgi_remote::discovery::Subscriber;
use osgi_remote::discovery::etcd::{Health, HealthUpdates};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::feed;
use osgi_remote::keyspace::{Change, ConnectOptions, Sink, WatchConfig, WatchPhase, Watcher};
use osgi_remote::names::{EndpointId, FrameworkId, SessionId};
use osgi_remote::network::Network;
use osgi_remote::services::ServiceId;
use osgi_remote::topology::ExportStatus;
use osgi_remote::{Export, Framework};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::book::Book;
use crate::checker::{Client, News, Request, Scope, What, hash};
use crate::net::Net;
use crate::recorder::Recorder;
use crate::service;
use crate::world::{REGISTRY, REGISTRY_PORT, TOP, TTL};

/// What is written into `location`; it is a part of each value.
const HOST_IP: &str = "127.0.0.1";

/// Who a host is, through all its restarts.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) ip: Ipv4Addr,
    pub(crate) framework: FrameworkId,
    pub(crate) session: SessionId,
    /// Whether it also watches the keys themselves.
    pub(crate) watches_keys: bool,
}

impl Identity {
    pub(crate) fn root(&self) -> String {
        format!("{TOP}/{}", self.session)
    }
}

/// A service that is exported, and which edition of its properties.
pub(crate) struct Offer {
    pub(crate) export: Export,
    pub(crate) who: String,
    pub(crate) version: i64,
}

/// A framework that runs.
pub(crate) struct Party {
    pub(crate) identity: Identity,
    pub(crate) framework: Framework,
    pub(crate) offers: Vec<Offer>,
    /// In the history: as a session, and as a listener to endpoints.
    session: Client,
    listener: Client,
    keys: Option<Keys>,
    told: Told,
    book: Book,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

type Told = Arc<Mutex<BTreeSet<String>>>;

/// A watch on the keys themselves, with their revisions.
struct Keys {
    listener: Client,
    map: Arc<Mutex<BTreeMap<String, i64>>>,
    watcher: Watcher,
}

impl Party {
    pub(crate) async fn start(
        book: &Book,
        net: &Net,
        identity: &Identity,
        network: Arc<dyn Network>,
        calls: (u64, i64),
    ) -> Self {
        let identity = identity.clone();
        let ip = identity.ip;
        let session = book.client(|| format!("the session of {ip}"));
        book.push(What::Opened {
            client: session,
            root: book.key(&identity.root()),
            value: hash(identity.session.as_str().as_bytes()),
        });
        let seconds = i64::try_from(TTL.as_secs()).unwrap();
        let framework = Framework::builder()
            .etcd(format!("{REGISTRY}:{REGISTRY_PORT}"))
            .property("etcd.top_key", TOP)
            .property("etcd.session_id", identity.session.as_str())
            .property("etcd.lease_ttl", seconds)
            .property("etcd.hostip", HOST_IP)
            .xmlrpc(format!("{ip}:8080"))
            .framework_id(identity.framework.clone())
            .network(Arc::clone(&network))
            .start_disconnected()
            .start()
            .await
            .unwrap();
        let etcd = framework.etcd().unwrap();

        let listener = book.client(|| format!("a listener on {ip}"));
        let scope = Scope::Endpoints;
        book.push(What::Listening { listener, scope });
        let told = Told::default();
        let endpoints = etcd.endpoints().listen(|_| true);
        let hears = hear(book.clone(), listener, endpoints, Arc::clone(&told));
        let observes = observe(
            book.clone(),
            session,
            etcd.health_updates(),
            net.clone(),
            ip,
        );
        let exports = framework.exports().listen(|_| true);
        let wants = want(book.clone(), session, identity.root(), exports);
        let registry = framework.registry().clone();
        let keeps_calling = service::keep_calling(book.clone(), registry, calls.0, calls.1);
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(hears)),
            AbortOnDropHandle::new(tokio::spawn(observes)),
            AbortOnDropHandle::new(tokio::spawn(wants)),
            AbortOnDropHandle::new(tokio::spawn(keeps_calling)),
        ];
        let keys = identity
            .watches_keys
            .then(|| Keys::watch(book, network, ip));
        Self {
            identity,
            framework,
            offers: Vec::new(),
            session,
            listener,
            keys,
            told,
            book: book.clone(),
            _tasks: tasks,
        }
    }

    /// Its numbers in the history.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let keys = self.keys.as_ref().map(|keys| keys.listener);
        [self.session, self.listener]
            .into_iter()
            .chain(keys)
            .collect()
    }

    pub(crate) fn health(&self) -> Health {
        self.framework.health().unwrap()
    }

    /// The process is killed: the network must be cut before.
    pub(crate) fn kill(self) {
        self.gone();
        drop(self);
    }

    fn gone(&self) {
        for client in self.clients() {
            self.book.push(What::Gone { client });
        }
    }

    /// Ends in order; gives what is left to be done.
    pub(crate) fn say_goodbye(self, recorder: &Recorder) -> impl Future<Output = ()> + use<> {
        if let Some(lease) = self.health().lease {
            recorder.revokes(lease);
        }
        self.gone();
        async move {
            let Self {
                framework,
                keys,
                offers,
                book,
                identity,
                ..
            } = self;
            drop(offers);
            if let Some(keys) = keys {
                keys.watcher.close().await.unwrap();
            }
            if let Err(error) = framework.shutdown().await {
                // The lease then runs out.
                book.say(|| format!("{} goes without a goodbye: {error}", identity.ip));
            }
        }
    }

    /// The endpoints that it exports, by id, once all are announced.
    pub(crate) fn exported(&self) -> Result<BTreeSet<String>, String> {
        let mut ids = BTreeSet::new();
        for offer in &self.offers {
            let ip = self.identity.ip;
            let status = offer.export.status();
            let status = status.ok_or_else(|| format!("{ip} does not export {}", offer.who))?;
            if status.unannounced > 0 || status.endpoints.is_empty() || status.error.is_some() {
                return Err(format!("{ip} has not announced {}: {status:?}", offer.who));
            }
            if *status.properties != *offer.export.reference().properties() {
                return Err(format!("{ip} announces an older {}", offer.who));
            }
            ids.extend(status.endpoints.iter().map(|e| e.id().to_string()));
        }
        Ok(ids)
    }

    /// Whether it has renewed its lease since then, and not only not noticed yet that it cannot.
    pub(crate) fn has_renewed_since(&self, then: Instant) -> Result<(), String> {
        let until = self.health().registered_until;
        if until.is_some_and(|until| until > then + TTL) {
            return Ok(());
        }
        Err(format!("{} has not renewed its lease", self.identity.ip))
    }

    /// Whether it is connected and knows exactly these endpoints and services of others.
    pub(crate) fn knows(
        &self,
        ids: &BTreeSet<String>,
        who: &BTreeSet<(String, i64)>,
    ) -> Result<(), String> {
        let ip = self.identity.ip;
        let health = self.health();
        if !health.is_connected() || health.pending > 0 || !health.suspects.is_empty() {
            return Err(format!("{ip}: {health}"));
        }
        if *self.told.lock() != *ids {
            let told = self.told.lock().clone();
            return Err(format!("{ip} knows the endpoints {told:?}, not {ids:?}"));
        }
        let proxies = service::proxies(self.framework.registry());
        let found: BTreeSet<(String, i64)> = proxies
            .iter()
            .map(|proxy| {
                let version = proxy.properties().get("version").and_then(|v| v.to_i64());
                (service::who(proxy), version.unwrap_or(-1))
            })
            .collect();
        if found != *who || proxies.len() != who.len() {
            return Err(format!("{ip} has proxies of {found:?}, not {who:?}"));
        }
        match &self.keys {
            Some(keys) if keys.watcher.status().borrow().phase != WatchPhase::Live => {
                Err(format!("the watch on {ip} is not live"))
            }
            _ => Ok(()),
        }
    }

    /// Whether its watch on the keys, if it has one, shows what a read does.
    pub(crate) fn sees(&self, keys: &BTreeMap<String, i64>) -> bool {
        self.keys
            .as_ref()
            .is_none_or(|own| *own.map.lock() == *keys)
    }

    /// Writes down what its listeners take for the present state, and what it holds.
    pub(crate) fn record(&self, net: &Net) {
        let told = self.told.lock().clone();
        let entries = told.iter().map(|id| (self.book.key(id), 0)).collect();
        let listener = self.listener;
        self.book.push(What::View { listener, entries });
        if let Some(keys) = &self.keys {
            let map = keys.map.lock().clone();
            let entries = map
                .iter()
                .map(|(key, at)| (self.book.key(key), *at))
                .collect();
            let listener = keys.listener;
            self.book.push(What::View { listener, entries });
        }
        let count = net.open(self.identity.ip, REGISTRY);
        self.book.push(What::Holds {
            client: self.session,
            what: "connections to the registry",
            count: u64::try_from(count).unwrap(),
            allowed: if self.keys.is_some() { 3 } else { 2 },
        });
    }
}

impl Keys {
    fn watch(book: &Book, network: Arc<dyn Network>, ip: Ipv4Addr) -> Self {
        let listener = book.client(|| format!("a watch on {ip}"));
        let scope = Scope::Keys;
        book.push(What::Listening { listener, scope });
        let map = Arc::default();
        let sink = KeySink {
            book: book.clone(),
            listener,
            map: Arc::clone(&map),
        };
        let mut options = ConnectOptions::parse(&format!("{REGISTRY}:{REGISTRY_PORT}")).unwrap();
        options.network = network;
        let range = WatchConfig::prefix(format!("{TOP}/"));
        let watcher = Watcher::open(options, range, sink).unwrap();
        Self {
            listener,
            map,
            watcher,
        }
    }
}

/// Writes down what a watch on keys delivers.
struct KeySink {
    book: Book,
    listener: Client,
    map: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Sink for KeySink {
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

/// Writes down what a listener to endpoints is told, until its feed ends.
async fn hear(
    book: Book,
    listener: Client,
    mut feed: feed::Listener<EndpointId, Arc<EndpointDescription>>,
    told: Told,
) {
    while let Some(change) = feed.next().await {
        let id = change.key().to_string();
        let news = match change {
            feed::Change::Added(..) => News::Added,
            feed::Change::Modified { .. } => News::Modified,
            feed::Change::EndMatch { .. } => unreachable!("this listener takes everything"),
            feed::Change::Removed(..) => News::Removed,
        };
        let key = book.key(&id);
        let (revision, value) = (0, 0);
        book.push(What::Told {
            listener,
            news,
            key,
            revision,
            value,
        });
        match news {
            News::Removed => told.lock().remove(&id),
            _ => told.lock().insert(id),
        };
    }
}

/// Writes down which keys a session is to have, with which values.
async fn want(
    book: Book,
    client: Client,
    root: String,
    mut exports: feed::Listener<ServiceId, Arc<ExportStatus>>,
) {
    let mut wanted: BTreeMap<ServiceId, BTreeMap<String, u64>> = BTreeMap::new();
    while let Some(change) = exports.next().await {
        let service = *change.key();
        let endpoints = match change {
            feed::Change::Added(_, status) | feed::Change::Modified { value: status, .. } => {
                status.endpoints.clone()
            }
            feed::Change::EndMatch { .. } | feed::Change::Removed(..) => Vec::new(),
        };
        let now: BTreeMap<String, u64> = endpoints.iter().map(|e| value_of(&root, e)).collect();
        let before = wanted.insert(service, now.clone()).unwrap_or_default();
        for gone in before.keys().filter(|name| !now.contains_key(*name)) {
            let (key, value) = (book.key(gone), None);
            book.push(What::Wants { client, key, value });
        }
        for (name, value) in now {
            if before.get(&name) != Some(&value) {
                let (key, value) = (book.key(&name), Some(value));
                book.push(What::Wants { client, key, value });
            }
        }
    }
}

/// The key of an endpoint, and the hash of the value that is to be there.
fn value_of(root: &str, endpoint: &EndpointDescription) -> (String, u64) {
    let info = ServiceInfo::new(endpoint.clone());
    let value = service_info::encode(&info, HOST_IP).unwrap();
    (format!("{root}/{}", endpoint.id()), hash(value.as_bytes()))
}

/// Writes down what a session says of itself, until it ends.
async fn observe(book: Book, client: Client, mut updates: HealthUpdates, net: Net, ip: Ipv4Addr) {
    let mut observer = Observer {
        book,
        client,
        net,
        ip,
        lease: None,
        claim: None,
        dials: 0,
        calls: 0,
    };
    let mut next = Some(updates.current());
    while let Some(health) = next {
        observer.note(&health);
        next = updates.changed().await;
    }
}

struct Observer {
    book: Book,
    client: Client,
    net: Net,
    ip: Ipv4Addr,
    lease: Option<i64>,
    claim: Option<(i64, Option<Instant>)>,
    dials: u64,
    calls: u64,
}

impl Observer {
    fn note(&mut self, health: &Health) {
        let client = self.client;
        let dials = health.counts.session.dials + health.counts.watch.dials;
        for _ in self.dials..dials {
            self.sent(Instant::now(), Request::Dial);
        }
        self.dials = dials;
        if health.lease != self.lease
            && let Some(lease) = health.lease
        {
            let by = Some(client);
            self.book.push(What::Granted { lease, by });
        }
        self.lease = health.lease.or(self.lease);
        let claim = self.lease.map(|lease| (lease, health.registered_until));
        if claim == self.claim {
            return;
        }
        self.claim = claim;
        let Some((lease, until)) = claim else { return };
        // The last answer that the lease can rest on arrived, at the latest, with the last bytes
        // that came from the registry; it was asked for before that.
        if let (Some(heard), Some(_)) = (self.net.heard(self.ip, REGISTRY), until) {
            self.sent(heard, Request::Renew);
            let (call, ttl) = (self.calls, TTL);
            self.book
                .push_at(heard, What::Answered { client, call, ttl });
        }
        let until = until.map(|until| self.book.at(until));
        self.book.push(What::Registered {
            client,
            lease,
            until,
        });
    }

    fn sent(&mut self, at: Instant, request: Request) {
        self.calls += 1;
        let (client, call) = (self.client, self.calls);
        self.book.push_at(
            at,
            What::Sent {
                client,
                call,
                request,
            },
        );
    }
}
