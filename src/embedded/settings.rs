//! How an embedded registry behaves, apart from where it listens.

use std::time::Duration;

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
    pub(crate) max_request_bytes: usize,
    pub(crate) max_txn_ops: usize,
    pub(crate) watch_progress_interval: Duration,
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
            max_request_bytes: 1536 * 1024,
            max_txn_ops: 128,
            watch_progress_interval: Duration::from_mins(10),
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
}
