//! Listeners that are called back.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::{EndpointEvent, EndpointListener, ScopeHandle};
use crate::meters;

/// What a listener failed of. It is reported and counted; the listener goes
/// on with the next event.
pub type ListenerFailure = Box<dyn Error + Send + Sync>;

/// Is called for each event of an endpoint in its scope (OSGi's
/// `EndpointEventListener`, Compendium 122.6.3).
///
/// It may take its time, fail and panic: that concerns no other listener.
/// What takes long without awaiting is to be a [`Blocking`] one.
#[async_trait]
pub trait EndpointEventListener: Send + Sync + 'static {
    /// Something happened to an endpoint.
    ///
    /// The call is dropped, at an await, when the listener is unregistered.
    ///
    /// # Errors
    ///
    /// Whatever it wants reported.
    async fn endpoint_changed(&self, event: &EndpointEvent) -> Result<(), ListenerFailure>;
}

/// A listener in the form of a function that may block: it is called on a
/// thread for such work. A call under way cannot be cut short.
///
/// ```
/// use std::sync::Arc;
/// use osgi_remote::discovery::{Blocking, EndpointEventListener};
///
/// let listener: Arc<dyn EndpointEventListener> = Arc::new(Blocking::new(|event| {
///     println!("{:?} {}", event.kind, event.endpoint);
///     Ok(())
/// }));
/// ```
pub struct Blocking<F>(Arc<F>);

impl<F> Blocking<F>
where
    F: Fn(&EndpointEvent) -> Result<(), ListenerFailure> + Send + Sync + 'static,
{
    /// A listener that calls this function.
    pub fn new(function: F) -> Self {
        Self(Arc::new(function))
    }
}

#[async_trait]
impl<F> EndpointEventListener for Blocking<F>
where
    F: Fn(&EndpointEvent) -> Result<(), ListenerFailure> + Send + Sync + 'static,
{
    async fn endpoint_changed(&self, event: &EndpointEvent) -> Result<(), ListenerFailure> {
        let (function, event) = (Arc::clone(&self.0), event.clone());
        let called = tokio::task::spawn_blocking(move || function(&event)).await;
        match called {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => Err(error.into()),
            },
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}

/// How a listener's calls went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerCounts {
    /// Calls that ended, in whatever way.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Those of them that panicked.
    pub panics: u64,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
}

/// A callback listener, in the hands of who registered it. Dropping it ends
/// the listener, at the next await if it is being called.
#[must_use = "dropping a registration ends the listener"]
pub struct ListenerRegistration {
    scope: ScopeHandle,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl ListenerRegistration {
    pub(super) fn start(
        events: EndpointListener,
        listener: Arc<dyn EndpointEventListener>,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let scope = events.scope();
        let counters = Arc::new(Counters::default());
        let work = deliver(events, listener, Arc::clone(&counters));
        let stopped = stop.clone();
        let task = tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = work => {}
            }
        });
        Self {
            scope,
            counters,
            stop,
            task: Some(task),
        }
    }

    /// The scope, which can be changed at any time.
    pub fn scope(&self) -> &ScopeHandle {
        &self.scope
    }

    /// How the calls went so far.
    pub fn counts(&self) -> ListenerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListenerCounts {
            calls: read(&self.counters.calls),
            failures: read(&self.counters.failures),
            panics: read(&self.counters.panics),
        }
    }

    /// Ends the listener, and waits until it is not called any more.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            error!(%error, "an endpoint listener's task ended badly");
        }
    }
}

impl Drop for ListenerRegistration {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for ListenerRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerRegistration")
            .field("scope", &self.scope.get())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

async fn deliver(
    mut events: EndpointListener,
    listener: Arc<dyn EndpointEventListener>,
    counters: Arc<Counters>,
) {
    while let Some(event) = events.next().await {
        // Made within, so that making the future may panic too.
        let call = async { listener.endpoint_changed(&event).await };
        let outcome = AssertUnwindSafe(call).catch_unwind().await;
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                counters.failures.fetch_add(1, Ordering::Relaxed);
                meters::listener_failure("failed");
                warn!(endpoint = %event.endpoint, kind = ?event.kind, %error,
                    "an endpoint listener failed");
            }
            Err(panic) => {
                counters.panics.fetch_add(1, Ordering::Relaxed);
                meters::listener_failure("panicked");
                error!(endpoint = %event.endpoint, kind = ?event.kind, panic = said(&*panic),
                    "an endpoint listener panicked");
            }
        }
        counters.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
