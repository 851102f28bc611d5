//! What a watch has seen: the watcher's sink, which turns changes of keys into news of things.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::debug;

use super::{BasePath, Group, GroupName, Node, Scope, Stored, Stranger, decode};
use crate::feed::Feed;
use crate::keyspace::{Change, Sink};

/// News of keys. Keys are bytes, since strangers may be anything.
pub(super) type Things = Feed<Vec<u8>, Thing>;

/// What a key is.
#[derive(Debug, Clone)]
pub(super) enum Thing {
    Group(Arc<Group>),
    Node(Arc<Seen>),
    Stranger(Arc<Stranger>),
}

/// A node, and when it was last written. That alone is no news, and so it is kept beside what
/// listeners were told: the end of a node tells it as it was.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) group: GroupName,
    node: Node,
    last_seen: Mutex<Option<SystemTime>>,
}

impl Seen {
    fn new(group: GroupName, node: Node) -> Self {
        let last_seen = Mutex::new(node.last_seen);
        Self {
            group,
            node,
            last_seen,
        }
    }

    /// The node as it was written last.
    pub(super) fn node(&self) -> Node {
        Node {
            last_seen: *self.last_seen.lock(),
            ..self.node.clone()
        }
    }
}

/// The sink of one watch.
#[derive(Debug)]
pub(super) struct View {
    base: BasePath,
    scope: Scope,
    things: Things,
}

impl View {
    pub(super) fn new(base: BasePath, scope: Scope, things: Things) -> Self {
        Self {
            base,
            scope,
            things,
        }
    }

    /// Whether the watch is about this key. The range of a group's watch holds its siblings too.
    fn concerns(&self, key: &[u8]) -> bool {
        let Scope::Group(name) = &self.scope else {
            return true;
        };
        let group = self.base.group_key(name);
        let rest = key.strip_prefix(group.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    fn put(&self, key: Vec<u8>, value: &[u8]) {
        let thing = match decode(&self.base, &key, value) {
            Ok(Stored::Group(group)) => Thing::Group(Arc::new(group)),
            Ok(Stored::Node { group, node }) => Thing::Node(Arc::new(Seen::new(group, node))),
            Err(stranger) => {
                let Stranger { key, problem } = &stranger;
                debug!(key, problem, "neither a group nor a node");
                Thing::Stranger(Arc::new(stranger))
            }
        };
        let before = self.things.get(&key);
        if before.is_some_and(|before| before.is_still(&thing)) {
            return;
        }
        self.things.set(key, thing);
    }
}

impl Thing {
    /// Whether `now` is no news after this; takes over when a node was last seen.
    fn is_still(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Group(before), Self::Group(now)) => before == now,
            (Self::Node(before), Self::Node(now)) => {
                let same = before.node.same_but_last_seen(&now.node);
                if same {
                    *before.last_seen.lock() = now.node.last_seen;
                }
                same
            }
            (Self::Stranger(before), Self::Stranger(now)) => before == now,
            _ => false,
        }
    }
}

impl Sink for View {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            if !self.concerns(change.key()) {
                continue;
            }
            match change {
                Change::Put { key, value, .. } => self.put(key, &value),
                Change::Delete { key, .. } => drop(self.things.remove(&key)),
            }
        }
    }
}

/// However the watcher ends, listeners are not left waiting.
impl Drop for View {
    fn drop(&mut self) {
        self.things.close();
    }
}
