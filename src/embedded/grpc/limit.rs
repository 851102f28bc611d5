//! What is answered to a message that is too long to be read, and to a call of no known method.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{CatchUnwind, Map};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::status::not_served;

/// A service whose refusal of a too long message is worded as by etcd's gRPC
/// library, where clients look for the code, and that says why it does not
/// have a method. A panic in it is an error of the one call, and is told of.
#[derive(Clone, Debug)]
pub(super) struct Limited<S>(pub(super) S);

type Response = http::Response<Body>;
type Answer = Result<Response, Infallible>;
type Reworded = fn(Result<Answer, Box<dyn Any + Send>>) -> Answer;

impl<S, B> Service<http::Request<B>> for Limited<S>
where
    S: Service<http::Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Map<CatchUnwind<AssertUnwindSafe<S::Future>>, Reworded>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        answer.map(|answer| match answer {
            Ok(answer) => answer.map(reword),
            Err(panic) => Ok(panicked(&*panic).into_http()),
        })
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

fn panicked(panic: &(dyn Any + Send)) -> Status {
    tracing::error!(
        panic = panic_text(panic),
        "a request panicked in the embedded registry. This is a defect of it"
    );
    Status::internal("the embedded registry panicked; its log says more. This is a defect of it")
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without words")
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_panics_is_answered() {
        let broken = tower::service_fn(|number: http::Request<u8>| async move {
            let one = [Status::ok("").into_http()];
            let number = usize::from(number.into_body());
            Ok::<_, Infallible>(one.into_iter().nth(number).expect("a second one"))
        });
        let mut service = Limited(broken);
        let answer = service.call(http::Request::new(1)).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("panicked"), "{status:?}");
        let well = service.call(http::Request::new(0)).await.unwrap();
        let status = Status::from_header_map(well.headers()).unwrap();
        assert_eq!(status.code(), Code::Ok);
    }
}
