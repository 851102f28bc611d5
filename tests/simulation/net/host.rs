//! The network as one host has it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use osgi_remote::network::{Listener, Network, Stream};

use super::pipe::Pipe;
use super::stream::End;
use super::{BACKLOG, Backlog, Connection, Net};

/// The network of one host, from one boot to the next crash.
#[derive(Debug)]
pub(crate) struct HostNetwork {
    net: Net,
    ip: Ipv4Addr,
    boots: u32,
}

/// What came of an attempt to connect.
enum Attempt {
    Connected(End),
    Refused,
    /// Nobody answers.
    Lost,
}

impl HostNetwork {
    pub(super) const fn new(net: Net, ip: Ipv4Addr, boots: u32) -> Self {
        Self { net, ip, boots }
    }

    fn is_on(&self) -> bool {
        let state = self.net.0.lock();
        let host = state.hosts.get(&self.ip);
        host.is_some_and(|host| host.up && host.boots == self.boots)
    }

    /// The time to the other host and back; none if nothing comes back.
    fn round_trip(&self, to: Ipv4Addr) -> Option<Duration> {
        let mut state = self.net.0.lock();
        let is_cut = [(self.ip, to), (to, self.ip)]
            .into_iter()
            .any(|(from, to)| state.link(from, to).cut_since.is_some());
        let is_up = state.hosts.get(&to).is_some_and(|host| host.up);
        let there = state.travel(self.ip, to, 0);
        let back = state.travel(to, self.ip, 0);
        (is_up && !is_cut).then_some(there + back)
    }

    /// For how long a defect, if there is one, keeps connections from being made.
    fn held_back(&self) -> Duration {
        let mut state = self.net.0.lock();
        let now = state.start.elapsed();
        let bend = state.bend.as_mut();
        bend.map_or(Duration::ZERO, |bend| bend.holds_back(now))
    }

    fn attempt(&self, to: SocketAddrV4) -> Attempt {
        if self.round_trip(*to.ip()).is_none() {
            return Attempt::Lost;
        }
        let mut state = self.net.0.lock();
        let Some(backlog) = state.listeners.get(&to).map(Arc::clone) else {
            return Attempt::Refused;
        };
        let mut waiting = backlog.ends.lock();
        if waiting.len() >= BACKLOG {
            return Attempt::Lost;
        }
        state.made += 1;
        let number = state.made;
        let connection = Connection {
            hosts: [self.ip, *to.ip()],
            pipes: [Pipe::default(), Pipe::default()],
            dropped: [false; 2],
            dead: [false; 2],
            unanswered: [false; 2],
        };
        state.connections.insert(number, connection);
        waiting.push_back(End::new(self.net.clone(), number, 1));
        backlog.filled.notify_one();
        Attempt::Connected(End::new(self.net.clone(), number, 0))
    }
}

impl Network for HostNetwork {
    fn connect<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        _limit: Duration,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let ip = host
                .parse()
                .map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?;
            let to = SocketAddrV4::new(ip, port);
            self.net.awake(self.ip).await;
            // As Linux does; who has less patience drops this.
            let mut again = Duration::from_secs(1);
            loop {
                if let Some(time) = self.round_trip(ip) {
                    tokio::time::sleep(time).await;
                }
                tokio::time::sleep(self.held_back()).await;
                if !self.is_on() {
                    return std::future::pending().await;
                }
                match self.attempt(to) {
                    Attempt::Connected(end) => return Ok(Box::new(end) as Box<dyn Stream>),
                    Attempt::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
                    Attempt::Lost => {
                        tokio::time::sleep(again).await;
                        again *= 2;
                    }
                }
            }
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let address: SocketAddrV4 = address
                .parse()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            if *address.ip() != self.ip || !self.is_on() {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            let mut state = self.net.0.lock();
            if state.listeners.contains_key(&address) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let backlog = Arc::new(Backlog::default());
            state.listeners.insert(address, Arc::clone(&backlog));
            Ok(Box::new(Listening {
                net: self.net.clone(),
                address,
                backlog,
            }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct Listening {
    net: Net,
    address: SocketAddrV4,
    backlog: Arc<Backlog>,
}

impl Listener for Listening {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            loop {
                self.net.awake(*self.address.ip()).await;
                let end = self.backlog.ends.lock().pop_front();
                if let Some(end) = end {
                    return Ok(Box::new(end) as Box<dyn Stream>);
                }
                self.backlog.filled.notified().await;
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address.into())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.net.0.lock();
        let own = |known: &Arc<Backlog>| Arc::ptr_eq(known, &self.backlog);
        // After a crash another one may listen there.
        if state.listeners.get(&self.address).is_some_and(own) {
            state.listeners.remove(&self.address);
        }
        drop(state);
        // Each of them tells the network that it is gone.
        let waiting = std::mem::take(&mut *self.backlog.ends.lock());
        drop(waiting);
    }
}
