//! Who is told of changes: the hub, and the gRPC service in front of it.
//!
//! The hub is pure and lives behind the registry's one lock. A watch stream holds a short queue
//! there, and each watch a cursor into the store's history. While a stream is read, a commit goes
//! straight into its queue. When it is not, the queue fills, and from then on its watches are
//! behind: they read on from the history when the stream has room again. So the history is the only
//! buffer, a slow reader loses nothing, and a reader that compaction overtook is told so.

mod answer;
mod hub;
mod index;
mod range;
mod service;

pub(crate) use self::hub::Hub;
pub(crate) use self::service::WatchService;
