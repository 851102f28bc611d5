//! What is answered to a message that is too long to be read, and to a call of no known method.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::Map;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::status::not_served;

/// A service whose refusal of a too long message is worded as by etcd's gRPC
/// library, where clients look for the code, and that says why it does not
/// have a method.
#[derive(Clone, Debug)]
pub(super) struct Limited<S>(pub(super) S);

type Response = http::Response<Body>;
type Reworded = fn(Result<Response, Infallible>) -> Result<Response, Infallible>;

impl<S, B> Service<http::Request<B>> for Limited<S>
where
    S: Service<http::Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Map<S::Future, Reworded>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.call(request).map(|answer| answer.map(reword))
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

fn reword(response: Response) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    // The generated code has no words for a method that it does not know.
    if status.code() == Code::Unimplemented && status.message().is_empty() {
        return not_served("this method").into_http();
    }
    match lengths(&status) {
        Some(_) => reworded(status).into_http(),
        None => response,
    }
}

/// The refusal of a too long message in the words of etcd's gRPC library, and
/// any other status as it is.
pub(crate) fn reworded(status: Status) -> Status {
    let Some((found, limit)) = lengths(&status) else {
        return status;
    };
    Status::resource_exhausted(format!(
        "grpc: received message larger than max ({found} vs. {limit})"
    ))
}

/// The numbers of tonic's text for a message that is too long.
fn lengths(status: &Status) -> Option<(u64, u64)> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    let (_, rest) = status
        .message()
        .split_once("decoded message length too large: found ")?;
    let (found, rest) = rest.split_once(" bytes, the limit is: ")?;
    let limit = rest.strip_suffix(" bytes")?;
    Some((found.parse().ok()?, limit.parse().ok()?))
}
