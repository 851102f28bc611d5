//! Settings: the names of iPOPO and ECF, and those that cannot be used.

use std::time::Instant;

use osgi_remote::properties::Value;

use crate::support::process::ReservedPort;
use crate::*;

on_each_server!([embedded, etcd_3_5](
    the_names_of_ipopo_configure,
    the_names_of_ecf_configure,
    a_setting_that_cannot_be_used_is_refused_by_name_value_and_remedy,
    a_session_id_in_use_is_refused_with_the_lease_that_holds_it,
    a_session_id_in_use_is_waited_for_by_who_does_not_wait_for_etcd,
));

const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";

/// The session key and the TTL that was granted, as etcd says.
async fn session_in_etcd(etcd: &Store) -> (String, i64) {
    let all = etcd.get_prefix("").await;
    assert_eq!(all.len(), 1, "{all:?}");
    let lease = format!("{:x}", all[0].lease);
    let text = etcd
        .etcdctl(&["lease", "timetolive", &lease, "--write-out", "json"])
        .await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    (
        all[0].key_text(),
        answer["granted-ttl"].as_i64().unwrap_or_default(),
    )
}

async fn configured(etcd: &Store, settings: Properties) {
    let framework = Framework::builder()
        .properties(&settings)
        .connect_timeout(SOON)
        .start()
        .await
        .unwrap();
    assert_eq!(
        session_in_etcd(etcd).await,
        (format!("my.top/{SESSION}"), 7)
    );
    framework.shutdown().await.unwrap();
}

async fn the_names_of_ipopo_configure(etcd: Server) {
    let settings = props! {
        "etcd.hostname" => "127.0.0.1", "etcd.port" => i32::from(etcd.port()),
        "etcd.top_key" => "my.top", "etcd.session_id" => SESSION, "etcd.lease_ttl" => 7_i32,
    };
    configured(&etcd, settings).await;
}

async fn the_names_of_ecf_configure(etcd: Server) {
    let settings = props! {
        "ecf.discovery.etcd3.hostname" => "127.0.0.1",
        "ecf.discovery.etcd3.port" => etcd.port().to_string(),
        "ecf.discovery.etcd3.keyPrefix" => "my.top",
        "ecf.discovery.etcd3.sessionid" => SESSION.to_uppercase(),
        "ecf.discovery.etcd3.ttl" => "7", "ecf.discovery.etcd3.usePlaintext" => true,
    };
    configured(&etcd, settings).await;
}

async fn a_setting_that_cannot_be_used_is_refused_by_name_value_and_remedy(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let before = keys(&etcd).await;
    let bad: [(&str, Value, &str); 8] = [
        (
            "etcd.port",
            "http".into(),
            "a setting cannot be used: etcd.port is 'http': it must be a port from 1 to 65535",
        ),
        (
            "etcd.top_key",
            "my/top".into(),
            "a setting cannot be used: etcd.top_key: top key 'my/top' holds a '/', at which ECF \
             and iPOPO split keys: use dots or dashes instead",
        ),
        (
            "etcd.session_id",
            "mine".into(),
            "a setting cannot be used: etcd.session_id: session id 'mine' is no UUID \
             (8-4-4-4-12 hex digits), and ECF and iPOPO ignore such sessions",
        ),
        (
            "etcd.lease_ttl",
            (-1_i32).into(),
            "a setting cannot be used: etcd.lease_ttl is '-1': it must be a whole number of \
             seconds, 1 or more",
        ),
        (
            "etcd.hostname",
            "two words".into(),
            "a setting cannot be used: `two words",
        ),
        ("etcd.keepalive_interval", 3600_i32.into(), "renew_interval"),
        (
            "ecf.xmlrpc.server.port",
            true.into(),
            "a setting cannot be used: ecf.xmlrpc.server.port is 'true': it must be a port from \
             0 to 65535",
        ),
        (
            "ecf.xmlrpc.server.path",
            "rpc".into(),
            "a setting cannot be used: ecf.xmlrpc.server.path is 'rpc': it must begin with a \
             '/', as in /xml-rpc",
        ),
    ];
    for (name, value, expected) in bad {
        let settings = props! {
            "etcd.hostname" => "127.0.0.1", "etcd.port" => i32::from(etcd.port()),
        };
        let started = Framework::builder()
            .properties(&settings)
            .property(name, value)
            .start()
            .await;
        let error = started.expect_err(name).to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(keys(&etcd).await, before);
    healthy.check(&etcd).await;
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_told_with_its_address_and_the_time_tried() {
    let dead = ReservedPort::any();
    let address = format!("127.0.0.1:{}", dead.number);
    let begun = Instant::now();
    let started = Framework::builder()
        .etcd(&address)
        .connect_timeout(Duration::from_secs(1))
        .start()
        .await;
    assert!(begun.elapsed() < SOON);
    let error = started.unwrap_err().to_string();
    for part in [
        "was not registered within 1.0s",
        &format!("etcd at {address} cannot be reached (tried for "),
        "check the address, that etcd runs there and that it has a leader",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

async fn a_session_id_in_use_is_refused_with_the_lease_that_holds_it(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let before = (keys(&etcd).await, sorted(etcd.leases().await));
    let holder = healthy.host.etcd().unwrap();
    let lease = holder.session_status().lease.unwrap();
    let started = builder(&etcd)
        .property("etcd.session_id", holder.session_id().as_str())
        .start()
        .await;
    let error = started.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "session `{}/{}` is in use: its key is under lease {lease:x}, which is alive; choose \
             another session id, stop the other process, or ask for a takeover",
            osgi_remote::names::TopKey::DEFAULT,
            holder.session_id()
        )
    );
    assert_eq!((keys(&etcd).await, sorted(etcd.leases().await)), before);
    healthy.check(&etcd).await;
}

/// Without waiting, it is told in the log, once, and goes on when it can.
async fn a_session_id_in_use_is_waited_for_by_who_does_not_wait_for_etcd(etcd: Server) {
    let log = Log::of_all_tests();
    let healthy = Healthy::start(&etcd).await;
    let session = healthy.host.etcd().unwrap().session_id().clone();
    let (sender, told) = std::sync::mpsc::channel();
    let second = builder(&etcd)
        .property("etcd.session_id", session.as_str())
        .on_connected(move |connected| sender.send(connected).unwrap())
        .start_disconnected()
        .start()
        .await
        .unwrap();
    let warnings = || {
        let mut lines = log.lines(session.as_str());
        lines.retain(|line| line.contains("not connected yet; trying goes on"));
        lines
    };
    eventually(SOON, "the warning", async || match warnings().len() {
        0 => Err("none yet"),
        _ => Ok(()),
    })
    .await;
    healthy.check(&etcd).await;
    let warned = warnings();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("is in use: its key is under lease"),
        "{warned:?}"
    );
    assert!(told.try_recv().is_err());
    healthy.host.shutdown().await.unwrap();
    let connected = eventually(SOON, "the callback", async || told.try_recv()).await;
    assert_eq!(connected.session_id, session);
    second.shutdown().await.unwrap();
}

fn sorted(mut leases: Vec<i64>) -> Vec<i64> {
    leases.sort_unstable();
    leases
}
