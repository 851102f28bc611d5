//! Everything behind one lock, so that there is one order of all that happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::proto::{
    PbDeleteRequest, PbDeleteResponse, PbPutRequest, PbPutResponse, PbRangeRequest,
    PbResponseHeader, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::lease::Leases;
use super::settings::Settings;
use super::store::event::Commit;
use super::store::range::Found;
use super::store::{Store, footprint};
use super::watch::Hub;

/// About what a lease takes in memory.
const LEASE: usize = 256;

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
    pub(crate) leases: Leases,
    pub(crate) hub: Hub,
    /// How many requests were done that etcd would have passed through its log.
    pub(crate) applied: u64,
    /// Where clients reach this member, as URLs, for the member list.
    pub(crate) client_urls: Vec<String>,
    random: StdRng,
    keep_revisions: Option<u64>,
    keep_bytes: Option<usize>,
    quota_bytes: usize,
    /// The last request that needs room found none.
    full: bool,
}

impl State {
    fn new(settings: &Settings) -> Self {
        let seed = settings.seed.unwrap_or_else(rand::random);
        let mut random = StdRng::seed_from_u64(seed);
        // Both are drawn in any case, so that setting one changes nothing else.
        let ids = [
            random.random_range(1..u64::MAX),
            random.random_range(1..u64::MAX),
        ];
        Self {
            identity: Identity {
                cluster_id: settings.cluster_id.unwrap_or(ids[0]),
                member_id: settings.member_id.unwrap_or(ids[1]),
                raft_term: settings.raft_term,
            },
            store: Store::new(),
            leases: Leases::new(settings.min_lease_ttl),
            hub: Hub::default(),
            applied: 0,
            client_urls: Vec::new(),
            random,
            keep_revisions: settings.keep_revisions,
            keep_bytes: settings.keep_bytes,
            quota_bytes: settings.quota_bytes,
            full: false,
        }
    }

    /// A header at the present revision.
    pub(crate) fn header(&self) -> PbResponseHeader {
        self.identity.header(self.store.revision())
    }

    /// Finds the keys of a range.
    pub(crate) fn range(&self, request: &PbRangeRequest) -> Result<Found, Error> {
        self.store.range(request)
    }

    /// Writes a key.
    pub(crate) fn put(&mut self, request: PbPutRequest) -> Result<PbPutResponse, Error> {
        self.make_room(footprint(&request.key, &request.value))?;
        self.applied += 1;
        let mut writer = self.store.write();
        let leases = &self.leases;
        let mut response = writer.single_put(request, &|id| leases.contains(id))?;
        let commit = writer.commit();
        self.told(commit);
        response.header = Some(self.header());
        Ok(response)
    }

    /// Removes a key or a range of keys.
    pub(crate) fn delete(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        self.applied += 1;
        let mut writer = self.store.write();
        let mut response = writer.delete(request);
        let commit = writer.commit();
        self.told(commit);
        response.header = Some(self.header());
        response
    }

    /// Does a transaction.
    pub(crate) fn txn(&mut self, request: PbTxnRequest) -> Result<PbTxnResponse, Error> {
        self.make_room(cost(&request))?;
        self.applied += 1;
        let mut writer = self.store.write();
        let leases = &self.leases;
        let mut response = writer.txn(request, &|id| leases.contains(id))?;
        let commit = writer.commit();
        self.told(commit);
        response.header = Some(self.header());
        Ok(response)
    }

    /// Forgets old versions and history.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Error> {
        self.applied += 1;
        self.store.compact(revision)
    }

    /// Grants a lease; under a random id if the given one is 0. Gives id and
    /// time to live.
    pub(crate) fn grant(&mut self, id: i64, ttl: i64, now: Instant) -> Result<(i64, i64), Error> {
        self.make_room(LEASE)?;
        self.applied += 1;
        let id = if id == 0 { self.free_lease_id() } else { id };
        let ttl = self.leases.grant(id, ttl, now)?;
        Ok((id, ttl))
    }

    /// Ends a lease and its keys, in one revision and in order.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), Error> {
        self.applied += 1;
        let keys = self.leases.remove(id)?;
        self.end_keys(&keys);
        Ok(())
    }

    /// Ends the leases whose time is over, the first due first.
    fn expire(&mut self, now: Instant) {
        while let Some((id, keys)) = self.leases.remove_due(now) {
            tracing::debug!(
                lease = format_args!("{id:x}"),
                keys = keys.len(),
                "lease expired"
            );
            self.applied += 1;
            self.end_keys(&keys);
        }
    }

    fn end_keys(&mut self, keys: &BTreeSet<Bytes>) {
        let mut writer = self.store.write();
        for key in keys {
            writer.remove(key);
        }
        let commit = writer.commit();
        self.told(commit);
    }

    /// Follows a commit with all that depends on it, before anything else is
    /// done: leases, watchers, and the bound of the history.
    fn told(&mut self, commit: Option<Arc<Commit>>) {
        let Some(commit) = commit else { return };
        self.leases.follow(&commit);
        self.hub.publish(&commit);
        if let Some(count) = self.keep_revisions {
            self.store.keep(count);
        }
        if let Some(bytes) = self.keep_bytes {
            self.store.keep_bytes(bytes);
        }
    }

    /// Forgets as much history as must go so that so many bytes more are within the quota; refuses
    /// them if that does not do.
    fn make_room(&mut self, cost: usize) -> Result<(), Error> {
        if cost == 0 {
            return Ok(());
        }
        let present = self.present_bytes();
        // In a quota that even the present passes, forgetting what was would help nobody.
        let left = self.quota_bytes.checked_sub(present + cost);
        if let (Some(left), Some(_)) = (left, self.keep_bytes) {
            self.store.keep_bytes(left);
        }
        let full = left.is_none_or(|left| self.store.kept_bytes() > left);
        if full && !self.full {
            let (quota, history) = (self.quota_bytes, self.store.kept_bytes());
            tracing::warn!(quota, present, history, "the embedded registry is full");
        }
        self.full = full;
        if full { Err(Error::NoSpace) } else { Ok(()) }
    }

    /// About what keys and leases take.
    pub(crate) fn present_bytes(&self) -> usize {
        self.store.live_bytes() + LEASE * self.leases.len()
    }

    pub(crate) fn quota_bytes(&self) -> usize {
        self.quota_bytes
    }

    fn free_lease_id(&mut self) -> i64 {
        loop {
            let id = self.random.random_range(1..i64::MAX);
            if !self.leases.contains(id) {
                return id;
            }
        }
    }
}

/// What a transaction may add at most.
fn cost(request: &PbTxnRequest) -> usize {
    let side = |ops: &[PbTxnRequestOp]| -> usize {
        let ops = ops.iter().filter_map(|op| op.request.as_ref());
        ops.map(|op| match op {
            PbTxnOpRequest::RequestPut(put) => footprint(&put.key, &put.value),
            PbTxnOpRequest::RequestTxn(nested) => cost(nested),
            PbTxnOpRequest::RequestRange(_) | PbTxnOpRequest::RequestDeleteRange(_) => 0,
        })
        .sum()
    };
    side(&request.success).max(side(&request.failure))
}

/// The state, as services and tasks share it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Woken when the first deadline of the leases came nearer.
    deadline_nearer: Notify,
    /// Ends the streams, which would otherwise last as long as their clients.
    closing: CancellationToken,
}

impl Shared {
    /// A fresh and empty registry.
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(settings)),
            deadline_nearer: Notify::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Cancelled when the registry closes: streams end then.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Ends all streams, with word to their clients.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.state.lock().hub.end();
    }

    /// Does something in the one order of all things. Leases that are due end
    /// before it, so that none is ever used after its deadline.
    ///
    /// Should it panic, what is in the store may be half of a change: the registry then closes.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut unfinished = Unfinished(Some(self));
        let mut state = self.state.lock();
        let now = Instant::now();
        state.expire(now);
        let before = state.leases.next_deadline();
        let result = act(&mut state, now);
        let after = state.leases.next_deadline();
        drop(state);
        unfinished.0 = None;
        // One that went further away is found when the task wakes at the old.
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.deadline_nearer.notify_one();
        }
        result
    }

    /// Ends leases when they are due, for ever: one task runs this. It can be
    /// dropped at any await.
    pub(crate) async fn expire_leases(&self) {
        loop {
            let nearer = self.deadline_nearer.notified();
            match self.with(|state, _| state.leases.next_deadline()) {
                Some(deadline) => tokio::select! {
                    biased;
                    () = sleep_until(deadline) => {}
                    () = nearer => {}
                },
                None => nearer.await,
            }
        }
    }
}

/// Closes the registry if it is dropped while it still has it, which is after the lock was given
/// back.
struct Unfinished<'a>(Option<&'a Shared>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            tracing::error!(
                "a request panicked in the embedded registry's store, which may hold half of a \
                 change now: the registry closes. This is a defect of it"
            );
            shared.close();
        }
    }
}

#[cfg(test)]
mod tests;
