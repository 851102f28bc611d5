//! What stands between a caller and a service.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::interface::{Call, CallError, Data, Dispatch, Invoker, metadata};

/// Sees every call of one side on its way, and may change it, refuse it or
/// answer it.
///
/// Those of a framework see the calls that its distribution providers carry:
/// on the client's side those to imported services, one by one as they are
/// made (a call that is [repeated](crate::calls::Balance) is seen each time);
/// on the service's side those of remote callers, before anything of them
/// reaches the service. Calls within the process are not seen.
///
/// ```
/// use futures::future::BoxFuture;
/// use osgi_remote::calls::{Interceptor, Next};
/// use osgi_remote::interface::{Call, CallError, Data};
///
/// struct Tenant;
///
/// impl Interceptor for Tenant {
///     fn intercept<'a>(
///         &'a self,
///         mut call: Call,
///         next: Next<'a>,
///     ) -> BoxFuture<'a, Result<Data, CallError>> {
///         Box::pin(async move {
///             call.metadata.insert("tenant", "blue")?;
///             next.run(call).await
///         })
///     }
/// }
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// Takes a call; `next` carries it on. Dropping the future drops the call.
    fn intercept<'a>(
        &'a self,
        call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>>;
}

/// On which side of the network a call is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where it is made.
    Client,
    /// Where the service is.
    Server,
}

impl Side {
    /// `client` or `server`, as in the names of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// On which side this is.
    pub side: Side,
    /// The interfaces of the service that are remote; joined by spaces if
    /// there are several.
    pub interface: String,
    /// The `endpoint.id`; of a [balanced](crate::calls::Balance) call, which
    /// has chosen none yet, the filter.
    pub endpoint: String,
}

/// The way on: the interceptors that are left, and then the call itself.
///
/// A copy of it carries the call once more.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    rest: &'a [Arc<dyn Interceptor>],
    target: &'a Target,
    end: End<'a>,
}

#[derive(Clone, Copy)]
enum End<'a> {
    Invoker(&'a dyn Invoker),
    Dispatch(&'a dyn Dispatch),
}

impl<'a> Next<'a> {
    /// Where the call goes.
    pub fn target(&self) -> &'a Target {
        self.target
    }

    /// Carries the call on.
    pub fn run(mut self, call: Call) -> BoxFuture<'a, Result<Data, CallError>> {
        if let Some((first, rest)) = self.rest.split_first() {
            self.rest = rest;
            return first.intercept(call, self);
        }
        match self.end {
            End::Invoker(invoker) => invoker.invoke(call),
            End::Dispatch(service) => Box::pin(serve(service, self.target, call)),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("target", self.target)
            .field("interceptors", &self.rest.len())
            .finish_non_exhaustive()
    }
}

/// The methods are looked at here and not before: who may not call learns
/// nothing of the service.
async fn serve(service: &dyn Dispatch, target: &Target, call: Call) -> Result<Data, CallError> {
    if !service.has_method(&call.method) {
        return Err(CallError::NoSuchMethod {
            interface: target.interface.clone(),
            method: call.method.into_owned(),
            methods: service.methods(),
        });
    }
    let caller = Arc::new(call.metadata.clone());
    metadata::serving(caller, service.dispatch(call)).await
}

/// The interceptors of one side, in the order in which they see a call.
pub type Interceptors = Arc<[Arc<dyn Interceptor>]>;

/// An [`Invoker`] whose calls pass interceptors first.
pub struct InterceptedInvoker {
    interceptors: Interceptors,
    target: Target,
    inner: Arc<dyn Invoker>,
}

impl InterceptedInvoker {
    /// Calls pass `interceptors` and then go to `inner`, the service that
    /// has `interface` at `endpoint`.
    pub fn new(
        interceptors: Interceptors,
        interface: impl Into<String>,
        endpoint: impl Into<String>,
        inner: Arc<dyn Invoker>,
    ) -> Self {
        let target = Target {
            side: Side::Client,
            interface: interface.into(),
            endpoint: endpoint.into(),
        };
        Self {
            interceptors,
            target,
            inner,
        }
    }
}

impl Invoker for InterceptedInvoker {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        let next = Next {
            rest: &self.interceptors,
            target: &self.target,
            end: End::Invoker(self.inner.as_ref()),
        };
        next.run(call)
    }
}

/// A service whose calls pass interceptors first, and which can ask for
/// [`caller_metadata`](crate::interface::caller_metadata).
pub struct InterceptedDispatch {
    interceptors: Interceptors,
    target: Target,
    inner: Arc<dyn Dispatch>,
}

impl InterceptedDispatch {
    /// Calls pass `interceptors` and then go to `inner`, the service that
    /// has `interface` and is exported as `endpoint`.
    pub fn new(
        interceptors: Interceptors,
        interface: impl Into<String>,
        endpoint: impl Into<String>,
        inner: Arc<dyn Dispatch>,
    ) -> Self {
        let target = Target {
            side: Side::Server,
            interface: interface.into(),
            endpoint: endpoint.into(),
        };
        Self {
            interceptors,
            target,
            inner,
        }
    }
}

impl Dispatch for InterceptedDispatch {
    /// Always: interceptors come before the question which methods there are.
    fn has_method(&self, _method: &str) -> bool {
        true
    }

    fn methods(&self) -> Vec<String> {
        self.inner.methods()
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        let next = Next {
            rest: &self.interceptors,
            target: &self.target,
            end: End::Dispatch(self.inner.as_ref()),
        };
        next.run(call)
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::interface::caller_metadata;

    /// Notes who saw what, and answers with the metadata that the service
    /// saw.
    #[derive(Default)]
    struct Service;

    impl Dispatch for Service {
        fn has_method(&self, method: &str) -> bool {
            method == "known"
        }

        fn methods(&self) -> Vec<String> {
            vec!["known".to_owned()]
        }

        fn dispatch(&self, _: Call) -> BoxFuture<'_, Result<Data, CallError>> {
            Box::pin(async {
                let metadata = caller_metadata().unwrap();
                Ok(Data::from(metadata.get("path").unwrap_or("none")))
            })
        }
    }

    struct Mark(&'static str, Arc<Mutex<Vec<String>>>);

    impl Interceptor for Mark {
        fn intercept<'a>(
            &'a self,
            mut call: Call,
            next: Next<'a>,
        ) -> BoxFuture<'a, Result<Data, CallError>> {
            Box::pin(async move {
                let side = next.target().side.as_str();
                self.1
                    .lock()
                    .push(format!("{side} {} {}", self.0, call.method));
                let path = call.metadata.get("path").unwrap_or("").to_owned() + self.0;
                call.metadata.insert("path", path)?;
                next.run(call).await
            })
        }
    }

    struct Closed;

    impl Interceptor for Closed {
        fn intercept<'a>(&'a self, _: Call, _: Next<'a>) -> BoxFuture<'a, Result<Data, CallError>> {
            Box::pin(async {
                Err(CallError::Refused {
                    reason: "closed".into(),
                })
            })
        }
    }

    fn service(interceptors: Vec<Arc<dyn Interceptor>>) -> Arc<dyn Dispatch> {
        let inner = Arc::new(Service);
        Arc::new(InterceptedDispatch::new(
            interceptors.into(),
            "a.B",
            "e",
            inner,
        ))
    }

    #[tokio::test]
    async fn interceptors_see_a_call_in_order_on_both_sides() {
        let log = Arc::default();
        let mark = |name| Arc::new(Mark(name, Arc::clone(&log))) as Arc<dyn Interceptor>;
        let server = service(vec![mark("c"), mark("d")]);
        let client = InterceptedInvoker::new(
            Arc::new([mark("a"), mark("b")]),
            "a.B",
            "e",
            Arc::new(crate::interface::Loopback::new(server)),
        );
        let result = client.invoke(Call::new("known", vec![])).await;
        assert_eq!(result.unwrap(), Data::from("abcd"));
        let expected = [
            "client a known",
            "client b known",
            "server c known",
            "server d known",
        ];
        assert_eq!(*log.lock(), expected);
    }

    #[tokio::test]
    async fn who_is_refused_does_not_learn_which_methods_there_are() {
        // OSGi rule C07: the check comes before the dispatch.
        let closed = service(vec![Arc::new(Closed)]);
        let open = service(vec![]);
        for method in ["known", "unknown"] {
            assert!(closed.has_method(method));
            let error = closed
                .dispatch(Call::new(method, vec![]))
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "the call is refused: closed");
        }
        let error = open
            .dispatch(Call::new("unknown", vec![]))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.B has no method 'unknown'; it has known"
        );
    }
}
