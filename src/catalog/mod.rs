//! Small registries in etcd, beside the one of endpoints.
//!
//! - [`services`]: which service of which type is where, and [`switches`]: named values that turn
//!   things on and off. Both have the tree of keys of empusa, a Python command for etcd v2, on
//!   etcd v3:
//!
//!   | key | value |
//!   |---|---|
//!   | `<root>/service/<type>/<name>` | the location |
//!   | `<root>/switch/<name>` | the value |
//!
//! - [`groups`]: groups of nodes with common labels, which have the tree of keys of the Go module
//!   `go.lumeweb.com/etcd-registry`.
//!
//! An entry with a time to live is under a lease of its own. Whoever wants to hear of changes
//! [watches](Watch).
//!
//! # Keys of services and switches
//!
//! They are those of etcd v2, which always begin with a slash: the roots `foo`, `/foo` and `/foo/`
//! are one place, whose keys begin with `/foo/`. See [`TreeRoot`] and [`EntryName`].

mod entries;
pub mod groups;
mod path;
pub mod services;
pub mod switches;
mod watch;

pub use self::entries::Listed;
pub use self::path::{EntryName, TreeRoot};
pub use self::watch::Watch;
