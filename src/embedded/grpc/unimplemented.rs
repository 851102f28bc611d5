//! Services of etcd that this registry does not have.

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

const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// One of [`SERVICES`], which refuses whatever is called.
#[derive(Clone, Debug)]
struct Unserved<const N: usize>;

/// Adds the services that only refuse.
pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add_service(Unserved::<0>)
        .add_service(Unserved::<1>)
        .add_service(Unserved::<2>)
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
