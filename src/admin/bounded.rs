//! `osgi.basic.timeout` for endpoints whose provider does not obey it
//! (OSGi Compendium 100.3.1.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::interface::{Call, CallError, Data, Invoker};
use crate::names::EndpointId;

/// Bounds each call in time: that is the client's duty, whatever the provider
/// (rule N07). A method's own timeout holds as well.
pub(super) struct Bounded {
    inner: Arc<dyn Invoker>,
    endpoint: EndpointId,
    /// 0 for none.
    millis: AtomicU64,
}

impl Bounded {
    pub(super) fn new(inner: Arc<dyn Invoker>, endpoint: EndpointId) -> Self {
        Self {
            inner,
            endpoint,
            millis: AtomicU64::new(0),
        }
    }

    /// Holds for the calls that begin from now on.
    pub(super) fn set(&self, timeout: Option<Duration>) {
        let millis = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    fn limit(&self, call: &Call) -> Option<Duration> {
        let given = match self.millis.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        };
        let said = given.is_some() || call.options.timeout.is_some();
        said.then(|| call.options.limit(given, Duration::MAX))
    }
}

impl Invoker for Bounded {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        let Some(limit) = self.limit(&call) else {
            return self.inner.invoke(call);
        };
        let answer = self.inner.invoke(call);
        Box::pin(async move {
            let answer = tokio::time::timeout(limit, answer).await;
            answer.unwrap_or_else(|_| {
                Err(CallError::Timeout {
                    address: self.endpoint.to_string(),
                    timeout: limit,
                })
            })
        })
    }
}
