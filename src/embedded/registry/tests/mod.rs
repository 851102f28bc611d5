//! The registry with clients that do not do what clients do. All is in process and in virtual time:
//! a time that passes means that all else has nothing left to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod panics;
mod raw;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::raw::{ACK, PING, Raw};
use super::{Registry, Settings};

/// More than anything takes in order, and much less than a client's silence may last.
const SOON: Duration = Duration::from_secs(60);
/// etcd's defaults together.
const SILENCE: Duration = Duration::from_secs(2 * 3600 + 20);

/// The registry's side of a connection, which tells when it is dropped.
struct Observed {
    inner: DuplexStream,
    _gone: DropGuard,
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Observed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A new connection, and when the registry has let go of it.
fn connect(registry: &Registry) -> (DuplexStream, CancellationToken) {
    let (ours, theirs) = duplex(4096);
    let gone = CancellationToken::new();
    let observed = Observed {
        inner: theirs,
        _gone: gone.clone().drop_guard(),
    };
    registry.attach(observed).unwrap();
    (ours, gone)
}

/// A client that watches, and does not read what it is told: far more than fits on the way.
async fn deaf(registry: &Registry) -> (Raw, CancellationToken) {
    let mut client = registry.client().await.unwrap();
    for _ in 0..40 {
        client.put("key", vec![b'v'; 100_000], None).await.unwrap();
    }
    let (connection, gone) = connect(registry);
    let mut raw = Raw::open(connection).await;
    raw.watch("key", 2).await;
    // Until nobody has anything to do, which is when no more can be written.
    sleep(Duration::from_secs(1)).await;
    assert!(!gone.is_cancelled());
    (raw, gone)
}

fn streams(registry: &Registry) -> usize {
    registry.shared.with(|state, _| state.hub.open_streams())
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_those_who_do_not_read_or_speak() {
    let registry = Registry::builder().start().await.unwrap();
    let (silent, silent_is_gone) = connect(&registry);
    let (deaf, deaf_is_gone) = deaf(&registry).await;
    timeout(SOON, registry.shutdown()).await.unwrap();
    assert!(silent_is_gone.is_cancelled() && deaf_is_gone.is_cancelled());
    drop((silent, deaf));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_nothing_where_clients_read() {
    let registry = Registry::builder().start().await.unwrap();
    let mut client = registry.client().await.unwrap();
    let mut watch = client.watch("key", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let (mut keeper, mut alive) = client.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    alive.message().await.unwrap().unwrap();
    let begun = Instant::now();
    registry.shutdown().await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing had to be cut");
    for status in [
        watch.message().await.unwrap_err(),
        alive.message().await.unwrap_err(),
    ] {
        assert!(status.to_string().contains("server stopped"), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_registry_lets_go_of_those_who_do_not_read() {
    let registry = Registry::builder().start().await.unwrap();
    let (deaf, gone) = deaf(&registry).await;
    drop(registry);
    timeout(SOON, gone.cancelled()).await.unwrap();
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn who_answers_no_ping_loses_its_connection_and_its_watches() {
    let registry = Registry::builder().start().await.unwrap();
    let (connection, gone) = connect(&registry);
    let mut vanished = Raw::open(connection).await;
    vanished.watch("key", 0).await;
    assert_eq!(streams(&registry), 1);
    sleep(SILENCE - SOON).await;
    assert!(!gone.is_cancelled());
    timeout(2 * SOON, gone.cancelled()).await.unwrap();
    assert_eq!(streams(&registry), 0);
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_loses_its_connection_and_its_watches() {
    let settings = Settings::default()
        .keepalive_interval(Duration::from_secs(600))
        .keepalive_timeout(Duration::from_secs(60));
    let registry = Registry::builder().settings(settings);
    let registry = registry.start().await.unwrap();
    let (deaf, gone) = deaf(&registry).await;
    assert_eq!(streams(&registry), 1);
    sleep(Duration::from_secs(600)).await;
    assert!(!gone.is_cancelled());
    timeout(2 * SOON, gone.cancelled()).await.unwrap();
    assert_eq!(streams(&registry), 0);
    drop(deaf);
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_little_at_a_time_is_waited_for() {
    let settings = Settings::default()
        .keepalive_interval(Duration::from_secs(600))
        .keepalive_timeout(Duration::from_secs(60));
    let registry = Registry::builder().settings(settings);
    let registry = registry.start().await.unwrap();
    let (mut slow, gone) = deaf(&registry).await;
    // Longer in all than it may take nothing.
    for _ in 0..100 {
        sleep(Duration::from_secs(10)).await;
        // It also answers pings, as whoever reads does.
        let frame = slow.next().await;
        if (frame.kind, frame.flags) == (PING, 0) {
            slow.send(PING, ACK, 0, &frame.payload).await;
        }
        assert!(!gone.is_cancelled());
    }
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_quiet_and_answers_pings_stays() {
    let registry = Registry::builder().start().await.unwrap();
    let mut client = registry.client().await.unwrap();
    let mut watch = client.watch("key", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    sleep(10 * SILENCE).await;
    assert_eq!(streams(&registry), 1);
    let mut other = registry.client().await.unwrap();
    other.put("key", "value", None).await.unwrap();
    let told = watch.message().await.unwrap().unwrap();
    assert_eq!(told.events().len(), 1);
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_what_it_speaks_is_not_waited_for() {
    let registry = Registry::builder().start().await.unwrap();
    for words in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let (mut connection, gone) = connect(&registry);
        let said = tokio::io::AsyncWriteExt::write_all(&mut connection, words.as_bytes());
        said.await.unwrap();
        sleep(Duration::from_secs(119)).await;
        assert!(!gone.is_cancelled(), "{words:?}");
        timeout(SOON, gone.cancelled()).await.unwrap();
    }
    registry.shutdown().await;
}

/// etcd ends a connection with more than one ping in five seconds, after two strikes.
#[tokio::test(start_paused = true)]
async fn every_ping_is_answered_however_many_there_are() {
    let registry = Registry::builder().start().await.unwrap();
    let (connection, _gone) = connect(&registry);
    let mut raw = Raw::open(connection).await;
    for number in 0..1000_u64 {
        raw.send(PING, 0, 0, &number.to_be_bytes()).await;
        let answer = loop {
            let frame = raw.next().await;
            if (frame.kind, frame.flags) == (PING, ACK) {
                break frame;
            }
        };
        assert_eq!(answer.payload, number.to_be_bytes());
    }
    registry.shutdown().await;
}
