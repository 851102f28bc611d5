//! Leases and servers, as etcd tells of them.

use std::time::Duration;

use etcd_client::{LeaseTimeToLiveResponse, StatusResponse};

use crate::keyspace::Endpoint;

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its id. `etcdctl` prints it in hexadecimal.
    pub id: i64,
    /// Its time to live, as etcd chose it: not less than was asked for.
    pub ttl: Duration,
}

/// A lease that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its id.
    pub id: i64,
    /// Its time to live, from each renewal on.
    pub granted: Duration,
    /// What is left of that, in whole seconds.
    pub left: Duration,
    /// The keys under it, in no particular order.
    pub keys: Vec<Vec<u8>>,
}

impl LeaseInfo {
    /// `None` for a lease that is gone, for which etcd gives no time left.
    pub(super) fn of(answer: &LeaseTimeToLiveResponse) -> Option<Self> {
        let left = u64::try_from(answer.ttl()).ok()?;
        Some(Self {
            id: answer.id(),
            granted: seconds(answer.granted_ttl()),
            left: Duration::from_secs(left),
            keys: answer.keys().to_vec(),
        })
    }
}

/// Whole seconds; none if the number is negative, which is etcd's way of saying that a lease is
/// gone.
pub(super) fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

/// What one server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Who answered.
    pub endpoint: Endpoint,
    /// Its version, such as `3.5.13`.
    pub version: String,
    /// The size of its database's file, in bytes.
    pub db_size: u64,
    /// What of that is in use, in bytes; the rest is free for new data, and defragmentation would
    /// give it back.
    pub db_size_in_use: u64,
    /// The limit of the file's size, in bytes; `None` from servers that do not tell it (before
    /// 3.6).
    pub db_size_quota: Option<u64>,
    /// The id of the leader; `None` if this server knows of none.
    pub leader: Option<u64>,
    /// The id of the server itself.
    pub member: u64,
    /// The id of its cluster.
    pub cluster: u64,
    /// The store's revision.
    pub revision: i64,
    /// The number of the election that made the leader.
    pub term: u64,
    /// Whether it is a learner, which has no vote and answers few requests.
    pub learner: bool,
    /// What is wrong, in etcd's words: alarms such as a full database, no leader.
    pub errors: Vec<String>,
}

impl ServerStatus {
    pub(super) fn of(endpoint: Endpoint, status: &StatusResponse) -> Self {
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        let header = status.header();
        Self {
            endpoint,
            version: status.version().to_owned(),
            db_size: size(status.db_size()),
            db_size_in_use: size(status.raft_used_db_size()),
            db_size_quota: Some(size(status.db_size_quota())).filter(|quota| *quota != 0),
            leader: Some(status.leader()).filter(|leader| *leader != 0),
            member: header.map_or(0, |header| header.member_id()),
            cluster: header.map_or(0, |header| header.cluster_id()),
            revision: header.map_or(0, |header| header.revision()),
            term: status.raft_term(),
            learner: status.is_learner(),
            errors: status.errors().to_vec(),
        }
    }
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty for one that was not started yet.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where it tells clients to reach it.
    pub client_urls: Vec<String>,
    /// Whether it is a learner, which has no vote.
    pub learner: bool,
}

impl Member {
    pub(super) fn of(member: &etcd_client::Member) -> Self {
        Self {
            id: member.id(),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            client_urls: member.client_urls().to_vec(),
            learner: member.is_learner(),
        }
    }
}
