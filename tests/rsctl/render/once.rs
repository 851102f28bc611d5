//! One rendering.

use std::os::unix::fs::PermissionsExt as _;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{ServiceInfo, encode};
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use super::{LINES, Place, register, unregister};
use crate::support::{Etcd, EtcdVersion, Server, on_each_server};
use crate::tool::Tool;

const TOP: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";

async fn a_ready_template_is_written_once(server: Server) {
    let place = Place::new();
    register(&server, "a", "http://10.0.0.1").await;
    register(&server, "b", "web-2:8080").await;
    let args = ["haproxy", "--out", "haproxy.cfg"];
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(ran.good(), "haproxy.cfg: written, 217 bytes\n");
    assert_data_eq!(
        place.read("haproxy.cfg"),
        str![[r#"
# Written by rsctl from the services in etcd. What is changed here is lost.

backend web
    balance roundrobin
    default-server init-addr last,libc,none
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
  "bytes": 187
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

#[tokio::test]
async fn credentials_of_groups_are_written_only_if_asked_for_and_then_for_the_owner_alone() {
    let server = Server::etcd_3_5().await;
    let place = Place::new();
    let group = r#"{"name":"web","spec":{"username":"ada","password":"s3cret"}}"#;
    server.etcdctl(&["put", "/services/web", group]).await;
    place.write("t", "{% for one in g.list %}{{ one.value }}{% endfor %}");
    let args = ["t", "--prefix", "g=/services/"];
    let hidden = r#"{"name":"web","spec":{"username":"hidden","password":"hidden"}}"#;
    let ran = place.tool(&server, &args).run().await;
    assert_eq!(ran.good(), hidden);
    let out = place
        .tool(&server, &args)
        .args(["--out", "out", "--show-credentials"]);
    out.run().await.good();
    assert_eq!(place.read("out"), group);
    let mode = std::fs::metadata(place.folder.path().join("out"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
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
    let list = Tool::alone()
        .args(["render", "--list-templates", "--output", "json"])
        .run()
        .await
        .json();
    assert_eq!(list[2]["name"], "prometheus");
    let ran = Tool::alone()
        .args(["render", "--print-template", "nginx"])
        .run()
        .await;
    assert!(
        ran.good()
            .contains("upstream {{ group.grouper | slug(lower=true) }} {")
    );
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
            "`/` is no place for groups: it names no key; the whole key space is no place for groups; write a key such as /services",
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
    let serving = ["prometheus-sd", "--listen", "127.0.0.1:0"];
    let ran = Tool::new(&etcd).args(serving).args(user).run().await;
    assert_eq!(ran.code(), 4, "{}", ran.stderr);
    let line = ran.stderr.lines().last().unwrap_or_default();
    assert!(line.starts_with("rsctl: groups: etcd at "), "{line}");
}

on_each_server!([embedded, etcd_3_5](
    a_ready_template_is_written_once,
    all_data_can_be_in_one_template,
    a_dry_run_shows_what_would_change,
    an_empty_source_empties_no_file,
    a_failing_check_keeps_the_old_file,
));
