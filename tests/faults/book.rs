//! Who writes down what the store does in a row of the matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, EventType, GetOptions, LeaseClient, WatchOptions};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{By, End, Entry, What, hash};
use crate::recording::Book;

/// Connects to the first server that answers, past all proxies.
pub async fn connect(servers: &[SocketAddr]) -> Result<Client, etcd_client::Error> {
    let mut last = None;
    for server in servers {
        let options = etcd_client::ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(2))
            .with_timeout(Duration::from_secs(10));
        let attempt = async {
            let mut client = Client::connect([server.to_string()], Some(options)).await?;
            // The library connects with the first call only.
            client.status().await?;
            Ok(client)
        };
        match attempt.await {
            Ok(client) => return Ok(client),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is at least one server"))
}

/// What a quorum read shows.
pub struct Snapshot {
    /// Key, value, modification revision and lease.
    pub entries: Vec<(String, Vec<u8>, i64, i64)>,
    pub leases: Vec<i64>,
}

impl Snapshot {
    pub async fn read(servers: &[SocketAddr], top: &str) -> Result<Self, etcd_client::Error> {
        let client = connect(servers).await?;
        let mut kv = client.kv_client().max_decoding_message_size(256 << 20);
        let range = GetOptions::new().with_range(format!("{top}0"));
        let answer = kv.get(format!("{top}/"), Some(range)).await?;
        let entries = answer.kvs().iter().map(|kv| {
            let key = String::from_utf8_lossy(kv.key()).into_owned();
            (key, kv.value().to_vec(), kv.mod_revision(), kv.lease())
        });
        let entries = entries.collect();
        let leases: LeaseClient = client.lease_client();
        Ok(Self {
            entries,
            leases: living(leases).await?,
        })
    }

    pub fn revisions(&self) -> BTreeMap<String, i64> {
        let entries = self.entries.iter();
        entries.map(|(key, _, at, _)| (key.clone(), *at)).collect()
    }

    pub fn record(&self, book: &Book) {
        let entries = self
            .entries
            .iter()
            .map(|(key, value, revision, lease)| Entry {
                key: book.key(key),
                revision: *revision,
                value: hash(value),
                lease: *lease,
            });
        let entries = entries.collect();
        let living = self.leases.clone();
        book.push(What::Read { entries, living });
    }
}

async fn living(mut client: LeaseClient) -> Result<Vec<i64>, etcd_client::Error> {
    let answer = client.leases().await?;
    Ok(answer.leases().iter().map(|lease| lease.id()).collect())
}

/// Writes down every change of the store, from its first revision on, by a watch of its own that goes
/// past all proxies.
pub struct Recorder {
    top: String,
    book: Book,
    servers: Vec<SocketAddr>,
    seen: watch::Receiver<Seen>,
    revoked: Revoked,
    task: Option<AbortOnDropHandle<()>>,
}

/// Leases that did not run out: somebody revoked them.
type Revoked = Arc<Mutex<BTreeSet<i64>>>;

/// The store as far as the recorder has seen it.
#[derive(Debug, Clone, Default)]
struct Seen {
    revision: i64,
    keys: BTreeMap<String, i64>,
    leases: BTreeMap<String, i64>,
}

impl Recorder {
    pub fn start(book: &Book, servers: Vec<SocketAddr>, top: &str) -> Self {
        let (top, book) = (top.to_owned(), book.clone());
        let revoked = Revoked::default();
        let (seen, task) = spawn(&book, servers.clone(), &top, &revoked);
        Self {
            top,
            book,
            servers,
            seen,
            revoked,
            task: Some(task),
        }
    }

    /// Ends the watch: the store is about to be wiped.
    pub async fn pause(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted is how it ends.
            let _ = task.await;
        }
        self.book.push(What::Wiped);
    }

    /// Begins again, with the first revision of another store.
    pub fn restart(&mut self) {
        let (seen, task) = spawn(&self.book, self.servers.clone(), &self.top, &self.revoked);
        self.seen = seen;
        self.task = Some(task);
    }

    /// A lease is about to be revoked: by hand, or by the goodbye of its session.
    pub fn revokes(&self, lease: i64) {
        self.revoked.lock().insert(lease);
        let how = End::Revoked;
        self.book.push(What::Ended { lease, how });
    }

    /// The session key of this lease is about to be deleted by hand.
    pub fn is_no_expiry(&self, lease: i64) {
        self.revoked.lock().insert(lease);
    }

    /// The newest revision in the range that was written down.
    pub fn revision(&self) -> i64 {
        self.seen.borrow().revision
    }

    pub fn keys(&self) -> BTreeMap<String, i64> {
        self.seen.borrow().keys.clone()
    }
}

fn spawn(
    book: &Book,
    servers: Vec<SocketAddr>,
    top: &str,
    revoked: &Revoked,
) -> (watch::Receiver<Seen>, AbortOnDropHandle<()>) {
    let (sender, seen) = watch::channel(Seen::default());
    let (book, top, revoked) = (book.clone(), top.to_owned(), Arc::clone(revoked));
    let task = tokio::spawn(async move {
        loop {
            if let Err(error) = follow(&book, &servers, &top, &sender, &revoked).await {
                tracing::debug!(%error, "the recorder's watch ended");
            }
            // The server is away; the watch goes on where it stood when it is back.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    (seen, AbortOnDropHandle::new(task))
}

async fn follow(
    book: &Book,
    servers: &[SocketAddr],
    top: &str,
    seen: &watch::Sender<Seen>,
    revoked: &Revoked,
) -> Result<(), etcd_client::Error> {
    let client = Client::connect(
        [pick(servers).await?.to_string()],
        // A server may be stopped for as long as it likes: then there is nothing to write down.
        None,
    )
    .await?;
    let from = seen.borrow().revision + 1;
    let options = WatchOptions::new()
        .with_range(format!("{top}0"))
        .with_start_revision(from)
        .with_progress_notify();
    let mut watch = client.watch_client().max_decoding_message_size(256 << 20);
    let mut stream = watch.watch(format!("{top}/"), Some(options)).await?;
    while let Some(answer) = stream.message().await? {
        assert!(
            !answer.canceled(),
            "the recorder missed what was compacted: {}",
            answer.cancel_reason()
        );
        seen.send_modify(|seen| {
            for event in answer.events() {
                let Some(kv) = event.kv() else { continue };
                let name = String::from_utf8_lossy(kv.key()).into_owned();
                let key = book.key(&name);
                let revision = kv.mod_revision();
                seen.revision = seen.revision.max(revision);
                match event.event_type() {
                    EventType::Put => {
                        seen.keys.insert(name.clone(), revision);
                        seen.leases.insert(name, kv.lease());
                        book.push(What::Put {
                            key,
                            revision,
                            value: hash(kv.value()),
                            lease: kv.lease(),
                            by: By::Unknown,
                        });
                    }
                    EventType::Delete => {
                        seen.keys.remove(&name);
                        let lease = seen.leases.remove(&name);
                        book.push(What::Delete { key, revision });
                        // A session key goes with its lease, by hand, or by a goodbye; the two latter
                        // are said beforehand.
                        let is_root = name.matches('/').count() == 1;
                        if let Some(lease) = lease.filter(|_| is_root)
                            && lease != 0
                            && revoked.lock().insert(lease)
                        {
                            book.push(What::Ended {
                                lease,
                                how: End::Expired,
                            });
                        }
                    }
                }
            }
        });
    }
    Ok(())
}

/// A server that answers.
async fn pick(servers: &[SocketAddr]) -> Result<SocketAddr, etcd_client::Error> {
    for server in servers {
        if connect(&[*server]).await.is_ok() {
            return Ok(*server);
        }
    }
    connect(servers).await.map(|_| servers[0])
}
