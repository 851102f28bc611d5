//! Groups and nodes.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::{Error, GroupName, Labels};

/// A group of nodes with what they share.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Its name, which is that of its key.
    pub name: GroupName,
    /// What its nodes share.
    pub spec: Spec,
    /// When it was created, by its creator's clock; none where it does not say.
    pub created: Option<SystemTime>,
    /// What is kept for whoever wrote it.
    pub(super) kept: Kept,
}

/// What one who changes a group writes back as it was.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The time of creation in its own words, such as with another offset from UTC.
    pub(super) created: Option<String>,
    /// Fields that are not known here.
    pub(super) fields: Map<String, Value>,
    pub(super) spec_fields: Map<String, Value>,
}

impl Group {
    pub(super) fn new(name: GroupName, spec: Spec, created: SystemTime) -> Self {
        Self {
            name,
            spec,
            created: Some(created),
            kept: Kept::default(),
        }
    }
}

/// Unknown fields are not shown: they may be credentials as well.
impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// What the nodes of a group share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// With which a scraper logs in at the nodes.
    pub credentials: GroupCredentials,
    /// The labels that each node has which does not say otherwise.
    pub common_labels: Labels,
}

/// A user's name and password, which a group's nodes ask for.
///
/// They lie in etcd as plain text, for whoever may read there. Here neither is shown: not by
/// `Debug`, in no error, in no log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GroupCredentials {
    username: String,
    password: String,
}

impl GroupCredentials {
    /// A user's name and password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }

    /// The user's name, to log in with. Not to be shown.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password, to log in with. Not to be shown.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Whether there are none: both are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.password.is_empty()
    }
}

impl fmt::Debug for GroupCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "hidden" })
    }
}

/// One exporter, which belongs to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// What tells it from others of its type in its group.
    pub id: String,
    /// What it exports, such as `node_exporter`.
    pub exporter_type: String,
    /// Where it listens: 1 to 65535.
    pub port: u16,
    /// The path of its metrics, such as `/metrics`. Empty where whoever wrote it says none.
    pub metrics_path: String,
    /// Its labels. In etcd these are its own and the group's of the time when it was registered.
    pub labels: Labels,
    /// How it is, such as `healthy`.
    pub status: String,
    /// When it was last written, by its own clock; none where it does not say.
    pub last_seen: Option<SystemTime>,
}

impl Node {
    /// The status of a node of which nothing else is said.
    pub const HEALTHY: &str = "healthy";

    /// A node, healthy and without labels.
    ///
    /// # Errors
    ///
    /// As of [`Node::check`].
    pub fn new(
        id: impl Into<String>,
        exporter_type: impl Into<String>,
        port: u16,
        metrics_path: impl Into<String>,
    ) -> Result<Self, Error> {
        let node = Self {
            id: id.into(),
            exporter_type: exporter_type.into(),
            port,
            metrics_path: metrics_path.into(),
            labels: Labels::new(),
            status: Self::HEALTHY.to_owned(),
            last_seen: None,
        };
        node.check()?;
        Ok(node)
    }

    /// Whether it can be registered: id, type, port and path are given, and id and type fit into
    /// a segment of a key.
    ///
    /// # Errors
    ///
    /// [`Error::Node`].
    pub fn check(&self) -> Result<(), Error> {
        let no_segment = |text: &str| text.contains('/') || text.chars().any(char::is_control);
        let problem = if self.id.is_empty() {
            "its id is empty"
        } else if no_segment(&self.id) {
            "its id has a slash or a control character"
        } else if self.exporter_type.is_empty() {
            "its exporter type is empty"
        } else if no_segment(&self.exporter_type) {
            "its exporter type has a slash or a control character"
        } else if self.port == 0 {
            "its port is 0; give one of 1 to 65535"
        } else if self.metrics_path.is_empty() {
            "the path of its metrics is empty; most exporters have /metrics"
        } else {
            return Ok(());
        };
        Err(Error::Node {
            node: self.id.clone(),
            problem,
        })
    }

    /// Whether the two differ at most in when they were last written.
    #[must_use]
    pub fn same_but_last_seen(&self, other: &Self) -> bool {
        let Self {
            id,
            exporter_type,
            port,
            metrics_path,
            labels,
            status,
            last_seen: _,
        } = self;
        *id == other.id
            && *exporter_type == other.exporter_type
            && *port == other.port
            && *metrics_path == other.metrics_path
            && *labels == other.labels
            && *status == other.status
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_group_shows_credentials() {
        let mut spec = Spec {
            credentials: GroupCredentials::new("ada", "s3cret"),
            ..Spec::default()
        };
        spec.common_labels.set("zone", "eu").unwrap();
        let mut group = Group::new(GroupName::new("g").unwrap(), spec, SystemTime::UNIX_EPOCH);
        group
            .kept
            .spec_fields
            .insert("token".to_owned(), "s3cret".into());
        let shown = format!("{group:?} {group:#?}");
        assert!(
            shown.contains("zone") && shown.contains("hidden"),
            "{shown}"
        );
        assert!(
            !shown.contains("ada") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn a_node_needs_id_type_port_and_path() {
        Node::new("n", "t", 1, "/metrics").unwrap();
        Node::new("n.example:9100", "node_exporter", 65_535, "metrics").unwrap();
        for (id, exporter_type, port, path) in [
            ("", "t", 1, "/m"),
            ("n", "", 1, "/m"),
            ("n", "t", 0, "/m"),
            ("n", "t", 1, ""),
            ("a/b", "t", 1, "/m"),
            ("n", "a/b", 1, "/m"),
            ("n\n", "t", 1, "/m"),
        ] {
            let node = Node::new(id, exporter_type, port, path);
            assert!(node.is_err(), "{id} {exporter_type} {port} {path}");
        }
    }

    #[test]
    fn when_a_node_was_last_seen_makes_no_difference() {
        let node = Node::new("n", "t", 1, "/m").unwrap();
        let mut later = node.clone();
        later.last_seen = Some(SystemTime::now());
        assert!(node.same_but_last_seen(&later));
        later.status = "draining".to_owned();
        assert!(!node.same_but_last_seen(&later));
    }
}
