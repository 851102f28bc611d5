//! Endpoint event listeners (OSGi Compendium 122.6): whoever wants to hear of
//! endpoints, from whichever discovery they come.
//!
//! A listener has a [`Scope`], which can change while it listens. It is a
//! stream ([`EndpointListener`]), or a callback ([`EndpointEventListener`])
//! in a task of its own. Each has queues of its own, so that one that is slow,
//! hangs, fails or panics does no harm to others, nor to discovery.

mod callback;
mod merge;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub use callback::{
    Blocking, EndpointEventListener, ListenerCounts, ListenerFailure, ListenerRegistration,
};
pub use stream::{EndpointListener, ScopeHandle};

use merge::SourceId;

use super::{EndpointFeed, Scope};
use crate::endpoint::EndpointDescription;
use crate::feed::Feed;
use crate::filter::Filter;

/// What a listener is told of an endpoint (OSGi's `EndpointEvent`).
///
/// Of each endpoint a listener hears that it was added, then any number of
/// times that it was modified, then that it was removed or that its match
/// ended; and so on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointEvent {
    /// What happened.
    pub kind: EndpointEventKind,
    /// The endpoint; of one that was removed, what was known last.
    pub endpoint: Arc<EndpointDescription>,
    /// What the listener was told before; none for one that was added.
    pub before: Option<Arc<EndpointDescription>>,
    /// The first filter of the scope that matches, or at the end matched
    /// (rules E02, E03).
    pub filter: Filter,
}

/// What happened to an endpoint (rule E03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointEventKind {
    /// It was discovered, or began to match the scope.
    Added,
    /// It is gone from all sources.
    Removed,
    /// It changed, and matches still.
    Modified,
    /// It, or the scope, changed, and it does not match any more. Who hears
    /// this lets the endpoint go, as if it were removed (rule E13).
    ModifiedEndMatch,
}

impl EndpointEventKind {
    /// The number that OSGi's `EndpointEvent` gives to the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Added => 1,
            Self::Removed => 2,
            Self::Modified => 4,
            Self::ModifiedEndMatch => 8,
        }
    }
}

/// A source of endpoints, in the hands of who added it. It stays a source
/// when this is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(SourceId);

/// Where endpoint event listeners meet the sources of endpoints. Cheap to
/// clone; all clones are one.
#[derive(Clone)]
pub struct EndpointListeners(Arc<Shared>);

struct Shared {
    sources: Feed<SourceId, EndpointFeed>,
    next_source: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl EndpointListeners {
    /// Without a source nobody hears of anything.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            sources: Feed::new(),
            next_source: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Adds a source, of which all listeners hear, also those that are there
    /// already. Where several know an endpoint the one added first counts.
    pub fn add_source(&self, endpoints: &EndpointFeed) -> Source {
        let id = self.0.next_source.fetch_add(1, Ordering::Relaxed);
        self.0.sources.set(id, endpoints.clone());
        Source(id)
    }

    /// Takes a source out: what it alone gave is removed (rule E08). A source
    /// whose feed is closed goes by itself.
    pub fn remove_source(&self, source: Source) {
        self.0.sources.remove(&source.0);
    }

    /// A listener in the form of a stream. It is told first of all that is
    /// known (rule E04).
    pub fn listen(&self, scope: Scope) -> EndpointListener {
        warn_of_doubts(&scope);
        EndpointListener::new(&self.0.sources, scope)
    }

    /// A listener in the form of a callback, in a task of its own. It is
    /// called for one event at a time, in order, until the registration is
    /// dropped; first for all that is known.
    ///
    /// To be called on a tokio runtime.
    pub fn register(
        &self,
        scope: Scope,
        listener: Arc<dyn EndpointEventListener>,
    ) -> ListenerRegistration {
        let events = self.listen(scope);
        let stop = self.0.stop.child_token();
        ListenerRegistration::start(events, listener, stop, &self.0.tasks)
    }

    /// Ends all listeners. Callbacks may take `patience` to hear that all is
    /// removed; then their calls are dropped. When it returns no task is left,
    /// except for threads of [`Blocking`] calls that do not return.
    pub async fn close(&self, patience: Duration) {
        self.0.sources.close();
        self.0.tasks.close();
        let ended = tokio::time::timeout(patience, self.0.tasks.wait()).await;
        if ended.is_err() {
            debug!(
                left = self.0.tasks.len(),
                "endpoint listeners are cut short"
            );
            self.0.stop.cancel();
            self.0.tasks.wait().await;
        }
    }
}

fn warn_of_doubts(scope: &Scope) {
    for name in scope.doubtful_names() {
        warn!(
            name,
            "a scope asks for a property that no endpoint has: endpoint.framework.uuid tells \
             local from remote"
        );
    }
}

impl Default for EndpointListeners {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EndpointListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointListeners")
            .field("callbacks", &self.0.tasks.len())
            .finish_non_exhaustive()
    }
}
