#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use etcd_client::proto::{
    PbDeleteRequest, PbPutRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp,
};
use tokio::time::{Instant, advance};

use super::*;

fn put(key: &str, lease: i64) -> PbPutRequest {
    PbPutRequest {
        key: key.into(),
        lease,
        ..PbPutRequest::default()
    }
}

/// Of so many bytes.
fn large(key: &str, bytes: usize) -> PbPutRequest {
    PbPutRequest {
        value: vec![b'v'; bytes],
        ..put(key, 0)
    }
}

fn gone(key: &str) -> PbDeleteRequest {
    PbDeleteRequest {
        key: key.into(),
        ..PbDeleteRequest::default()
    }
}

fn txn_of(request: PbTxnOpRequest) -> PbTxnRequest {
    let op = PbTxnRequestOp {
        request: Some(request),
    };
    PbTxnRequest {
        success: vec![op],
        ..PbTxnRequest::default()
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
        state.delete(&gone("d"));
        let kept = PbPutRequest {
            ignore_lease: true,
            ..put("e", 0)
        };
        state.txn(txn_of(PbTxnOpRequest::RequestPut(kept))).unwrap();
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

#[test]
fn the_history_has_a_bound_by_default_that_etcd_has_not() {
    let settings = Settings::default();
    assert_eq!(settings.keep_revisions, Some(100_000));
    assert_eq!(settings.keep_bytes, Some(256 * 1024 * 1024));
}

#[tokio::test(start_paused = true)]
async fn the_history_has_no_more_bytes_than_the_setting_says() {
    let shared = Shared::new(&Settings::default().keep_bytes(10_000_000));
    shared.with(|state, _| {
        for _ in 0..300 {
            state.put(large("a", 1_000_000)).unwrap();
        }
        let kept = state.store.kept_bytes();
        assert!((8_000_000..=10_000_000).contains(&kept), "{kept}");
        assert!(state.store.bytes() < 11_000_100, "{}", state.store.bytes());
        assert_eq!(
            (state.store.revision(), state.store.compacted()),
            (301, 292)
        );
    });
    let all = Shared::new(&Settings::default().keep_bytes(None));
    all.with(|state, _| {
        for _ in 0..300 {
            state.put(large("a", 1_000_000)).unwrap();
        }
        assert_eq!(state.store.compacted(), -1);
    });
}

#[tokio::test(start_paused = true)]
async fn past_the_quota_puts_and_leases_are_refused_and_deletes_make_room() {
    let shared = Shared::new(&Settings::default().quota_bytes(10_000_000));
    shared.with(|state, now| {
        state.grant(7, 60, now).unwrap();
        for key in ["a", "b", "c"] {
            state.put(large(key, 3_000_000)).unwrap();
        }
        let before = state.store.revision();
        let put = large("d", 1_000_000);
        assert_eq!(state.put(put.clone()), Err(Error::NoSpace));
        let txn = || txn_of(PbTxnOpRequest::RequestPut(put.clone()));
        assert_eq!(state.txn(txn()), Err(Error::NoSpace));
        let nested = txn_of(PbTxnOpRequest::RequestTxn(txn()));
        assert_eq!(state.txn(nested), Err(Error::NoSpace));
        assert_eq!(state.store.revision(), before, "nothing was done");
        // What is small has room still, and what adds nothing always has.
        state.put(large("e", 10)).unwrap();
        let delete = PbTxnOpRequest::RequestDeleteRange(gone("a"));
        state.txn(txn_of(delete)).unwrap();
        state.put(put).unwrap();
        state.delete(&gone("b"));
        state.revoke(7).unwrap();
        state.put(large("f", 4_000_000)).unwrap();
        let all = state.store.live_bytes() + state.store.kept_bytes();
        assert!(all <= 10_000_000, "{all}");
    });
}

#[tokio::test(start_paused = true)]
async fn leases_alone_fill_the_quota_and_make_room_when_they_end() {
    let shared = Shared::new(&Settings::default().quota_bytes(100 * LEASE));
    shared.with(|state, now| {
        for id in 1..=100 {
            state.grant(id, 60, now).unwrap();
        }
        assert_eq!(state.grant(101, 60, now), Err(Error::NoSpace));
        state.revoke(1).unwrap();
        state.grant(101, 60, now).unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_history_that_clients_compact_counts_until_they_do() {
    let settings = Settings::default().keep_bytes(None).quota_bytes(10_000_000);
    let shared = Shared::new(&settings);
    shared.with(|state, _| {
        for _ in 0..3 {
            state.put(large("a", 3_000_000)).unwrap();
        }
        assert_eq!(state.put(large("a", 3_000_000)), Err(Error::NoSpace));
        state.compact(4).unwrap();
        state.put(large("a", 3_000_000)).unwrap();
    });
}
