//! The ready templates, from data to text.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use snapbox::{assert_data_eq, str};

use super::*;
use crate::data::{Data, Group, Node, Service};

fn service(kind: &str, name: &str, location: &str) -> Service {
    let place = data::address::split(location);
    Service {
        kind: kind.to_owned(),
        name: name.to_owned(),
        location: location.to_owned(),
        host: place.as_ref().map(|place| place.host.clone()),
        port: place.as_ref().map(|place| place.port),
        address: place.map(|place| place.joined()),
    }
}

fn services() -> Snapshot {
    let list = vec![
        service("Web", "a", "http://10.0.0.1"),
        service("db", "main", "postgres://u:p@[::1]:5432/x"),
        service("db", "odd one\n    server evil 6.6.6.6:1", "db-2:5432"),
        service("db", "unreachable", "somewhere\nserver evil 6.6.6.6:1"),
        service("nothing usable", "x", "/path"),
        service("web", "a", "web-1:80"),
    ];
    Snapshot(BTreeMap::from([(
        "services".to_owned(),
        Data::Services(list),
    )]))
}

fn groups() -> Snapshot {
    let node = |id: &str, labels: &[(&str, &str)]| Node {
        id: id.to_owned(),
        group: "web".to_owned(),
        exporter_type: "node_exporter".to_owned(),
        host: id.to_owned(),
        port: Some(9100),
        address: Some(format!("{id}:9100")),
        metrics_path: "/metrics".to_owned(),
        labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        status: "healthy".to_owned(),
    };
    let group = Group {
        name: "web".to_owned(),
        labels: BTreeMap::new(),
        nodes: vec![node("n1", &[("env", "prod 1")]), node("n2", &[])],
    };
    Snapshot(BTreeMap::from([(
        "groups".to_owned(),
        Data::Groups(vec![group]),
    )]))
}

fn render(name: &str, data: &Snapshot, vars: &[(&str, &str)]) -> String {
    let template = Template::read(name, &BTreeSet::new()).unwrap();
    let asked: Vec<&String> = template.asked().iter().collect();
    assert_eq!(asked, data.0.keys().collect::<Vec<_>>());
    let vars = vars
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    template.render(data, &vars).unwrap()
}

#[test]
fn haproxy_gets_a_backend_for_each_type() {
    assert_data_eq!(
        render("haproxy", &services(), &[]),
        str![[r##"
# Written by rsctl from the services in etcd. What is changed here is lost.

backend Web
    balance roundrobin
    default-server init-addr last,libc,none
    server a 10.0.0.1:80 check

backend db
    balance roundrobin
    default-server init-addr last,libc,none
    server main [::1]:5432 check
    server odd_one_____server_evil_6.6.6.6_1-d14a3bac db-2:5432 check
    # left out, since its location has no host and port: "unreachable"

backend nothing_usable-468c28ca
    balance roundrobin
    default-server init-addr last,libc,none
    # left out, since its location has no host and port: "x"

backend web
    balance roundrobin
    default-server init-addr last,libc,none
    server a web-1:80 check

"##]]
    );
}

#[test]
fn nginx_gets_an_upstream_for_each_type_with_servers() {
    assert_data_eq!(
        render("nginx", &services(), &[("server", "max_fails=3")]),
        str![[r#"
# Written by rsctl from the services in etcd. What is changed here is lost.

upstream web-72645431 {
    server 10.0.0.1:80 max_fails=3; # a
}

upstream db {
    server [::1]:5432 max_fails=3; # main
    server db-2:5432 max_fails=3; # odd_one_____server_evil_6.6.6.6_1-d14a3bac
}

upstream web {
    server web-1:80 max_fails=3; # a
}

"#]]
    );
}

#[test]
fn prometheus_gets_the_nodes_of_all_groups() {
    assert_data_eq!(
        render("prometheus", &groups(), &[]),
        str![[r#"
[
  {
    "targets": [
      "n1:9100"
    ],
    "labels": {
      "__meta_osgi_exporter_type": "node_exporter",
      "__meta_osgi_group": "web",
      "__meta_osgi_label_env": "prod 1",
      "__meta_osgi_node_id": "n1",
      "__meta_osgi_node_status": "healthy",
      "__meta_osgi_source": "groups",
      "__metrics_path__": "/metrics",
      "env": "prod 1"
    }
  },
  {
    "targets": [
      "n2:9100"
    ],
    "labels": {
      "__meta_osgi_exporter_type": "node_exporter",
      "__meta_osgi_group": "web",
      "__meta_osgi_node_id": "n2",
      "__meta_osgi_node_status": "healthy",
      "__meta_osgi_source": "groups",
      "__metrics_path__": "/metrics"
    }
  }
]

"#]]
    );
}

/// What `file_sd_configs` takes: a list of objects with `targets`, texts, and `labels`, texts by
/// names that are labels'.
#[test]
fn prometheus_can_read_what_is_written_for_it() {
    let list: serde_json::Value =
        serde_json::from_str(&render("prometheus", &groups(), &[])).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    for entry in list {
        let entry = entry.as_object().unwrap();
        assert_eq!(entry.keys().collect::<Vec<_>>(), ["labels", "targets"]);
        assert!(
            entry["targets"]
                .as_array()
                .unwrap()
                .iter()
                .all(serde_json::Value::is_string)
        );
        for (name, value) in entry["labels"].as_object().unwrap() {
            assert!(value.is_string(), "{name}");
            assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
                "{name}"
            );
        }
    }
}

#[test]
fn ready_templates_are_good_without_any_data() {
    let empty = |name: &str, data| Snapshot(BTreeMap::from([(name.to_owned(), data)]));
    let services = empty("services", Data::Services(Vec::new()));
    let comment = "# Written by rsctl from the services in etcd. What is changed here is lost.\n";
    assert_eq!(render("haproxy", &services, &[]), comment);
    assert_eq!(render("nginx", &services, &[]), comment);
    let groups = empty("groups", Data::Groups(Vec::new()));
    assert_eq!(render("prometheus", &groups, &[]), "[]\n");
}

#[derive(Debug, Parser)]
struct Only {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("render").chain(line.split(' '));
    Only::try_parse_from(words)
        .map(|only| only.args)
        .map_err(|error| error.to_string())
}

#[test]
fn options_are_read_with_their_units() {
    let args = parse("t --out f --watch --wait 1s500ms --hold 2m --allow-empty=a,b").unwrap();
    assert_eq!(
        (args.wait, args.hold),
        (Duration::from_millis(1500), Duration::from_secs(120))
    );
    assert_eq!(args.allow_empty, ["a", "b"]);
    let args = parse("--allow-empty t").unwrap();
    assert_eq!(
        (args.template.as_deref(), args.allow_empty),
        (Some("t"), vec!["*".to_owned()])
    );
    assert_eq!(args.wait, Duration::from_millis(200));
}

#[test]
fn options_that_cannot_be_are_told() {
    for (line, expected) in [
        ("t --watch", "--out <FILE>"),
        ("t --check true", "--out <FILE>"),
        ("t --wait 5x", "it is no time such as"),
        ("t --wait=-5s", "it is no time such as"),
        ("t --prefix a", "write NAME=VALUE"),
        ("t --prefix groups=x", "`groups` is taken"),
        ("t --prefix a=", "the prefix is empty"),
        ("t --set 1=2", "`1` is no name"),
        ("--list-templates t", "cannot be used"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
}
