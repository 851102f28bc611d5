//! Calls to services of other processes.
//!
//! Connections are pooled and reused. A server may close an idle connection
//! in the very moment in which a call takes it from the pool. hyper tells
//! then whether the request was handed to the connection before that became
//! known: if it was not, the call goes over another connection, and nobody
//! notices. If it was, the service may have done its work, and the call ends
//! with [`CallError::Disconnected`]: it is not for us to do it twice.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::codec::{self, Response as Answer, excerpt};
use super::{DOT, faults, headers};
use crate::ambient::FAR;
use crate::interface::{Call, CallError, CallOptions, Cause, Data, Invoker};
use crate::network::{Connector, Network, default_network};

const AGENT: &str = concat!("osgi-remote/", env!("CARGO_PKG_VERSION"));

/// How a [`Client`] calls. Begin with the default and set what shall differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long making a connection may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a call may take as a whole where nothing else is said.
    /// Default 30 s.
    pub call_timeout: Duration,
    /// The largest request and the largest answer, in bytes. Default 4 MiB.
    pub max_body: usize,
    /// How deeply arrays and structs may be nested, both ways. Default 64,
    /// highest [`codec::MAX_DEPTH`].
    pub max_depth: usize,
    /// How many calls may be under way at once, to all servers together.
    /// Default 1024.
    pub max_calls: usize,
    /// How long an idle connection is kept. It should be shorter than servers
    /// keep theirs. Default 10 s.
    pub idle_timeout: Duration,
    /// How many idle connections are kept to one server. Default 32.
    pub max_idle: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
            max_body: 4 * 1024 * 1024,
            max_depth: codec::DEFAULT_DEPTH,
            max_calls: 1024,
            idle_timeout: Duration::from_secs(10),
            max_idle: 32,
        }
    }
}

/// A URL that cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It is no URL, or not one of a server.
    #[error("'{url}' is no URL of an XML-RPC server such as http://host:8080/xml-rpc: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It needs TLS.
    #[error("'{url}' needs TLS, which is not supported yet: export the service over http")]
    Tls {
        /// What was given.
        url: String,
    },
}

/// The connections to all XML-RPC servers. Clones share them.
///
/// [`Client::close`] ends it in order; dropping the last clone and the last
/// invoker stops the connections' tasks too, without waiting for them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: legacy::Client<Connector, Full<Bytes>>,
    config: ClientConfig,
    calls: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs hyper's tasks where they can be stopped and waited for.
#[derive(Clone)]
struct Tracked {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        let stop = self.stop.clone();
        // The outcome of a connection is told to the calls on it; the handle
        // is not needed, the tracker waits for the end.
        drop(self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        }));
    }
}

impl Client {
    /// A client without connections yet, which will make them over TCP.
    pub fn new(config: ClientConfig) -> Self {
        Self::over(default_network(), config)
    }

    /// A client without connections yet, which will make them over `network`.
    pub fn over(network: Arc<dyn Network>, config: ClientConfig) -> Self {
        let connector = Connector::new(network, config.connect_timeout);
        let tracked = Tracked {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let http = legacy::Client::builder(tracked.clone())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout.min(FAR))
            .pool_max_idle_per_host(config.max_idle)
            // Only requests that no connection has begun with, see above.
            .retry_canceled_requests(true)
            .build(connector);
        Self(Arc::new(Inner {
            http,
            calls: Semaphore::new(config.max_calls.min(Semaphore::MAX_PERMITS)),
            config,
            tasks: tracked.tasks,
            stop: tracked.stop,
        }))
    }

    /// Calls go to the service `service_id` (`ecf.rsvc.id`) at `url`
    /// (`ecf.endpoint.id`). Without `timeout` that of the client's
    /// configuration holds. `endpoint` (`endpoint.id`) is for messages.
    ///
    /// # Errors
    ///
    /// If the URL is not one that can be called.
    pub fn invoker(
        &self,
        url: &str,
        service_id: u64,
        timeout: Option<Duration>,
        endpoint: impl Into<String>,
    ) -> Result<XmlRpcInvoker, ClientError> {
        let invoker = XmlRpcInvoker {
            client: Arc::clone(&self.0),
            uri: check_url(url)?,
            address: url.to_owned(),
            service_id,
            endpoint: endpoint.into(),
            timeout: AtomicU64::new(0),
            removed: self.0.stop.child_token(),
        };
        invoker.set_timeout(timeout);
        Ok(invoker)
    }

    /// Ends all calls under way and all later ones with
    /// [`CallError::EndpointRemoved`], closes the connections and returns
    /// when their tasks have ended.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

fn check_url(url: &str) -> Result<Uri, ClientError> {
    let bad = |reason: &str| ClientError::Url {
        url: url.to_owned(),
        reason: reason.to_owned(),
    };
    let uri: Uri = url.trim().parse().map_err(|cause| {
        let cause: hyper::http::uri::InvalidUri = cause;
        bad(&cause.to_string())
    })?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(ClientError::Tls {
                url: url.to_owned(),
            });
        }
        _ => return Err(bad("it does not begin with http://")),
    }
    if uri
        .authority()
        .is_none_or(|host| host.as_str().contains('@'))
    {
        return Err(bad("a user name in it is not supported"));
    }
    if uri.host().is_none_or(str::is_empty) || uri.port_u16() == Some(0) {
        return Err(bad("host or port is missing"));
    }
    Ok(uri)
}

/// Carries calls to one remote service.
pub struct XmlRpcInvoker {
    client: Arc<Inner>,
    uri: Uri,
    address: String,
    service_id: u64,
    endpoint: String,
    /// In milliseconds; 0 if none is given.
    timeout: AtomicU64,
    removed: CancellationToken,
}

impl XmlRpcInvoker {
    /// Sets how long each later call may take as a whole
    /// (`osgi.basic.timeout`), at least 1 ms; `None` is the client's default.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        let millis = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let timeout = timeout.map_or(0, |timeout| millis(timeout).max(1));
        self.timeout.store(timeout, Ordering::Relaxed);
    }

    /// How long a call may take as a whole, if its method says nothing else.
    pub fn timeout(&self) -> Duration {
        self.limit(CallOptions::default())
    }

    fn limit(&self, options: CallOptions) -> Duration {
        let given = match self.timeout.load(Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        };
        options.limit(given, self.client.config.call_timeout)
    }

    /// Ends all calls under way and all later ones at once, with
    /// [`CallError::EndpointRemoved`]. Connections stay open for other
    /// services of the same server.
    pub fn close(&self) {
        self.removed.cancel();
    }

    async fn call(&self, call: Call) -> Result<Data, CallError> {
        let timeout = self.limit(call.options);
        tokio::select! {
            biased;
            () = self.removed.cancelled() => Err(CallError::EndpointRemoved {
                endpoint: self.endpoint.clone(),
            }),
            outcome = tokio::time::timeout(timeout, self.exchange(call)) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(CallError::Timeout {
                    address: self.address.clone(),
                    timeout,
                }),
            },
        }
    }

    async fn exchange(&self, call: Call) -> Result<Data, CallError> {
        let begun = Instant::now();
        let config = &self.client.config;
        let request = self.request(&call)?;
        let _permit = self
            .client
            .calls
            .try_acquire()
            .map_err(|_| CallError::Overloaded {
                limit: config.max_calls,
            })?;
        let response = self.client.http.request(request).await;
        let response = response.map_err(|cause| self.failed(cause))?;
        let document = self.read(response).await?;
        match codec::read_response(&document, config.max_depth) {
            Ok(Answer::Value(result)) => Ok(result),
            Ok(Answer::Fault { code, text }) => {
                let context = faults::Context {
                    address: &self.address,
                    endpoint: &self.endpoint,
                    method: &call.method,
                    elapsed: begun.elapsed(),
                };
                Err(faults::to_error(code, &text, &context))
            }
            Err(cause) => Err(self.protocol(format!(
                "its answer is no XML-RPC: {cause}; it begins with '{}'",
                beginning(&document)
            ))),
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
        let config = &self.client.config;
        let unfit = |detail| CallError::InvalidArguments {
            method: call.method.clone().into_owned(),
            detail,
        };
        if call.method.is_empty() || call.method.contains(DOT) {
            return Err(unfit(
                "the method's name must not be empty or hold a '.'".to_owned(),
            ));
        }
        let name = format!("{}{DOT}{}", self.service_id, call.method);
        let document = codec::write_request(&name, &call.args, config.max_depth)
            .map_err(|cause| unfit(cause.to_string()))?;
        if document.len() > config.max_body {
            return Err(CallError::TooLarge {
                what: format!("the request of '{}'", call.method),
                limit: config.max_body,
            });
        }
        let mut request = Request::new(Full::from(document));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let head = request.headers_mut();
        head.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        head.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers::write(&call.metadata, head)?;
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, CallError> {
        let status = response.status();
        let body = response.into_body();
        if status != StatusCode::OK {
            // A broken page of an error adds nothing to the status.
            let page = Limited::new(body, ERROR_PAGE).collect().await;
            let page = page.map(|page| page.to_bytes()).unwrap_or_default();
            return Err(self.protocol(format!("it answered HTTP {status}: '{}'", beginning(&page))));
        }
        let limit = self.client.config.max_body;
        let too_large = || CallError::TooLarge {
            what: format!("the answer of {}", self.address),
            limit,
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        match Limited::new(body, limit).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(cause) if cause.is::<LengthLimitError>() => Err(too_large()),
            Err(cause) => Err(CallError::Disconnected {
                address: self.address.clone(),
                cause: Cause::new(cause),
            }),
        }
    }

    fn failed(&self, cause: legacy::Error) -> CallError {
        let address = self.address.clone();
        if cause.is_connect() {
            let cause = Cause::new(cause);
            return CallError::Unreachable { address, cause };
        }
        let from_hyper = cause.source().and_then(<dyn StdError>::downcast_ref);
        if from_hyper.is_some_and(hyper::Error::is_parse) {
            return self.protocol(format!("its answer is no HTTP: {}", Cause::new(cause)));
        }
        let cause = Cause::new(cause);
        CallError::Disconnected { address, cause }
    }

    fn protocol(&self, detail: String) -> CallError {
        CallError::Protocol {
            address: self.address.clone(),
            detail,
        }
    }
}

/// The largest page of an error that is read, in bytes.
const ERROR_PAGE: usize = 64 * 1024;

fn beginning(body: &[u8]) -> String {
    let some = body.get(..512).unwrap_or(body);
    excerpt(String::from_utf8_lossy(some).trim())
}

impl Invoker for XmlRpcInvoker {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(self.call(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_called_are_refused() {
        for (url, reason) in [
            ("https://h/xml-rpc", "needs TLS"),
            ("ftp://h/", "http://"),
            ("h:80", "http://"),
            ("/xml-rpc", "http://"),
            ("http://u:p@h/", "user name"),
            ("http://h:0/", "port"),
            ("http:// h/", "'http:// h/'"),
            ("", "''"),
        ] {
            let error = check_url(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        assert!(check_url("http://[::1]:8080/xml-rpc").is_ok());
        assert!(check_url("http://h").is_ok());
    }
}
