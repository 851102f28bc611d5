//! The registry's own tasks, of which none ends in silence.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;

use super::grpc::panic_text;
use super::state::Shared;

/// Tasks that end with the registry.
#[derive(Debug)]
pub(super) struct Tasks {
    shared: Arc<Shared>,
    running: JoinSet<()>,
}

impl Tasks {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            running: JoinSet::new(),
        }
    }

    /// Runs one. Without it the registry is not whole: if it panics, the registry closes, since a
    /// server that does only a part of what it should is worse than none.
    pub(super) fn spawn(
        &mut self,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        self.running.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(
                    task = what,
                    panic = panic_text(&*panic),
                    "a task of the embedded registry panicked, and so the registry closes. This is \
                     a defect of it"
                );
                shared.close();
            }
        });
    }

    /// Waits until none is left, and says whether that is so, or there was not enough time.
    pub(super) async fn ended(&mut self, limit: Duration) -> bool {
        let all = async {
            while let Some(ended) = self.running.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task of the embedded registry did not end in order");
                }
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
    }
}
