//! The embedded registry as other processes meet it: over TCP, on a thread and a runtime of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::thread::JoinHandle;

use osgi_remote::embedded::{Registry, Settings};
use tokio::sync::oneshot;

use super::etcd::EtcdVersion;
use super::store::Store;

/// A registry on loopback; dropping it shuts it down and waits until its port is free.
#[derive(Debug)]
pub struct Embedded {
    store: Store,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a registry that grants leases of one second, as [`Etcd::start`](super::Etcd::start) does.
    pub async fn start() -> Self {
        Self::start_with(Settings::default().min_lease_ttl(1)).await
    }

    /// As [`start`](Self::start), with settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(settings: Settings) -> Self {
        let (started, address) = oneshot::channel::<SocketAddr>();
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let builder = Registry::builder().settings(settings).listen("127.0.0.1:0");
            let registry = builder.start().await.expect("the registry starts");
            let address = registry.address().expect("it listens");
            started.send(address).expect("the test waits for it");
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
        let address = address.await.expect("the registry starts");
        Self {
            // The newest that there is, since the registry answers as 3.5 does.
            store: Store::new(address, EtcdVersion::V3_5),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Deref for Embedded {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for Embedded {
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
