//! What one may read and write below the prefix.

use std::time::Duration;

use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use osgi_remote::keyspace::{Client, Condition, Error, Listing, Range, Transaction};
use osgi_remote::names::SessionId;

use super::finding::Finding;

/// The lease of the key that is really put, in seconds, if nothing revokes it before.
const LEASE: Duration = Duration::from_secs(10);
/// The largest request of a session, in bytes.
const SESSION_REQUEST: usize = 1_500_000;

/// Reads all keys below the top key.
pub(crate) async fn read(client: &Client, config: &EtcdConfig) -> Result<Listing, Error> {
    let range = keys::range(&config.top_key);
    client.list(Range::new(range.start, range.end)).await
}

/// A transaction that writes what a session writes and never succeeds: no key was ever changed at
/// that revision. etcd checks the permissions of both sides of a transaction, whatever is done.
fn impossible(key: &str, value: Vec<u8>) -> Transaction {
    Transaction::new()
        .when(Condition::mod_revision(key, i64::MAX))
        .then_put(key, value, None)
}

/// Whether a session may write its keys, found out without writing any.
pub(crate) async fn write(
    client: &Client,
    config: &EtcdConfig,
    session: Option<&SessionId>,
) -> Finding {
    const CHECK: &str = "write";
    let id = session.unwrap_or(&config.session_id);
    let key = keys::session(&config.top_key, id);
    let both = impossible(&key, Vec::new()).then_put(format!("{key}/endpoint"), "", None);
    match client.transact(both).await {
        Ok(_) => Finding::ok(CHECK, format!("allowed below {key} (nothing was written)")),
        // Whoever only listens needs no more than a session of its own, which may be granted alone.
        Err(error @ Error::Denied { .. }) if session.is_none() => {
            let finding = Finding::of(CHECK, error).into_warning();
            let more = "; if the user may write one session only, say which: --session ID";
            Finding {
                cure: finding.cure.map(|cure| cure + more),
                ..finding
            }
        }
        Err(error) => Finding::of(CHECK, error),
    }
}

/// What will be written, in words.
pub(crate) fn plan(config: &EtcdConfig, session: &SessionId) -> String {
    let key = keys::session(&config.top_key, session);
    format!(
        "puts the key {key} under a lease of {} s and revokes the lease; sends requests of up to \
         {SESSION_REQUEST} bytes that change nothing",
        LEASE.as_secs()
    )
}

/// Really puts a session's key, and takes it away again.
pub(crate) async fn put(client: &Client, config: &EtcdConfig, session: &SessionId) -> Finding {
    const CHECK: &str = "put";
    match try_put(client, config, session).await {
        Ok(true) => Finding::ok(
            CHECK,
            "a key was put under a lease, and went with the lease",
        ),
        Ok(false) => Finding::error(
            CHECK,
            "the session is in use: its key exists",
            "choose another session, or leave --session away",
        ),
        Err(error) => Finding::of(CHECK, error),
    }
}

async fn try_put(client: &Client, config: &EtcdConfig, session: &SessionId) -> Result<bool, Error> {
    let key = keys::session(&config.top_key, session);
    let lease = client.grant(LEASE).await?;
    let put = Transaction::new()
        .when(Condition::absent(key.as_str()))
        .then_put(key, session.to_string(), Some(lease.id));
    let put = client.transact(put).await;
    // In any case: the put may have been carried out without an answer.
    let revoked = client.revoke(lease.id).await;
    let put = put?;
    revoked?;
    Ok(put.succeeded)
}

/// Without requests of that size.
pub(crate) fn limit_left_out() -> Finding {
    let what = format!("whether requests of {SESSION_REQUEST} bytes pass was not tried");
    let cure = "rsctl doctor --write tries it, and a put under a lease";
    Finding::unknown("limit", what, cure)
}

/// How large a request may be, found out by requests that change nothing.
pub(crate) async fn limit(client: &Client, config: &EtcdConfig, session: &SessionId) -> Finding {
    const CHECK: &str = "limit";
    let key = keys::session(&config.top_key, session);
    match fits(client, &key, SESSION_REQUEST).await {
        Ok(true) => {
            let what =
                format!("requests of {SESSION_REQUEST} bytes pass, as sessions send at most");
            return Finding::ok(CHECK, what);
        }
        Ok(false) => {}
        Err(error) => return Finding::of(CHECK, error),
    }
    let (mut passes, mut too_large) = (0, SESSION_REQUEST);
    // To the nearest 16 KiB.
    while too_large - passes > 16 << 10 {
        let middle = passes.midpoint(too_large);
        match fits(client, &key, middle).await {
            Ok(true) => passes = middle,
            Ok(false) => too_large = middle,
            Err(error) => return Finding::of(CHECK, error),
        }
    }
    let what = format!(
        "requests of more than {passes} bytes are refused; sessions send up to {SESSION_REQUEST}, \
         and large endpoints would not be registered"
    );
    let cure = "raise etcd's --max-request-bytes, and the limits of proxies on the way";
    Finding::warning(CHECK, what, cure)
}

async fn fits(client: &Client, key: &str, size: usize) -> Result<bool, Error> {
    match client.transact(impossible(key, vec![b'x'; size])).await {
        Ok(_) => Ok(true),
        Err(Error::RefusedSize { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
