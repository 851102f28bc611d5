//! TLS, users and roles, against real etcd servers.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
#[cfg(feature = "xmlrpc")]
mod role;
mod tls;
mod users;

use std::time::Duration;

use osgi_remote::keyspace::{
    Change, ConnectOptions, Error, Session, SessionConfig, SessionPhase, Sink, WatchConfig, Watcher,
};

const SOON: Duration = Duration::from_secs(20);
const ROOT: &str = "top/0a1b";
/// The user whom etcd wants before authentication can be turned on, with its password.
const ADMIN: &str = "root:secret";

fn config(ttl: u64) -> SessionConfig {
    SessionConfig::new(ROOT, "0a1b").ttl(Duration::from_secs(ttl))
}

/// Hears and forgets.
struct Deaf;

impl Sink for Deaf {
    fn apply(&mut self, _changes: Vec<Change>) {}
}

fn watch(options: &ConnectOptions) -> Watcher {
    Watcher::open(options.clone(), WatchConfig::prefix("top/"), Deaf).unwrap()
}

/// Session and watcher reach etcd with these options, and go.
async fn works(options: &ConnectOptions) {
    let session = Session::open(options.clone(), config(10)).unwrap();
    session.ready_within(SOON).await.unwrap();
    session.put(format!("{ROOT}/a"), "value").await.unwrap();
    let watcher = watch(options);
    let synced = tokio::time::timeout(SOON, watcher.synced()).await;
    synced.expect("the watcher is synced in time").unwrap();
    watcher.close().await.unwrap();
    session.close(SOON).await.unwrap();
}

/// The first error of a session that cannot work with these options.
async fn trouble(options: ConnectOptions) -> Error {
    let session = Session::open(options, config(10)).unwrap();
    first_error(&session).await
}

/// Waits until a session that cannot work with these options says this. The
/// machine may be so busy that the first attempt merely takes too long.
async fn told(options: ConnectOptions, part: &str) {
    let session = Session::open(options, config(10)).unwrap();
    let mut status = session.status();
    let says = |error: &Error| error.to_string().contains(part);
    let said = status.wait_for(|status| status.last_error.as_ref().is_some_and(says));
    if tokio::time::timeout(SOON, said).await.is_err() {
        panic!(
            "`{part}` is not in {:?}",
            session.status().borrow().last_error
        );
    }
}

async fn first_error(session: &Session) -> Error {
    let mut status = session.status();
    let failed = status.wait_for(|status| status.last_error.is_some());
    let failed = tokio::time::timeout(SOON, failed).await;
    let failed = failed.expect("the session fails in time").unwrap();
    assert_ne!(failed.phase, SessionPhase::Held);
    failed.last_error.clone().unwrap()
}
