#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use etcd_client::proto::{PbDeleteRequest, PbPutRequest, PbTxnOpRequest, PbTxnRequest};
use tokio::time::{Instant, advance};

use super::*;

fn put(key: &str, lease: i64) -> PbPutRequest {
    PbPutRequest {
        key: key.into(),
        lease,
        ..PbPutRequest::default()
    }
}

fn shared() -> Arc<Shared> {
    Shared::new(&Settings::default().seed(1))
}

/// The keys of the changes of each revision from one on.
fn told(shared: &Shared, from: i64) -> Vec<Vec<String>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    shared.with(|state, _| {
        let commits = state.store.commits_from(from);
        let keys = |c: &Arc<Commit>| c.events.iter().map(|e| text(&e.kv.key)).collect();
        commits.map(keys).collect()
    })
}

fn keys_of(shared: &Shared, lease: i64) -> Vec<Bytes> {
    shared.with(|state, now| {
        let info = state.leases.info(lease, now);
        info.map_or(Vec::new(), |info| info.keys.iter().cloned().collect())
    })
}

#[tokio::test(start_paused = true)]
async fn revoking_ends_all_keys_in_one_revision_in_order() {
    let shared = shared();
    shared.with(|state, now| {
        state.grant(7, 60, now).unwrap();
        for key in ["c", "a", "b"] {
            state.put(put(key, 7)).unwrap();
        }
        state.put(put("free", 0)).unwrap();
        state.revoke(7).unwrap();
        assert_eq!(state.store.revision(), 6);
        assert_eq!(state.revoke(7), Err(Error::LeaseNotFound));
    });
    assert_eq!(told(&shared, 6), [["a", "b", "c"]]);
}

#[tokio::test(start_paused = true)]
async fn revoking_a_lease_without_keys_makes_no_revision() {
    shared().with(|state, now| {
        state.grant(7, 60, now).unwrap();
        state.revoke(7).unwrap();
        assert_eq!(state.store.revision(), 1);
    });
}

#[tokio::test(start_paused = true)]
async fn a_key_belongs_to_the_lease_it_was_written_under_last() {
    let shared = shared();
    shared.with(|state, now| {
        state.grant(7, 60, now).unwrap();
        state.grant(8, 60, now).unwrap();
        for key in ["a", "b", "c", "d", "e"] {
            state.put(put(key, 7)).unwrap();
        }
        state.put(put("b", 8)).unwrap();
        state.put(put("c", 0)).unwrap();
        let gone = PbDeleteRequest {
            key: b"d".into(),
            ..PbDeleteRequest::default()
        };
        state.delete(&gone);
        let kept = PbPutRequest {
            ignore_lease: true,
            ..put("e", 0)
        };
        let op = etcd_client::proto::PbTxnRequestOp {
            request: Some(PbTxnOpRequest::RequestPut(kept)),
        };
        let request = PbTxnRequest {
            success: vec![op],
            ..PbTxnRequest::default()
        };
        state.txn(request).unwrap();
    });
    assert_eq!(keys_of(&shared, 7), ["a", "e"]);
    assert_eq!(keys_of(&shared, 8), ["b"]);
    shared.with(|state, _| state.revoke(7)).unwrap();
    assert_eq!(told(&shared, 11), [["a", "e"]]);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_leases_at_their_deadlines_and_follows_keepalives() {
    let shared = shared();
    let expiring = Arc::clone(&shared);
    let task = tokio::spawn(async move { expiring.expire_leases().await });
    shared.with(|state, now| {
        state.grant(1, 10, now).unwrap();
        state.put(put("a", 1)).unwrap();
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    // One that ends before the one that is waited for.
    shared.with(|state, now| {
        state.grant(2, 3, now).unwrap();
        state.put(put("b", 2)).unwrap();
    });
    let revision = |shared: &Shared| shared.state.lock().store.revision();
    tokio::time::sleep(Duration::from_millis(2_990)).await;
    assert_eq!(revision(&shared), 3);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(revision(&shared), 4, "b is gone at 7 s");
    shared.with(|state, now| state.leases.keep_alive(1, now).unwrap());
    tokio::time::sleep(Duration::from_millis(9_980)).await;
    assert_eq!(revision(&shared), 4, "a was kept alive");
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(revision(&shared), 5, "a is gone 10 s after that");
    assert_eq!(told(&shared, 4), [["b"], ["a"]]);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn no_lease_is_used_after_its_deadline_even_before_the_task_ran() {
    let shared = shared();
    shared.with(|state, now| state.grant(1, 10, now)).unwrap();
    shared.with(|state, now| state.grant(2, 5, now)).unwrap();
    advance(Duration::from_secs(10)).await;
    shared.with(|state, now| {
        let late = state.leases.keep_alive(1, now);
        assert_eq!(late, Err(Error::LeaseNotFound));
        assert_eq!(state.put(put("a", 2)), Err(Error::LeaseNotFound));
        assert_eq!(state.leases.info(1, Instant::now()), None);
    });
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_all_ids_and_another_gives_others() {
    let ids = |seed| {
        let shared = Shared::new(&Settings::default().seed(seed));
        shared.with(|state, now| {
            let (lease, _) = state.grant(0, 5, now).unwrap();
            assert!(lease > 0);
            let Identity {
                cluster_id,
                member_id,
                ..
            } = state.identity;
            (cluster_id, member_id, lease)
        })
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1).0, ids(2).0);
    let named = Shared::new(&Settings::default().cluster_id(5).seed(1));
    let identity = named.with(|state, _| state.identity);
    assert_eq!((identity.cluster_id, identity.member_id), (5, ids(1).1));
}

#[tokio::test(start_paused = true)]
async fn the_setting_bounds_the_history() {
    let shared = Shared::new(&Settings::default().keep_revisions(10));
    shared.with(|state, _| {
        for _ in 0..30 {
            state.put(put("a", 0)).unwrap();
        }
        assert_eq!((state.store.revision(), state.store.compacted()), (31, 21));
    });
    let all = Shared::new(&Settings::default().keep_revisions(None));
    all.with(|state, _| {
        for _ in 0..30 {
            state.put(put("a", 0)).unwrap();
        }
        assert_eq!(state.store.compacted(), -1);
    });
}
