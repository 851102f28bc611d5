//! `rsctl call`.

use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::peer::Exporter;
use crate::support::process::{ReservedPort, signal};
use crate::support::{Etcd, EtcdVersion, Ipopo, IpopoOptions, Server, Store, on_each_server};
use crate::tool::Tool;

on_each_server!(
    call_prints_what_a_service_answers_and_leaves_no_trace,
    call_reaches_a_service_of_ipopo,
);

async fn keys_and_leases(server: &Store) -> (Vec<String>, Vec<i64>) {
    let keys = server.get_prefix("").await;
    let keys = keys
        .iter()
        .map(|kv| format!("{} {}", kv.key_text(), kv.mod_revision));
    let mut leases = server.leases().await;
    leases.sort_unstable();
    (keys.collect(), leases)
}

async fn call_prints_what_a_service_answers_and_leaves_no_trace(server: Server) {
    let exporter = Exporter::start(
        &server,
        &["--interface", "org.example.IShop", "--echo"],
        &[
            "--answer",
            r#"stock={"milk": [1, 2.5, null]}"#,
            "--fail",
            "buy=out of milk",
        ],
    )
    .await;
    let before = keys_and_leases(&server).await;
    let call = |args: &[&str]| {
        let target = ["call", "org.example.IShop"];
        Tool::new(&server)
            .args(target.iter().chain(args).copied())
            .run()
    };
    assert_data_eq!(
        call(&["stock"]).await.good(),
        str![[r#"
{
  "milk": [
    1,
    2.5,
    null
  ]
}

"#]]
    );
    let echoed = call(&[
        "echo",
        "1",
        "-2.0",
        r#""a text""#,
        r#"{"$bytes": "AAH/"}"#,
        r#"{"$date": "20260131T12:34:56"}"#,
        "[{}]",
    ]);
    assert_eq!(
        echoed.await.json(),
        json!([1, -2.0, "a text", {"$bytes": "AAH/"}, {"$date": "20260131T12:34:56"}, [{}]])
    );
    assert_eq!(
        call(&["--string", "echo", "World"]).await.json(),
        json!("World")
    );
    assert_eq!(call(&["-o", "yaml", "echo", "[1]"]).await.good(), "- 1\n");
    assert_data_eq!(
        call(&["-o", "table", "stock"]).await.good(),
        str![[r#"
NAME  VALUE
milk  [1,2.5,null]

"#]]
    );
    assert_data_eq!(
        call(&["buy"]).await.bad(1),
        str!["rsctl: buy of endpoint [..]: out of milk"]
    );
    let by_id = Tool::new(&server).args(["call", &exporter.endpoint, "echo", "true"]);
    assert_eq!(by_id.run().await.json(), json!(true));
    assert_eq!(keys_and_leases(&server).await, before);
    exporter.stop().await;
    assert_data_eq!(
        call(&["stock"]).await.bad(1),
        str!["rsctl: no endpoint or interface org.example.IShop: none is registered"]
    );
}

async fn call_reaches_a_service_of_ipopo(server: Server) {
    let mut ipopo = Ipopo::start(IpopoOptions::new(&server)).await;
    ipopo.install_sample().await;
    ipopo.register("types", json!({})).await;
    let call = |args: &[&str]| {
        Tool::new(&server)
            .args(["call"].iter().chain(args).copied())
            .run()
    };
    let hello = "org.eclipse.ecf.examples.hello.IHello";
    let answer = call(&[hello, "sayHello", "\"Ada\"", "\"hi\""]).await.json();
    assert_eq!(
        answer,
        "PythonSync says: Howdy Ada that's a nice runtime you got there"
    );
    let types = "osgi.remote.test.ITypes";
    assert_eq!(
        call(&[types, "binary"]).await.json()["$bytes"]
            .as_str()
            .map(str::len),
        Some(344)
    );
    assert_eq!(
        call(&[types, "date"]).await.json(),
        json!({"$date": "20260131T12:34:56"})
    );
    let failed = call(&[types, "fail", "\"no milk\""]).await.bad(1);
    assert!(failed.contains("no milk"), "{failed}");
    let missing = call(&[types, "noSuchMethod"]).await.bad(1);
    assert!(missing.contains("noSuchMethod"), "{missing}");
    ipopo.stop().await;
}

#[tokio::test]
async fn of_several_endpoints_the_best_is_called_and_named() {
    let server = Server::embedded().await;
    let start = |answer: &'static str, ranking: &'static str, zone: &'static str| {
        let args = [
            "--property",
            ranking,
            "--property",
            zone,
            "--answer",
            answer,
        ];
        let server = &server;
        async move { Exporter::start(server, &["--interface", "a.A"], &args).await }
    };
    let _low = start("who=\"low\"", "service.ranking=-3", "zone=x").await;
    let best = start("who=\"best\"", "service.ranking=7", "zone=x").await;
    let _middle = start("who=\"middle\"", "service.ranking=3", "zone=y").await;
    let ran = Tool::new(&server).args(["call", "a.A", "who"]).run().await;
    let expected = format!(
        "calls endpoint {}, the best of 3; name another one by its id\n",
        best.endpoint
    );
    assert_eq!(ran.stderr, expected);
    assert_eq!(ran.json(), "best");
    let args = ["call", "a.A", "who", "--filter", "(zone=y)"];
    assert_eq!(Tool::new(&server).args(args).run().await.json(), "middle");
    let args = ["call", "a.A", "who", "--filter", "(zone=z)"];
    assert_data_eq!(
        Tool::new(&server).args(args).run().await.bad(1),
        str!["rsctl: none of the 3 endpoints of a.A matches (zone=z)"]
    );
    let args = ["call", "a.A", "who", "--filter", "zone"];
    let refused = Tool::new(&server).args(args).run().await.bad(2);
    assert!(refused.contains("zone"), "{refused}");
}

/// A service of a.A whose announcement outlives it long enough.
async fn lasting(server: &Server, args: &[&str]) -> Exporter {
    let first = ["--interface", "a.A", "--set", "etcd.lease_ttl=600"];
    Exporter::start(server, &first, args).await
}

async fn killed(exporter: Exporter) -> String {
    signal(exporter.running.pid(), "KILL");
    // A signal ends it, so that there is no code.
    drop(exporter.running.end().await);
    exporter.endpoint
}

#[tokio::test]
async fn an_endpoint_that_is_dead_is_passed_over_unless_it_is_named() {
    let server = Server::embedded().await;
    let best = ["--echo", "--property", "service.ranking=9"];
    let dead = killed(lasting(&server, &best).await).await;
    let living = lasting(&server, &["--answer", "who=\"living\""]).await;
    let call = |target: &str| Tool::new(&server).args(["call", target, "who"]).run();
    let ran = call("a.A").await;
    assert_eq!(ran.stdout, "\"living\"\n");
    let id = &living.endpoint;
    assert_data_eq!(
        ran.stderr,
        format!(
            "calls endpoint {dead}, the best of 2; name another one by its id\n\
             endpoint {dead}: cannot reach http://127.0.0.1:[..]; calls the next one, endpoint {id}\n"
        )
    );
    let line = call(&dead).await.bad(3);
    let expected = format!("rsctl: who of endpoint {dead}: cannot reach http://127.0.0.1:");
    assert!(line.starts_with(&expected), "{line}");

    let id = killed(living).await;
    let ran = call("a.A").await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (3, ""));
    assert_data_eq!(
        ran.stderr.lines().last().unwrap().to_owned(),
        format!(
            "rsctl: who of a.A: none of its 2 endpoints got the call: \
             {dead}: cannot reach http://127.0.0.1:[..]; {id}: cannot reach http://127.0.0.1:[..]"
        )
    );
}

#[tokio::test]
async fn a_call_that_may_have_been_carried_out_is_not_made_again() {
    let server = Server::embedded().await;
    // It dies of the call: what it did before, nobody knows.
    let best = [
        "--exec",
        "kill -KILL $PPID",
        "--property",
        "service.ranking=9",
    ];
    let best = lasting(&server, &best).await;
    let living = lasting(&server, &["--answer", "who=1", "--show-calls"]).await;
    let ran = Tool::new(&server).args(["call", "a.A", "who"]).run().await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    let line = ran.stderr.lines().last().unwrap().to_owned();
    let expected = format!(
        "rsctl: who of endpoint {}: lost http://127.0.0.1:[..]",
        best.endpoint
    );
    assert_data_eq!(line, expected);
    let ran = living.running.stop("TERM").await;
    assert!(!ran.stdout.contains("\"called\""), "{}", ran.stdout);
}

#[tokio::test]
async fn an_endpoint_of_another_kind_is_passed_over() {
    let server = Server::embedded().await;
    let living = lasting(&server, &["--answer", "who=1"]).await;
    // Its id is before all others.
    let value = server.get(&living.key).await.unwrap().value_text();
    let other = value
        .replace(&living.endpoint, "+other")
        .replace("ecf.xmlrpc.server", "ecf.jaxrs.server");
    let (session, _) = living.key.rsplit_once('/').unwrap();
    server
        .etcdctl(&["put", "--", &format!("{session}/+other"), &other])
        .await;
    let ran = Tool::new(&server)
        .args(["call", "+other", "who"])
        .run()
        .await;
    let line = ran.bad(1);
    let expected = "rsctl: endpoint +other: cannot be called by rsctl: it is of ecf.jaxrs.server, \
                    and rsctl knows ecf.xmlrpc.server";
    assert_eq!(line, expected);
    let ran = Tool::new(&server).args(["call", "a.A", "who"]).run().await;
    let expected = format!("calls the next one, endpoint {}\n", living.endpoint);
    assert!(ran.stderr.ends_with(&expected), "{}", ran.stderr);
    assert_eq!(ran.good(), "1\n");
}

#[tokio::test]
async fn wrong_names_are_answered_with_those_that_are_there() {
    let server = Server::embedded().await;
    let args = ["--answer", "sayHello=1"];
    let _exporter = Exporter::start(&server, &["--interface", "org.example.IHello"], &args).await;
    assert_data_eq!(
        Tool::new(&server)
            .args(["call", "org.example.Hello", "sayHello"])
            .run()
            .await
            .bad(1),
        str!["rsctl: no endpoint or interface org.example.Hello: there is org.example.IHello"]
    );
    assert_data_eq!(
        Tool::new(&server)
            .args(["call", "org.example.IHello", "sayHelo"])
            .run()
            .await
            .bad(1),
        str![
            "rsctl: sayHelo of endpoint [..]: [..] has no method 'sayHelo'; it has sayHello; did you mean sayHello?"
        ]
    );
}

#[tokio::test]
async fn malformed_arguments_are_refused_before_anything_is_asked() {
    let port = ReservedPort::any();
    let call = |args: &[&str]| {
        let first = [
            "--endpoints",
            &format!("127.0.0.1:{}", port.number),
            "call",
            "a.A",
            "m",
        ];
        Tool::alone().args(first.iter().chain(args).copied()).run()
    };
    assert_data_eq!(
        call(&["1", "World"]).await.bad(2),
        str![[
            r#"rsctl: argument 2: World is no JSON (expected value at line 1 column 1): for a text write '"World"', with both quotes; with --string all arguments are texts"#
        ]]
    );
    let ran = call(&["--timeout", "3x"]).await;
    assert_eq!(ran.code(), 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("it is no time such as 500ms"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_told_with_its_address() {
    let port = ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    let ran = Tool::alone()
        .args(["--endpoints", &address, "call", "a.A", "m"])
        .run()
        .await;
    let line = ran.bad(3);
    assert!(line.contains(&address), "{line}");
}

#[tokio::test]
async fn a_service_that_is_dead_or_slow_is_not_reached() {
    let server = Server::embedded().await;
    let args = ["--exec", "sleep 600"];
    let exporter = Exporter::start(&server, &["--interface", "a.A"], &args).await;
    let args = ["call", "a.A", "m", "--timeout", "300ms"];
    let slow = Tool::new(&server).args(args).run().await.bad(3);
    assert!(
        slow.contains("within 300 ms") && slow.contains("--timeout"),
        "{slow}"
    );
    signal(exporter.running.pid(), "KILL");
    drop(exporter);
    let dead = Tool::new(&server)
        .args(["call", "a.A", "m"])
        .run()
        .await
        .bad(3);
    assert!(dead.contains("cannot reach http://127.0.0.1:"), "{dead}");
}

#[tokio::test]
async fn who_may_not_read_is_told_so() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    etcd.etcdctl(&["user", "add", "root:secret"]).await;
    etcd.etcdctl(&["user", "grant-role", "root", "root"]).await;
    etcd.etcdctl(&["user", "add", "ada:lovelace"]).await;
    etcd.etcdctl(&["auth", "enable"]).await;
    for user in ["ada:lovelace", "ada:wrong"] {
        let args = ["--user", user, "call", "a.A", "m"];
        let line = Tool::new(&etcd).args(args).run().await.bad(4);
        assert!(line.contains(&etcd.endpoint()), "{line}");
        assert!(
            !line.contains("lovelace") && !line.contains("wrong"),
            "{line}"
        );
    }
    for command in [
        &["export", "--interface", "a.A", "--echo"][..],
        &["import", "a.A"],
        &["shell"],
    ] {
        let args = ["--user", "ada:wrong"].iter().chain(command).copied();
        let ran = Tool::new(&etcd)
            .args(args)
            .args(["--connect-timeout", "2s"])
            .run()
            .await;
        assert_eq!(ran.code(), 4, "{}", ran.stderr);
        assert!(ran.stderr.contains(&etcd.endpoint()), "{}", ran.stderr);
        assert!(!ran.stderr.contains("wrong"), "{}", ran.stderr);
    }
    let args = ["--user", "root:secret", "call", "a.A", "m"];
    let line = Tool::new(&etcd).args(args).run().await.bad(1);
    assert!(line.contains("none is registered"), "{line}");
}
