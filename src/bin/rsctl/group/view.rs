//! Groups and nodes as they are shown. None has credentials, only whether there are any.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use osgi_remote::catalog::groups::{Group, GroupName, Labels, Members, Node, Registered};
use serde::Serialize;

/// A group without its nodes.
#[derive(Debug, Serialize)]
pub(crate) struct GroupView {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) labels: Labels,
    /// Whether there are credentials.
    pub(crate) credentials: bool,
    pub(crate) created: Option<String>,
}

impl GroupView {
    pub(crate) fn of(key: String, group: &Group) -> Self {
        Self {
            name: group.name.to_string(),
            key,
            labels: group.spec.common_labels.clone(),
            credentials: !group.spec.credentials.is_empty(),
            created: group.created.and_then(rfc3339),
        }
    }

    /// Of a group of which only nodes can be read.
    pub(crate) fn without_key(name: &GroupName, key: String) -> Self {
        Self {
            name: name.to_string(),
            key,
            labels: Labels::new(),
            credentials: false,
            created: None,
        }
    }
}

/// A node.
#[derive(Debug, Serialize)]
pub(crate) struct NodeView {
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) exporter_type: String,
    pub(crate) port: u16,
    pub(crate) metrics_path: String,
    pub(crate) labels: Labels,
    pub(crate) status: String,
    pub(crate) last_seen: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<u64>,
}

impl NodeView {
    /// A node as it is in etcd.
    pub(crate) fn of(group: &GroupName, node: &Node) -> Self {
        Self {
            group: group.to_string(),
            id: node.id.clone(),
            exporter_type: node.exporter_type.clone(),
            port: node.port,
            metrics_path: node.metrics_path.clone(),
            labels: node.labels.clone(),
            status: node.status.clone(),
            last_seen: node.last_seen.and_then(rfc3339),
            ttl: None,
        }
    }

    /// A node with what it has of its group, and what is left of its lease.
    pub(crate) fn of_member(
        group: &GroupName,
        members: &Members,
        registered: &Registered,
        left: Option<Duration>,
    ) -> Self {
        Self {
            labels: members.labels_of(&registered.node),
            ttl: left.map(|left| left.as_secs()),
            ..Self::of(group, &registered.node)
        }
    }

    pub(crate) const HEADER: &[&str] = &[
        "GROUP",
        "ID",
        "TYPE",
        "PORT",
        "PATH",
        "STATUS",
        "LABELS",
        "LAST SEEN",
        "TTL",
    ];

    pub(crate) fn row(&self) -> [String; 9] {
        [
            self.group.clone(),
            self.id.clone(),
            self.exporter_type.clone(),
            self.port.to_string(),
            self.metrics_path.clone(),
            or_dash(self.status.clone()),
            or_dash(label_list(&self.labels)),
            or_dash(self.last_seen.clone().unwrap_or_default()),
            or_dash(self.ttl.map(|ttl| format!("{ttl}s")).unwrap_or_default()),
        ]
    }
}

pub(crate) fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// `a=1,b=2`.
pub(crate) fn label_list(labels: &Labels) -> String {
    let all: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    all.join(",")
}

/// A time, to the millisecond; none for one that has no calendar.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500);
        assert_eq!(rfc3339(time).unwrap(), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn labels_are_written_as_they_are_given() {
        let mut labels = Labels::new();
        labels.parse("b=2").unwrap();
        labels.parse("a=1").unwrap();
        assert_eq!(label_list(&labels), "a=1,b=2");
    }
}
