//! Counts remote calls.

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::interceptor::{Interceptor, Next, Target};
use crate::interface::{Call, CallError, Data};
use crate::meters;

/// Counts remote calls and measures how long they take, by interface:
/// `osgi_remote_calls_total`, `osgi_remote_calls_in_flight` and
/// `osgi_remote_call_seconds` of [`meters`](crate::meters).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Metrics;

impl Metrics {
    /// The interceptor, for either side.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// A call under way. One that is dropped ends too.
struct Measured<'a> {
    target: &'a Target,
    begun: Instant,
    outcome: &'static str,
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let (side, interface) = (self.target.side.as_str(), &self.target.interface);
        meters::call_ends(side, interface, self.outcome, self.begun.elapsed());
    }
}

impl Interceptor for Metrics {
    fn intercept<'a>(
        &'a self,
        call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        Box::pin(async move {
            let target = next.target();
            meters::call_begins(target.side.as_str(), &target.interface);
            let mut measured = Measured {
                target,
                begun: Instant::now(),
                outcome: "dropped",
            };
            let outcome = next.run(call).await;
            measured.outcome = match &outcome {
                Ok(_) => "ok",
                Err(CallError::Refused { .. }) => "refused",
                Err(error) if error.is_remote() => "remote",
                Err(_) => "fault",
            };
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::calls::InterceptedInvoker;
    use crate::interface::Invoker;

    struct Answers;

    impl Invoker for Answers {
        fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
            Box::pin(async move {
                match &*call.method {
                    "ok" => Ok(Data::Nil),
                    "fault" => Err(CallError::service("no")),
                    "refused" => Err(CallError::Refused {
                        reason: "no".into(),
                    }),
                    "remote" => Err(CallError::EndpointRemoved {
                        endpoint: "e".into(),
                    }),
                    _ => std::future::pending().await,
                }
            })
        }
    }

    #[test]
    fn each_call_is_counted_by_its_outcome_also_one_that_is_dropped() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            let metered: Arc<dyn Interceptor> = Arc::new(Metrics::new());
            let invoker =
                InterceptedInvoker::new(Arc::new([metered]), "a.B", "e", Arc::new(Answers));
            for method in ["ok", "ok", "fault", "refused", "remote", "endless"] {
                // Ready at once, or dropped here.
                let _ = invoker.invoke(Call::new(method, vec![])).now_or_never();
            }
        });
        let mut counts = Vec::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let (name, labels) = key.key().clone().into_parts();
            let labels: Vec<_> = labels.iter().map(|l| l.value().to_owned()).collect();
            match (name.as_str(), value) {
                ("osgi_remote_calls_total", DebugValue::Counter(n)) => {
                    assert_eq!(labels[..2], ["client", "a.B"]);
                    counts.push((labels[2].clone(), n));
                }
                ("osgi_remote_calls_in_flight", DebugValue::Gauge(n)) => assert!(n.0.abs() < 0.5),
                ("osgi_remote_call_seconds", DebugValue::Histogram(all)) => {
                    assert_eq!(all.len(), 6);
                }
                other => panic!("{other:?}"),
            }
        }
        counts.sort();
        let expected = [
            ("dropped", 1),
            ("fault", 1),
            ("ok", 2),
            ("refused", 1),
            ("remote", 1),
        ];
        assert_eq!(counts, expected.map(|(name, n)| (name.to_owned(), n)));
    }
}
