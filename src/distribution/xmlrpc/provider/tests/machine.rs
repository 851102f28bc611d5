//! A machine that has the addresses it is to have, and a network that fails
//! when it is told to. All that goes over it goes over loopback.

use std::collections::BTreeSet;
use std::net::IpAddr;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::network::{Listener, Network, Stream, Tcp};

/// How accepting fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    Error(io::ErrorKind),
    Panic,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    tcp: Tcp,
    /// The faults of each listener that there was, in order.
    listeners: Mutex<Vec<watch::Sender<Fault>>>,
    /// What is listened on: once each.
    taken: Arc<Mutex<BTreeSet<String>>>,
}

impl Machine {
    /// A provider on this machine, which has a public address and a private
    /// one.
    pub(super) fn provider(self: &Arc<Self>, address: &str) -> XmlRpcProvider {
        let mut config = XmlRpcConfig::default().listen(address).unwrap();
        config.network = Arc::clone(self) as Arc<dyn Network>;
        XmlRpcProvider::with_addresses(config, || Ok(local(&["203.0.113.7", "10.1.2.3"])))
    }

    /// How many listeners there were.
    pub(super) fn listened(&self) -> usize {
        self.listeners.lock().len()
    }

    /// Has the listener that came last fail, or work again.
    pub(super) fn fail(&self, fault: Fault) {
        self.listeners.lock().last().unwrap().send_replace(fault);
    }
}

impl Network for Machine {
    fn connect<'a>(
        &'a self,
        _: &'a str,
        port: u16,
        limit: Duration,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        self.tcp.connect("127.0.0.1", port, limit)
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let ip: IpAddr = address.rsplit_once(':').unwrap().0.parse().unwrap();
            if !self.taken.lock().insert(address.to_owned()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let fault = watch::Sender::new(Fault::None);
            self.listeners.lock().push(fault.clone());
            Ok(Box::new(Faulty {
                ip,
                address: address.to_owned(),
                taken: Arc::clone(&self.taken),
                inner: self.tcp.listen("127.0.0.1:0").await?,
                fault,
            }) as Box<dyn Listener>)
        })
    }
}

#[derive(Debug)]
struct Faulty {
    ip: IpAddr,
    address: String,
    taken: Arc<Mutex<BTreeSet<String>>>,
    inner: Box<dyn Listener>,
    fault: watch::Sender<Fault>,
}

impl Listener for Faulty {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let mut news = self.fault.subscribe();
            let fault = async { *news.wait_for(|fault| *fault != Fault::None).await.unwrap() };
            tokio::select! {
                biased;
                fault = fault => match fault {
                    Fault::Error(kind) => Err(io::Error::new(kind, "as asked")),
                    Fault::None | Fault::Panic => panic!("as asked"),
                },
                accepted = self.inner.accept() => accepted,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.ip, self.inner.local_addr()?.port()))
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.taken.lock().remove(&self.address);
    }
}
