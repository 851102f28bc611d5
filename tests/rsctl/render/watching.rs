//! A file that follows what is registered.

use osgi_remote::keyspace::{Client, ConnectOptions};

use super::{LINES, Place, register, unregister};
use crate::support::{Etcd, EtcdVersion, Server, Store, on_each_server};
use crate::tool::Running;

/// Starts to follow the services, with the file's first content.
async fn follow(place: &Place, server: &Store, args: &[&str]) -> Running {
    place.write("t", LINES);
    let mut watching = vec!["t", "--out", "out", "--watch"];
    if !args.contains(&"--wait") {
        watching.extend(["--wait", "50ms"]);
    }
    let running = place
        .tool(server, &watching)
        .args(args.iter().copied())
        .start();
    running.notes("out follows services from now on").await;
    running
}

/// Ends well, and gives what it wrote to stdout and to stderr.
async fn ends(running: Running, signal: &str) -> (String, String) {
    let ran = running.stop(signal).await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    (ran.stdout, ran.stderr)
}

async fn a_file_follows_the_registry(server: Server) {
    let place = Place::new();
    register(&server, "a", "web-1:80").await;
    let running = follow(&place, &server, &["--reload", "echo again >> reloads"]).await;
    place.becomes("out", "a web-1:80\n").await;
    register(&server, "b", "web-2:80").await;
    place.becomes("out", "a web-1:80\nb web-2:80\n").await;
    place.becomes("reloads", "again\nagain\n").await;
    // The same again is no change.
    register(&server, "b", "web-2:80").await;
    unregister(&server, "a").await;
    place.becomes("out", "b web-2:80\n").await;
    place.becomes("reloads", "again\nagain\nagain\n").await;
    let (out, _) = ends(running, "TERM").await;
    assert_eq!(
        out,
        "out: written, 11 bytes\nout: written, 22 bytes\nout: written, 11 bytes\n"
    );
    assert_eq!(
        place.read("reloads").lines().count(),
        3,
        "once for each change"
    );
    assert_eq!(place.names(), ["out", "reloads", "t"]);
}

async fn a_burst_gives_few_writes(server: Server) {
    let place = Place::new();
    register(&server, "a", "web:1").await;
    let running = follow(&place, &server, &["--wait", "2s", "--max-wait", "60s"]).await;
    place.becomes("out", "a web:1\n").await;
    let client = Client::new(ConnectOptions::parse(&server.endpoint()).unwrap()).unwrap();
    let mut expected = String::from("a web:1\n");
    for number in 100..300 {
        let key = format!("/r/service/web/n{number}");
        client
            .put(key, format!("web:{number}"), None)
            .await
            .unwrap();
        expected.push_str(&format!("n{number} web:{number}\n"));
    }
    place.becomes("out", &expected).await;
    let (out, _) = ends(running, "INT").await;
    let writes = out.lines().count();
    assert!((2..12).contains(&writes), "{writes} writes for 200 changes");
}

async fn what_fails_while_watching_is_tried_again(server: Server) {
    let place = Place::new();
    register(&server, "a", "web:1").await;
    let commands = [
        "--check",
        "! grep -q bad {}",
        "--reload",
        "test -f there && echo done >> reloads",
    ];
    let running = follow(&place, &server, &commands).await;
    running
        .notes("--reload failed: it ended with exit status: 1; it is tried again in ")
        .await;
    place.becomes("out", "a web:1\n").await;
    place.write("there", "");
    place.becomes("reloads", "done\n").await;
    register(&server, "bad", "web:2").await;
    running
        .notes("out is not replaced: --check `! grep -q bad {}`")
        .await;
    assert_eq!(place.read("out"), "a web:1\n");
    register(&server, "c", "web:3").await;
    unregister(&server, "bad").await;
    place.becomes("out", "a web:1\nc web:3\n").await;
    place.becomes("reloads", "done\ndone\n").await;
    ends(running, "TERM").await;
}

async fn the_last_one_that_goes_stays_in_the_file(server: Server) {
    let place = Place::new();
    register(&server, "a", "web:1").await;
    let running = follow(&place, &server, &["--hold", "100ms"]).await;
    place.becomes("out", "a web:1\n").await;
    unregister(&server, "a").await;
    running
        .notes("services: HELD: 1 vanished, nothing is left of them: they are kept until")
        .await;
    register(&server, "b", "web:2").await;
    running
        .notes("services: 1 that were kept are gone indeed")
        .await;
    place.becomes("out", "b web:2\n").await;
    let (out, _) = ends(running, "TERM").await;
    assert!(!out.contains(" 0 bytes"), "{out}");
    // Where it is allowed it is written, after the hold.
    let running = follow(&place, &server, &["--hold", "100ms", "--allow-empty"]).await;
    unregister(&server, "b").await;
    place.becomes("out", "").await;
    ends(running, "TERM").await;
}

#[tokio::test]
async fn a_restart_of_etcd_is_survived_and_told() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let place = Place::new();
    register(&etcd, "a", "web:1").await;
    register(&etcd, "b", "web:2").await;
    let running = follow(&place, &etcd, &["--hold", "10m"]).await;
    place.becomes("out", "a web:1\nb web:2\n").await;
    etcd.kill9();
    running
        .notes("services: the connection to etcd is lost, and what was read is kept")
        .await;
    assert_eq!(place.read("out"), "a web:1\nb web:2\n");
    etcd.restart().await;
    running
        .notes("services: connected to etcd at 127.0.0.1:")
        .await;
    register(&etcd, "c", "web:3").await;
    place.becomes("out", "a web:1\nb web:2\nc web:3\n").await;
    // It may be an accident so soon after an outage: it is kept.
    unregister(&etcd, "a").await;
    running
        .notes("HELD: 1 vanished, soon after trouble with etcd")
        .await;
    let (out, _) = ends(running, "TERM").await;
    assert_eq!(out.lines().count(), 2, "{out}");
    assert_eq!(place.read("out"), "a web:1\nb web:2\nc web:3\n");
}

#[tokio::test]
async fn a_wiped_etcd_empties_no_file() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let place = Place::new();
    for name in ["a", "b", "c"] {
        register(&etcd, name, "web:1").await;
    }
    let running = follow(&place, &etcd, &["--hold", "1s"]).await;
    let all = "a web:1\nb web:1\nc web:1\n";
    place.becomes("out", all).await;
    etcd.wipe();
    etcd.restart().await;
    running
        .notes("services: etcd's history is another than before")
        .await;
    running
        .notes("services: HELD: 3 vanished, nothing is left of them")
        .await;
    assert_eq!(place.read("out"), all);
    register(&etcd, "b", "web:9").await;
    running
        .notes("services: 2 that were kept are gone indeed")
        .await;
    place.becomes("out", "b web:9\n").await;
    let (out, _) = ends(running, "TERM").await;
    assert!(!out.contains(" 0 bytes"), "{out}");
}

#[tokio::test]
async fn a_watch_waits_for_an_etcd_that_is_away_and_ends_well() {
    let mut etcd = Etcd::start(EtcdVersion::V3_4).await;
    register(&etcd, "a", "web:1").await;
    etcd.stop().await;
    let place = Place::new();
    place.write("t", LINES);
    let start = || {
        place
            .tool(
                &etcd,
                &["t", "--out", "out", "--watch", "--dial-timeout", "1s"],
            )
            .start()
    };
    let (first, second) = (start(), start());
    first
        .notes("services: waiting for etcd: etcd at 127.0.0.1:")
        .await;
    second.notes("services: waiting for etcd: ").await;
    let (out, _) = ends(first, "INT").await;
    assert_eq!(out, "");
    etcd.restart().await;
    place.becomes("out", "a web:1\n").await;
    ends(second, "TERM").await;
}

on_each_server!([embedded, etcd_3_5](
    a_file_follows_the_registry,
    a_burst_gives_few_writes,
    what_fails_while_watching_is_tried_again,
    the_last_one_that_goes_stays_in_the_file,
));
