//! The embedded registry as other processes meet it: over TCP, on a thread and a runtime of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::thread::JoinHandle;

use osgi_remote::embedded::{Registry, Settings};
use tokio::sync::oneshot;

use super::etcd::EtcdVersion;
use super::process::ReservedPort;
use super::store::Store;

/// A registry on loopback; dropping it shuts it down and waits until its port is free.
#[derive(Debug)]
pub struct Embedded {
    store: Store,
    settings: Settings,
    serving: Option<Serving>,
    _port: ReservedPort,
}

impl Embedded {
    /// Starts a registry that grants leases of one second, as [`Etcd::start`](super::Etcd::start) does.
    pub async fn start() -> Self {
        Self::start_with(Self::settings()).await
    }

    /// The settings of [`start`](Self::start).
    pub fn settings() -> Settings {
        Settings::default().min_lease_ttl(1)
    }

    /// As [`start`](Self::start), with settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(settings: Settings) -> Self {
        let port = ReservedPort::any();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        Self {
            // The newest that there is, since the registry answers as 3.5 does.
            store: Store::new(address, EtcdVersion::V3_5),
            serving: Some(Serving::start(address, settings.clone()).await),
            settings,
            _port: port,
        }
    }

    /// Ends the registry, with all that is in it; its port stays its own.
    pub fn stop(&mut self) {
        self.serving = None;
    }

    /// Starts an empty registry on the same port. One that is still running is ended first.
    pub async fn restart(&mut self) {
        self.stop();
        self.serving = Some(Serving::start(self.address(), self.settings.clone()).await);
    }
}

impl Deref for Embedded {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A thread that runs a registry until this is dropped.
#[derive(Debug)]
struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    async fn start(address: SocketAddr, settings: Settings) -> Self {
        let (started, is_started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let builder = Registry::builder().settings(settings);
            let registry = builder.listen(address.to_string()).start().await;
            let registry = registry.expect("the registry starts");
            started.send(()).expect("the test waits for it");
            // Dropped without a word when the test panics, which is an end as well.
            let _ = stopped.await;
            registry.shutdown().await;
        };
        let thread = std::thread::Builder::new()
            .name("embedded-registry".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(serve);
            })
            .expect("a thread for the registry");
        is_started.await.expect("the registry starts");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Refused only by a registry that is gone already, which its thread tells.
            let _ = stop.send(());
        }
        let ended = self.thread.take().map(JoinHandle::join);
        if let (Some(Err(_)), false) = (ended, std::thread::panicking()) {
            panic!("the registry's thread panicked");
        }
    }
}
