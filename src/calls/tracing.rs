//! A span for each remote call.

use futures::future::BoxFuture;
use tracing::{Instrument as _, Span, debug, field, info_span};

use super::interceptor::{Interceptor, Next, Side};
use super::trace::TraceContext;
use crate::interface::{Call, CallError, Data};

/// Makes a `tracing` span for each remote call, and carries the trace's
/// context to the peer.
///
/// On the client's side a call continues the trace that its metadata names, or
/// else that of the call being served ([`TraceContext::current`]), or begins
/// one. On the service's side it continues the caller's. Spans are named
/// `remote_call` and have the fields `side`, `interface`, `method`,
/// `endpoint`, `trace_id`, `span_id`, `parent_span_id` and, at the end,
/// `outcome`: `ok` or the error.
///
/// Put it outermost, before interceptors whose work is to be in the span.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tracing;

impl Tracing {
    /// The interceptor, for either side.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Interceptor for Tracing {
    fn intercept<'a>(
        &'a self,
        mut call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        Box::pin(async move {
            let target = next.target();
            let parent = match target.side {
                Side::Client => TraceContext::of(&call.metadata).or_else(TraceContext::current),
                Side::Server => TraceContext::of(&call.metadata),
            };
            let context = parent
                .as_ref()
                .map_or_else(TraceContext::root, TraceContext::child);
            let span = info_span!(
                "remote_call",
                side = target.side.as_str(),
                interface = %target.interface,
                method = %call.method,
                endpoint = %target.endpoint,
                trace_id = context.trace_id(),
                span_id = context.span_id(),
                parent_span_id = parent.map(|parent| parent.span_id()),
                outcome = field::Empty,
            );
            let work = async {
                let outcome = match target.side {
                    Side::Client => {
                        context.put(&mut call.metadata)?;
                        next.run(call).await
                    }
                    Side::Server => context.scope(next.run(call)).await,
                };
                note(&outcome);
                outcome
            };
            work.instrument(span).await
        })
    }
}

fn note(outcome: &Result<Data, CallError>) {
    let span = Span::current();
    match outcome {
        Ok(_) => span.record("outcome", "ok"),
        Err(error) => span.record("outcome", field::display(error)),
    };
    if let Err(error) = outcome {
        debug!(%error, "a remote call failed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::calls::{InterceptedDispatch, InterceptedInvoker, Interceptors};
    use crate::interface::{Dispatch, Invoker, Loopback, caller_metadata};

    /// Answers with the contexts: the caller's, its own, and of a call made
    /// meanwhile.
    struct Service;

    impl Dispatch for Service {
        fn has_method(&self, _: &str) -> bool {
            true
        }

        fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
            Box::pin(async move {
                let caller = TraceContext::of(&caller_metadata().unwrap()).unwrap();
                let mut seen = vec![Data::from(caller.to_string())];
                if let Some(own) = TraceContext::current() {
                    seen.push(Data::from(own.to_string()));
                }
                if &*call.method == "outer" {
                    seen.push(client().invoke(Call::new("inner", vec![])).await?);
                }
                Ok(Data::Array(seen))
            })
        }
    }

    fn client() -> InterceptedInvoker {
        let traced: Interceptors = Arc::new([Arc::new(Tracing::new()) as Arc<dyn Interceptor>]);
        let server = InterceptedDispatch::new(Arc::clone(&traced), "a.B", "e", Arc::new(Service));
        let loopback = Arc::new(Loopback::new(Arc::new(server)));
        InterceptedInvoker::new(traced, "a.B", "e", loopback)
    }

    fn contexts(data: Data, found: &mut Vec<TraceContext>) {
        match data {
            Data::Array(items) => items.into_iter().for_each(|item| contexts(item, found)),
            Data::String(text) => found.push(text.parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_trace_goes_on_through_the_service_and_the_calls_that_it_makes() {
        let given = TraceContext::root();
        let mut call = Call::new("outer", vec![]);
        given.put(&mut call.metadata).unwrap();
        let mut seen = Vec::new();
        contexts(client().invoke(call).await.unwrap(), &mut seen);
        assert_eq!(seen.len(), 4);
        let mut spans: Vec<_> = seen.iter().map(TraceContext::span_id).collect();
        spans.push(given.span_id());
        spans.sort();
        spans.dedup();
        assert_eq!(spans.len(), 5, "each has a span of its own: {seen:?}");
        assert!(
            seen.iter().all(|c| c.trace_id() == given.trace_id()),
            "{seen:?}"
        );

        let mut other = Vec::new();
        let call = Call::new("inner", vec![]);
        contexts(client().invoke(call).await.unwrap(), &mut other);
        assert_ne!(other[0].trace_id(), given.trace_id());
    }
}
