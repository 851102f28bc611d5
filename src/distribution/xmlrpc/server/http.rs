//! One HTTP request: read, called, answered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, error};

use super::ServerConfig;
use super::registry::{Service, Services};
use crate::distribution::xmlrpc::codec::{self, excerpt};
use crate::distribution::xmlrpc::{DOT, faults, headers};
use crate::interface::{Call, CallError, Data, Fault, Metadata};

/// The largest head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// How much of a request that is too large is read and thrown away, so that
/// the client comes to read the answer.
const MAX_DISCARD: usize = 16 * 1024 * 1024;

pub(super) struct Handler {
    pub(super) config: ServerConfig,
    pub(super) services: Arc<Services>,
    calls: Semaphore,
}

/// An answer that is no XML-RPC.
struct Refusal {
    status: StatusCode,
    text: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            header: None,
        }
    }

    /// What is left of the request stays unread, so the connection cannot be
    /// used again.
    fn closing(mut self) -> Self {
        self.header = Some((CONNECTION, HeaderValue::from_static("close")));
        self
    }
}

impl Handler {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self {
            calls: Semaphore::new(config.max_calls),
            services: Arc::default(),
            config,
        }
    }

    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.read(request).await {
            Ok((document, metadata)) => {
                let answer = match self.answer(&document, metadata).await {
                    Ok(result) => result,
                    Err((code, text)) => codec::write_fault(code, &text),
                };
                respond(StatusCode::OK, "text/xml", answer)
            }
            Err(refusal) => {
                debug!(status = %refusal.status, reason = refusal.text, "refused an HTTP request");
                let mut response = respond(refusal.status, "text/plain", refusal.text + "\n");
                if let Some((name, value)) = refusal.header {
                    response.headers_mut().insert(name, value);
                }
                response
            }
        }
    }

    /// Reads the request's body and metadata, if this is a request for us.
    async fn read(&self, request: Request<Incoming>) -> Result<(Bytes, Metadata), Refusal> {
        let (head, mut body) = request.into_parts();
        let path = &self.config.path;
        if head.uri.path().trim_end_matches('/') != path.trim_end_matches('/') {
            let text = format!("nothing is here; XML-RPC is at {path}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, text));
        }
        if head.method != Method::POST {
            let text = "XML-RPC is called with POST";
            let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text);
            refusal.header = Some((ALLOW, HeaderValue::from_static("POST")));
            return Err(refusal);
        }
        check_encoding(&head.headers)?;
        let metadata = headers::read(&head.headers).map_err(|error| {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            Refusal::new(status, error.to_string()).closing()
        })?;
        let limit = self.config.max_body;
        // Told beforehand: refused before anything of it is kept.
        if body.size_hint().lower() > limit as u64 {
            // Who waits for leave to send it has not sent it.
            if !head.headers.contains_key(EXPECT) {
                self.discard(&mut body).await;
            }
            return Err(self.too_large());
        }
        let collected = timeout(
            self.config.body_timeout,
            Limited::new(&mut body, limit).collect(),
        );
        match collected.await {
            Ok(Ok(whole)) => Ok((whole.to_bytes(), metadata)),
            Ok(Err(cause)) if cause.is::<LengthLimitError>() => {
                self.discard(&mut body).await;
                Err(self.too_large())
            }
            Ok(Err(cause)) => {
                let text = format!("the request broke off: {cause}");
                Err(Refusal::new(StatusCode::BAD_REQUEST, text).closing())
            }
            Err(_) => {
                let within = self.config.body_timeout.as_millis();
                let text = format!("the request did not arrive within {within} ms");
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text).closing())
            }
        }
    }

    fn too_large(&self) -> Refusal {
        let text = format!(
            "the request is over the limit of {} bytes: send less, or raise the server's max_body",
            self.config.max_body
        );
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text).closing()
    }

    /// Most clients send all of a request before they read anything; were the
    /// rest left unread, they would see a reset and no answer.
    async fn discard(&self, body: &mut Incoming) {
        let all = async {
            let mut left = MAX_DISCARD;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        if timeout(self.config.body_timeout, all).await.is_err() {
            debug!("a request that is too large did not end in time");
        }
    }

    /// Makes the call that a document asks for: the document that answers, or
    /// code and text of a fault.
    async fn answer(&self, document: &[u8], metadata: Metadata) -> Result<String, (i64, String)> {
        let depth = self.config.max_depth;
        let request =
            codec::read_request(document, depth).map_err(|e| faults::from_read_error(&e))?;
        let (id, name) = split_method(&request.method)?;
        let Some(service) = self.services.get(id) else {
            let text = format!("no service has the number {id} here: it was removed, or never was");
            return Err((faults::code::ENDPOINT_REMOVED, text));
        };
        let call = Call::new(name.to_owned(), request.params).with_metadata(metadata);
        let result = self
            .call(&service, call)
            .await
            .map_err(|e| faults::from_error(&e))?;
        codec::write_response(&result, depth).map_err(|cause| {
            faults::from_error(&CallError::InvalidResult {
                method: name.to_owned(),
                detail: cause.to_string(),
            })
        })
    }

    async fn call(&self, service: &Service, call: Call) -> Result<Data, CallError> {
        let _permit = self
            .calls
            .try_acquire()
            .map_err(|_| CallError::Overloaded {
                limit: self.config.max_calls,
            })?;
        let limit = self
            .config
            .call_timeout
            .max(service.timeout.unwrap_or_default());
        tokio::select! {
            biased;
            () = service.removed.cancelled() => Err(CallError::EndpointRemoved {
                endpoint: service.interfaces.clone(),
            }),
            outcome = timeout(limit, dispatch(service, call)) => match outcome {
                Ok(outcome) => outcome.map_err(faults::of_service),
                Err(_) => Err(CallError::Timeout {
                    address: service.interfaces.clone(),
                    timeout: limit,
                }),
            },
        }
    }
}

/// Calls the service. Its panic is a fault: neither other calls nor the
/// caller shall suffer from it.
async fn dispatch(service: &Service, call: Call) -> Result<Data, CallError> {
    let method = call.method.clone();
    let work = async {
        if !service.dispatch.has_method(&call.method) {
            return Err(CallError::NoSuchMethod {
                interface: service.interfaces.clone(),
                method: call.method.into_owned(),
                methods: service.dispatch.methods(),
            });
        }
        service.dispatch.dispatch(call).await
    };
    // Whatever state the service left behind is for the service to judge.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            error!(interfaces = service.interfaces, %method, message, "a service panicked");
            let text = format!("the service panicked in '{method}': see the log of its process");
            Err(CallError::Service(Fault::new(text)))
        }
    }
}

/// `3.sayHello` is method `sayHello` of service 3. As in iPOPO there is
/// exactly one dot.
fn split_method(method: &str) -> Result<(u64, &str), (i64, String)> {
    let parts = method
        .split_once(DOT)
        .filter(|(_, name)| !name.is_empty() && !name.contains(DOT))
        .and_then(|(id, name)| Some((id.parse().ok()?, name)));
    parts.ok_or_else(|| {
        let text = format!(
            "invalid method name '{}': it must be <service number>.<method>, such as 1.sayHello",
            excerpt(method)
        );
        (faults::code::INVALID_REQUEST, text)
    })
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let text = "compressed requests are not understood: send them as they are";
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
        _ => Ok(()),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_names_have_a_number_and_exactly_one_dot() {
        assert_eq!(split_method("3.sayHello"), Ok((3, "sayHello")));
        for method in ["", ".", "3", "3.", ".a", "a.b", "3.a.b", "-1.a", "sayHello"] {
            let (code, text) = split_method(method).unwrap_err();
            assert_eq!(code, faults::code::INVALID_REQUEST);
            assert!(text.contains(&format!("'{method}'")), "{text}");
        }
    }
}
