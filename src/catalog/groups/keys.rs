//! The keys of groups and nodes.

use super::{BasePath, GroupName};

/// What a key below the base is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The key of a group.
    Group(GroupName),
    /// The key of a node of a group.
    Node(GroupName),
}

const NODES: &str = "nodes";

impl BasePath {
    /// What the keys of all groups and nodes begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{self}/")
    }

    /// The key of a group.
    #[must_use]
    pub fn group_key(&self, group: &GroupName) -> String {
        format!("{self}/{group}")
    }

    /// What the keys of a group's nodes begin with.
    #[must_use]
    pub fn nodes_prefix(&self, group: &GroupName) -> String {
        format!("{self}/{group}/{NODES}/")
    }

    /// The key of a node.
    #[must_use]
    pub fn node_key(&self, group: &GroupName, id: &str, exporter_type: &str) -> String {
        format!("{self}/{group}/{NODES}/{id}_{exporter_type}")
    }

    /// Where a key belongs, or why it belongs nowhere.
    pub(super) fn place(&self, key: &[u8]) -> Result<Place, &'static str> {
        let key = std::str::from_utf8(key).map_err(|_| "the key is no UTF-8")?;
        let below = key
            .strip_prefix(self.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        let Some(below) = below else {
            return Err("the key is not below the base");
        };
        let (name, rest) = match below.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (below, None),
        };
        let group = GroupName::existing(name).map_err(|_| "the key has no name of a group")?;
        let Some(rest) = rest else {
            return Ok(Place::Group(group));
        };
        // An id may have slashes where Go's module wrote it.
        match rest
            .strip_prefix(NODES)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(node) if !node.is_empty() => Ok(Place::Node(group)),
            _ => Err("the key is neither a group's nor a node's"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        GroupName::existing(name).unwrap()
    }

    #[test]
    fn keys_are_those_of_the_go_module() {
        let base = BasePath::default();
        assert_eq!(base.group_key(&group("api")), "/services/api");
        assert_eq!(base.nodes_prefix(&group("api")), "/services/api/nodes/");
        let key = base.node_key(&group("api"), "node1", "node_exporter");
        assert_eq!(key, "/services/api/nodes/node1_node_exporter");
    }

    #[test]
    fn a_key_is_of_a_group_or_of_a_node_or_of_neither() {
        let base = BasePath::default();
        let place = |key: &str| base.place(key.as_bytes());
        assert_eq!(place("/services/api"), Ok(Place::Group(group("api"))));
        assert_eq!(place("/services/nodes"), Ok(Place::Group(group("nodes"))));
        assert_eq!(
            place("/services/api/nodes/n_t"),
            Ok(Place::Node(group("api")))
        );
        assert_eq!(
            place("/services/api/nodes/a/b_t"),
            Ok(Place::Node(group("api")))
        );
        for key in [
            "/services",
            "/services/",
            "/services//nodes/n_t",
            "/services/api/",
            "/services/api/nodes",
            "/services/api/nodes/",
            "/services/api/nodesx/n_t",
            "/services/api/other/n_t",
            "/services2/api",
        ] {
            assert!(place(key).is_err(), "{key}");
        }
        assert!(base.place(b"/services/\xff").is_err());
    }
}
