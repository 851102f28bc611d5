//! What one key holds.

use super::keys::Place;
use super::{BasePath, Group, GroupName, Node, Stranger, json};

/// What a key below the base holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A group.
    Group(Group),
    /// A node.
    Node {
        /// The group that it belongs to, whose own key may be missing.
        group: GroupName,
        /// As it is in etcd. Its labels are those of the time when it was registered.
        node: Node,
    },
}

/// Reads one key below `base` as Go's module does, for whoever keeps a view of their own. Nothing
/// is asked of etcd. [`Groups`](super::Groups) lists and watches what this reads.
///
/// # Errors
///
/// [`Stranger`] for a key that is neither a group nor a node, or whose value cannot be read. It
/// tells nothing of the value, which may hold a password.
pub fn decode(base: &BasePath, key: &[u8], value: &[u8]) -> Result<Stored, Stranger> {
    read(base, key, value).map_err(|problem| Stranger {
        key: String::from_utf8_lossy(key).into_owned(),
        problem,
    })
}

fn read(base: &BasePath, key: &[u8], value: &[u8]) -> Result<Stored, String> {
    Ok(match base.place(key)? {
        Place::Group(name) => Stored::Group(json::decode_group(name, value)?),
        Place::Node(group) => Stored::Node {
            group,
            node: json::decode_node(value)?,
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn stored(key: &str, value: &str) -> Result<Stored, Stranger> {
        decode(&BasePath::default(), key.as_bytes(), value.as_bytes())
    }

    #[test]
    fn a_key_holds_a_group_or_a_node_of_one() {
        let group = stored(
            "/services/web",
            r#"{"spec":{"common_labels":{"env":"prod"}}}"#,
        );
        let Stored::Group(group) = group.unwrap() else {
            panic!("a group is no group");
        };
        assert_eq!(group.name.as_str(), "web");
        assert_eq!(group.spec.common_labels.get("env"), Some("prod"));
        let value = r#"{"id":"n","exporter_type":"t","port":1,"metrics_path":"/m"}"#;
        let node = stored("/services/web/nodes/n_t", value);
        let Stored::Node { group, node } = node.unwrap() else {
            panic!("a node is no node");
        };
        assert_eq!((group.as_str(), node.id.as_str()), ("web", "n"));
    }

    #[test]
    fn a_stranger_is_told_by_its_key_and_without_its_value() {
        let stranger = stored("/services/web", r#"{"spec":"s3cret"}"#).unwrap_err();
        let expected = Stranger {
            key: "/services/web".to_owned(),
            problem: "`spec` is a text, not an object".to_owned(),
        };
        assert_eq!(stranger, expected);
        let stranger = decode(&BasePath::default(), b"/services/\xff", b"{}").unwrap_err();
        assert_eq!(stranger.key, "/services/\u{fffd}");
        assert_eq!(stranger.problem, "the key is no UTF-8");
    }
}
