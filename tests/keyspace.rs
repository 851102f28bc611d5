//! The key space against the embedded registry and real etcd servers: leased keys and the watch, through faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::{Client, PutOptions, Txn, TxnOp};
use osgi_remote::keyspace::{
    Change, ConnectOptions, Error, Session, SessionConfig, SessionPhase, Sink, WatchConfig,
    WatchPhase, Watcher,
};
use support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use tokio::net::TcpListener;

on_each_server!(
    a_session_writes_exactly_its_keys_under_one_lease_and_closing_removes_them,
    many_puts_at_once_are_all_written_in_few_transactions,
    nothing_is_put_in_the_steady_state,
    later_news_replaces_earlier_news_that_is_not_written_yet,
    dropping_the_future_does_not_take_the_wish_back,
    the_session_keys_own_value_changes_under_its_lease_and_outlives_it,
    a_value_over_the_limit_is_refused_before_anything_is_sent,
    a_value_that_only_etcd_refuses_fails_its_own_caller_and_blocks_no_other,
    a_key_outside_the_session_is_refused,
    a_dead_endpoint_of_the_list_is_passed_over,
    a_session_id_in_use_is_an_error_until_its_holder_is_gone,
    a_takeover_replaces_the_keys_of_the_other_and_does_not_come_back,
    a_lease_revoked_by_hand_is_replaced_and_all_keys_come_back,
    a_key_deleted_by_hand_comes_back_and_a_stray_key_goes,
    a_wiped_etcd_is_filled_again_and_the_watcher_tells_the_difference,
    a_cut_connection_is_taken_up_from_the_cursor_and_not_by_a_listing,
    a_listing_in_pages_under_load_misses_nothing_and_delivers_nothing_twice,
);

const SOON: Duration = Duration::from_secs(20);
const ROOT: &str = "top/0a1b";

fn options(etcd: &Store) -> ConnectOptions {
    ConnectOptions::parse(&etcd.endpoint()).unwrap()
}

fn config(ttl: u64) -> SessionConfig {
    SessionConfig::new(ROOT, "0a1b").ttl(Duration::from_secs(ttl))
}

fn open(etcd: &Store, ttl: u64) -> Session {
    Session::open(options(etcd), config(ttl)).unwrap()
}

async fn client(etcd: &Store) -> Client {
    Client::connect([etcd.endpoint()], None).await.unwrap()
}

/// Key, value and lease of everything below the top.
async fn stored(etcd: &Store) -> Vec<(String, String, i64)> {
    etcd.get_prefix("top/")
        .await
        .iter()
        .map(|kv| (kv.key_text(), kv.value_text(), kv.lease))
        .collect()
}

/// Waits until the session holds everything that it wants.
async fn held(session: &Session) {
    let mut status = session.status();
    let held = status.wait_for(|s| s.phase == SessionPhase::Held && s.pending == 0);
    tokio::time::timeout(SOON, held)
        .await
        .expect("the session is held in time")
        .unwrap();
}

/// What a watcher delivered, folded into a map, and checked for what must never happen.
#[derive(Debug, Default)]
struct View {
    keys: BTreeMap<String, (String, i64)>,
    puts: u64,
    deletes: Vec<String>,
    histories_lost: u32,
    synced: Vec<i64>,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<View>>);

impl Sink for Recorder {
    fn apply(&mut self, changes: Vec<Change>) {
        let mut view = self.0.lock().unwrap();
        let comparable = view.histories_lost == 0;
        for change in changes {
            let key = String::from_utf8(change.key().to_vec()).unwrap();
            match change {
                Change::Put {
                    value,
                    mod_revision,
                    ..
                } => {
                    view.puts += 1;
                    let value = String::from_utf8(value.to_vec()).unwrap();
                    let before = view.keys.insert(key.clone(), (value, mod_revision));
                    if let Some((_, before)) = before.filter(|_| comparable) {
                        assert!(
                            before < mod_revision,
                            "{key}: {mod_revision} after {before}"
                        );
                    }
                }
                Change::Delete { .. } => {
                    let known = view.keys.remove(&key);
                    assert!(known.is_some(), "{key} was removed without being there");
                    view.deletes.push(key);
                }
            }
        }
    }

    fn synced(&mut self, revision: i64) {
        self.0.lock().unwrap().synced.push(revision);
    }

    fn history_lost(&mut self) {
        self.0.lock().unwrap().histories_lost += 1;
    }
}

impl Recorder {
    fn watch(&self, etcd: &Store) -> Watcher {
        Watcher::open(options(etcd), WatchConfig::prefix("top/"), self.clone()).unwrap()
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.0.lock().unwrap()
    }

    fn revisions(&self) -> BTreeMap<String, i64> {
        let view = self.view();
        view.keys
            .iter()
            .map(|(key, (_, revision))| (key.clone(), *revision))
            .collect()
    }

    /// I3: the view equals a read of the prefix.
    async fn agrees_with(&self, etcd: &Store) {
        eventually(SOON, "the view to equal the store", async || {
            let store: BTreeMap<String, i64> = etcd
                .get_prefix("top/")
                .await
                .iter()
                .map(|kv| (kv.key_text(), kv.mod_revision))
                .collect();
            let view = self.revisions();
            if view == store {
                Ok(())
            } else {
                Err(format!("view {view:?}, store {store:?}"))
            }
        })
        .await;
    }
}

async fn a_session_writes_exactly_its_keys_under_one_lease_and_closing_removes_them(etcd: Server) {
    let session = open(&etcd, 5);
    let registered = session.ready_within(SOON).await.unwrap();
    let puts: Vec<_> = ["a", "ab", "b"]
        .into_iter()
        .map(|name| session.put(format!("{ROOT}/{name}"), format!("value {name}")))
        .collect();
    for put in puts {
        assert!(put.await.unwrap().revision >= registered.revision);
    }
    session.delete(format!("{ROOT}/a")).await.unwrap();

    let lease = registered.lease;
    let expected = [
        (ROOT.to_owned(), "0a1b".to_owned(), lease),
        (format!("{ROOT}/ab"), "value ab".to_owned(), lease),
        (format!("{ROOT}/b"), "value b".to_owned(), lease),
    ];
    assert_eq!(stored(&etcd).await, expected);
    assert_eq!(etcd.leases().await, [lease]);

    session.close(SOON).await.unwrap();
    assert_eq!(stored(&etcd).await, []);
    assert!(etcd.leases().await.is_empty());
}

async fn many_puts_at_once_are_all_written_in_few_transactions(etcd: Server) {
    let session = Arc::new(open(&etcd, 10));
    let puts: Vec<_> = (0..1000)
        .map(|n| {
            let session = Arc::clone(&session);
            tokio::spawn(async move {
                let put = session.put(format!("{ROOT}/{n:04}"), format!("{n}"));
                put.await.unwrap()
            })
        })
        .collect();
    for put in puts {
        put.await.unwrap();
    }
    let stored = stored(&etcd).await;
    assert_eq!(stored.len(), 1001);
    let lease = session.status().borrow().lease.unwrap();
    assert!(stored.iter().all(|(_, _, of)| *of == lease));
    let counts = session.status().borrow().counts;
    assert_eq!(counts.puts, 1001);
    assert!(counts.transactions < 200, "{counts:?}");
}

async fn nothing_is_put_in_the_steady_state(etcd: Server) {
    let session = open(&etcd, 1);
    session.put(format!("{ROOT}/a"), "1").await.unwrap();
    let before = session.status().borrow().counts;
    let mut status = session.status();
    let renewed = status
        .wait_for(|s| s.counts.renewals > before.renewals + 5 && s.counts.audits > before.audits);
    tokio::time::timeout(SOON, renewed).await.unwrap().unwrap();
    let after = session.status().borrow().counts;
    assert_eq!(after.transactions, before.transactions);
    assert_eq!(etcd.get(&format!("{ROOT}/a")).await.unwrap().version, 1);
}

async fn later_news_replaces_earlier_news_that_is_not_written_yet(etcd: Server) {
    let session = open(&etcd, 10);
    let key = format!("{ROOT}/a");
    // None of these is awaited before the last is sent, and the task may not run in between:
    // the test has one thread.
    let first = session.put(&*key, "1");
    let second = session.put(&*key, "2");
    let third = session.put(&*key, "3");
    let (first, second, third) = tokio::join!(first, second, third);
    let revision = third.unwrap().revision;
    assert_eq!(first.unwrap().revision, revision);
    assert_eq!(second.unwrap().revision, revision);
    let kv = etcd.get(&key).await.unwrap();
    assert_eq!((kv.value_text().as_str(), kv.version), ("3", 1));
}

async fn dropping_the_future_does_not_take_the_wish_back(etcd: Server) {
    let session = open(&etcd, 10);
    drop(session.put(format!("{ROOT}/a"), "1"));
    held(&session).await;
    assert!(etcd.get(&format!("{ROOT}/a")).await.is_some());
}

async fn the_session_keys_own_value_changes_under_its_lease_and_outlives_it(etcd: Server) {
    let session = open(&etcd, 10);
    let registered = session.ready_within(SOON).await.unwrap();
    let first = session.set_value("1").await.unwrap().revision;
    let second = session.set_value("2").await.unwrap().revision;
    assert!(registered.revision < first && first < second);
    // What is there already is not put again.
    assert_eq!(session.set_value("2").await.unwrap().revision, second);
    let lease = registered.lease;
    let expected = [(ROOT.to_owned(), "2".to_owned(), lease)];
    assert_eq!(stored(&etcd).await, expected);
    let error = session.set_value(vec![0; 1_500_001]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");

    etcd.etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    session.audit();
    let again = eventually(
        SOON,
        "the key to come back with its last value",
        async || match stored(&etcd).await.as_slice() {
            [(_, value, again)] if value == "2" && *again != lease => Ok(*again),
            other => Err(format!("{other:?}")),
        },
    );
    let again = again.await;
    session.close(SOON).await.unwrap();
    assert!(!etcd.leases().await.contains(&again));
}

async fn a_value_over_the_limit_is_refused_before_anything_is_sent(etcd: Server) {
    let session = open(&etcd, 10);
    let error = session
        .put(format!("{ROOT}/big"), vec![0; 1_500_001])
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::TooLarge {
                limit: 1_500_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(session.status().borrow().wanted, 0);
}

async fn a_value_that_only_etcd_refuses_fails_its_own_caller_and_blocks_no_other(etcd: Server) {
    let etcd = etcd.with_request_limit(100_000).await;
    let session = open(&etcd, 10);
    session.ready_within(SOON).await.unwrap();
    session.put(format!("{ROOT}/k3"), "old").await.unwrap();
    let mut puts: Vec<_> = (0..20)
        .map(|n| {
            let value = vec![b'x'; if n == 3 { 700_000 } else { 2_000 }];
            session.put(format!("{ROOT}/k{n}"), value)
        })
        .collect();
    let error = puts.remove(3).await.unwrap_err();
    assert!(matches!(&error, Error::RefusedSize { .. }), "{error}");
    for put in puts {
        put.await.unwrap();
    }
    held(&session).await;
    let stored = stored(&etcd).await;
    assert_eq!(stored.len(), 21);
    // The refused key keeps what it had.
    assert!(
        stored
            .iter()
            .any(|(key, value, _)| key.ends_with("k3") && value == "old")
    );
}

async fn a_key_outside_the_session_is_refused(etcd: Server) {
    let session = open(&etcd, 10);
    for key in ["other", ROOT, "top/0a1b-2/x", "top/0a1b/"] {
        let error = session.put(key, "").await.unwrap_err();
        assert!(matches!(&error, Error::OutsideSession { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named_in_the_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = ConnectOptions::parse(&address).unwrap();
    let session = Session::open(options, config(5)).unwrap();
    let error = session
        .ready_within(Duration::from_secs(2))
        .await
        .unwrap_err();
    let text = error.to_string();
    for part in [
        address.as_str(),
        "within 2.0s",
        "refused",
        "check the address",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test]
async fn an_address_that_never_answers_is_named_in_the_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut options = ConnectOptions::parse(&address).unwrap();
    options.dial_timeout = Duration::from_millis(300);
    let session = Session::open(options, config(5)).unwrap();
    let error = session
        .ready_within(Duration::from_millis(1500))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&address), "{text}");
    assert!(text.contains("no answer within 300ms"), "{text}");
}

async fn a_dead_endpoint_of_the_list_is_passed_over(etcd: Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let options = ConnectOptions::parse(&format!("{dead},{}", etcd.endpoint())).unwrap();
    let session = Session::open(options.clone(), config(5)).unwrap();
    let registered = session.ready_within(SOON).await.unwrap();
    assert_eq!(registered.endpoint.to_string(), etcd.endpoint());

    let recorder = Recorder::default();
    let config = WatchConfig::prefix("top/");
    let watcher = Watcher::open(options, config, recorder.clone()).unwrap();
    tokio::time::timeout(SOON, watcher.synced())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(recorder.revisions().len(), 1);
}

async fn a_session_id_in_use_is_an_error_until_its_holder_is_gone(etcd: Server) {
    let holder = open(&etcd, 5);
    let lease = holder.ready_within(SOON).await.unwrap().lease;
    let second = open(&etcd, 5);
    let error = second.ready_within(SOON).await.unwrap_err();
    assert_eq!(
        error,
        Error::SessionTaken {
            key: ROOT.to_owned(),
            lease
        }
    );
    assert_eq!(etcd.get(ROOT).await.unwrap().lease, lease);

    holder.close(SOON).await.unwrap();
    held(&second).await;
    let second_lease = second.ready().await.unwrap().lease;
    assert_eq!(etcd.get(ROOT).await.unwrap().lease, second_lease);
}

async fn a_takeover_replaces_the_keys_of_the_other_and_does_not_come_back(etcd: Server) {
    let first = open(&etcd, 5);
    first.put(format!("{ROOT}/old"), "1").await.unwrap();
    let mut takeover = config(5);
    takeover.takeover = true;
    let second = Session::open(options(&etcd), takeover).unwrap();
    second.put(format!("{ROOT}/new"), "2").await.unwrap();
    held(&second).await;
    let lease = second.ready().await.unwrap().lease;
    first.audit();
    let mut status = first.status();
    let taken = status.wait_for(|s| s.phase == SessionPhase::Taken);
    tokio::time::timeout(SOON, taken).await.unwrap().unwrap();
    let keys: Vec<_> = stored(&etcd)
        .await
        .into_iter()
        .map(|(key, _, of)| (key, of == lease))
        .collect();
    assert_eq!(
        keys,
        [(ROOT.to_owned(), true), (format!("{ROOT}/new"), true)]
    );
}

#[tokio::test]
async fn a_killed_etcd_that_comes_back_finds_the_keys_unchanged_and_the_watcher_sees_no_removal() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        let recorder = Recorder::default();
        let watcher = recorder.watch(&etcd);
        let session = open(&etcd, 10);
        session.put(format!("{ROOT}/a"), "1").await.unwrap();
        recorder.agrees_with(&etcd).await;

        etcd.kill9();
        let put = session.put(format!("{ROOT}/b"), "2");
        etcd.restart().await;
        tokio::time::timeout(SOON, put).await.unwrap().unwrap();
        held(&session).await;

        assert_eq!(stored(&etcd).await.len(), 3);
        assert_eq!(etcd.get(&format!("{ROOT}/a")).await.unwrap().version, 1);
        assert_eq!(etcd.leases().await.len(), 1);
        recorder.agrees_with(&etcd).await;
        watcher.close().await.unwrap();
        let view = recorder.view();
        assert_eq!(view.deletes, [""; 0]);
        assert_eq!(view.puts, 3);
        assert_eq!(view.histories_lost, 0);
    }
}

#[tokio::test]
async fn an_etcd_stopped_for_longer_than_the_lease_is_reconciled_when_it_goes_on() {
    for version in EtcdVersion::ALL {
        let etcd = Etcd::start(version).await;
        let recorder = Recorder::default();
        let _watcher = recorder.watch(&etcd);
        let session = open(&etcd, 2);
        session.put(format!("{ROOT}/a"), "1").await.unwrap();
        recorder.agrees_with(&etcd).await;

        etcd.pause();
        let mut status = session.status();
        let lapsed = status.wait_for(|s| s.registered_until.is_none());
        tokio::time::timeout(SOON, lapsed).await.unwrap().unwrap();
        assert_eq!(recorder.view().deletes, [""; 0]);
        etcd.resume();

        held(&session).await;
        let lease = session.status().borrow().lease.unwrap();
        eventually(SOON, "both keys under the session's lease", async || {
            let stored = stored(&etcd).await;
            if stored.len() == 2 && stored.iter().all(|(_, _, of)| *of == lease) {
                Ok(())
            } else {
                Err(format!("{stored:?}"))
            }
        })
        .await;
        recorder.agrees_with(&etcd).await;
    }
}

async fn a_lease_revoked_by_hand_is_replaced_and_all_keys_come_back(etcd: Server) {
    let session = open(&etcd, 2);
    let recorder = Recorder::default();
    let _watcher = recorder.watch(&etcd);
    session.put(format!("{ROOT}/a"), "1").await.unwrap();
    let lease = session.status().borrow().lease.unwrap();
    etcd.etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    let mut status = session.status();
    let again = status
        .wait_for(|s| s.phase == SessionPhase::Held && s.lease.is_some_and(|next| next != lease));
    tokio::time::timeout(SOON, again).await.unwrap().unwrap();
    assert_eq!(stored(&etcd).await.len(), 2);
    assert_eq!(etcd.leases().await.len(), 1);
    recorder.agrees_with(&etcd).await;
}

async fn a_key_deleted_by_hand_comes_back_and_a_stray_key_goes(etcd: Server) {
    let session = open(&etcd, 2);
    let key = format!("{ROOT}/a");
    session.put(&*key, "1").await.unwrap();
    for gone in [key.as_str(), ROOT] {
        etcd.etcdctl(&["del", gone]).await;
        session.audit();
        eventually(SOON, "the deleted key", async || {
            etcd.get(gone).await.map(|_| ()).ok_or("it is not there")
        })
        .await;
    }
    // An immortal, and a value that somebody else wrote.
    etcd.etcdctl(&["put", &format!("{ROOT}/stray"), "x"]).await;
    etcd.etcdctl(&["put", &key, "forged"]).await;
    session.audit();
    let lease = session.status().borrow().lease.unwrap();
    eventually(SOON, "the keys as wanted", async || {
        let stored = stored(&etcd).await;
        let wanted = [
            (ROOT.to_owned(), "0a1b".to_owned(), lease),
            (key.clone(), "1".to_owned(), lease),
        ];
        if stored == wanted {
            Ok(())
        } else {
            Err(format!("{stored:?}"))
        }
    })
    .await;
}

async fn a_wiped_etcd_is_filled_again_and_the_watcher_tells_the_difference(mut etcd: Server) {
    let recorder = Recorder::default();
    let _watcher = recorder.watch(&etcd);
    let session = open(&etcd, 5);
    session.put(format!("{ROOT}/a"), "1").await.unwrap();
    etcd.etcdctl(&["put", "top/other", "x"]).await;
    // Wear the revisions, so that they go back.
    for n in 0..20 {
        etcd.etcdctl(&["put", "elsewhere", &n.to_string()]).await;
    }
    recorder.agrees_with(&etcd).await;

    etcd.restart_empty().await;
    eventually(SOON, "the session's two keys", async || {
        match stored(&etcd).await.len() {
            2 => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
    eventually(SOON, "the watcher to notice", async || {
        match recorder.view().histories_lost {
            0 => Err("it has not"),
            _ => Ok(()),
        }
    })
    .await;
    recorder.agrees_with(&etcd).await;
    let view = recorder.view();
    assert_eq!(view.keys.len(), 2);
    // The session's own keys may be missed for a moment, or not.
    assert!(view.deletes.iter().any(|key| key == "top/other"));
}

#[tokio::test]
async fn a_compaction_while_cut_off_is_bridged_by_a_listing() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        for name in ["keep", "change", "gone"] {
            etcd.etcdctl(&["put", &format!("top/{name}"), "1"]).await;
        }
        let recorder = Recorder::default();
        // Its own proxy, so that it is cut off while others write.
        let proxy = Proxy::to(&etcd).await;
        let options = ConnectOptions::parse(&proxy.address).unwrap();
        let watcher =
            Watcher::open(options, WatchConfig::prefix("top/"), recorder.clone()).unwrap();
        tokio::time::timeout(SOON, watcher.synced())
            .await
            .unwrap()
            .unwrap();
        proxy.cut();
        etcd.etcdctl(&["put", "top/change", "2"]).await;
        etcd.etcdctl(&["put", "top/new", "1"]).await;
        etcd.etcdctl(&["del", "top/gone"]).await;
        let revision = etcd.get("top/new").await.unwrap().mod_revision + 1;
        etcd.etcdctl(&["compact", &revision.to_string()]).await;
        etcd.restart().await;
        proxy.mend();
        recorder.agrees_with(&etcd).await;
        let view = recorder.view();
        assert_eq!(view.deletes, ["top/gone"]);
        assert_eq!(view.puts, 5, "{view:?}");
        assert_eq!(view.histories_lost, 0);
    }
}

async fn a_cut_connection_is_taken_up_from_the_cursor_and_not_by_a_listing(etcd: Server) {
    let recorder = Recorder::default();
    let proxy = Proxy::to(&etcd).await;
    let options = ConnectOptions::parse(&proxy.address).unwrap();
    let watcher = Watcher::open(options, WatchConfig::prefix("top/"), recorder.clone()).unwrap();
    tokio::time::timeout(SOON, watcher.synced())
        .await
        .unwrap()
        .unwrap();
    etcd.etcdctl(&["put", "top/a", "1"]).await;
    recorder.agrees_with(&etcd).await;
    proxy.cut();
    etcd.etcdctl(&["put", "top/b", "1"]).await;
    etcd.etcdctl(&["del", "top/a"]).await;
    proxy.mend();
    recorder.agrees_with(&etcd).await;
    let counts = watcher.status().borrow().counts;
    assert_eq!(counts.lists, 1, "{counts:?}");
    assert_eq!(counts.watches, 2, "{counts:?}");
}

async fn a_listing_in_pages_under_load_misses_nothing_and_delivers_nothing_twice(etcd: Server) {
    let mut client = client(&etcd).await;
    for chunk in 0..50 {
        let puts: Vec<_> = (0..100)
            .map(|n| TxnOp::put(format!("top/{:05}", chunk * 100 + n), "x".repeat(500), None))
            .collect();
        client.txn(Txn::new().and_then(puts)).await.unwrap();
    }
    let writer = tokio::spawn(async move {
        for n in 0..500 {
            let key = format!("top/{:05}-late", n * 10);
            let options = PutOptions::new();
            client.put(key, "late", Some(options)).await.unwrap();
        }
    });
    let recorder = Recorder::default();
    let mut config = WatchConfig::prefix("top/");
    config.page_size = 100;
    let watcher = Watcher::open(options(&etcd), config, recorder.clone()).unwrap();
    writer.await.unwrap();
    eventually(SOON, "5,500 keys", async || {
        match recorder.view().keys.len() {
            5500 => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
    assert_eq!(recorder.view().puts, 5500);
    let live = |phase| phase == WatchPhase::Live;
    let mut status = watcher.status();
    status.wait_for(|s| live(s.phase)).await.unwrap();
    let status = watcher.status().borrow().clone();
    assert_eq!((status.counts.lists, status.keys), (1, 5500));
    watcher.close().await.unwrap();
}

#[tokio::test]
async fn closing_while_etcd_is_away_says_that_the_keys_stay_for_a_while() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let session = open(&etcd, 30);
    session.ready_within(SOON).await.unwrap();
    etcd.kill9();
    let start = Instant::now();
    let error = session.close(Duration::from_secs(1)).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    let text = error.to_string();
    assert!(
        text.contains("stay in etcd until the lease runs out"),
        "{text}"
    );
}

/// A TCP proxy that can be cut.
struct Proxy {
    address: String,
    open: tokio::sync::watch::Sender<bool>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Proxy {
    async fn to(etcd: &Store) -> Self {
        let target = etcd.endpoint();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, gate) = tokio::sync::watch::channel(true);
        let task = tokio::spawn(async move {
            let mut pipes = tokio::task::JoinSet::new();
            while let Ok((mut inner, _)) = listener.accept().await {
                let (mut gate, target) = (gate.clone(), target.clone());
                if !*gate.borrow() {
                    continue;
                }
                pipes.spawn(async move {
                    let Ok(mut outer) = tokio::net::TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                        _ = gate.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self {
            address,
            open,
            _task: tokio_util::task::AbortOnDropHandle::new(task),
        }
    }

    fn cut(&self) {
        self.open.send_replace(false);
    }

    fn mend(&self) {
        self.open.send_replace(true);
    }
}
