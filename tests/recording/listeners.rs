//! Listeners to endpoints and to keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed;
use osgi_remote::keyspace::{Change, Sink};
use osgi_remote::names::EndpointId;
use parking_lot::Mutex;

use super::Book;
use crate::checker::{Client, News, Scope, What, hash};

/// What a listener to endpoints was told, folded: by id.
pub(crate) type Told = Arc<Mutex<BTreeMap<String, Arc<EndpointDescription>>>>;

/// Writes down what a listener to endpoints is told, until its feed ends.
pub(crate) async fn hear(
    book: Book,
    listener: Client,
    mut feed: feed::Listener<EndpointId, Arc<EndpointDescription>>,
    told: Told,
) {
    while let Some(change) = feed.next().await {
        let id = change.key().to_string();
        let (news, endpoint) = match change {
            feed::Change::Added(_, endpoint) => (News::Added, Some(endpoint)),
            feed::Change::Modified { value, .. } => (News::Modified, Some(value)),
            feed::Change::EndMatch { .. } => unreachable!("this listener takes everything"),
            feed::Change::Removed(..) => (News::Removed, None),
        };
        let key = book.key(&id);
        // Held meanwhile, so that nobody sees the one without the other.
        let mut told = told.lock();
        book.push(What::Told {
            listener,
            news,
            key,
            revision: 0,
            value: 0,
        });
        match endpoint {
            Some(endpoint) => told.insert(id, endpoint),
            None => told.remove(&id),
        };
    }
}

/// The sink of a watch on keys. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Keys {
    book: Book,
    listener: Client,
    /// With their revisions.
    map: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Keys {
    /// A new listener of this name.
    pub(crate) fn new(book: &Book, name: String) -> Self {
        let listener = book.client(name);
        let scope = Scope::Keys;
        book.push(What::Listening { listener, scope });
        Self {
            book: book.clone(),
            listener,
            map: Arc::default(),
        }
    }

    /// Its number in the history.
    pub(crate) const fn listener(&self) -> Client {
        self.listener
    }

    /// The keys as it was told of them, with their revisions.
    pub(crate) fn map(&self) -> BTreeMap<String, i64> {
        self.map.lock().clone()
    }

    /// Writes down what it takes for the present state.
    pub(crate) fn record(&self) {
        let map = self.map();
        let entries = map.iter().map(|(key, at)| (self.book.key(key), *at));
        let entries = entries.collect();
        let listener = self.listener;
        self.book.push(What::View { listener, entries });
    }
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
