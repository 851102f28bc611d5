//! The simulated network, by itself.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::network::{Listener, Network, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{HostNetwork, Net, Quality, RETRANSMIT};

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LIMIT: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

struct Pair {
    net: Net,
    a: Arc<HostNetwork>,
    listener: Box<dyn Listener>,
}

impl Pair {
    async fn new() -> Self {
        let net = Net::new(1);
        let (a, b) = (net.boot(A), net.boot(B));
        let listener = b.listen("10.0.0.2:80").await.unwrap();
        Self { net, a, listener }
    }

    async fn connect(&self) -> (Box<dyn Stream>, Box<dyn Stream>) {
        let (near, far) = tokio::join!(
            self.a.connect("10.0.0.2", 80, LIMIT),
            self.listener.accept()
        );
        (near.unwrap(), far.unwrap())
    }
}

async fn read(stream: &mut Box<dyn Stream>, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_in_order_after_the_latency_of_the_link() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    let slow = Quality {
        latency: SECOND,
        jitter: SECOND,
        ..Quality::GOOD
    };
    pair.net.set(A, B, slow);
    let start = Instant::now();
    for part in ["one ", "two ", "three"] {
        near.write_all(part.as_bytes()).await.unwrap();
    }
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one two three");
    let taken = start.elapsed();
    assert!(
        taken >= SECOND && taken <= 2 * SECOND + Duration::from_millis(2),
        "{taken:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_arrives_later_and_nothing_is_missing() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    let lossy = Quality {
        loss: 300,
        ..Quality::GOOD
    };
    pair.net.set(A, B, lossy);
    let start = Instant::now();
    for byte in 0..100 {
        near.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(
        read(&mut far, 100).await.unwrap(),
        (0..100).collect::<Vec<u8>>()
    );
    assert!(start.elapsed() >= RETRANSMIT);
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_one_direction_up_until_it_is_healed() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    pair.net.cut(A, B);
    near.write_all(b"held").await.unwrap();
    far.write_all(b"free").await.unwrap();
    assert_eq!(read(&mut near, 4).await.unwrap(), b"free");
    let waiting = tokio::time::timeout(60 * SECOND, read(&mut far, 4)).await;
    assert!(waiting.is_err(), "it crossed a cut: {waiting:?}");
    pair.net.heal(A, B);
    assert_eq!(read(&mut far, 4).await.unwrap(), b"held");
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_a_cut_can_be_read_in_it() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    near.write_all(b"early").await.unwrap();
    tokio::time::sleep(SECOND).await;
    pair.net.cut(A, B);
    assert_eq!(read(&mut far, 5).await.unwrap(), b"early");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_made_once_a_cut_is_healed_and_not_before() {
    let pair = Pair::new().await;
    pair.net.cut(B, A);
    let connecting = pair.a.connect("10.0.0.2", 80, LIMIT);
    let mut connecting = std::pin::pin!(connecting);
    let waiting = tokio::time::timeout(20 * SECOND, connecting.as_mut()).await;
    assert!(waiting.is_err(), "it connected through a cut");
    pair.net.heal(B, A);
    connecting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_refuses_and_nobody_there_is_silent() {
    let pair = Pair::new().await;
    let refused = pair.a.connect("10.0.0.2", 81, LIMIT).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    pair.net.crash(B, true);
    let silent = tokio::time::timeout(60 * SECOND, pair.a.connect("10.0.0.2", 80, LIMIT)).await;
    assert!(silent.is_err(), "a host that is off answered");
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_by_both_ends() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    pair.net.reset(A, B);
    for end in [&mut near, &mut far] {
        let error = read(end, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = end.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_crash_is_noticed_by_who_sends_once_the_host_is_back() {
    let pair = Pair::new().await;
    let (mut near, far) = pair.connect().await;
    pair.net.crash(B, false);
    drop(far);
    near.write_all(b"anybody?").await.unwrap();
    let waiting = tokio::time::timeout(60 * SECOND, read(&mut near, 1)).await;
    assert!(waiting.is_err(), "a host that is off answered: {waiting:?}");
    pair.net.boot(B);
    let error = read(&mut near, 1).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn what_a_host_sent_before_its_crash_and_nobody_got_is_lost() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    far.write_all(b"early").await.unwrap();
    assert_eq!(read(&mut near, 5).await.unwrap(), b"early");
    pair.net.cut(B, A);
    far.write_all(b"late").await.unwrap();
    tokio::time::sleep(SECOND).await;
    pair.net.crash(B, false);
    pair.net.heal(B, A);
    let waiting = tokio::time::timeout(60 * SECOND, read(&mut near, 4)).await;
    assert!(waiting.is_err(), "a host that is off sends: {waiting:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stands_still_reads_and_writes_nothing_and_goes_on_where_it_was() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    pair.net.stall(B);
    near.write_all(b"there").await.unwrap();
    {
        let reading = tokio::time::timeout(60 * SECOND, read(&mut far, 5)).await;
        assert!(reading.is_err(), "it read: {reading:?}");
        let writing = tokio::time::timeout(60 * SECOND, far.write_all(b"back")).await;
        assert!(writing.is_err(), "it wrote: {writing:?}");
        let accepting = tokio::time::timeout(60 * SECOND, pair.listener.accept());
        // Its kernel takes the connection, its program does not.
        let (made, accepted) = tokio::join!(pair.a.connect("10.0.0.2", 80, LIMIT), accepting);
        made.unwrap();
        assert!(accepted.is_err(), "it accepted");
    }
    let now = Instant::now();
    assert!(pair.net.owes(A, B, now) && !pair.net.owes(B, A, now));
    pair.net.resume(B);
    let start = Instant::now();
    assert_eq!(read(&mut far, 5).await.unwrap(), b"there");
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "it had arrived long before"
    );
    far.write_all(b"back").await.unwrap();
    assert_eq!(read(&mut near, 4).await.unwrap(), b"back");
    pair.listener.accept().await.unwrap();
    assert!(!pair.net.owes(A, B, now));
}

#[tokio::test(start_paused = true)]
async fn what_a_host_closes_while_it_stands_still_is_closed_when_it_goes_on() {
    let pair = Pair::new().await;
    let (mut near, far) = pair.connect().await;
    pair.net.stall(B);
    drop(far);
    let waiting = tokio::time::timeout(60 * SECOND, read(&mut near, 1)).await;
    assert!(waiting.is_err(), "it closed: {waiting:?}");
    pair.net.resume(B);
    let error = read(&mut near, 1).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_killed_while_it_stands_still_starts_anew() {
    let pair = Pair::new().await;
    let (mut near, far) = pair.connect().await;
    pair.net.stall(B);
    pair.net.crash(B, true);
    drop(far);
    let error = read(&mut near, 1).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let network = pair.net.boot(B);
    let listener = network.listen("10.0.0.2:80").await.unwrap();
    let connecting = pair.a.connect("10.0.0.2", 80, LIMIT);
    let (near, far) = tokio::join!(connecting, listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"new").await.unwrap();
    assert_eq!(read(&mut far, 3).await.unwrap(), b"new");
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_reader_that_does_not_read() {
    let pair = Pair::new().await;
    let (mut near, mut far) = pair.connect().await;
    let much = vec![7; 1 << 20];
    let writing = tokio::time::timeout(60 * SECOND, near.write_all(&much)).await;
    assert!(writing.is_err(), "there is no end to what is kept");
    let rest = async {
        let mut all = vec![0; 1 << 16];
        far.read_exact(&mut all).await
    };
    rest.await.unwrap();
    near.write_all(&[7]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_network_of_before_a_crash_is_of_no_use_after_it() {
    let pair = Pair::new().await;
    pair.net.crash(A, true);
    let network = pair.net.boot(A);
    let stale = tokio::time::timeout(60 * SECOND, pair.a.connect("10.0.0.2", 80, LIMIT)).await;
    assert!(stale.is_err(), "a process that was killed connects");
    assert!(pair.a.listen("10.0.0.1:80").await.is_err());
    network.connect("10.0.0.2", 80, LIMIT).await.unwrap();
}
