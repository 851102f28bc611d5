//! How connections come in: by an address, or handed in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt as _, future::BoxFuture, stream};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::connection::{Cuttable, Ending};

/// The pause after a connection could not be accepted, as when there are too many open files: what
/// is wrong then is not over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After so long without a sign of the other host it is asked for one, and again, as by Go and so by
/// etcd. A host that lost its power is noticed after ten times this.
const PROBE: Duration = Duration::from_secs(15);
/// The same for a host that is to take something and does not. Linux tries for a quarter of an hour
/// otherwise. It ends a host as well that answers and takes nothing for so long, because its program
/// does not read: its watches begin again where they were.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNANSWERED: Duration = Duration::from_secs(150);

/// How long a client may take to agree on TLS.
#[cfg(feature = "tls")]
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Clients that agree on TLS at a time; more wait to be accepted.
const HANDSHAKES: usize = 1024;

/// What speaks TLS to those who connect.
#[cfg(feature = "tls")]
pub(crate) type Acceptor = tokio_rustls::TlsAcceptor;

/// Nothing does.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub(crate) enum Acceptor {}

/// The connections that come in at an address, for ever.
pub(crate) fn accepted(
    listener: TcpListener,
    tls: Option<Acceptor>,
    ending: Ending,
) -> impl Stream<Item = io::Result<Cuttable>> {
    let arrivals = Arrivals {
        listener,
        tls,
        handshakes: FuturesUnordered::new(),
        ending,
    };
    stream::unfold(arrivals, async |mut arrivals| {
        Some((Ok(arrivals.next().await), arrivals))
    })
}

/// The connections that are handed in, until no more can be.
pub(crate) fn attached(
    connections: mpsc::Receiver<Cuttable>,
) -> impl Stream<Item = io::Result<Cuttable>> {
    stream::unfold(connections, async |mut connections| {
        let connection = connections.recv().await?;
        Some((Ok(connection), connections))
    })
}

/// One address. It can be dropped at any await, and with it the handshakes.
struct Arrivals {
    listener: TcpListener,
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "there is none"))]
    tls: Option<Acceptor>,
    /// Each gives nothing if it failed.
    handshakes: FuturesUnordered<BoxFuture<'static, Option<Cuttable>>>,
    ending: Ending,
}

impl Arrivals {
    async fn next(&mut self) -> Cuttable {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.next() => {
                    if let Some(connection) = done {
                        return connection;
                    }
                }
                (socket, peer) = accept(&self.listener), if self.handshakes.len() < HANDSHAKES => {
                    tune(&socket, peer);
                    if let Some(connection) = self.begin(socket, peer) {
                        return connection;
                    }
                }
            }
        }
    }

    /// The connection, unless TLS comes first.
    #[cfg(feature = "tls")]
    fn begin(&mut self, socket: TcpStream, peer: SocketAddr) -> Option<Cuttable> {
        let Some(tls) = &self.tls else {
            return Some(Cuttable::new(socket, &self.ending));
        };
        let handshake = handshake(tls.clone(), socket, peer, self.ending.clone());
        self.handshakes.push(Box::pin(handshake));
        None
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps, reason = "as with TLS")]
    fn begin(&mut self, socket: TcpStream, _: SocketAddr) -> Option<Cuttable> {
        Some(Cuttable::new(socket, &self.ending))
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(arrived) => return arrived,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(feature = "tls")]
async fn handshake(
    tls: Acceptor,
    socket: TcpStream,
    peer: SocketAddr,
    ending: Ending,
) -> Option<Cuttable> {
    match tokio::time::timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(stream)) => Some(Cuttable::new(stream, &ending)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a client does not agree on TLS");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, limit = ?HANDSHAKE, "a client does not agree on TLS in time");
            None
        }
    }
}

/// Lets answers go at once, and has the system notice when the other host is gone.
fn tune(socket: &TcpStream, peer: SocketAddr) {
    let keepalive = TcpKeepalive::new().with_time(PROBE);
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "windows"
    ))]
    let keepalive = keepalive.with_interval(PROBE);
    let options = SockRef::from(socket);
    let set = (socket.set_nodelay(true)).and_then(|()| options.set_tcp_keepalive(&keepalive));
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let set = set.and_then(|()| options.set_tcp_user_timeout(Some(UNANSWERED)));
    if let Err(error) = set {
        // It may be closed by now. If not, it works: it is slower, or outlives its host.
        tracing::debug!(%peer, %error, "cannot set the options of a socket");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// What the system then does cannot be seen in virtual time.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_is_asked_to_notice_hosts_that_are_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, (socket, peer)) = tokio::join!(client, accept(&listener));
        tune(&socket, peer);
        let options = SockRef::from(&socket);
        assert!(options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap().as_secs(), 15);
        assert_eq!(options.tcp_keepalive_interval().unwrap().as_secs(), 15);
        let unanswered = options.tcp_user_timeout().unwrap();
        assert_eq!(unanswered, Some(Duration::from_secs(150)));
        assert!(socket.nodelay().unwrap());
        drop(client.unwrap());
    }
}
