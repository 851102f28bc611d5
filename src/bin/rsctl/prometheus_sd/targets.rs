//! What Prometheus is told: targets with their labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::{Data, Endpoint, Group, Node, Service, Snapshot};

/// One entry of the list that Prometheus reads, from a file or by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Target {
    /// `host:port`, always one.
    pub(crate) targets: [String; 1],
    pub(crate) labels: BTreeMap<String, String>,
}

/// What can be a target, as it comes out of a template.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Any {
    Group(Group),
    Node(Node),
    Endpoint(Endpoint),
    Service(Service),
}

/// The targets of one thing; none if it has no host and port.
pub(crate) fn of(any: &Any) -> Vec<Target> {
    match any {
        Any::Group(group) => group.nodes.iter().filter_map(of_node).collect(),
        Any::Node(node) => of_node(node).into_iter().collect(),
        Any::Endpoint(endpoint) => of_endpoint(endpoint).into_iter().collect(),
        Any::Service(service) => of_service(service).into_iter().collect(),
    }
}

/// The targets of all data, in a stable order.
pub(crate) fn of_snapshot(snapshot: &Snapshot) -> Vec<Target> {
    let mut targets = Vec::new();
    for data in snapshot.0.values() {
        match data {
            Data::Endpoints(list) => targets.extend(list.iter().filter_map(of_endpoint)),
            Data::Services(list) => targets.extend(list.iter().filter_map(of_service)),
            Data::Groups(list) => {
                let nodes = list.iter().flat_map(|group| &group.nodes);
                targets.extend(nodes.filter_map(of_node));
            }
            Data::Switches(_) | Data::Keys(_) => {}
        }
    }
    targets
}

/// What is known only to relabelling, below `__meta_osgi_`.
#[derive(Default)]
struct Labels(BTreeMap<String, String>);

impl Labels {
    fn of(source: &str) -> Self {
        let mut labels = Self::default();
        labels.meta("source", source);
        labels
    }

    fn meta(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(format!("__meta_osgi_{name}"), value.into());
    }

    fn target(self, address: &str) -> Target {
        Target {
            targets: [address.to_owned()],
            labels: self.0,
        }
    }
}

fn of_node(node: &Node) -> Option<Target> {
    let address = node.address.as_ref()?;
    let mut labels = Labels::of("groups");
    for (name, value) in &node.labels {
        let fit = fit(name);
        labels.meta(&format!("label_{fit}"), value);
        // Labels with two underscores steer the scraping; whoever registers a node may not.
        if !fit.starts_with("__") {
            labels.0.insert(fit, value.clone());
        }
    }
    labels.meta("group", &node.group);
    labels.meta("node_id", &node.id);
    labels.meta("node_status", &node.status);
    labels.meta("exporter_type", &node.exporter_type);
    let path = &node.metrics_path;
    let slash = if path.starts_with('/') { "" } else { "/" };
    labels
        .0
        .insert("__metrics_path__".to_owned(), format!("{slash}{path}"));
    Some(labels.target(address))
}

fn of_service(service: &Service) -> Option<Target> {
    let address = service.address.as_ref()?;
    let mut labels = Labels::of("services");
    labels.meta("service_type", &service.kind);
    labels.meta("service_name", &service.name);
    labels.meta("service_location", without_user(&service.location));
    Some(labels.target(address))
}

fn of_endpoint(endpoint: &Endpoint) -> Option<Target> {
    let address = endpoint.address.as_ref()?;
    let mut labels = Labels::of("endpoints");
    labels.meta("endpoint_id", &endpoint.id);
    labels.meta("session", &endpoint.session);
    if let Some(framework) = &endpoint.framework {
        labels.meta("framework", framework);
    }
    if let Some(uri) = &endpoint.uri {
        labels.meta("uri", without_user(uri));
    }
    labels.meta("interfaces", list(&endpoint.interfaces));
    labels.meta("configs", list(&endpoint.configs));
    for (name, value) in &endpoint.properties {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(text_of).collect();
                list(&texts)
            }
            other => other.to_string(),
        };
        labels.meta(&format!("property_{}", fit(name)), without_user(&text));
    }
    Some(labels.target(address))
}

fn text_of(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// With commas also at both ends, as Prometheus' own lists have them: a pattern finds `,item,`.
fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!(",{},", items.join(","))
}

/// A label's name of what may be none.
fn fit(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut fit: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    if !fit.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        fit.insert(0, '_');
    }
    fit
}

/// A URL without the user and password in it: labels are seen by many.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &[(&str, &str)]) -> Node {
        Node {
            id: "n1".to_owned(),
            group: "web".to_owned(),
            exporter_type: "node".to_owned(),
            host: "n1".to_owned(),
            port: Some(9100),
            address: Some("n1:9100".to_owned()),
            metrics_path: "metrics".to_owned(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            status: "healthy".to_owned(),
        }
    }

    #[test]
    fn a_node_gives_its_labels_and_its_path() {
        let target = of_node(&node(&[("env", "prod"), ("a-b", "1"), ("2x", "y")]));
        let expected = serde_json::json!({
            "targets": ["n1:9100"],
            "labels": {
                "__meta_osgi_exporter_type": "node",
                "__meta_osgi_group": "web",
                "__meta_osgi_label__2x": "y",
                "__meta_osgi_label_a_b": "1",
                "__meta_osgi_label_env": "prod",
                "__meta_osgi_node_id": "n1",
                "__meta_osgi_node_status": "healthy",
                "__meta_osgi_source": "groups",
                "__metrics_path__": "/metrics",
                "_2x": "y",
                "a_b": "1",
                "env": "prod",
            }
        });
        assert_eq!(serde_json::to_value(target).ok(), Some(expected));
    }

    #[test]
    fn a_node_steers_no_scraping_by_its_labels() {
        let labels = [
            ("__address__", "evil:1"),
            ("__metrics_path__", "/x"),
            ("--scheme--", "x"),
        ];
        let target = of_node(&node(&labels))
            .map(|target| target.labels)
            .unwrap_or_default();
        let steering: Vec<_> = target
            .iter()
            .filter(|(name, _)| name.starts_with("__") && !name.starts_with("__meta_"))
            .collect();
        assert_eq!(steering.len(), 1, "{steering:?}");
        assert_eq!(target["__metrics_path__"], "/metrics");
    }

    #[test]
    fn no_password_of_a_url_becomes_a_label() {
        assert_eq!(without_user("pg://u:p@h:1/x@y"), "pg://h:1/x@y");
        assert_eq!(without_user("http://h/a@b"), "http://h/a@b");
        assert_eq!(without_user("h:1"), "h:1");
    }
}
