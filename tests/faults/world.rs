//! A world in which one fault happens: etcd, exporters and consumers behind proxies, and a book in which
//! everybody's doings are written down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use etcd_client::Client;
use osgi_remote::discovery::etcd::{EtcdConfig, Guard};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::names::TopKey;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::book::{Recorder, Snapshot, connect};
use crate::checker::{Fault, What};
use crate::child::Exporter;
use crate::party::Party;
use crate::peers::Peer;
use crate::recording::Book;
use crate::support::namespace::Namespace;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Cluster, Etcd};

/// The time to live of all sessions: short, so that a lease can run out in a test.
pub const TTL: Duration = Duration::from_secs(3);
const EXPORTERS: usize = 3;
const ENDPOINTS: usize = 3;
const CONSUMERS: usize = 2;
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// The server, or the three of them.
pub enum Store {
    Single(Etcd),
    Cluster(Cluster),
}

impl Store {
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Single(etcd) => vec![etcd.address()],
            Self::Cluster(cluster) => cluster.addresses(),
        }
    }

    /// A server that runs, for its `etcdctl`.
    pub fn any(&self) -> &Etcd {
        match self {
            Self::Single(etcd) => etcd,
            Self::Cluster(cluster) => {
                let mut members = cluster.members().iter();
                members.find(|m| m.is_running()).expect("a member runs")
            }
        }
    }

    /// The only server.
    pub fn single(&mut self) -> &mut Etcd {
        match self {
            Self::Single(etcd) => etcd,
            Self::Cluster(_) => panic!("this fault is one of a single server"),
        }
    }

    pub fn cluster(&mut self) -> &mut Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Single(_) => panic!("this fault is one of a cluster"),
        }
    }
}

/// Everything of one row of the matrix.
pub struct World {
    pub book: Book,
    pub store: Store,
    pub top: TopKey,
    pub exporters: Vec<Party>,
    pub consumers: Vec<Party>,
    pub recorder: Recorder,
    /// Faults that began and have not healed, by the clients that they are about.
    open: Vec<(Fault, Vec<Option<u32>>)>,
    /// When the network and the servers were well again.
    pub healed_at: Option<Instant>,
    /// How long after that everything was right for the first time.
    pub recovery: OnceLock<Duration>,
    /// Tasks alive before the fault.
    pub tasks: usize,
    /// Endpoints that no party announces, and everybody is to know.
    pub foreign: BTreeMap<String, EndpointDescription>,
    /// Whether the fault is one that listeners must not notice, though keys go.
    pub silent: bool,
    pub children: Vec<Exporter>,
    pub peers: Vec<Peer>,
    /// The namespace of the server, if it has one: there are no proxies then.
    pub namespace: Option<Namespace>,
    folders: Vec<TempDir>,
}

impl World {
    /// Three exporters with three endpoints each and two consumers, all of whom know everything.
    pub async fn start(book: Book, store: Store, namespace: Option<Namespace>) -> Self {
        let top: TopKey = "org.example.faults".parse().unwrap();
        let recorder = Recorder::start(&book, store.addresses(), top.as_str());
        let mut world = Self {
            book,
            store,
            top,
            exporters: Vec::new(),
            consumers: Vec::new(),
            recorder,
            open: Vec::new(),
            healed_at: None,
            recovery: OnceLock::new(),
            tasks: 0,
            foreign: BTreeMap::new(),
            silent: false,
            children: Vec::new(),
            peers: Vec::new(),
            namespace,
            folders: Vec::new(),
        };
        for number in 0..EXPORTERS {
            let config = world.config();
            let mut party = world.party(&format!("exporter {number}"), config).await;
            for endpoint in 0..ENDPOINTS {
                party.advertise(&endpoint_of(&format!("e{number}-{endpoint}"), "1"));
            }
            world.exporters.push(party);
        }
        for number in 0..CONSUMERS {
            let config = world.config();
            let mut party = world.party(&format!("consumer {number}"), config).await;
            party.listen();
            world.consumers.push(party);
        }
        world
            .settled(STARTED_WITHIN, "the world to be complete")
            .await;
        world.tasks = world.tasks_alive();
        world
    }

    /// Settings for a session that lives in this world; its address is filled in later.
    pub fn config(&self) -> EtcdConfig {
        let mut config = EtcdConfig::new("127.0.0.1:1").unwrap();
        config.top_key = self.top.clone();
        config.lease_ttl = TTL;
        let mut guard = Guard::for_ttl(TTL);
        // An exporter's backoff may be the longest just when it could come back.
        guard.hold = Duration::from_secs(45);
        config.guard = Some(guard);
        config.disconnect_timeout = Duration::from_secs(2);
        config
    }

    /// A party behind proxies of its own, one for each server.
    pub async fn party(&self, name: &str, config: EtcdConfig) -> Party {
        let mut proxies = Vec::new();
        let mut addresses = Vec::new();
        for server in self.store.addresses() {
            if self.namespace.is_some() {
                addresses.push(server.to_string());
                continue;
            }
            let proxy = Proxy::to(server).await;
            addresses.push(proxy.address());
            proxies.push(proxy);
        }
        Party::start(&self.book, name, config, &addresses.join(","), proxies)
    }

    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.exporters.iter().chain(&self.consumers)
    }

    /// A connection of the test's own, past all proxies.
    pub async fn client(&self) -> Client {
        connect(&self.store.addresses())
            .await
            .unwrap_or_else(|error| panic!("the test cannot reach etcd: {error}"))
    }

    /// A fault begins, for all parties.
    pub fn began(&mut self, fault: Fault) {
        self.began_for(fault, vec![None]);
    }

    /// A fault begins, for some parties.
    pub fn began_for(&mut self, fault: Fault, clients: Vec<Option<u32>>) {
        for client in &clients {
            let client = *client;
            self.book.push(What::Began { fault, client });
        }
        self.open.push((fault, clients));
    }

    /// All faults are over from now on: what was held back may arrive.
    pub fn healing(&mut self) {
        for (fault, clients) in self.open.drain(..) {
            for client in clients {
                self.book.push(What::Healed { fault, client });
            }
        }
    }

    /// The network and the servers are well again: from here on the recovery's time runs.
    pub fn healed(&mut self) {
        self.healed_at = Some(Instant::now());
    }

    /// Keys go in this fault, and come back in time: no listener is to be told.
    pub fn nobody_is_to_be_told_of_removals(&mut self) {
        self.silent = true;
    }

    /// Keeps a folder for as long as the world.
    pub fn keep(&mut self, folder: TempDir) {
        self.folders.push(folder);
    }

    /// Does for the bare watchers what a discovery does for its own: when the lease is gone before its
    /// time, the store may be another.
    pub async fn relist_watchers_when_leases_are_lost(&self) {
        for party in self.parties() {
            let mut updates = party.discovery.health_updates();
            let lost = updates.wait_for(|health| health.counts.leases_lost > 0);
            let lost = tokio::time::timeout(STARTED_WITHIN, lost).await;
            assert!(
                lost.is_ok(),
                "{} does not notice that its lease is gone",
                party.name
            );
            party.relist();
        }
    }

    /// The wire to the server's namespace.
    pub fn wire(&self) -> &Namespace {
        self.namespace.as_ref().expect("this row has a namespace")
    }

    /// Treats all connections of all parties in this way.
    pub async fn network(&self, mode: Mode) {
        for party in self.parties() {
            party.network(mode).await;
        }
    }

    /// The endpoints that everybody is to know.
    pub fn expected(&self) -> BTreeMap<String, EndpointDescription> {
        let endpoints = self.exporters.iter().flat_map(|party| &party.wanted);
        endpoints
            .map(|(id, (endpoint, _))| (id.clone(), endpoint.clone()))
            .chain(self.foreign.clone())
            .collect()
    }

    /// Waits until everything is as it is to be; the last thing that was not so is the error.
    pub async fn settle(&self, within: Duration) -> Result<(), String> {
        let start = Instant::now();
        let mut last = "nothing was seen".to_owned();
        while start.elapsed() < within {
            let probe = tokio::time::timeout_at(start + within, self.differences());
            match probe.await {
                Ok(Ok(())) => {
                    if let Some(healed) = self.healed_at {
                        self.recovery.get_or_init(|| healed.elapsed());
                    }
                    return Ok(());
                }
                Ok(Err(difference)) => last = difference,
                Err(_) => break,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("after {within:?}: {last}"))
    }

    async fn settled(&self, within: Duration, what: &str) {
        if let Err(error) = self.settle(within).await {
            panic!("waited for: {what}; {error}");
        }
    }

    /// What is not as it is to be: first the registrations, then the views, then their health.
    async fn differences(&self) -> Result<(), String> {
        let servers = self.store.addresses();
        let snapshot = Snapshot::read(&servers, self.top.as_str()).await;
        let snapshot = snapshot.map_err(|error| format!("no quorum read: {error}"))?;
        for party in self.parties() {
            party.is_registered(&snapshot)?;
        }
        let revisions = snapshot.revisions();
        same("the recorder", &self.recorder.keys(), &revisions)?;
        let expected = self.expected();
        for consumer in &self.consumers {
            consumer.knows(&expected, &revisions)?;
        }
        Ok(())
    }

    pub async fn snapshot(&self) -> Snapshot {
        Snapshot::read(&self.store.addresses(), self.top.as_str())
            .await
            .unwrap_or_else(|error| panic!("no quorum read: {error}"))
    }

    /// Tasks for each party, as there were before the fault.
    pub fn tasks_a_party(&self) -> usize {
        self.tasks.div_ceil(EXPORTERS + CONSUMERS)
    }

    pub fn tasks_alive(&self) -> usize {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    }

    /// Ends everything, with a goodbye.
    pub async fn end(mut self) {
        for party in self.exporters.iter_mut().chain(&mut self.consumers) {
            party.close(&self.recorder).await;
        }
    }
}

/// Says how two maps differ, if they do.
pub fn same<V: PartialEq + std::fmt::Debug>(
    whose: &str,
    found: &BTreeMap<String, V>,
    wanted: &BTreeMap<String, V>,
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let few = |keys: Vec<&String>| {
        let more = keys.len().saturating_sub(3);
        let mut text = format!("{:?}", &keys[..keys.len().min(3)]);
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let missing = wanted.keys().filter(|key| !found.contains_key(*key));
    let strange = found.keys().filter(|key| !wanted.contains_key(*key));
    let other = found
        .iter()
        .filter(|(key, value)| wanted.get(*key).is_some_and(|wanted| wanted != *value));
    Err(format!(
        "{whose} misses {}, has too much {}, differs in {}",
        few(missing.collect()),
        few(strange.collect()),
        few(other.map(|(key, _)| key).collect()),
    ))
}

/// An endpoint as both iPOPO and ECF can read it.
pub fn endpoint_of(id: &str, version: &str) -> EndpointDescription {
    EndpointDescription::new(osgi_remote::props! {
        "endpoint.id" => id, "objectClass" => ["org.example.faults.Thing"],
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "remote.configs.supported" => ["ecf.xmlrpc.server"],
        "remote.intents.supported" => ["osgi.basic"],
        "endpoint.service.id" => 1_i64, "endpoint.framework.uuid" => "4469111c-91c2-4dba-b64f-750d14243fda",
        "ecf.endpoint.id" => "http://127.0.0.1:9/xml-rpc", "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc",
        "ecf.rsvc.id" => 1_i64,
        "ecf.endpoint.ts" => 1_795_211_106_006_i64 + version.parse::<i64>().unwrap(),
        "version" => version,
    })
    .unwrap()
}
