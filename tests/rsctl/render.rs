//! `rsctl render`.

use std::fs;
use std::path::Path;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{ServiceInfo, encode};
use osgi_remote::keyspace::{Client, ConnectOptions};
use osgi_remote::props;
use snapbox::{assert_data_eq, str};
use tempfile::TempDir;

use crate::support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use crate::tool::{Running, SOON, Tool};

const TOP: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";

/// A folder for templates and files, in which the tool runs.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The files, also those that begin with a dot.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn tool(&self, server: &Store, args: &[&str]) -> Tool {
        Tool::new(server)
            .folder(self.folder.path())
            .args(["render", "--tree-root", "/r"])
            .args(args.iter().copied())
    }

    async fn becomes(&self, name: &str, expected: &str) {
        let path = self.folder.path().join(name);
        holds(&path, expected).await;
    }
}

async fn holds(path: &Path, expected: &str) {
    let what = format!("{} to hold {expected:?}", path.display());
    eventually(SOON, &what, async || {
        let text = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
        if text == expected { Ok(()) } else { Err(text) }
    })
    .await;
}

async fn register(server: &Store, name: &str, location: &str) {
    server
        .etcdctl(&["put", &format!("/r/service/web/{name}"), location])
        .await;
}

async fn unregister(server: &Store, name: &str) {
    server
        .etcdctl(&["del", &format!("/r/service/web/{name}")])
        .await;
}

/// One line for each service.
const LINES: &str = "{% for s in services %}\n{{ s.name }} {{ s.address }}\n{% endfor %}\n";

async fn a_ready_template_is_written_once(server: Server) {
    let place = Place::new();
    register(&server, "a", "http://10.0.0.1").await;
    register(&server, "b", "web-2:8080").await;
    let args = ["haproxy", "--out", "haproxy.cfg"];
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(ran.good(), "haproxy.cfg: written, 181 bytes\n");
    assert_data_eq!(
        place.read("haproxy.cfg"),
        str![[r#"
# Written by rsctl from the services in etcd. What is changed here is lost.

backend web
    balance roundrobin
    server a 10.0.0.1:80 check
    server b web-2:8080 check

"#]]
    );
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(ran.good(), "haproxy.cfg: unchanged\n");
    unregister(&server, "b").await;
    let ran = place
        .tool(&server, &args)
        .args(["--output", "json"])
        .run()
        .await;
    assert_data_eq!(
        ran.good(),
        str![[r#"
{
  "file": "haproxy.cfg",
  "result": "written",
  "bytes": 151
}

"#]]
    );
    assert_eq!(place.names(), ["haproxy.cfg"], "nothing else is left");
}

async fn all_data_can_be_in_one_template(server: Server) {
    let place = Place::new();
    register(&server, "a", "web-1:80").await;
    for (key, value) in [
        ("/r/switch/fast", "Yes"),
        ("/r/switch/level", "7"),
        ("conf/a/b", "1"),
        ("conf/a/c", "{\"x\": [1, 2]}"),
        (
            "/services/web",
            r#"{"name":"web","spec":{"password":"secret","common_labels":{"env":"prod"}}}"#,
        ),
        (
            "/services/web/nodes/n1_node",
            r#"{"id":"n1","exporter_type":"node","port":9100,"metrics_path":"/m","labels":{"a":"b"},"status":"healthy","last_seen":"2026-01-01T00:00:00Z"}"#,
        ),
    ] {
        server.etcdctl(&["put", "--", key, value]).await;
    }
    let description = EndpointDescription::new(props! {
        "objectClass" => ["org.example.Hello"], "endpoint.id" => "e-1",
        "service.imported.configs" => ["ecf.xmlrpc.server"], "endpoint.service.id" => 1_i64,
        "endpoint.framework.uuid" => "f-1", "ecf.endpoint.id" => "http://10.0.0.9:8080/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc", "ecf.rsvc.id" => 1_i64,
        "ecf.endpoint.ts" => 1_i64, "weight" => 3_i32,
    });
    let value = encode(&ServiceInfo::new(description.unwrap()), "localhost").unwrap();
    let session = "4469111c-91c2-4dba-b64f-750d14243fda";
    server
        .etcdctl(&["put", &format!("{TOP}/{session}"), session])
        .await;
    server
        .etcdctl(&["put", &format!("{TOP}/{session}/e-1"), &value])
        .await;
    server
        .etcdctl(&["put", &format!("{TOP}/rubbish"), "x"])
        .await;
    place.write(
        "all.j2",
        "{% for e in endpoints %}\n\
         {{ e.id }} {{ e.interfaces | join(',') }} {{ e.address }} {{ e.session }} \
         {{ e.properties.weight }} {{ e.properties['endpoint.framework.uuid'] }}\n\
         {% endfor %}\n\
         {% for s in switches %}\n{{ s.name }}={{ s.value }} {{ s.boolean | json }}\n{% endfor %}\n\
         {% for g in groups %}{% for n in g.nodes %}\n\
         {{ n.address }}{{ n.metrics_path }} {{ n.labels | json }}\n\
         {% endfor %}{% endfor %}\n\
         {{ conf.tree.a.b }} {{ (conf.tree.a.c | fromjson).x | last }} \
         {{ conf.list | map(attribute='name') | join(' ') }}\n\
         {{ services | length }} {{ vars.who }}\n",
    );
    let args = ["all.j2", "--prefix", "conf=conf/", "--set", "who=ada"];
    let ran = place.tool(&server, &args).run().await;
    assert_data_eq!(
        ran.stderr.clone(),
        str![[r#"
endpoints: key `org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/rubbish` is left out: [..]

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
e-1 org.example.Hello 10.0.0.9:8080 4469111c-91c2-4dba-b64f-750d14243fda 3 f-1
fast=Yes true
level=7 null
n1:9100/m {"a":"b","env":"prod"}
1 2 a/b a/c
1 ada

"#]]
    );
}

async fn a_dry_run_shows_what_would_change(server: Server) {
    let place = Place::new();
    place.write("t", LINES);
    place.write("out", "a old\n");
    register(&server, "a", "web-1:80").await;
    let args = ["t", "--out", "out", "--dry-run"];
    let ran = place.tool(&server, &args).run().await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (1, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
--- out
+++ out (new)
@@ -1 +1 @@
-a old
+a web-1:80

"#]]
    );
    assert_eq!(place.read("out"), "a old\n");
    place.write("out", "a web-1:80\n");
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(ran.good(), "out: unchanged\n");
}

async fn an_empty_source_empties_no_file(server: Server) {
    let place = Place::new();
    place.write("t", LINES);
    place.write("out", "a web-1:80\n");
    let args = ["t", "--out", "out"];
    assert_data_eq!(
        place.tool(&server, &args).run().await.bad(1),
        str![[
            r#"rsctl: HELD: out is not replaced: there are no services in etcd, and they may have been lost; if that is right, say --allow-empty=services"#
        ]]
    );
    assert_eq!(place.read("out"), "a web-1:80\n");
    let ran = place
        .tool(&server, &args)
        .args(["--allow-empty=services"])
        .run()
        .await;
    assert_eq!(ran.good(), "out: written, 0 bytes\n");
}

async fn a_failing_check_keeps_the_old_file(server: Server) {
    let place = Place::new();
    place.write("t", LINES);
    place.write("out", "old\n");
    register(&server, "a", "web-1:80").await;
    let args = [
        "t",
        "--out",
        "out",
        "--check",
        "echo not good; test -f {} && false",
    ];
    assert_data_eq!(
        place.tool(&server, &args).run().await.bad(1),
        str![[
            r#"rsctl: out is not replaced: --check `echo not good; test -f {} && false`: it ended with exit status: 1: not good"#
        ]]
    );
    assert_eq!(
        (place.read("out").as_str(), place.names()),
        ("old\n", vec!["out".to_owned(), "t".to_owned()])
    );
    // One that passes, and a reload that fails: the file stays replaced, and the code tells.
    let args = [
        "t",
        "--out",
        "out",
        "--check",
        "grep -q web \"$FILE\"",
        "--reload",
        "echo no; exit 7",
    ];
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(
        (ran.code(), ran.stdout.as_str()),
        (5, "out: written, 11 bytes\n")
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
rsctl: out is written, but --reload failed: it ended with exit status: 7: no

"#]]
    );
}

#[tokio::test]
async fn ready_templates_are_listed_and_printed() {
    let ran = Tool::alone()
        .args(["render", "--list-templates"])
        .run()
        .await;
    assert_data_eq!(
        ran.good(),
        str![[r#"
NAME        ABOUT
haproxy     a backend for each type of service (services)
nginx       an upstream for each type of service (services)
prometheus  the nodes of all groups for file_sd_configs (groups)

"#]]
    );
    let ran = Tool::alone()
        .args(["render", "--print-template", "nginx"])
        .run()
        .await;
    assert!(ran.good().contains("upstream {{ group.grouper | slug }} {"));
    let ran = Tool::alone()
        .args(["render", "--print-template", "apache"])
        .run()
        .await;
    assert_data_eq!(
        ran.bad(2),
        str!["rsctl: there is no ready template `apache`; there are haproxy, nginx, prometheus"]
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_told_in_one_line() {
    let place = Place::new();
    place.write("t", LINES);
    place.write("typo", "a\n {{ servics }}\n");
    place.write("bad", "{% for %}\n");
    place.write("plain", "1\n");
    place.write("undefined", "{{ vars.a.b }}");
    let nowhere = |args: &[&str]| {
        Tool::alone()
            .folder(place.folder.path())
            .args(["--endpoints", "127.0.0.1:1", "render"])
            .args(args.iter().copied())
    };
    for (args, code, expected) in [
        (
            vec!["nothing.j2"],
            2,
            "the template nothing.j2 cannot be read: [..]; it is a path, or one of haproxy, nginx, prometheus",
        ),
        (
            vec!["./haproxy"],
            2,
            "the template ./haproxy cannot be read: [..]",
        ),
        (
            vec!["typo"],
            2,
            "typo:2:5: there is no `servics`: the data are endpoints, groups, services, switches, vars; --prefix servics=PREFIX adds the keys below a prefix",
        ),
        (vec!["bad"], 2, "bad:1:[..]: syntax error: [..]"),
        (
            vec!["undefined"],
            2,
            "undefined:1:[..]: undefined value[..]",
        ),
        (
            vec!["t"],
            2,
            "the key below which services and switches are is missing: give --tree-root[..]",
        ),
        (
            vec!["prometheus", "--base", "/"],
            2,
            "--base: it names no key; /services is one",
        ),
        (
            vec!["t", "--tree-root", "/r", "--out", "none/out"],
            2,
            "--out none/out: there is no folder [..]/none; create it first",
        ),
        (
            vec!["t", "--tree-root", "/r", "--out", "."],
            2,
            "--out .: it is no regular file",
        ),
        (
            vec!["t", "--tree-root", "/r", "--allow-empty=service"],
            2,
            "--allow-empty: `service` is no source; these are: endpoints, groups, services, switches",
        ),
        (
            vec!["plain", "--out", "out", "--watch"],
            2,
            "--watch: the template names no data, so that nothing can change",
        ),
        (
            vec!["t", "--tree-root", "/r"],
            3,
            "services: etcd at 127.0.0.1:1 cannot be reached [..]",
        ),
    ] {
        let line = nowhere(&args).run().await.bad(code);
        assert_data_eq!(line, format!("rsctl: {expected}"));
    }
    // Nothing is read for a template that asks for nothing.
    assert_eq!(nowhere(&["plain"]).run().await.good(), "1\n");
    let ran = nowhere(&["-", "--set", "a=b"])
        .input("{{ vars.a }}\n")
        .run()
        .await;
    assert_eq!(ran.good(), "b\n");
}

#[tokio::test]
async fn rights_are_needed_only_for_what_a_template_names() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let place = Place::new();
    register(&etcd, "a", "web-1:80").await;
    for args in [
        vec!["user", "add", "root:r"],
        vec!["role", "add", "root"],
        vec!["user", "grant-role", "root", "root"],
        vec!["user", "add", "ada:pass"],
        vec!["role", "add", "reader"],
        vec![
            "role",
            "grant-permission",
            "reader",
            "read",
            "/r/service/",
            "/r/service0",
        ],
        vec!["user", "grant-role", "ada", "reader"],
        vec!["auth", "enable"],
    ] {
        etcd.etcdctl(&args).await;
    }
    etcd.etcdctl_as("root:r");
    let user = ["--user", "ada:pass"];
    let ran = place
        .tool(&etcd, &["nginx", "--out", "nginx.conf"])
        .args(user)
        .run()
        .await;
    assert!(ran.good().starts_with("nginx.conf: written"));
    for args in [
        vec!["prometheus"],
        vec!["prometheus", "--out", "p.json", "--watch"],
    ] {
        let line = place.tool(&etcd, &args).args(user).run().await;
        let line = line.stderr.lines().last().unwrap_or_default().to_owned();
        assert_data_eq!(
            line,
            str![
                "rsctl: groups: etcd at [..] denies user `ada` to read `/services/` up to `/services0`: [..]"
            ]
        );
    }
    let ran = place.tool(&etcd, &["prometheus"]).args(user).run().await;
    ran.bad(4);
    let ran = place.tool(&etcd, &["prometheus", "--out", "p.json", "--watch"]);
    assert_eq!(ran.args(user).run().await.code(), 4);
    let ran = place
        .tool(&etcd, &["nginx"])
        .args(["--user", "ada:wrong"])
        .run()
        .await;
    ran.bad(4);
}

/// Starts to follow the services, with the file's first content.
async fn follow(place: &Place, server: &Store, args: &[&str]) -> Running {
    place.write("t", LINES);
    let watching = ["t", "--out", "out", "--watch", "--wait", "50ms"];
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

on_each_server!([embedded, etcd_3_5](
    a_ready_template_is_written_once,
    all_data_can_be_in_one_template,
    a_dry_run_shows_what_would_change,
    an_empty_source_empties_no_file,
    a_failing_check_keeps_the_old_file,
    a_file_follows_the_registry,
    a_burst_gives_few_writes,
    what_fails_while_watching_is_tried_again,
    the_last_one_that_goes_stays_in_the_file,
));

#[tokio::test]
async fn a_restart_of_etcd_is_survived_and_told() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let place = Place::new();
    register(&etcd, "a", "web:1").await;
    register(&etcd, "b", "web:2").await;
    let running = follow(&place, &etcd, &[]).await;
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
