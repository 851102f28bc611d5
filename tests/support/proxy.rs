//! A TCP proxy in front of one server: the network that a test can break.
//!
//! TCP hides a lost packet as a delay, so what a network does to a connection comes in two kinds here:
//! bytes that wait ([`Flow::Hold`], for as long as the network is down, and then arrive), and bytes that
//! are taken and never arrive ([`Flow::Swallow`], as by a peer or a firewall that forgot the connection).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::process::ReservedPort;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    #[default]
    Pass,
    /// They wait until the flow is another one.
    Hold,
    /// They are taken and lost. A connection that lost bytes is reset when the flow passes again: what
    /// follows would make no sense to its reader.
    Swallow,
}

/// How the proxy treats all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mode {
    /// Whether new connections are refused.
    pub refuse: bool,
    /// From the client to the server.
    pub up: Flow,
    /// From the server to the client.
    pub down: Flow,
    /// By how much every byte is late, in each direction.
    pub delay: Duration,
    /// How often, in percent, a piece of the stream is late by `retransmission` more, as after a lost packet.
    pub loss: u8,
    pub retransmission: Duration,
    /// Bytes a second, in each direction of each connection.
    pub rate: Option<u64>,
}

/// How a cut ends the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// As when the other process is killed.
    #[default]
    Reset,
    /// As when the other process says goodbye.
    Finish,
}

/// What went through so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Connections accepted so far.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes passed on to the server.
    pub up: u64,
    /// Bytes passed on to the client.
    pub down: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Control {
    mode: Mode,
    /// Each cut counts one up, and ends the connections that were made under a lower count.
    cuts: u64,
    cut: Cut,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    last_down: Mutex<Option<Instant>>,
}

/// A proxy on a port of its own on loopback, which it keeps also while it refuses connections.
///
/// Dropping it ends it with all its connections.
#[derive(Debug)]
pub struct Proxy {
    port: ReservedPort,
    control: watch::Sender<Control>,
    /// Whether the port listens.
    listening: watch::Receiver<bool>,
    counters: Arc<Counters>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy to a server, which need not be there yet.
    pub async fn to(target: SocketAddr) -> Self {
        let port = ReservedPort::any();
        let (control, controlled) = watch::channel(Control::default());
        let (listens, listening) = watch::channel(false);
        let counters = Arc::new(Counters::default());
        let address = ([127, 0, 0, 1], port.number).into();
        let serve = Server {
            address,
            target,
            control: controlled,
            counters: Arc::clone(&counters),
        };
        let task = tokio::spawn(serve.run(listens));
        let proxy = Self {
            port,
            control,
            listening,
            counters,
            _task: AbortOnDropHandle::new(task),
        };
        proxy.until_listening(true).await;
        proxy
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            connections: read(&self.counters.connections),
            open: read(&self.counters.open),
            up: read(&self.counters.up),
            down: read(&self.counters.down),
        }
    }

    /// When bytes of the server were last passed on to the client.
    pub fn last_down(&self) -> Option<Instant> {
        *self.counters.last_down.lock()
    }

    /// Treats all connections, old and new, in this way from now on.
    pub async fn set(&self, mode: Mode) {
        self.control.send_modify(|control| control.mode = mode);
        self.until_listening(!mode.refuse).await;
    }

    /// Ends all connections, and refuses new ones until the proxy is healed.
    pub async fn cut(&self, cut: Cut) {
        self.control.send_modify(|control| {
            control.mode.refuse = true;
            control.cuts += 1;
            control.cut = cut;
        });
        self.until_listening(false).await;
    }

    /// Passes everything again.
    pub async fn heal(&self) {
        self.set(Mode::default()).await;
    }

    async fn until_listening(&self, wanted: bool) {
        let mut listening = self.listening.clone();
        listening
            .wait_for(|listens| *listens == wanted)
            .await
            .expect("the proxy runs as long as its owner");
    }
}

struct Server {
    address: SocketAddr,
    target: SocketAddr,
    control: watch::Receiver<Control>,
    counters: Arc<Counters>,
}

impl Server {
    async fn run(self, listens: watch::Sender<bool>) {
        let mut pipes = JoinSet::new();
        let mut control = self.control.clone();
        loop {
            let listener = TcpListener::bind(self.address)
                .await
                .expect("a reserved port can be bound");
            listens.send_replace(true);
            loop {
                tokio::select! {
                    refused = control.wait_for(|control| control.mode.refuse) => {
                        match refused {
                            Ok(_) => break,
                            Err(_) => return,
                        }
                    }
                    Ok((client, _)) = listener.accept() => {
                        self.counters.connections.fetch_add(1, Ordering::Relaxed);
                        let (counters, control) = (Arc::clone(&self.counters), self.control.clone());
                        pipes.spawn(carry(client, self.target, control, counters));
                    }
                    Some(_) = pipes.join_next() => {}
                }
            }
            drop(listener);
            listens.send_replace(false);
            if control.wait_for(|c| !c.mode.refuse).await.is_err() {
                return;
            }
        }
    }
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection's pipe ended.
enum End {
    /// One side closed it, and everything before that was passed on.
    Closed,
    /// One side failed, or bytes were lost.
    Broken,
}

async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    control: watch::Receiver<Control>,
    counters: Arc<Counters>,
) {
    let mut cuts = control.clone();
    let born = control.borrow().cuts;
    counters.open.fetch_add(1, Ordering::Relaxed);
    let _open = Open(Arc::clone(&counters));
    let end = async {
        let mut server = match TcpStream::connect(target).await {
            Ok(server) => server,
            Err(_) => return (End::Broken, None),
        };
        // The pieces are passed on as they come; waiting for more would be a delay of our own.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let end = pump(&mut client, &mut server, &control, &counters).await;
        (end, Some(server))
    };
    let cut = async {
        match cuts.wait_for(|control| control.cuts > born).await {
            Ok(control) => control.cut,
            // The owner is gone.
            Err(_) => Cut::Reset,
        }
    };
    let cut = tokio::select! {
        (end, server) = end => match end {
            End::Closed => Cut::Finish,
            End::Broken => {
                if let Some(server) = server {
                    let _ = server.set_zero_linger();
                }
                Cut::Reset
            }
        },
        // The server's side is closed by dropping it: a killed process and a closed one look alike to it.
        cut = cut => cut,
    };
    if cut == Cut::Reset {
        // Fails only if the connection is gone already.
        let _ = client.set_zero_linger();
    }
}

async fn pump(
    client: &mut TcpStream,
    server: &mut TcpStream,
    control: &watch::Receiver<Control>,
    counters: &Counters,
) -> End {
    let (client_in, client_out) = client.split();
    let (server_in, server_out) = server.split();
    let up = Pipe {
        control: control.clone(),
        flow: |mode| mode.up,
        passed: |bytes| {
            counters.up.fetch_add(bytes, Ordering::Relaxed);
        },
    };
    let down = Pipe {
        control: control.clone(),
        flow: |mode| mode.down,
        passed: |bytes| {
            counters.down.fetch_add(bytes, Ordering::Relaxed);
            *counters.last_down.lock() = Some(Instant::now());
        },
    };
    let both = async {
        tokio::try_join!(
            up.run(client_in, server_out),
            down.run(server_in, client_out)
        )
    };
    match both.await {
        Ok(_) => End::Closed,
        Err(_) => End::Broken,
    }
}

/// One direction of one connection.
struct Pipe<P: Fn(u64)> {
    control: watch::Receiver<Control>,
    flow: fn(&Mode) -> Flow,
    passed: P,
}

/// Bytes on their way, and when they arrive.
type Piece = (Instant, Vec<u8>);

/// So many pieces are on their way at most; the reader then waits, as it would for a full window.
const WINDOW: usize = 64;
const PIECE: usize = 32 * 1024;

impl<P: Fn(u64)> Pipe<P> {
    async fn run(self, input: ReadHalf<'_>, output: WriteHalf<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(WINDOW);
        tokio::try_join!(self.read(input, sender), self.write(output, receiver)).map(|_| ())
    }

    fn mode(&self) -> Mode {
        self.control.borrow().mode
    }

    async fn read(&self, mut input: ReadHalf<'_>, pieces: mpsc::Sender<Piece>) -> io::Result<()> {
        let mut control = self.control.clone();
        let mut lost = false;
        let mut due = Instant::now();
        loop {
            let mut piece = vec![0; PIECE];
            let read = tokio::select! {
                read = input.read(&mut piece) => read?,
                // Bytes were lost, and the way is free again.
                _ = control.wait_for(|c| (self.flow)(&c.mode) == Flow::Pass), if lost => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            };
            piece.truncate(read);
            if (self.flow)(&self.mode()) == Flow::Swallow {
                // Also a goodbye is lost.
                if read == 0 {
                    self.until(|mode| (self.flow)(mode) != Flow::Swallow)
                        .await?;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                lost = true;
                continue;
            }
            if read == 0 {
                return Ok(());
            }
            let mode = self.mode();
            let late = match mode.loss > rand::random_range(0..100) {
                true => mode.delay + mode.retransmission,
                false => mode.delay,
            };
            // A stream keeps its order: what follows a lost packet waits for it.
            due = due.max(Instant::now() + late);
            if pieces.send((due, piece)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut output: WriteHalf<'_>,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> io::Result<()> {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            self.until(|mode| (self.flow)(mode) != Flow::Hold).await?;
            let length = u64::try_from(piece.len()).expect("a piece is small");
            // Counted first: whoever acts on these bytes is to find them counted.
            (self.passed)(length);
            output.write_all(&piece).await?;
            if let Some(rate) = self.mode().rate {
                #[allow(clippy::cast_precision_loss, reason = "a pause need not be exact")]
                sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await;
            }
        }
        output.shutdown().await
    }

    async fn until(&self, wanted: impl Fn(&Mode) -> bool) -> io::Result<()> {
        let mut control = self.control.clone();
        match control.wait_for(|control| wanted(&control.mode)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}
