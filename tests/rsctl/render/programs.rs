//! The ready templates, read by the programs that they are made for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::Place;
use crate::support::process::dying_with_us;
use crate::support::{Server, Store};

/// Types, names and locations as people write them, and worse.
const SERVICES: [(&str, &str, &str); 27] = [
    ("web", "a", "http://10.0.0.1"),
    ("web", "b", "10.0.0.2:8080"),
    ("web", "v6", "[2001:db8::7]:8080"),
    ("web", "v6-url", "https://[::1]"),
    ("web", "mapped", "http://[::ffff:10.0.0.3]:81/x?y#z"),
    ("web", "user", "https://ada:secret@10.0.0.4/x"),
    ("web", "a b", "10.0.0.5:1"),
    ("web", "a-b", "10.0.0.5:2"),
    ("web", "A", "10.0.0.6:1"),
    ("web", "{x}; include /etc/passwd; #", "10.0.0.7:1"),
    ("web", "\"quotes' $HOME \\", "10.0.0.8:1"),
    ("web", "Zürich 東京 🦀", "10.0.0.9:1"),
    ("web", "line\nserver evil 6.6.6.6:6", "10.0.0.10:1"),
    ("web", "tab\there", "10.0.0.11:1"),
    ("web", "no-port", "10.0.0.12"),
    ("web", "nowhere", ""),
    ("web", "comment", "a # b\nserver evil 6.6.6.6:6"),
    ("web", "odd-location", "10.0.0.13;}:80"),
    // The same type for those who ignore case, which nginx does.
    ("Web", "a", "10.0.1.1:1"),
    ("WEB", "a", "10.0.1.2:1"),
    ("two words", "a", "10.0.2.1:1"),
    ("two_words", "a", "10.0.2.2:1"),
    ("{type};", "a", "10.0.2.3:1"),
    ("Straße\u{7f}", "a", "10.0.2.4:1"),
    ("-", "--", "10.0.2.5:1"),
    ("9", "9", "10.0.2.6:1"),
    ("without an address", "a", "nowhere"),
];

async fn put(server: &Store, services: &[(&str, &str, &str)]) {
    for (kind, name, location) in services {
        let key = format!("/r/service/{kind}/{name}");
        server.etcdctl(&["put", "--", &key, location]).await;
    }
}

/// A program of the system, which is often not in the PATH of others than root.
fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:/usr/local/sbin:/usr/sbin:/sbin");
    let mut folders = path.split(':').map(|folder| Path::new(folder).join(name));
    let found = folders.find(|path| path.is_file());
    let found = found.unwrap_or_else(|| panic!("there is no {name}: run make setup-tests"));
    dying_with_us(found)
}

/// What a program said, if all was well.
fn good(output: &Output, config: &str) -> String {
    let out = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    let said = out.concat();
    assert!(
        output.status.success(),
        "{}: {said}\n{config}",
        output.status
    );
    said
}

impl Place {
    /// Renders a ready template into a file.
    async fn render(&self, server: &Store, template: &str, more: &[&str]) -> String {
        let file = format!("{template}.out");
        let args = [template, "--out", &file, "--allow-empty=services,groups"];
        let ran = self.tool(server, &args).args(more.iter().copied());
        ran.run().await.good();
        self.read(&file)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What HAProxy says of its file, if it takes it.
    fn haproxy_reads(&self, backend: Option<&str>) -> String {
        let backend = backend.map(|name| format!("    default_backend {name}\n"));
        let own = format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    \
             timeout server 5s\nfrontend all\n    bind unix@{}\n{}",
            self.path("socket"),
            backend.unwrap_or_default()
        );
        self.write("own.cfg", &own);
        let files = ["own.cfg", "haproxy.out"].map(|name| self.path(name));
        let mut haproxy = program("haproxy");
        let output = haproxy
            .args(["-c", "-f", &files[0], "-f", &files[1]])
            .output();
        let output = output.unwrap();
        good(&output, &self.read("haproxy.out"))
    }

    fn nginx_reads(&self, upstream: Option<&str>) {
        let server = upstream.map(|name| {
            let socket = self.path("socket");
            format!("server {{ listen unix:{socket}; location / {{ proxy_pass http://{name}; }} }}")
        });
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};\n", self.path(what)));
        let own = format!(
            "daemon off;\npid {};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
             {}include {};\n{}\n}}\n",
            self.path("pid"),
            temporary.concat(),
            self.path("nginx.out"),
            server.unwrap_or_default()
        );
        self.write("own.conf", &own);
        let mut nginx = program("nginx");
        nginx.args([
            "-t",
            "-e",
            "stderr",
            "-p",
            &self.path(""),
            "-c",
            &self.path("own.conf"),
        ]);
        let output = nginx.output().unwrap();
        let said = good(&output, &self.read("nginx.out"));
        assert!(!said.contains("[warn]"), "{said}");
    }
}

#[tokio::test]
async fn haproxy_reads_its_template_whatever_services_are_called() {
    let server = Server::embedded().await;
    let place = Place::new();
    let text = place.render(&server, "haproxy", &[]).await;
    assert!(!text.contains("backend"), "{text}");
    let quiet = |said: String| assert!(!said.contains("[WARNING]"), "{said}");
    quiet(place.haproxy_reads(None));
    put(&server, &SERVICES).await;
    let text = place.render(&server, "haproxy", &[]).await;
    assert!(
        text.contains("    server v6 [2001:db8::7]:8080 check\n"),
        "{text}"
    );
    assert!(!text.contains("\nserver evil"), "{text}");
    quiet(place.haproxy_reads(Some("web")));
    let more = [
        "--set",
        "balance=leastconn",
        "--set",
        "server=check inter 5s weight 10",
    ];
    let text = place.render(&server, "haproxy", &more).await;
    assert!(text.contains("balance leastconn\n"), "{text}");
    quiet(place.haproxy_reads(Some("web")));
    // No resolver is asked for a label of more than 63 letters.
    let unknown = format!("{}:80", "x".repeat(64));
    put(&server, &[("web", "unknown", &unknown)]).await;
    place.render(&server, "haproxy", &[]).await;
    let said = place.haproxy_reads(Some("web"));
    assert!(said.contains("could not resolve address"), "{said}");
}

#[tokio::test]
async fn nginx_reads_its_template_whatever_services_are_called() {
    let server = Server::embedded().await;
    let place = Place::new();
    let text = place.render(&server, "nginx", &[]).await;
    assert!(!text.contains("upstream"), "{text}");
    place.nginx_reads(None);
    put(&server, &SERVICES).await;
    let text = place.render(&server, "nginx", &[]).await;
    assert!(
        text.contains("    server [2001:db8::7]:8080; # v6\n"),
        "{text}"
    );
    assert!(!text.contains("\nserver evil"), "{text}");
    place.nginx_reads(Some("web"));
    let more = ["--set", "server=max_fails=3 fail_timeout=5s"];
    let text = place.render(&server, "nginx", &more).await;
    assert!(
        text.contains("server 10.0.0.2:8080 max_fails=3 fail_timeout=5s; # b\n"),
        "{text}"
    );
    place.nginx_reads(Some("web"));
}

/// The form that Prometheus' documentation gives for file_sd_configs; its reader refuses other
/// members.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

#[tokio::test]
async fn prometheus_gets_its_documented_form_whatever_nodes_are_called() {
    let server = Server::embedded().await;
    let place = Place::new();
    let read = |text: String| -> Vec<Group> {
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let groups = read(place.render(&server, "prometheus", &[]).await);
    assert!(groups.is_empty(), "{groups:?}");
    let labels =
        json!({"env": "a\"b\nc", "9 lives": "x", "Straße": "ü", "__address__": "evil:1", "": "y"});
    server
        .etcdctl(&["put", "/services/web", r#"{"name":"web","spec":{}}"#])
        .await;
    for (id, port) in [
        ("10.0.0.1", 1),
        ("2001:db8::7", 65535),
        ("web-1", 9100),
        ("a/b", 1),
        ("", 1),
    ] {
        let node = json!({
            "id": id, "exporter_type": "node", "port": port, "metrics_path": "m?x=1",
            "labels": labels, "status": "healthy", "last_seen": "2026-01-01T00:00:00Z",
        });
        let key = format!("/services/web/nodes/{}_node", id.replace('/', "-"));
        server
            .etcdctl(&["put", "--", &key, &node.to_string()])
            .await;
    }
    let groups = read(place.render(&server, "prometheus", &[]).await);
    let targets: Vec<_> = groups.iter().flat_map(|group| &group.targets).collect();
    assert_eq!(targets, ["10.0.0.1:1", "[2001:db8::7]:65535", "web-1:9100"]);
    for group in &groups {
        assert_eq!(group.labels["env"], "a\"b\nc");
        assert_eq!(group.labels["__metrics_path__"], "/m?x=1");
        assert!(!group.labels.contains_key("__address__"), "{group:?}");
        for name in group.labels.keys() {
            let first = |c: char| c.is_ascii_alphabetic() || c == '_';
            let good = name.starts_with(first)
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            assert!(good, "{name:?}");
        }
    }
}
