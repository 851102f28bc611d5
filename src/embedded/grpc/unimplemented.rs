//! Services of etcd that this registry does not have, and all others.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::Routes;

use super::status::not_served;

/// Services, and what they are for.
const SERVICES: [(&str, &str); 3] = [
    ("etcdserverpb.Auth", "users and roles"),
    ("v3lockpb.Lock", "locks"),
    ("v3electionpb.Election", "elections"),
];

/// The answer to a browser, or to a client of etcd's JSON gateway.
const NO_PAGE: &str = "the embedded registry has no such page: it has /health and /version, and \
                       speaks gRPC. etcd's JSON gateway, metrics and other pages are etcd's alone\n";

const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// One of [`SERVICES`], which refuses whatever is called.
#[derive(Clone, Debug)]
struct Unserved<const N: usize>;

/// Adds the services that only refuse, and the refusal of whatever else there may be.
pub(super) fn add(routes: Routes) -> Routes {
    let mut routes = routes
        .add_service(Unserved::<0>)
        .add_service(Unserved::<1>)
        .add_service(Unserved::<2>);
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).fallback_service(Unknown);
    routes
}

impl<const N: usize> NamedService for Unserved<N> {
    const NAME: &'static str = SERVICES[N].0;
}

impl<const N: usize, B> Service<http::Request<B>> for Unserved<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        // What an etcd without users answers to a client that has one: such
        // clients know it, and go on without.
        let status = if path == AUTHENTICATE {
            Status::failed_precondition("etcdserver: authentication is not enabled")
        } else {
            not_served(&format!("{} ({path})", SERVICES[N].1))
        };
        ready(Ok(status.into_http()))
    }
}

/// Where no service is: one that etcd may have, or a page.
#[derive(Clone, Debug)]
struct Unknown;

impl<B> Service<http::Request<B>> for Unknown {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let content = request.headers().get(http::header::CONTENT_TYPE);
        let is_grpc = content.is_some_and(|of| of.as_bytes().starts_with(b"application/grpc"));
        if is_grpc {
            return ready(Ok(not_served(request.uri().path()).into_http()));
        }
        let mut response = http::Response::new(Body::new(NO_PAGE.to_owned()));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
        (response.headers_mut()).insert(http::header::CONTENT_TYPE, text);
        ready(Ok(response))
    }
}
