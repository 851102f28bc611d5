//! What is answered over plain HTTP.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::HeaderValue;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tower::util::MapResponseLayer;

use super::super::grpc::VERSION;

/// Lets each answer bear the same date.
pub(crate) fn without_time(mut routes: Routes) -> Routes {
    const EPOCH: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
    let dated = MapResponseLayer::new(|mut response: http::Response<_>| {
        response.headers_mut().insert(http::header::DATE, EPOCH);
        response
    });
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).layer(dated);
    routes
}

/// Adds what etcd answers over HTTP and scripts ask for.
pub(crate) fn with_pages(mut routes: Routes) -> Routes {
    let version = format!(r#"{{"etcdserver":"{VERSION}","etcdcluster":"3.5.0"}}"#);
    let health = r#"{"health":"true","reason":""}"#.to_owned();
    let router = routes.axum_router_mut();
    *router = std::mem::take(router)
        .route_service("/version", Page(version))
        .route_service("/health", Page(health));
    routes
}

/// A page of JSON that is always the same.
#[derive(Clone)]
struct Page(String);

impl<B> Service<http::Request<B>> for Page {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut response = match *request.method() {
            http::Method::GET | http::Method::HEAD => http::Response::new(self.0.clone()),
            _ => {
                let mut response = http::Response::new(String::new());
                *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
                response
            }
        };
        let json = http::HeaderValue::from_static("application/json");
        (response.headers_mut()).insert(http::header::CONTENT_TYPE, json);
        ready(Ok(response))
    }
}
