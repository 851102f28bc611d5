//! Who writes down what the store does, past the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use etcd_client::{Client, EventType, GetOptions, WatchOptions};
use osgi_remote::embedded::Registry;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{By, End, Entry, What, hash};
use crate::recording::Book;
use crate::world::TOP;

/// The keys of the store as far as the recorder has seen it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) revision: i64,
    /// With their leases.
    pub(crate) keys: BTreeMap<String, i64>,
}

/// Leases of which it is known how they end.
type Revoked = Arc<Mutex<BTreeSet<i64>>>;

/// Keys whose deletion is not seen.
type Overlooked = Arc<Mutex<BTreeSet<String>>>;

/// Writes down every change of one registry, from its first revision on.
pub(crate) struct Recorder {
    client: Client,
    book: Book,
    seen: watch::Receiver<Seen>,
    revoked: Revoked,
    overlooked: Overlooked,
    _task: AbortOnDropHandle<()>,
}

impl Recorder {
    pub(crate) async fn start(book: &Book, registry: &Registry) -> Self {
        let client = registry.client().await.unwrap();
        let (sender, seen) = watch::channel(Seen::default());
        let (revoked, overlooked) = (Revoked::default(), Overlooked::default());
        let follower = Follower {
            book: book.clone(),
            seen: sender,
            revoked: Arc::clone(&revoked),
            overlooked: Arc::clone(&overlooked),
        };
        let own = client.clone();
        let task = async move {
            // It ends with the registry, by an error or in order.
            if let Err(error) = follower.follow(own).await {
                follower
                    .book
                    .say(|| format!("the recorder's watch ended: {error}"));
            }
        };
        Self {
            client,
            book: book.clone(),
            seen,
            revoked,
            overlooked,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// A client of the registry itself, for who changes something by hand.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// A lease is about to be revoked: by hand, or by the goodbye of its session.
    pub(crate) fn revokes(&self, lease: i64) {
        self.revoked.lock().insert(lease);
        let how = End::Revoked;
        self.book.push(What::Ended { lease, how });
    }

    /// The session key of this lease is about to be deleted by hand.
    pub(crate) fn is_no_expiry(&self, lease: i64) {
        self.revoked.lock().insert(lease);
    }

    /// A registry with a defect is about to lose this key, without an event.
    pub(crate) fn overlooks(&self, key: &str) {
        self.overlooked.lock().insert(key.to_owned());
    }

    /// Writes down what a quorum read shows, after all that led to it; gives the keys.
    pub(crate) async fn read(&mut self) -> BTreeMap<String, i64> {
        let range = GetOptions::new().with_range(format!("{TOP}0"));
        let answer = self
            .client
            .get(format!("{TOP}/"), Some(range))
            .await
            .unwrap();
        let leases = self.client.leases().await.unwrap();
        let revision = answer.header().map_or(0, |header| header.revision());
        // A watch is told of nothing but its range; nobody writes beyond it here.
        if revision > 1 {
            let seen = self.seen.wait_for(|seen| seen.revision >= revision).await;
            drop(seen.unwrap());
        }
        let entries = answer.kvs().iter().map(|kv| Entry {
            key: self.book.key(kv.key_str().unwrap()),
            revision: kv.mod_revision(),
            value: hash(kv.value()),
            lease: kv.lease(),
        });
        let entries = entries.collect();
        let mut living: Vec<i64> = leases.leases().iter().map(|lease| lease.id()).collect();
        living.sort_unstable();
        self.book.push(What::Read { entries, living });
        let kvs = answer.kvs().iter();
        kvs.map(|kv| (kv.key_str().unwrap().to_owned(), kv.mod_revision()))
            .collect()
    }
}

struct Follower {
    book: Book,
    seen: watch::Sender<Seen>,
    revoked: Revoked,
    overlooked: Overlooked,
}

impl Follower {
    async fn follow(&self, client: Client) -> Result<(), etcd_client::Error> {
        let options = WatchOptions::new()
            .with_range(format!("{TOP}0"))
            .with_start_revision(1);
        let mut watch = client.watch_client();
        let mut stream = watch.watch(format!("{TOP}/"), Some(options)).await?;
        while let Some(answer) = stream.message().await? {
            assert!(!answer.canceled(), "the recorder's watch was canceled");
            for event in answer.events() {
                self.note(event);
            }
        }
        Ok(())
    }

    fn note(&self, event: &etcd_client::Event) {
        let Some(kv) = event.kv() else { return };
        let name = kv.key_str().unwrap().to_owned();
        let (key, revision) = (self.book.key(&name), kv.mod_revision());
        if event.event_type() == EventType::Delete && self.overlooked.lock().remove(&name) {
            self.seen
                .send_modify(|seen| seen.revision = seen.revision.max(revision));
            return;
        }
        let lease = self.seen.borrow().keys.get(&name).copied();
        match event.event_type() {
            EventType::Put => self.book.push(What::Put {
                key,
                revision,
                value: hash(kv.value()),
                lease: kv.lease(),
                by: By::Unknown,
            }),
            EventType::Delete => {
                self.book.push(What::Delete { key, revision });
                // A session key goes with its lease, by hand, or by a goodbye; the two latter are
                // said beforehand.
                let is_root = name.matches('/').count() == 1;
                if let Some(lease) = lease.filter(|lease| is_root && *lease != 0)
                    && self.revoked.lock().insert(lease)
                {
                    let how = End::Expired;
                    self.book.push(What::Ended { lease, how });
                }
            }
        }
        self.seen.send_modify(|seen| {
            seen.revision = seen.revision.max(revision);
            match event.event_type() {
                EventType::Put => seen.keys.insert(name, kv.lease()),
                EventType::Delete => seen.keys.remove(&name),
            };
        });
    }
}
