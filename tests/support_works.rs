//! The test harness itself: what it starts runs, and what it ends is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::namespace::Namespace;
use support::{
    Cluster, Cut, Decoded, Etcd, EtcdVersion, Flow, Ipopo, IpopoOptions, Mode, Proxy, Server,
    eventually, ipopo_decoder, on_each_server,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

on_each_server!(
    an_ipopo_sees_and_calls_the_sample_of_another_through_any_server,
    an_ipopo_sees_the_update_and_after_its_ttl_the_death_of_another,
);

#[tokio::test]
async fn etcd_of_each_version_answers_and_keeps_its_data_over_a_restart() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        let expected = match version {
            EtcdVersion::V3_4 => "3.4.",
            EtcdVersion::V3_5 => "3.5.",
        };
        let status = etcd.etcdctl(&["endpoint", "status", "-w", "simple"]).await;
        assert!(
            status.split(", ").nth(2).unwrap().starts_with(expected),
            "{status}"
        );

        etcd.etcdctl(&["put", "prefix/a", "first"]).await;
        etcd.etcdctl(&["put", "prefix/b", ""]).await;
        etcd.etcdctl(&["put", "other", "x"]).await;
        let before = etcd.get_prefix("prefix/").await;
        let texts: Vec<_> = before
            .iter()
            .map(|kv| (kv.key_text(), kv.value_text()))
            .collect();
        assert_eq!(
            texts,
            [
                ("prefix/a".into(), "first".into()),
                ("prefix/b".into(), String::new())
            ]
        );
        assert!(before[0].mod_revision < before[1].mod_revision);
        assert_eq!((before[0].version, before[0].lease), (1, 0));

        let endpoint = etcd.endpoint();
        etcd.restart().await;
        assert_eq!(etcd.endpoint(), endpoint);
        assert_eq!(etcd.get_prefix("prefix/").await, before, "after SIGKILL");
        etcd.stop().await;
        etcd.restart().await;
        assert_eq!(etcd.get_prefix("prefix/").await, before, "after SIGTERM");
        etcd.wipe();
        etcd.restart().await;
        assert_eq!(etcd.get_prefix("prefix/").await, [], "after a wipe");
    }
}

#[tokio::test]
async fn a_lease_of_one_second_is_granted_as_asked_for() {
    for version in EtcdVersion::ALL {
        let etcd = Etcd::start(version).await;
        let granted = etcd.etcdctl(&["lease", "grant", "1"]).await;
        assert!(granted.contains("TTL(1s)"), "{granted}");
        let id = granted.split_whitespace().nth(1).unwrap();
        assert_eq!(etcd.leases().await, [i64::from_str_radix(id, 16).unwrap()]);
        eventually(Duration::from_secs(20), "the lease to expire", async || {
            let leases = etcd.leases().await;
            if leases.is_empty() {
                Ok(())
            } else {
                Err(format!("{leases:?}"))
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_paused_etcd_is_silent_and_a_dropped_one_is_gone() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let (address, pid) = (etcd.address(), etcd.pid());
    etcd.pause();
    let silent = etcd
        .try_etcdctl(&["--command-timeout", "300ms", "get", "x"])
        .await;
    assert!(silent.unwrap_err().contains("deadline exceeded"));
    etcd.resume();
    etcd.etcdctl(&["get", "x"]).await;

    etcd.pause();
    drop(etcd);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "the process is still there"
    );
    TcpStream::connect(address)
        .await
        .expect_err("the port is still served");
}

const HELLO: &str = "org.eclipse.ecf.examples.hello.IHello";
const TYPES: &str = "osgi.remote.test.ITypes";
const SOON: Duration = Duration::from_secs(20);

async fn an_ipopo_sees_and_calls_the_sample_of_another_through_any_server(etcd: Server) {
    let mut exporter = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let importer = Ipopo::start(IpopoOptions::new(&etcd)).await;

    exporter.install_sample().await;
    let exports = exporter.exports().await;
    assert_eq!(exports.len(), 1, "{exports:?}");
    let id = exports[0]["endpoint_id"].as_str().unwrap();
    let added = importer.endpoint_event("added", id, SOON).await;
    assert_eq!(added["properties"]["objectClass"], json!([HELLO]));
    importer
        .next_event("a proxy in the registry", SOON, |event| {
            event["event"] == "service"
                && event["kind"] == "registered"
                && event["endpoint_id"] == id
        })
        .await;
    let answer = importer
        .call(HELLO, "sayHello", json!(["World", "hi"]))
        .await;
    assert_eq!(
        answer.unwrap(),
        "PythonSync says: Howdy World that's a nice runtime you got there"
    );

    let health = importer.health().await;
    assert_eq!(health["watching"], true);
    assert_eq!(health["discovered"], json!({ id: exporter.session_id() }));

    exporter.stop().await;
    importer.endpoint_event("removed", id, SOON).await;
    eventually(SOON, "the import to be gone", async || {
        match importer.imports().await {
            imports if imports.is_empty() => Ok(()),
            imports => Err(format!("{imports:?}")),
        }
    })
    .await;
    let error = importer
        .call(HELLO, "sayHello", json!(["World", "hi"]))
        .await
        .unwrap_err();
    assert_eq!(error.class, "LookupError");
}

async fn an_ipopo_sees_the_update_and_after_its_ttl_the_death_of_another(etcd: Server) {
    let options = IpopoOptions {
        lease_ttl: 2,
        ..IpopoOptions::new(&etcd)
    };
    let mut exporter = Ipopo::start(options).await;
    let importer = Ipopo::start(IpopoOptions::new(&etcd)).await;

    let service = exporter.register("hello", json!({"one": "first"})).await;
    let id = exporter.exports().await[0]["endpoint_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let added = importer.endpoint_event("added", &id, SOON).await;
    assert_eq!(added["properties"]["one"], "first");
    exporter
        .set_properties(service, json!({"one": "second"}))
        .await;
    let modified = importer.endpoint_event("modified", &id, SOON).await;
    assert_eq!(modified["properties"]["one"], "second");

    exporter.kill9();
    importer.endpoint_event("removed", &id, SOON).await;
    assert_eq!(importer.health().await["watching"], true);
}

#[tokio::test]
async fn ipopo_carries_dates_binary_and_faults_over_its_own_xml_rpc() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let exporter = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let importer = Ipopo::start(IpopoOptions::new(&etcd)).await;
    exporter.register("types", json!({})).await;
    importer
        .next_event("a proxy in the registry", SOON, |event| {
            event["event"] == "service" && event["interfaces"] == json!([TYPES])
        })
        .await;

    for value in [
        json!({"$date": "20260131T12:34:56"}),
        json!({"$binary": "AAEC/w=="}),
        json!([1, -2.5, "text", true, null, {"key": []}]),
    ] {
        let echo = importer.call(TYPES, "echo", json!([value])).await.unwrap();
        assert_eq!(echo, value);
    }
    assert_eq!(importer.call(TYPES, "add", json!([2, 3])).await.unwrap(), 5);
    assert_eq!(
        importer.call(TYPES, "nothing", json!([])).await.unwrap(),
        Value::Null
    );
    let fault = importer
        .call(TYPES, "fail", json!(["no such thing"]))
        .await
        .unwrap_err();
    assert_eq!(
        (fault.class.as_str(), fault.text.as_str(), fault.code),
        ("Fault", "<class 'ValueError'>:no such thing", Some(1))
    );
    let fault = importer
        .call(TYPES, "big_int", json!([]))
        .await
        .unwrap_err();
    assert!(fault.text.contains("OverflowError"), "{fault}");
}

#[tokio::test]
async fn ipopos_decoder_reads_what_ipopo_wrote_and_names_what_would_kill_it() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let exporter = Ipopo::start(IpopoOptions {
        top_key: Some("top".into()),
        ..IpopoOptions::new(&etcd)
    })
    .await;
    exporter.install_sample().await;
    let prefix = format!("top/{}/", exporter.session_id());
    let written = etcd.get_prefix(&prefix).await;
    assert_eq!(written.len(), 1);

    let (key, value) = (written[0].key_text(), written[0].value_text());
    let decoded = ipopo_decoder::decode(&[
        (key.clone(), value),
        (key.clone(), "{}".into()),
        ("top/no-uuid/x".into(), "{}".into()),
    ])
    .await;
    let Decoded::Endpoint(endpoint) = &decoded[0] else {
        panic!("{decoded:?}")
    };
    assert_eq!(endpoint["ok"]["objectClass"], json!([HELLO]));
    assert_eq!(format!("{prefix}{}", endpoint["id"].as_str().unwrap()), key);
    assert_eq!(decoded[1], Decoded::Error("KeyError: 'properties'".into()));
    assert!(matches!(decoded[2], Decoded::Ignored(_)));
}

#[test]
fn what_is_set_where_the_tests_are_started_reaches_no_program_of_theirs() {
    // Each would keep etcd from starting, or etcdctl from being let in or finding anything.
    let variables = [
        ("ETCDCTL_ENDPOINTS", "127.0.0.1:1"),
        ("ETCDCTL_USER", "nobody:nothing"),
        ("ETCDCTL_CACERT", "/nonexistent"),
        ("ETCD_INITIAL_CLUSTER_STATE", "existing"),
        ("ETCD_CERT_FILE", "/nonexistent"),
    ];
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "etcd_of_each_version_answers_and_keeps_its_data_over_a_restart",
        ])
        .envs(variables)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// Set for the process that the next test starts and kills.
const VICTIM_VARIABLE: &str = "OSGI_REMOTE_TEST_VICTIM";

#[test]
fn children_die_with_a_test_process_that_is_killed() {
    // A killed process cannot clean up, so its temporary files go with ours.
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "a_process_with_children_to_be_killed",
        ])
        .env(VICTIM_VARIABLE, "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let pids: Vec<String> = lines
        .map_while(Result::ok)
        .find_map(|line| {
            line.split_once("children: ")
                .map(|(_, pids)| pids.to_owned())
        })
        .expect("the victim says which children it has")
        .split(' ')
        .map(str::to_owned)
        .collect();
    assert_eq!(pids.len(), 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for pid in pids {
        runtime.block_on(eventually(SOON, "an orphan to die", async || is_dead(&pid)));
    }
}

/// Whoever inherits an orphan reaps it in his own time: a zombie counts as dead.
fn is_dead(pid: &str) -> Result<(), String> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => Ok(()),
        Ok(stat) if stat.contains(") Z ") => Ok(()),
        Ok(stat) => Err(stat),
    }
}

#[tokio::test]
#[ignore = "started by children_die_with_a_test_process_that_is_killed"]
async fn a_process_with_children_to_be_killed() {
    if std::env::var_os(VICTIM_VARIABLE).is_none() {
        return;
    }
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    println!("\nchildren: {} {}", etcd.pid(), ipopo.pid());
    std::future::pending::<()>().await;
}

/// A connection through a proxy to a server that gives every byte back.
async fn echo_through_a_proxy() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut input, mut output) = stream.split();
                // Its end is the test's own doing.
                let _ = tokio::io::copy(&mut input, &mut output).await;
            });
        }
    });
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn echoes(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_proxy_passes_bytes_both_ways_and_counts_them() {
    let (proxy, mut stream) = echo_through_a_proxy().await;
    assert_eq!(echoes(&mut stream, "hello").await.unwrap(), "hello");
    let traffic = proxy.traffic();
    assert_eq!((traffic.connections, traffic.open), (1, 1));
    assert_eq!((traffic.up, traffic.down), (5, 5));
    drop(stream);
    eventually(SOON, "the connection to end", async || {
        match proxy.traffic().open {
            0 => Ok(()),
            open => Err(open),
        }
    })
    .await;
}

#[tokio::test]
async fn a_cut_proxy_ends_its_connections_and_refuses_new_ones_until_it_is_healed() {
    for cut in [Cut::Reset, Cut::Finish] {
        let (proxy, mut stream) = echo_through_a_proxy().await;
        echoes(&mut stream, "before").await.unwrap();
        proxy.cut(cut).await;
        let read = tokio::time::timeout(SOON, stream.read(&mut [0; 1]))
            .await
            .unwrap();
        match cut {
            Cut::Reset => {
                assert_eq!(
                    read.unwrap_err().kind(),
                    std::io::ErrorKind::ConnectionReset
                );
            }
            Cut::Finish => assert_eq!(read.unwrap(), 0),
        }
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        proxy.heal().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echoes(&mut stream, "after").await.unwrap(), "after");
    }
}

#[tokio::test]
async fn held_bytes_arrive_when_the_proxy_is_healed_and_swallowed_ones_break_their_connection() {
    for (up, down) in [(Flow::Hold, Flow::Pass), (Flow::Pass, Flow::Hold)] {
        let (proxy, mut stream) = echo_through_a_proxy().await;
        proxy
            .set(Mode {
                up,
                down,
                ..Mode::default()
            })
            .await;
        stream.write_all(b"late").await.unwrap();
        let early = Duration::from_millis(100);
        let mut answer = [0; 4];
        let read = tokio::time::timeout(early, stream.read_exact(&mut answer)).await;
        assert!(read.is_err(), "{answer:?} came through");
        proxy.heal().await;
        tokio::time::timeout(SOON, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"late");
    }
    for (up, down) in [(Flow::Swallow, Flow::Pass), (Flow::Pass, Flow::Swallow)] {
        let (proxy, mut stream) = echo_through_a_proxy().await;
        proxy
            .set(Mode {
                up,
                down,
                ..Mode::default()
            })
            .await;
        stream.write_all(b"lost").await.unwrap();
        let early = Duration::from_millis(100);
        let read = tokio::time::timeout(early, stream.read(&mut [0; 4])).await;
        assert!(read.is_err(), "{read:?}");
        proxy.heal().await;
        let read = tokio::time::timeout(SOON, stream.read(&mut [0; 4]))
            .await
            .unwrap();
        assert_eq!(
            read.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
    }
}

#[tokio::test]
async fn a_slow_proxy_delays_every_byte_and_keeps_to_its_rate() {
    let (proxy, mut stream) = echo_through_a_proxy().await;
    let delay = Duration::from_millis(100);
    proxy
        .set(Mode {
            delay,
            ..Mode::default()
        })
        .await;
    let start = Instant::now();
    echoes(&mut stream, "slow").await.unwrap();
    assert!(start.elapsed() >= delay * 2, "{:?}", start.elapsed());
    let rate = Some(1000);
    proxy
        .set(Mode {
            rate,
            ..Mode::default()
        })
        .await;
    let start = Instant::now();
    for _ in 0..3 {
        echoes(&mut stream, &"x".repeat(100)).await.unwrap();
    }
    // The pause follows the bytes that it pays for.
    assert!(
        start.elapsed() >= Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_cluster_survives_its_leader_and_takes_it_back() {
    let mut cluster = Cluster::start(EtcdVersion::V3_5).await;
    let leader = cluster.leader().await;
    cluster.members()[0].etcdctl(&["put", "a", "1"]).await;
    cluster.member(leader).kill9();
    let other = (leader + 1) % 3;
    eventually(SOON, "another leader", async || {
        cluster.members()[other]
            .try_etcdctl(&["put", "a", "2"])
            .await
    })
    .await;
    assert_ne!(cluster.leader().await, leader);
    cluster.launch_missing().await;
    let kv = cluster.members()[leader].get("a").await.unwrap();
    assert_eq!((kv.value_text().as_str(), kv.version >= 2), ("2", true));
}

#[tokio::test]
async fn a_wire_to_a_namespace_can_be_pulled_and_put_back() {
    let namespace = match Namespace::new().await {
        Ok(namespace) => namespace,
        Err(why) => {
            println!("skipped, since this machine does not allow it: {why}");
            return;
        }
    };
    let (pid, host) = (namespace.pid(), namespace.inside);
    let etcd = Etcd::start_in_namespace(EtcdVersion::V3_5, pid, host).await;
    etcd.etcdctl(&["put", "a", "1"]).await;
    namespace.pull(true);
    etcd.try_etcdctl(&[
        "--command-timeout",
        "1s",
        "--dial-timeout",
        "1s",
        "get",
        "a",
    ])
    .await
    .unwrap_err();
    namespace.pull(false);
    let read = async || etcd.try_etcdctl(&["get", "a"]).await;
    assert_eq!(eventually(SOON, "the wire", read).await, "a\n1\n");
}
