//! One host with a framework on it, and what it is seen to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::discovery::Subscriber;
use osgi_remote::discovery::etcd::Health;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::feed;
use osgi_remote::framework::FrameworkError;
use osgi_remote::keyspace::{ConnectOptions, Error, WatchConfig, WatchPhase, Watcher};
use osgi_remote::names::{FrameworkId, SessionId};
use osgi_remote::network::Network;
use osgi_remote::services::ServiceId;
use osgi_remote::topology::ExportStatus;
use osgi_remote::{Export, Framework};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{Client, Scope, What, hash};
use crate::findings::Findings;
use crate::net::Net;
use crate::recorder::Recorder;
use crate::recording::{Book, Keys, Observer, Told, hear};
use crate::service;
use crate::world::{REGISTRY, REGISTRY_PORT, TOP};

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
    /// Its session's time to live.
    pub(crate) ttl: Duration,
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
    /// A watch on the keys themselves, with their revisions.
    keys: Option<(Keys, Watcher)>,
    told: Told,
    findings: Findings,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// How often a host calls: the seed of its choices, the number of its first call, and the longest
/// pause in milliseconds.
pub(crate) struct Calls {
    pub(crate) seed: u64,
    pub(crate) first: i64,
    pub(crate) pause: u64,
}

impl Party {
    pub(crate) async fn start(
        findings: &Findings,
        net: &Net,
        identity: &Identity,
        network: Arc<dyn Network>,
        calls: Calls,
    ) -> Self {
        let book = findings.book();
        let identity = identity.clone();
        let ip = identity.ip;
        let session = book.client(format!("the session of {ip}"));
        book.push(What::Opened {
            client: session,
            root: book.key(&identity.root()),
            value: hash(identity.session.as_str().as_bytes()),
        });
        let seconds = i64::try_from(identity.ttl.as_secs()).unwrap();
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

        let listener = book.client(format!("a listener on {ip}"));
        let scope = Scope::Endpoints;
        book.push(What::Listening { listener, scope });
        let told = Told::default();
        let endpoints = etcd.endpoints().listen(|_| true);
        let hears = hear(book.clone(), listener, endpoints, Arc::clone(&told));
        let observes = observer(book, net, ip, session, identity.ttl);
        let observes = observes.of_discovery(etcd.health_updates());
        let exports = framework.exports().listen(|_| true);
        let wants = want(book.clone(), session, identity.root(), exports);
        let registry = framework.registry().clone();
        let keeps_calling = service::keep_calling(findings.clone(), registry, calls);
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(hears)),
            AbortOnDropHandle::new(tokio::spawn(observes)),
            AbortOnDropHandle::new(tokio::spawn(wants)),
            AbortOnDropHandle::new(tokio::spawn(keeps_calling)),
        ];
        let keys = identity.watches_keys.then(|| watch_keys(book, network, ip));
        Self {
            identity,
            framework,
            offers: Vec::new(),
            session,
            listener,
            keys,
            told,
            findings: findings.clone(),
            _tasks: tasks,
        }
    }

    /// Its numbers in the history.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let keys = self.keys.as_ref().map(|(keys, _)| keys.listener());
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
            self.findings.book().push(What::Gone { client });
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
                findings,
                identity,
                ..
            } = self;
            drop(offers);
            if let Some((_, watcher)) = keys {
                watcher.close().await.unwrap();
            }
            match framework.shutdown().await {
                Ok(()) => {}
                // The lease then runs out.
                Err(FrameworkError::Discovery(error @ Error::Revoke { .. })) => {
                    let book = findings.book();
                    book.say(|| format!("{} goes without a goodbye: {error}", identity.ip));
                }
                Err(error) => findings.wrong(format!("{} cannot end: {error}", identity.ip)),
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
        if until.is_some_and(|until| until > then + self.identity.ttl) {
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
        let told: BTreeSet<String> = self.told.lock().keys().cloned().collect();
        if told != *ids {
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
            Some((_, watcher)) if watcher.status().borrow().phase != WatchPhase::Live => {
                Err(format!("the watch on {ip} is not live"))
            }
            _ => Ok(()),
        }
    }

    /// Whether its watch on the keys, if it has one, shows what a read does.
    pub(crate) fn sees(&self, keys: &BTreeMap<String, i64>) -> bool {
        self.keys.as_ref().is_none_or(|(own, _)| own.map() == *keys)
    }

    /// Writes down what its listeners take for the present state, and what it holds.
    pub(crate) fn record(&self, net: &Net) {
        let told = self.told.lock();
        let entries = told
            .keys()
            .map(|id| (self.findings.book().key(id), 0))
            .collect();
        let listener = self.listener;
        self.findings.book().push(What::View { listener, entries });
        if let Some((keys, _)) = &self.keys {
            keys.record();
        }
        let count = net.open(self.identity.ip, REGISTRY);
        self.findings.book().push(What::Holds {
            client: self.session,
            what: "connections to the registry",
            count: u64::try_from(count).unwrap(),
            allowed: if self.keys.is_some() { 3 } else { 2 },
        });
    }
}

fn watch_keys(book: &Book, network: Arc<dyn Network>, ip: Ipv4Addr) -> (Keys, Watcher) {
    let keys = Keys::new(book, format!("a watch on {ip}"));
    let range = WatchConfig::prefix(format!("{TOP}/"));
    let watcher = Watcher::open(to_registry(network), range, keys.clone()).unwrap();
    (keys, watcher)
}

/// How the registry is reached over a network.
pub(crate) fn to_registry(network: Arc<dyn Network>) -> ConnectOptions {
    let mut options = ConnectOptions::parse(&format!("{REGISTRY}:{REGISTRY_PORT}")).unwrap();
    options.network = network;
    options
}

/// An observer of a session on a host.
pub(crate) fn observer(
    book: &Book,
    net: &Net,
    ip: Ipv4Addr,
    session: Client,
    ttl: Duration,
) -> Observer<impl Fn() -> Option<Instant> + use<>> {
    let net = net.clone();
    Observer::new(book, session, ttl, move || net.heard(ip, REGISTRY))
}

/// Writes down which keys a session is to have, with which values.
async fn want(
    book: Book,
    client: Client,
    root: String,
    mut exports: feed::Listener<ServiceId, Arc<ExportStatus>>,
) {
    let mut wanted: BTreeMap<ServiceId, Wanted> = BTreeMap::new();
    while let Some(change) = exports.next().await {
        let service = *change.key();
        let endpoints = match change {
            feed::Change::Added(_, status) | feed::Change::Modified { value: status, .. } => {
                status.endpoints.clone()
            }
            feed::Change::EndMatch { .. } | feed::Change::Removed(..) => Vec::new(),
        };
        let before = wanted.remove(&service).unwrap_or_default();
        let mut now = Wanted::new();
        for endpoint in endpoints {
            // Most changes are not the endpoint's.
            let known = before.values().find(|(e, _)| Arc::ptr_eq(e, &endpoint));
            let value = known.map_or_else(|| value_of(&endpoint), |(_, value)| *value);
            let name = format!("{root}/{}", endpoint.id());
            if before.get(&name).is_none_or(|(_, older)| *older != value) {
                let (key, value) = (book.key(&name), Some(value));
                book.push(What::Wants { client, key, value });
            }
            now.insert(name, (endpoint, value));
        }
        for gone in before.keys().filter(|name| !now.contains_key(*name)) {
            let (key, value) = (book.key(gone), None);
            book.push(What::Wants { client, key, value });
        }
        wanted.insert(service, now);
    }
}

/// By key: an endpoint, and the hash of the value that is to be there.
type Wanted = BTreeMap<String, (Arc<EndpointDescription>, u64)>;

fn value_of(endpoint: &EndpointDescription) -> u64 {
    let info = ServiceInfo::new(endpoint.clone());
    hash(service_info::encode(&info, HOST_IP).unwrap().as_bytes())
}
