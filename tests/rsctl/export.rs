//! `rsctl export` and `rsctl import`.

use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::peer::{Exporter, key_is};
use crate::support::process::ReservedPort;
use crate::support::{Etcd, EtcdVersion, Ipopo, IpopoOptions, Server, on_each_server};
use crate::tool::{Running, SOON, Tool};

on_each_server!(
    ipopo_sees_and_calls_what_rsctl_exports,
    export_and_import_tell_of_each_other,
);

const HELLO: &str = "org.eclipse.ecf.examples.hello.IHello";

async fn imported(ipopo: &Ipopo, endpoint: &str) {
    ipopo
        .next_event("iPOPO to import it", SOON, |event| {
            event["event"] == "service"
                && event["kind"] == "registered"
                && event["endpoint_id"] == endpoint
        })
        .await;
}

async fn ipopo_sees_and_calls_what_rsctl_exports(server: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&server)).await;
    let exporter = Exporter::start(
        &server,
        &[
            "--interface",
            HELLO,
            "--property",
            "colour=red",
            "--show-calls",
        ],
        &[
            "--answer",
            "sayHello=\"hi yourself\"",
            "--fail",
            "sayHelloAsync=no time",
            "--echo",
        ],
    )
    .await;
    let added = ipopo
        .endpoint_event("added", &exporter.endpoint, SOON)
        .await;
    assert_eq!(added["properties"]["colour"], "red");
    assert_eq!(added["properties"]["ecf.endpoint.id"], exporter.address);
    imported(&ipopo, &exporter.endpoint).await;
    let call = |method: &'static str| {
        let ipopo = &ipopo;
        async move { ipopo.call(HELLO, method, json!(["Ada", "hi"])).await }
    };
    assert_eq!(call("sayHello").await.unwrap(), "hi yourself");
    assert_eq!(call("sayHelloPromise").await.unwrap(), json!(["Ada", "hi"]));
    let fault = call("sayHelloAsync").await.unwrap_err();
    assert!(fault.text.contains("no time"), "{fault}");
    let told: Value = serde_json::from_str(&exporter.running.line().await).unwrap();
    assert_eq!(
        told,
        json!({"event": "called", "method": "sayHello", "args": ["Ada", "hi"], "result": "hi yourself"})
    );
    let (endpoint, key) = (exporter.endpoint.clone(), exporter.key.clone());
    assert!(server.get(&key).await.is_some());
    exporter.stop().await;
    ipopo.endpoint_event("removed", &endpoint, SOON).await;
    key_is(&server, &key, false).await;
}

async fn told(running: &Running) -> (String, String) {
    let line = running.line().await;
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"));
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (text("event"), text("endpoint"))
}

async fn export_and_import_tell_of_each_other(server: Server) {
    let args = [
        "import",
        "a.A",
        "-o",
        "json",
        "--wait",
        "0s",
        "--until-ended",
    ];
    let importer = Tool::new(&server).args(args).start();
    let exporter = Exporter::start(
        &server,
        &["--interface", "a.A", "--interface", "b.B"],
        &["--echo"],
    )
    .await;
    let event = |name: &str| (name.to_owned(), exporter.endpoint.clone());
    assert_eq!(told(&importer).await, event("imported"));
    // It has the other interface too.
    let args = ["import", "b.B", "-o", "json"];
    let other = Tool::new(&server).args(args).start();
    assert_eq!(told(&other).await, event("imported"));
    let ended = event("ended");
    exporter.stop().await;
    assert_eq!(told(&importer).await, ended);
    assert_eq!(importer.end().await.code(), 0);
    assert_eq!(told(&other).await, ended);
    assert_eq!(other.stop("INT").await.code(), 0);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let server = Server::embedded().await;
    let args = [
        "export",
        "--interface",
        "a.A",
        "--echo",
        "--dry-run",
        "--property",
        "n:Long=5",
    ];
    let ran = Tool::new(&server)
        .args(args)
        .args(["-o", "json"])
        .run()
        .await;
    assert_eq!(ran.stderr, "would export a.A; nothing is written to etcd\n");
    let told = ran.json();
    assert_eq!(told["event"], "would export");
    let properties = told["value"]["properties"].as_array().unwrap();
    let has = |name: &str| properties.iter().any(|property| property["name"] == name);
    assert!(has("n") && has("endpoint.framework.uuid"), "{told}");
    assert!(server.get_prefix("").await.is_empty());
    assert!(server.leases().await.is_empty());
}

#[tokio::test]
async fn a_dry_run_of_import_says_what_would_be_imported_and_writes_nothing() {
    let server = Server::embedded().await;
    let two = ["--interface", "a.A", "--property", "zone=x"];
    let first = Exporter::start(&server, &two, &["--echo"]).await;
    let second = Exporter::start(&server, &["--interface", "a.A"], &["--echo"]).await;
    let (keys, mut leases) = (server.get_prefix("").await, server.leases().await);
    let run = |args: &[&str]| {
        let session = "etcd.session_id=4469111c-91c2-4dba-b64f-750d14243fda";
        let tool = Tool::new(&server).args(["import", "--dry-run", "--set", session]);
        tool.args(args.iter().copied()).run()
    };
    let ran = run(&["a.A"]).await;
    assert_data_eq!(
        ran.stderr.clone(),
        str![[r#"
would register session org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/4469111c-91c2-4dba-b64f-750d14243fda without endpoints, under a lease of 30 s; nothing is written to etcd

"#]]
    );
    let mut expected = [&first, &second].map(|exporter| {
        let Exporter {
            endpoint, address, ..
        } = exporter;
        format!("would import a.A [{endpoint}] at {address}\n")
    });
    expected.sort();
    assert_eq!(ran.good(), expected.concat());
    let ran = run(&["a.A", "--filter", "(zone=x)", "-o", "json"]).await;
    assert_eq!(ran.json()["endpoint"], first.endpoint.as_str());
    assert_data_eq!(
        run(&["a.B"]).await.bad_at_last(1),
        str!["rsctl: no endpoint or interface a.B now; 2 endpoints are there"]
    );
    let line = run(&["a.A", "--filter", "(zone=y)"]).await.bad_at_last(1);
    assert!(line.contains("it does not match --filter"), "{line}");

    assert_eq!(server.get_prefix("").await, keys);
    let mut now = server.leases().await;
    leases.sort_unstable();
    now.sort_unstable();
    assert_eq!(now, leases);
    let port = ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    let args = ["--endpoints", &address, "import", "a.A", "--dry-run"];
    let ran = Tool::alone().args(args).args(["--connect-timeout", "1s"]);
    let line = ran.run().await.bad_at_last(3);
    assert!(line.contains(&address), "{line}");
}

#[tokio::test]
async fn an_import_names_its_session_before_it_registers_it() {
    let server = Server::embedded().await;
    let (top, session) = (
        "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer",
        "4469111c-91c2-4dba-b64f-750d14243fda",
    );
    let set = format!("etcd.session_id={session}");
    let args = ["import", "a.A", "--wait", "0s", "--set", &set];
    let importer = Tool::new(&server).args(args).start();
    let note = importer.notes("registers session").await;
    assert_eq!(
        note,
        format!(
            "imports a.A; registers session {top}/{session} in etcd without endpoints, under a \
             lease of 30 s, until it is stopped"
        )
    );
    key_is(&server, &format!("{top}/{session}"), true).await;
    assert_eq!(importer.stop("TERM").await.code(), 0);
}

#[tokio::test]
async fn what_export_cannot_do_is_refused() {
    let server = Server::embedded().await;
    let bad = |args: &[&str], code: i32| {
        let ran = Tool::new(&server)
            .args(["export"].iter().chain(args).copied())
            .run();
        async move {
            let ran = ran.await;
            assert_eq!(ran.code(), code, "{}", ran.stderr);
            ran.stderr
        }
    };
    let text = bad(&["--interface", "a.A"], 2).await;
    assert!(text.contains("the service would answer nothing"), "{text}");
    let text = bad(&["--interface", "a.A", "--answer", "m=World"], 2).await;
    assert!(text.contains("World is no JSON"), "{text}");
    let text = bad(&["--interface", "a.A", "--echo", "--exec", "cat"], 2).await;
    assert!(text.contains("cannot be used with"), "{text}");
    let text = bad(&["--echo"], 2).await;
    assert!(text.contains("--interface"), "{text}");
    let text = bad(&["--interface", "a.A", "--echo", "--property", "x"], 2).await;
    assert!(text.contains("write NAME=VALUE"), "{text}");
    let intents = [
        "--interface",
        "a.A",
        "--echo",
        "--property",
        "service.exported.intents=no.such",
    ];
    let text = bad(&intents, 2).await;
    assert!(text.contains("no.such"), "{text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = bad(&["--interface", "a.A", "--echo", "--listen", &address], 5).await;
    assert!(
        text.contains(&format!("cannot listen on {address}")),
        "{text}"
    );
    let text = bad(
        &[
            "--interface",
            "a.A",
            "--echo",
            "--set",
            "etcd.lease_ttl=soon",
        ],
        2,
    )
    .await;
    assert!(text.contains("etcd.lease_ttl"), "{text}");
    assert!(server.get_prefix("").await.is_empty());
}

#[tokio::test]
async fn without_etcd_nothing_starts() {
    let port = ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    for command in [
        &["export", "--interface", "a.A", "--echo"][..],
        &["import", "a.A"],
        &["shell", "-c", "sl"],
    ] {
        let args = ["--endpoints", &address, "--set", "etcd.call_timeout=1"];
        let args = command
            .iter()
            .chain(&["--connect-timeout", "1s"])
            .chain(&args)
            .copied();
        let ran = Tool::alone().args(args).run().await;
        assert_eq!(ran.code(), 3, "{}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(&address), "{last}");
    }
}

#[tokio::test]
async fn an_export_outlives_its_etcd_and_says_so() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let exporter = Exporter::start(
        &etcd,
        &["--interface", "a.A", "--echo"],
        &["--set", "etcd.lease_ttl=5", "--set", "etcd.call_timeout=1"],
    )
    .await;
    etcd.kill9();
    let address = etcd.endpoint();
    exporter
        .running
        .notes(&format!("the connection to etcd at {address} is lost"))
        .await;
    etcd.restart().await;
    exporter
        .running
        .notes(&format!("the connection to etcd at {address} is back"))
        .await;
    key_is(&etcd, &exporter.key, true).await;
    let args = ["call", &exporter.endpoint, "m", "1"];
    assert_eq!(Tool::new(&etcd).args(args).run().await.json(), json!(1));
    exporter.stop().await;
}

#[tokio::test]
async fn an_edef_file_is_imported_without_etcd() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    let commands = "register a.A --echo; exportservice 2 ecf.xmlrpc.server out.xml";
    let ran = Tool::new(&server)
        .folder(folder.path())
        .args(["shell", "-c", commands])
        .run()
        .await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    // Not a list, and no attribute of a path.
    let name = "out,1;2.xml";
    std::fs::rename(folder.path().join("out.xml"), folder.path().join(name)).unwrap();
    let port = ReservedPort::any();
    let nobody = format!("127.0.0.1:{}", port.number);
    let dry = Tool::alone()
        .folder(folder.path())
        .args(["--endpoints", &nobody, "import", name, "--dry-run"])
        .run()
        .await;
    assert_eq!(
        dry.stderr,
        "would import out,1;2.xml; nothing is written to etcd\n"
    );
    assert_data_eq!(
        dry.good(),
        str![[r#"
would import a.A [[..]] at http://127.0.0.1:[..]/xml-rpc

"#]]
    );
    let importer = Tool::alone()
        .folder(folder.path())
        .args(["--endpoints", &nobody, "import", name])
        .start();
    assert_data_eq!(
        importer.line().await,
        str!["imported a.A [[..]] at http://127.0.0.1:[..]/xml-rpc"]
    );
    std::fs::remove_file(folder.path().join(name)).unwrap();
    assert_data_eq!(
        importer.line().await,
        str!["ended a.A [[..]] at http://127.0.0.1:[..]/xml-rpc"]
    );
    assert_eq!(importer.stop("TERM").await.code(), 0);

    let missing = Tool::alone()
        .args(["import", "./none.xml"])
        .run()
        .await
        .bad(2);
    assert!(missing.contains("./none.xml cannot be read"), "{missing}");
    std::fs::write(folder.path().join("bad.xml"), "<a>\n</b>").unwrap();
    let broken = Tool::alone()
        .folder(folder.path())
        .args(["import", "bad.xml", "--wait", "1s"]);
    let dry = Tool::alone()
        .folder(folder.path())
        .args(["import", "bad.xml", "--dry-run"]);
    for ran in [broken, dry] {
        let line = ran.run().await.bad_at_last(2);
        assert!(
            line.contains("bad.xml") && line.contains("line 2"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_import_of_what_is_not_there_says_what_is() {
    let server = Server::embedded().await;
    let _exporter =
        Exporter::start(&server, &["--interface", "org.example.IHello"], &["--echo"]).await;
    let args = ["import", "org.example.Hello", "--wait", "300ms"];
    assert_data_eq!(
        Tool::new(&server).args(args).run().await.bad_at_last(1),
        str![
            "rsctl: no endpoint or interface org.example.Hello within 300ms (--wait); there is org.example.IHello"
        ]
    );
    let args = [
        "import",
        "org.example.IHello",
        "--wait",
        "300ms",
        "--filter",
        "(zone=a)",
    ];
    let line = Tool::new(&server).args(args).run().await.bad_at_last(1);
    assert!(line.contains("it does not match --filter"), "{line}");
    let args = ["import", "a.A", "--filter", "(zone"];
    let line = Tool::new(&server).args(args).run().await.bad(2);
    assert!(line.contains("(zone"), "{line}");
}

#[tokio::test]
async fn a_command_line_that_cannot_be_meant_is_told_before_anything_is_asked_of_etcd() {
    for (args, part) in [
        (["--interface", ""], "the name of an interface is empty"),
        (["--property", "size:Int=3"], "'Int' is no type: String"),
        (["--set", "etcd.lese_ttl=5"], "is etcd.lease_ttl"),
        (
            ["--listen", "here"],
            "'--listen <HOST:PORT>': it must be host:port",
        ),
    ] {
        let tool = Tool::alone().args(["--endpoints", "127.0.0.1:1", "export", "--echo"]);
        let ran = tool.args(["--interface", "a.A"]).args(args).run().await;
        assert_eq!(ran.code(), 2, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
}
