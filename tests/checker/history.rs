//! What is recorded.

use std::collections::HashMap;
use std::time::Duration;

/// A key, or an endpoint's id, by its number in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u32);

/// A session, watcher, listener or observer, numbered from zero.
pub(crate) type Client = u32;

/// One key as a quorum read shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) revision: i64,
    /// The value's [`hash`].
    pub(crate) value: u64,
    pub(crate) lease: i64,
}

/// Who wrote a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Client(Client),
    /// Somebody who is not under test.
    Meddler,
    /// The recorder cannot know; taken for the session below whose key it is.
    Unknown,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Expired,
    Revoked,
}

/// What a listener or a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Added,
    Modified,
    /// Added or modified: the listener has to know for itself.
    Put,
    Removed,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Dial,
    Grant,
    Renew,
    Read,
    Write,
    Watch,
    Other,
}

/// A fault, of one client or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// etcd cannot be reached: nothing arrives.
    CutOff,
    /// Anything else, by name.
    Other(&'static str),
}

/// What a listener listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All keys that a quorum read shows.
    Keys,
    /// Something made from keys, which cannot be compared with a read.
    Endpoints,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    // The store.
    Put {
        key: Key,
        revision: i64,
        value: u64,
        lease: i64,
        by: By,
    },
    /// By hand, by a transaction or with its lease.
    Delete {
        key: Key,
        revision: i64,
    },
    Granted {
        lease: i64,
        by: Option<Client>,
    },
    Ended {
        lease: i64,
        how: End,
    },
    Compacted {
        revision: i64,
    },
    /// All keys and leases are gone, and revisions start over: a new history.
    Wiped,
    /// A quorum read of everything, with the leases that live.
    Read {
        entries: Vec<Entry>,
        living: Vec<i64>,
    },

    // Sessions.
    Opened {
        client: Client,
        root: Key,
        value: u64,
    },
    Wants {
        client: Client,
        key: Key,
        value: Option<u64>,
    },
    /// Closed or killed: a session, or a listener.
    Gone {
        client: Client,
    },
    /// A session calls itself registered until then, unless this is changed.
    Registered {
        client: Client,
        lease: i64,
        until: Option<Duration>,
    },
    Sent {
        client: Client,
        call: u64,
        request: Request,
    },
    /// A grant or a renewal was answered with this time to live.
    Answered {
        client: Client,
        call: u64,
        ttl: Duration,
    },
    /// The client's own clock did not go for this long: it may be wrong by as much.
    ClockStopped {
        client: Client,
        time: Duration,
    },

    // Listeners and peers.
    Listening {
        listener: Client,
        scope: Scope,
    },
    Told {
        listener: Client,
        news: News,
        key: Key,
        /// Zero when it is not known.
        revision: i64,
        value: u64,
    },
    HistoryLost {
        listener: Client,
    },
    /// What a listener takes for the present state: keys and their modification revisions.
    View {
        listener: Client,
        entries: Vec<(Key, i64)>,
    },
    /// A foreign implementation tells its user.
    Peer {
        observer: Client,
        news: News,
        key: Key,
    },

    // The test.
    Began {
        fault: Fault,
        client: Option<Client>,
    },
    Healed {
        fault: Fault,
        client: Option<Client>,
    },
    /// Somebody changed something by hand.
    Meddled,
    /// From here on everything is to be at rest, until the next disturbance.
    Rest,
    /// A client holds so many of something, and may hold so many.
    Holds {
        client: Client,
        what: &'static str,
        count: u64,
        allowed: u64,
    },
}

/// One thing that happened, and when, counted from the beginning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// Everything that happened, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    names: Vec<String>,
    numbers: HashMap<String, Key>,
    records: Vec<Record>,
}

impl History {
    /// The number of a key or of an endpoint's id.
    pub(crate) fn key(&mut self, name: &str) -> Key {
        if let Some(key) = self.numbers.get(name) {
            return *key;
        }
        let key = Key(u32::try_from(self.names.len()).unwrap());
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), key);
        key
    }

    pub(crate) fn name(&self, key: Key) -> &str {
        self.names.get(key.0 as usize).map_or("?", String::as_str)
    }

    /// How many keys have numbers.
    pub(crate) const fn keys(&self) -> usize {
        self.names.len()
    }

    /// Whether `key` is `root` or below it.
    pub(crate) fn is_of(&self, key: Key, root: Key) -> bool {
        let rest = self.name(key).strip_prefix(self.name(root));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn push(&mut self, at: Duration, what: What) {
        self.records.push(Record { at, what });
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}

/// A value, as a history holds it (FNV-1a).
pub(crate) fn hash(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
