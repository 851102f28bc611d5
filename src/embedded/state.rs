//! Everything behind one lock, so that there is one order of all that happens.

use std::sync::Arc;

use etcd_client::proto::PbResponseHeader;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::Settings;
use super::store::Store;
use super::watch::Hub;

/// Who answers, in every header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) raft_term: u64,
}

impl Identity {
    /// The header of an answer given at a revision.
    pub(crate) fn header(self, revision: i64) -> PbResponseHeader {
        PbResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision,
            raft_term: self.raft_term,
        }
    }
}

/// What the lock is around.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) hub: Hub,
}

impl State {
    /// A header at the present revision.
    pub(crate) fn header(&self) -> PbResponseHeader {
        self.identity.header(self.store.revision())
    }
}

/// The state, as services and tasks share it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Woken when the first deadline of the leases may have changed.
    deadline_moved: Notify,
}

impl Shared {
    /// A fresh and empty registry.
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let identity = Identity {
            cluster_id: settings.cluster_id.unwrap_or(1),
            member_id: settings.member_id.unwrap_or(1),
            raft_term: settings.raft_term,
        };
        Arc::new(Self {
            state: Mutex::new(State {
                identity,
                store: Store::new(),
                hub: Hub::default(),
            }),
            deadline_moved: Notify::new(),
        })
    }

    /// Does something in the one order of all things. Leases that are due end
    /// before it. Never hold this across an await.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        act(&mut self.state.lock(), Instant::now())
    }

    /// Ends leases when they are due, for ever: one task runs this. Cancel it
    /// at any time.
    pub(crate) async fn expire_leases(&self) {
        self.deadline_moved.notified().await;
    }
}
