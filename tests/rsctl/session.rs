//! rsctl session

use osgi_remote::names::TopKey;
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use crate::endpoint::{ALICE, LONG, announce, grant, greeter, key, put, value_of};
use crate::support::{Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    a_session_is_shown_with_its_lease_and_who_it_is,
    sessions_that_nobody_cares_for_are_told_from_those_alive,
);

async fn a_session_is_shown_with_its_lease_and_who_it_is(etcd: Server) {
    let list = || Tool::new(&etcd).args(["session", "list"]);
    assert_eq!(list().run().await.good(), "no sessions\n");
    let lease = grant(&etcd, LONG).await;
    announce(&etcd, ALICE, &greeter("e1", props! {}), Some(&lease)).await;
    announce(&etcd, ALICE, &greeter("e2", props! {}), Some(&lease)).await;
    put(&etcd, &key(ALICE, "rubbish"), "{", Some(&lease)).await;
    let table = list().run().await.good().replace(&lease, "LEASE-ID");
    assert_data_eq!(
        table,
        str![[r#"
SESSION   STATE  PEER         ENDPOINTS         LEASE             LEFT   TTL    RENEWED  REVISION  OLDEST
a11ce000  alive  osgi-remote  3 (1 unreadable)  LEASE-ID[..]s  5000s  [..]s ago   2         [..]d

"#]]
    );
    let json = list().args(["-o", "json"]).run().await.json();
    let row = &json[0];
    assert_eq!(row["session"], ALICE);
    assert_eq!(
        (&row["endpoints"], &row["unreadable"]),
        (&3.into(), &1.into())
    );
    assert_eq!(
        (&row["lease"]["id"], &row["lease"]["granted"]),
        (&lease.into(), &5000.into())
    );
    let (left, renewed) = (
        row["lease"]["left"].as_u64().unwrap(),
        row["renewed"].as_u64().unwrap(),
    );
    assert_eq!(left + renewed, 5000);
    assert_eq!(row["oldest_endpoint"], "2023-11-14T22:13:20Z");
}

async fn sessions_that_nobody_cares_for_are_told_from_those_alive(etcd: Server) {
    let (one, two) = (grant(&etcd, LONG).await, grant(&etcd, LONG).await);
    let endpoint = greeter("e", props! {});
    let session = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
    let put_endpoint = async |session: &str, lease: &str| {
        put(&etcd, &key(session, "e"), &value_of(&endpoint), Some(lease)).await;
    };
    announce(&etcd, &session(1), &endpoint, None).await;
    announce(&etcd, &session(2), &endpoint, Some(&one)).await;
    put_endpoint(&session(2), &two).await;
    put_endpoint(&session(3), &one).await;
    put(
        &etcd,
        &format!("{}/{}", TopKey::DEFAULT, session(4)),
        &session(4),
        Some(&one),
    )
    .await;
    // What is no session is not listed.
    put(&etcd, &format!("{}/no-uuid", TopKey::DEFAULT), "", None).await;
    let json = Tool::new(&etcd)
        .args(["session", "list", "-o", "json"])
        .run()
        .await
        .json();
    let states: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["no lease", "several leases", "no session key", "alive"]
    );
    assert_eq!(json[3]["peer"], "unknown");
}
