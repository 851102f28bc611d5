//! Single calls to the embedded registry and real etcd servers, through faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use osgi_remote::keyspace::{
    Answer, Client, Condition, ConnectOptions, Credentials, Error, Range, Transaction,
};
use support::process::ReservedPort;
use support::{
    Cut, Etcd, EtcdVersion, Flow, Mode, Proxy, Server, Store, eventually, on_each_server,
};

on_each_server!(
    a_key_is_put_read_and_deleted,
    a_listing_is_of_one_revision_in_pages_and_of_exactly_its_range,
    values_that_do_not_fit_into_one_answer_are_listed_in_smaller_pages,
    each_condition_holds_exactly_when_it_says,
    a_transaction_answers_each_step_of_the_side_that_was_done,
    a_lease_takes_its_keys_along_and_is_gone_after_that,
    a_key_under_a_lease_that_is_gone_is_an_error_of_its_own,
    a_request_that_is_too_large_says_its_size,
    a_dead_endpoint_is_passed_over_by_reads_and_writes,
    the_server_tells_of_itself_and_of_its_members,
    clones_that_call_at_once_share_one_connection,
    a_read_moves_on_from_a_server_that_falls_silent,
    a_first_write_passes_over_a_server_that_is_silent,
    a_write_that_may_have_been_done_is_not_repeated_and_says_so,
    a_lease_whose_grant_was_not_answered_is_granted_once,
    a_connection_that_was_cut_between_two_calls_is_not_noticed,
    a_server_that_was_wiped_is_read_as_it_is_now,
);

const SOON: Duration = Duration::from_secs(20);

fn client(etcd: &Store) -> Client {
    Client::new(ConnectOptions::parse(&etcd.endpoint()).unwrap()).unwrap()
}

/// Waits with patience for what has a short limit of its own.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what)
        .await
        .expect("an answer, or an error, comes in time")
}

async fn a_key_is_put_read_and_deleted(etcd: Server) {
    let client = client(&etcd);
    assert_eq!(client.get("k").await.unwrap(), None);
    assert_eq!(client.delete("k").await.unwrap(), None);
    let first = client.put("k", "1", None).await.unwrap().revision;
    let second = client.put("k", "2", None).await.unwrap().revision;
    assert!(second > first);
    let entry = client.get("k").await.unwrap().unwrap();
    assert_eq!(
        (entry.key_text(), entry.value_text()),
        ("k".into(), "2".into())
    );
    assert_eq!((entry.create_revision, entry.mod_revision), (first, second));
    assert_eq!((entry.version, entry.lease), (2, None));
    assert_eq!(client.delete("k").await.unwrap(), Some(entry));
    assert_eq!(etcd.get("k").await, None);
}

async fn a_listing_is_of_one_revision_in_pages_and_of_exactly_its_range(etcd: Server) {
    let client = client(&etcd);
    for batch in 0..22 {
        let mut transaction = Transaction::new();
        for n in 0..100 {
            transaction = transaction.then_put(format!("a/{batch:02}{n:02}"), "v", None);
        }
        client.transact(transaction).await.unwrap();
    }
    for beside in ["a", "a0", "b"] {
        client.put(beside, "v", None).await.unwrap();
    }
    let last = client.put("a/9999", "v", None).await.unwrap().revision;

    // More than two pages, while every page finds the store at another revision.
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        loop {
            writer.put("a/0000", "w", None).await.unwrap();
        }
    });
    for _ in 0..3 {
        let listing = client.list(Range::prefix("a/")).await.unwrap();
        assert_eq!(listing.entries.len(), 2201);
        let keys: Vec<_> = listing.entries.iter().map(|entry| &entry.key).collect();
        assert!(keys.is_sorted() && listing.revision >= last);
        let newest = listing.entries.iter().map(|entry| entry.mod_revision).max();
        assert!(newest <= Some(listing.revision));
    }
    writing.abort();

    let keys = client.list_keys(Range::prefix("a/")).await.unwrap();
    assert_eq!(keys.entries.len(), 2201);
    assert!(keys.entries.iter().all(|entry| entry.value.is_empty()));
    let all = client.list(Range::all()).await.unwrap();
    assert_eq!(all.entries.len(), 2204);
    let one = client.list(Range::key("a")).await.unwrap();
    assert_eq!(one.entries.len(), 1);
    let none = client.list(Range::new("b", "a")).await.unwrap();
    assert_eq!(none.entries, []);
    assert_eq!(none.cluster, all.cluster);
}

async fn values_that_do_not_fit_into_one_answer_are_listed_in_smaller_pages(etcd: Server) {
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.max_message_size = 100_000;
    let client = Client::new(options).unwrap();
    for n in 0..20 {
        let key = format!("k/{n:02}");
        client.put(key, vec![b'x'; 30_000], None).await.unwrap();
    }
    let listing = client.list(Range::prefix("k/")).await.unwrap();
    assert_eq!(listing.entries.len(), 20);
    assert!(listing.entries.iter().all(|e| e.value.len() == 30_000));

    client.put("big", vec![b'x'; 200_000], None).await.unwrap();
    let error = client.get("big").await.unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("`big`") && text.contains("100000"), "{text}");
}

async fn each_condition_holds_exactly_when_it_says(etcd: Server) {
    let client = client(&etcd);
    let lease = client.grant(Duration::from_secs(60)).await.unwrap().id;
    client.put("k", "0", None).await.unwrap();
    client.delete("k").await.unwrap();
    let made = client.put("k", "1", None).await.unwrap().revision;
    let changed = client.put("k", "2", Some(lease)).await.unwrap().revision;
    client.put("d/1", "v", None).await.unwrap();
    for (condition, expected) in [
        (Condition::absent("k"), false),
        (Condition::absent("n"), true),
        (Condition::present("k"), true),
        (Condition::present("n"), false),
        (Condition::value("k", "2"), true),
        (Condition::value("k", "1"), false),
        (Condition::value("n", ""), false),
        (Condition::mod_revision("k", changed), true),
        (Condition::mod_revision("k", made), false),
        (Condition::mod_revision("n", 0), true),
        (Condition::create_revision("k", made), true),
        (Condition::create_revision("k", changed), false),
        (Condition::lease("k", lease), true),
        (Condition::lease("k", 0), false),
        (Condition::lease("d/1", 0), true),
        (Condition::empty(Range::prefix("d/")), false),
        (Condition::empty(Range::prefix("e/")), true),
        (Condition::empty(Range::prefix("")), false),
        (Condition::empty("k"), false),
        (Condition::empty("n"), true),
    ] {
        let text = format!("{condition:?}");
        let outcome = client.transact(Transaction::new().when(condition)).await;
        assert_eq!(outcome.unwrap().succeeded, expected, "{text}");
    }
}

async fn a_transaction_answers_each_step_of_the_side_that_was_done(etcd: Server) {
    let client = client(&etcd);
    let transaction = || {
        Transaction::new()
            .when(Condition::absent("a"))
            .when(Condition::empty(Range::prefix("d/")))
            .then_put("a", "1", None)
            .then_put("d/1", "2", None)
            .then_get("a")
            .or_get(Range::prefix("d/"))
            .or_delete(Range::prefix("d/"))
            .or_put("b", "3", None)
    };
    let first = client.transact(transaction()).await.unwrap();
    assert!(first.succeeded);
    let [Answer::Put, Answer::Put, Answer::Got(got)] = first.answers.as_slice() else {
        panic!("{first:?}");
    };
    assert_eq!((got.len(), got[0].mod_revision), (1, first.revision));

    let second = client.transact(transaction()).await.unwrap();
    assert!(!second.succeeded && second.revision == first.revision + 1);
    let [Answer::Got(got), Answer::Deleted(deleted), Answer::Put] = second.answers.as_slice()
    else {
        panic!("{second:?}");
    };
    assert_eq!((got, got[0].value_text()), (deleted, "2".into()));
    let keys: Vec<_> = etcd
        .get_prefix("")
        .await
        .iter()
        .map(|kv| kv.key_text())
        .collect();
    assert_eq!(keys, ["a", "b"]);
}

async fn a_lease_takes_its_keys_along_and_is_gone_after_that(etcd: Server) {
    let client = client(&etcd);
    let lease = client.grant(Duration::from_millis(99_500)).await.unwrap();
    assert_eq!(lease.ttl, Duration::from_secs(100));
    client.put("k", "v", Some(lease.id)).await.unwrap();
    let entry = client.get("k").await.unwrap().unwrap();
    assert_eq!(entry.lease, Some(lease.id));
    assert_eq!(client.leases().await.unwrap(), [lease.id]);
    assert_eq!(client.renew(lease.id).await.unwrap(), Some(lease.ttl));
    let info = client.lease(lease.id).await.unwrap().unwrap();
    assert_eq!(
        (info.id, info.granted, info.keys),
        (lease.id, lease.ttl, vec![b"k".to_vec()])
    );
    assert!(info.left <= lease.ttl);

    assert!(client.revoke(lease.id).await.unwrap());
    assert_eq!(client.get("k").await.unwrap(), None);
    assert!(!client.revoke(lease.id).await.unwrap());
    assert_eq!(client.renew(lease.id).await.unwrap(), None);
    assert_eq!(client.lease(lease.id).await.unwrap(), None);
    assert_eq!(client.leases().await.unwrap(), [0; 0]);
}

async fn a_key_under_a_lease_that_is_gone_is_an_error_of_its_own(etcd: Server) {
    let error = client(&etcd).put("k", "v", Some(77)).await.unwrap_err();
    assert!(
        matches!(&error, Error::LeaseGone { key, .. } if key == "k"),
        "{error}"
    );
    assert_eq!(etcd.get("k").await, None);
}

async fn a_request_that_is_too_large_says_its_size(etcd: Server) {
    let client = client(&etcd);
    let error = client.put("k", vec![0; 3 << 20], None).await.unwrap_err();
    let Error::RefusedSize { key, size, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((key.as_str(), *size), ("k", 1 + (3 << 20)));

    let many = (0..200).fold(Transaction::new(), |all, n| {
        all.then_put(format!("k/{n}"), "v", None)
    });
    let error = client.transact(many).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::Write {
                uncertain: false,
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("`k/0`") && text.contains("too many operations"),
        "{text}"
    );
}

async fn a_dead_endpoint_is_passed_over_by_reads_and_writes(etcd: Server) {
    let dead = ReservedPort::any();
    let list = format!("127.0.0.1:{},{}", dead.number, etcd.endpoint());
    let new = || Client::new(ConnectOptions::parse(&list).unwrap()).unwrap();
    let writer = new();
    assert_eq!(writer.endpoint().port(), dead.number);
    writer.put("k", "v", None).await.unwrap();
    assert_eq!(writer.endpoint().port(), etcd.port());
    let reader = new();
    assert!(reader.get("k").await.unwrap().is_some());
    assert!(new().grant(Duration::from_secs(60)).await.is_ok());
    // From now on it stays with the one that answers.
    assert_eq!(reader.endpoint().port(), etcd.port());
    assert_eq!(reader.status().await.unwrap().endpoint.port(), etcd.port());
}

async fn the_server_tells_of_itself_and_of_its_members(etcd: Server) {
    let client = client(&etcd);
    let revision = client.put("k", "v", None).await.unwrap().revision;
    let status = client.status().await.unwrap();
    assert!(status.version.starts_with("3."), "{status:?}");
    assert_eq!(status.leader, Some(status.member));
    assert!(status.revision >= revision && status.db_size >= status.db_size_in_use);
    assert_eq!(status.errors, [""; 0]);
    let listing = client.list(Range::key("k")).await.unwrap();
    assert_eq!(status.cluster, listing.cluster);
    let members = client.members().await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].id, status.member);
    assert!(members[0].client_urls[0].contains(&etcd.port().to_string()));
}

async fn clones_that_call_at_once_share_one_connection(etcd: Server) {
    let proxy = Proxy::to(etcd.address()).await;
    let client = Client::new(ConnectOptions::parse(&proxy.address()).unwrap()).unwrap();
    let calls = (0..50).map(|n| {
        let client = client.clone();
        async move { client.put(format!("k/{n}"), "v", None).await }
    });
    for put in futures::future::join_all(calls).await {
        put.unwrap();
    }
    assert_eq!(proxy.traffic().connections, 1);
    drop(client);
    eventually(SOON, "the connection to end", async || {
        match proxy.traffic().open {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
}

/// A client of two proxies in front of one server, with short limits.
async fn behind_two_proxies(etcd: &Store) -> (Client, Proxy, Proxy) {
    let (first, second) = (
        Proxy::to(etcd.address()).await,
        Proxy::to(etcd.address()).await,
    );
    let list = format!("{},{}", first.address(), second.address());
    let mut options = ConnectOptions::parse(&list).unwrap();
    options.call_timeout = Duration::from_secs(5);
    (Client::new(options).unwrap(), first, second)
}

async fn a_read_moves_on_from_a_server_that_falls_silent(etcd: Server) {
    let (client, first, second) = behind_two_proxies(&etcd).await;
    client.put("k", "v", None).await.unwrap();
    let silent = Mode {
        up: Flow::Hold,
        ..Mode::default()
    };
    first.set(silent).await;
    let entry = within(client.get("k")).await.unwrap().unwrap();
    assert_eq!(entry.value_text(), "v");
    assert_eq!(client.endpoint().to_string(), second.address());
}

async fn a_first_write_passes_over_a_server_that_is_silent(etcd: Server) {
    let (client, first, second) = behind_two_proxies(&etcd).await;
    let silent = Mode {
        up: Flow::Hold,
        ..Mode::default()
    };
    first.set(silent).await;
    within(client.put("k", "v", None)).await.unwrap();
    assert_eq!(client.endpoint().to_string(), second.address());
    // What the silent one was sent is no write, which it might carry out later.
    first.set(Mode::default()).await;
    within(client.put("k", "w", None)).await.unwrap();
    assert_eq!(etcd.get("k").await.unwrap().version, 2);
}

#[tokio::test]
async fn a_write_that_nobody_takes_is_certainly_not_carried_out() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    etcd.pause();
    let error = within(client(&etcd).put("k", "v", None)).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    etcd.resume();
    assert_eq!(etcd.get("k").await, None);
}

#[tokio::test]
async fn who_may_write_and_not_read_writes() {
    let (etcd, client) = with_user(EtcdVersion::V3_4, &[&["write", "k"]]).await;
    client.put("k", "v", None).await.unwrap();
    assert_eq!(etcd.get("k").await.unwrap().value_text(), "v");
}

async fn a_write_that_may_have_been_done_is_not_repeated_and_says_so(etcd: Server) {
    let (client, first, second) = behind_two_proxies(&etcd).await;
    client.put("k", "1", None).await.unwrap();
    // It is carried out, and its answer is lost.
    let deaf = Mode {
        down: Flow::Hold,
        ..Mode::default()
    };
    first.set(deaf).await;
    let error = within(client.put("k", "2", None)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::Write {
                uncertain: true,
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("`k`") && text.contains(&first.address()),
        "{text}"
    );
    assert_eq!(second.traffic().connections, 0);
    assert_eq!(etcd.get("k").await.unwrap().version, 2);
    // The next call goes to the other one.
    assert_eq!(client.get("k").await.unwrap().unwrap().version, 2);
    assert_eq!(second.traffic().connections, 1);
}

async fn a_lease_whose_grant_was_not_answered_is_granted_once(etcd: Server) {
    let (client, first, _second) = behind_two_proxies(&etcd).await;
    client.get("k").await.unwrap();
    let deaf = Mode {
        down: Flow::Hold,
        ..Mode::default()
    };
    first.set(deaf).await;
    let lease = within(client.grant(Duration::from_secs(60))).await.unwrap();
    assert_eq!(lease.ttl, Duration::from_secs(60));
    assert_eq!(etcd.leases().await, [lease.id]);
}

async fn a_connection_that_was_cut_between_two_calls_is_not_noticed(etcd: Server) {
    let proxy = Proxy::to(etcd.address()).await;
    let client = Client::new(ConnectOptions::parse(&proxy.address()).unwrap()).unwrap();
    client.put("k", "v", None).await.unwrap();
    proxy.cut(Cut::Reset).await;
    proxy.heal().await;
    assert!(within(client.get("k")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stopped_server_is_an_error_that_names_it_within_the_limit() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let before = client(&etcd);
    before.put("k", "v", None).await.unwrap();
    etcd.pause();
    for client in [before, client(&etcd)] {
        let error = within(client.get("k")).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Connect { .. }), "{text}");
        assert!(text.contains(&etcd.endpoint()), "{text}");
        assert!(text.contains("no answer within 3s"), "{text}");
    }
    etcd.resume();
}

async fn a_server_that_was_wiped_is_read_as_it_is_now(mut etcd: Server) {
    let client = client(&etcd);
    for n in 0..20 {
        client.put(format!("k/{n}"), "v", None).await.unwrap();
    }
    let before = client.list(Range::prefix("k/")).await.unwrap();
    etcd.restart_empty().await;
    let after = within(client.list(Range::prefix("k/"))).await.unwrap();
    assert_eq!(after.entries, []);
    assert!(after.revision < before.revision);
}

#[tokio::test]
async fn all_endpoints_that_were_tried_are_named_when_none_answers() {
    let (one, two) = (ReservedPort::any(), ReservedPort::any());
    let list = format!("127.0.0.1:{},127.0.0.1:{}", one.number, two.number);
    let client = Client::new(ConnectOptions::parse(&list).unwrap()).unwrap();
    for result in [
        client.get("k").await.map(drop),
        client.put("k", "v", None).await.map(drop),
        client.status().await.map(drop),
    ] {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Connect { .. }), "{text}");
        for port in [one.number, two.number] {
            assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        }
    }
}

/// A server with a user that may do this.
async fn with_user(version: EtcdVersion, permissions: &[&[&str]]) -> (Etcd, Client) {
    let mut etcd = Etcd::start(version).await;
    for args in [
        ["user", "add", "root:pw"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "some"],
        &["user", "add", "ada:word"],
        &["user", "grant-role", "ada", "some"],
    ] {
        etcd.etcdctl(args).await;
    }
    for permission in permissions {
        let args = [["role", "grant-permission", "some"].as_slice(), permission].concat();
        etcd.etcdctl(&args).await;
    }
    etcd.etcdctl(&["auth", "enable"]).await;
    etcd.etcdctl_as("root:pw");
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.user = Some(Credentials::new("ada", "word"));
    (etcd, Client::new(options).unwrap())
}

#[tokio::test]
async fn what_is_denied_names_the_user_the_permission_and_the_range() {
    for version in EtcdVersion::ALL {
        let (etcd, client) = with_user(version, &[&["read", "r/", "r0"], &["write", "w"]]).await;
        client.list(Range::prefix("r/")).await.unwrap();
        client.put("w", "v", None).await.unwrap();
        let error = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("user `ada`"), "{text}");
            assert!(text.contains(&etcd.endpoint()), "{text}");
            text
        };
        let denied = [
            (client.get("w").await.map(drop), "ROLE read 'w'"),
            (
                client.list(Range::prefix("x/")).await.map(drop),
                "ROLE read 'x/' 'x0'",
            ),
            (
                client.list(Range::all()).await.map(drop),
                "ROLE read --prefix ''",
            ),
            (
                client.put("r/1", "v", None).await.map(drop),
                "ROLE readwrite 'r/1'",
            ),
            (client.delete("w").await.map(drop), "ROLE readwrite 'w'"),
        ];
        for (result, command) in denied {
            let text = error(result);
            assert!(text.ends_with(command), "{text}");
        }
        let both = Transaction::new()
            .then_put("w", "v", None)
            .then_put("x", "v", None);
        let text = error(client.transact(both).await.map(drop));
        assert!(text.contains("one of 2 keys"), "{text}");

        let lease = client.grant(Duration::from_secs(60)).await.unwrap();
        etcd.etcdctl(&["put", "x", "v", "--lease", &format!("{:x}", lease.id)])
            .await;
        let text = error(client.revoke(lease.id).await.map(drop));
        assert!(
            text.contains(&format!("revoke lease {:x}", lease.id)),
            "{text}"
        );
        assert!(client.status().await.unwrap().leader.is_some());
    }
}

#[tokio::test]
async fn a_token_that_ran_out_is_renewed_for_reads_and_writes() {
    let mut etcd = Etcd::start_with(EtcdVersion::V3_5, &["--auth-token-ttl", "1"]).await;
    for args in [
        ["user", "add", "root:pw"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args).await;
    }
    etcd.etcdctl_as("root:pw");
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.user = Some(Credentials::new("root", "pw"));
    let client = Client::new(options.clone()).unwrap();
    client.put("k", "1", None).await.unwrap();
    // Roles that change make etcd refuse older tokens, and a restart forgets them all.
    etcd.etcdctl(&["role", "add", "any"]).await;
    client.put("k", "2", None).await.unwrap();
    etcd.kill9();
    etcd.restart().await;
    client.put("k", "3", None).await.unwrap();
    assert_eq!(client.get("k").await.unwrap().unwrap().version, 3);
}

#[tokio::test]
async fn a_member_without_a_majority_is_an_error_and_one_with_it_is_found() {
    let mut cluster = support::Cluster::start(EtcdVersion::V3_5).await;
    let list: Vec<String> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let options = ConnectOptions::parse(&list.join(",")).unwrap();
    let client = Client::new(options).unwrap();
    client.put("k", "1", None).await.unwrap();

    cluster.member(0).kill9();
    let again = eventually(SOON, "the other two to write", async || {
        client.put("k", "2", None).await
    });
    again.await;
    cluster.member(1).kill9();
    let alone = Client::new(ConnectOptions::parse(&list[2]).unwrap()).unwrap();
    let text = eventually(SOON, "the last one to have no leader", async || match alone
        .get("k")
        .await
    {
        Err(error) if error.to_string().contains("no leader") => Ok(error.to_string()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(
        text.contains(&list[2]) && text.contains("has a leader"),
        "{text}"
    );
    let error = alone.put("k", "3", None).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}
