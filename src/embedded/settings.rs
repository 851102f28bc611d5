//! How an embedded registry behaves, apart from where it listens.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// As long as makes a difference, and short enough to be counted with.
const YEAR: Duration = Duration::from_hours(365 * 24);

/// What can be set of the registry's behaviour. The defaults are etcd's, except
/// where noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) name: String,
    pub(crate) seed: Option<u64>,
    pub(crate) cluster_id: Option<u64>,
    pub(crate) member_id: Option<u64>,
    pub(crate) raft_term: u64,
    pub(crate) min_lease_ttl: i64,
    pub(crate) keep_revisions: Option<u64>,
    pub(crate) keep_bytes: Option<usize>,
    pub(crate) quota_bytes: usize,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_txn_ops: usize,
    pub(crate) watch_progress_interval: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "embedded".to_owned(),
            seed: None,
            cluster_id: None,
            member_id: None,
            raft_term: 2,
            min_lease_ttl: 2,
            keep_revisions: Some(100_000),
            keep_bytes: Some(256 * 1024 * 1024),
            quota_bytes: 2 * 1024 * 1024 * 1024,
            max_request_bytes: 1536 * 1024,
            max_txn_ops: 128,
            watch_progress_interval: Duration::from_mins(10),
            keepalive_interval: Duration::from_hours(2),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl Settings {
    /// The member's name in the member list. Default: `embedded`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What all random numbers come from, so that a run can be repeated: the
    /// ids of cluster and member, and of leases whose id the client leaves
    /// open. Answers then also bear no date but that of the epoch, because its
    /// compressed size, and with it the time of each read, is another one each
    /// second. Default: a fresh one for each registry.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The id of the cluster in every answer. By it clients see that another
    /// store answers than before. Default: random, not 0.
    #[must_use]
    pub fn cluster_id(mut self, id: u64) -> Self {
        self.cluster_id = Some(id);
        self
    }

    /// The id of the one member in every answer. Default: random, not 0.
    #[must_use]
    pub fn member_id(mut self, id: u64) -> Self {
        self.member_id = Some(id);
        self
    }

    /// The term in every answer. Default: 2, as a fresh etcd of one member.
    #[must_use]
    pub fn raft_term(mut self, term: u64) -> Self {
        self.raft_term = term;
        self
    }

    /// The shortest time to live of a lease, in seconds: shorter ones are
    /// granted this one. Default: 2, which is etcd's with its default election
    /// timeout; at least 1.
    #[must_use]
    pub fn min_lease_ttl(mut self, seconds: i64) -> Self {
        self.min_lease_ttl = seconds.max(1);
        self
    }

    /// How many revisions of history are kept; older ones are compacted as new
    /// ones come. `None` keeps all, until a client compacts, as etcd does by
    /// default. Default: 100,000, because all is in memory.
    #[must_use]
    pub fn keep_revisions(mut self, count: impl Into<Option<u64>>) -> Self {
        self.keep_revisions = count.into();
        self
    }

    /// How many bytes the history may have: keys, values and about what it takes to keep them. Older
    /// revisions are compacted as new ones come, also if [`Settings::keep_revisions`] would keep
    /// them; a watch that was to be told of them is ended, as by any compaction. `None` sets no
    /// bound, as etcd. Default: 256 MiB.
    #[must_use]
    pub fn keep_bytes(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.keep_bytes = bytes.into();
        self
    }

    /// How many bytes there may be in all: keys, leases and the history. A put, or the grant of a
    /// lease, that would pass it is refused with etcd's `etcdserver: mvcc: database space exceeded`
    /// (RESOURCE_EXHAUSTED), and done again as soon as there is room; deletes, compactions and the
    /// end of leases are always done. Before anything is refused, the history is compacted, unless
    /// [`Settings::keep_bytes`] is `None`: then a client must, as with etcd. Default: 2 GiB, which
    /// is that of etcd's `--quota-backend-bytes`.
    #[must_use]
    pub fn quota_bytes(mut self, bytes: usize) -> Self {
        self.quota_bytes = bytes;
        self
    }

    /// The largest request that changes something, in bytes. Default: 1.5 MiB.
    #[must_use]
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }

    /// The most operations, or comparisons, in a transaction. Default: 128.
    #[must_use]
    pub fn max_txn_ops(mut self, count: usize) -> Self {
        self.max_txn_ops = count;
        self
    }

    /// How often a watch with `progress_notify` and without events is told that
    /// there were none. At least 100 ms, as in etcd. Default: 10 minutes.
    #[must_use]
    pub fn watch_progress_interval(mut self, interval: Duration) -> Self {
        self.watch_progress_interval = interval.max(Duration::from_millis(100));
        self
    }

    /// After how long without a word a client is asked whether it is still there, by a ping of
    /// HTTP/2; from 1 s to a year. Default: 2 hours, as etcd's `--grpc-keepalive-interval`. Hosts that are
    /// gone are noticed sooner, by the system: after two and a half minutes.
    #[must_use]
    pub fn keepalive_interval(mut self, interval: Duration) -> Self {
        self.keepalive_interval = interval.clamp(SECOND, YEAR);
        self
    }

    /// How long a client may take to answer such a ping before its connection is ended, and its
    /// watches with it; from 1 s to a year. A client that takes nothing of what is written to it is ended
    /// after this and [`Settings::keepalive_interval`] together; over TCP on Linux, where that is sooner,
    /// after two and a half minutes. Default: 20 s, as etcd's
    /// `--grpc-keepalive-timeout`.
    #[must_use]
    pub fn keepalive_timeout(mut self, timeout: Duration) -> Self {
        self.keepalive_timeout = timeout.clamp(SECOND, YEAR);
        self
    }

    /// How long a connection may take nothing of what is written to it.
    pub(crate) fn stall_limit(&self) -> Duration {
        self.keepalive_interval + self.keepalive_timeout
    }
}
