//! The small registries, on the embedded registry and real etcd servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod services;
mod switches;

use std::time::Duration;

use osgi_remote::keyspace::{Client, ConnectOptions};

use crate::support::Store;

const SOON: Duration = Duration::from_secs(60);

/// With patience.
fn options(server: &Store) -> ConnectOptions {
    let mut options = ConnectOptions::parse(&server.endpoint()).unwrap();
    options.call_timeout = SOON;
    options.dial_timeout = SOON;
    options
}

fn client(server: &Store) -> Client {
    Client::new(options(server)).unwrap()
}
