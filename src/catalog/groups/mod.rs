//! Groups of nodes with shared credentials and common labels, in the key space and JSON of the Go
//! module `go.lumeweb.com/etcd-registry`, so that both sides see each other.
//!
//! | key | value | lease |
//! |---|---|---|
//! | `<base>/<group>` | `{"name","spec":{"username","password","common_labels"},"created"}` | none |
//! | `<base>/<group>/nodes/<id>_<exporter_type>` | `{"id","exporter_type","port","metrics_path","labels","status","last_seen"}` | the node's |
//!
//! Times are as RFC 3339 writes them. [`Groups`] makes single calls, [`Groups::register`] keeps a
//! node in etcd, and [`Groups::watch`] tells of changes.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use osgi_remote::catalog::groups::{BasePath, EmptyGroup, GroupName, Groups, Node, RegisterOptions};
//! use osgi_remote::keyspace::ConnectOptions;
//!
//! # async fn register() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ConnectOptions::parse("localhost:2379")?;
//! let groups = Groups::new(options, BasePath::default())?;
//! let mut node = Node::new("node1", "node_exporter", 9100, "/metrics")?;
//! node.labels.set("rack", "12")?;
//! let group = GroupName::new("web")?;
//! let registration = groups.register(&group, node, RegisterOptions::default()).await?;
//! registration.ready().await?;
//! // ... and when the process ends:
//! registration.close(EmptyGroup::Keep, Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where Go's module does otherwise
//!
//! As far as its source is known:
//!
//! - It deletes and watches by prefix without a slash, so that deleting group `a` deletes group
//!   `a-b` too. Here keys are exact.
//! - It takes a new lease for each node after each half of its time to live, and keeps the old ones
//!   alive as long as the process registers. Here a node has one lease.
//! - It deletes no node when it stops, and revokes every lease of the cluster when it closes, those
//!   of others too. What is registered here comes back then, with a new lease.
//! - It writes a node each half of its time to live with the `last_seen` of its beginning. Here
//!   `last_seen` is the time of writing.
//! - Its watches end with the first error, tell nothing of what was there before, and tell a
//!   deletion either without the node or not at all. See [`Watch`].
//! - It looks whether a group is empty and then deletes it, in two steps. Here it is one.

mod error;
mod json;
mod keys;
mod labels;
mod model;
mod names;
mod registration;
mod registry;
mod snapshot;
mod stored;
mod view;
mod watch;

pub use self::error::Error;
pub use self::labels::Labels;
pub use self::model::{Group, GroupCredentials, Node, Spec};
pub use self::names::{BasePath, GroupName};
pub use self::registration::{RegisterOptions, Registration};
pub use self::registry::{
    Configured, Deleted, Deregistered, EmptyGroup, Groups, Joined, WithNodes,
};
pub use self::snapshot::{Members, Registered, Snapshot, Stranger};
pub use self::stored::{Stored, decode};
pub use self::watch::{Change, Event, Scope, Watch};
