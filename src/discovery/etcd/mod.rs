//! Discovery through etcd, in the key space of ECF and iPOPO.
//!
//! ```text
//! <top>/<session>                the session id again   \  both under the
//! <top>/<session>/<endpoint.id>  the endpoint, as JSON  /  session's lease
//! ```
//!
//! A session announces; a watcher on `<top>/` hears. Each has a connection of
//! its own.

mod config;
mod guard;
mod health;
pub mod keys;
pub mod lint;
mod memory;
mod observer;
pub mod preference;
mod staleness;
mod suspects;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use config::{ConfigError, Environment, EtcdConfig};
pub use guard::Guard;
pub use health::{Counts, Health, HealthUpdates};
pub use observer::EtcdObserver;
pub use view::{Rejected, Suspect, ViewStatus};

use super::{Advertiser, DiscoveryError, EndpointFeed, Receipt, Subscriber};
use crate::ambient::FAR;
use crate::endpoint::EndpointDescription;
use crate::endpoint::service_info::{self, EncodeError};
use crate::keyspace::{self, Session, SessionConfig, Watcher};
use crate::names::{EndpointId, SessionId};

/// Discovery through etcd: announces own endpoints, hears of others'.
pub struct EtcdDiscovery {
    config: EtcdConfig,
    session: Session,
    observer: EtcdObserver,
    /// What goes on beside the session and the observer.
    tasks: Mutex<JoinSet<()>>,
    /// Own endpoints that are announced.
    advertised: Mutex<BTreeSet<EndpointId>>,
}

impl EtcdDiscovery {
    /// Starts the session and the watcher, and returns at once. They find
    /// etcd when it is there, and go on until [`EtcdDiscovery::close`].
    ///
    /// Reads [`EtcdConfig::last_known`], if it is set.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used.
    pub fn start(config: EtcdConfig) -> Result<Self, keyspace::Error> {
        let (top, own) = (&config.top_key, &config.session_id);
        let mut session = SessionConfig::new(keys::session(top, own), own.to_string());
        session = session.ttl(config.lease_ttl);
        if let Some(interval) = config.keepalive_interval {
            session.renew_interval = interval;
        }
        let session = Session::open(config.connect.clone(), session)?;
        let observer = EtcdObserver::open(&config, Some(own))?;
        let mut tasks = JoinSet::new();
        let watcher = Arc::clone(observer.watcher());
        tasks.spawn(relist_after_losses(session.status(), watcher));
        Ok(Self {
            config,
            session,
            observer,
            tasks: Mutex::new(tasks),
            advertised: Mutex::default(),
        })
    }

    /// Waits until the session is registered and all endpoints are known.
    ///
    /// # Errors
    ///
    /// If that did not come about within `limit`: which address was tried,
    /// for how long, and what went wrong last. Both go on trying.
    pub async fn connected(&self, limit: Duration) -> Result<(), keyspace::Error> {
        let deadline = Instant::now() + limit.min(FAR);
        let registered = self.session.ready_within(limit).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.observer.synced_within(left).await?;
        info!(
            session = %self.config.session_id,
            lease = format!("{:x}", registered.lease),
            etcd = %registered.endpoint,
            "connected"
        );
        Ok(())
    }

    /// Waits while another process holds the own session id.
    ///
    /// # Errors
    ///
    /// If discovery is closed.
    pub async fn session_free(&self) -> Result<(), keyspace::Error> {
        let mut status = self.session.status();
        let free = status.wait_for(|status| status.taken.is_none()).await;
        free.map(drop).map_err(|_| keyspace::Error::Closed)
    }

    /// The own session.
    pub fn session_id(&self) -> &SessionId {
        &self.config.session_id
    }

    /// The state of the session.
    pub fn session_status(&self) -> keyspace::SessionStatus {
        self.session.status().borrow().clone()
    }

    /// The state of the watcher.
    pub fn watch_status(&self) -> keyspace::WatchStatus {
        self.observer.watch_status().borrow().clone()
    }

    /// Keys in range that are no endpoints, with the reason.
    pub fn rejected(&self) -> Arc<Rejected> {
        Arc::clone(&self.observer.view_status().borrow().rejected)
    }

    /// How discovery stands now.
    pub fn health(&self) -> Health {
        self.health_updates().current()
    }

    /// How discovery stands, as it changes.
    pub fn health_updates(&self) -> HealthUpdates {
        HealthUpdates::new(
            self.config.session_id.clone(),
            self.session.status(),
            self.observer.watch_status(),
            self.observer.view_status(),
        )
    }

    /// Takes all own endpoints back, revokes the lease, and ends the
    /// listeners' feeds. When it returns no task is left. Closing twice does
    /// nothing.
    ///
    /// The endpoints go before the lease, as far as etcd answers: so peers can
    /// tell a goodbye from an accident.
    ///
    /// # Errors
    ///
    /// If the lease could not be revoked in time: the endpoints then go when
    /// it runs out.
    pub async fn close(&self) -> Result<(), keyspace::Error> {
        let deadline = Instant::now() + self.config.disconnect_timeout.min(FAR);
        let goodbye = self.withdraw_all();
        // Half of the time at most: the lease takes along what is left.
        let patience = self.config.disconnect_timeout / 2;
        if tokio::time::timeout(patience, goodbye).await.is_err() {
            debug!("the endpoints could not be withdrawn one by one in time");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let revoked = self.session.close(left).await;
        let observed = self.observer.close().await;
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        revoked.and(observed)
    }

    /// Withdraws what is announced, if the session is in a state to do so.
    async fn withdraw_all(&self) {
        if self.session.status().borrow().phase != keyspace::SessionPhase::Held {
            return;
        }
        let endpoints = std::mem::take(&mut *self.advertised.lock());
        let withdrawn: Vec<_> = endpoints.iter().map(|id| self.withdraw(id)).collect();
        for result in futures::future::join_all(withdrawn).await {
            if let Err(error) = result {
                debug!(%error, "left to the end of the lease");
            }
        }
    }
}

impl Advertiser for EtcdDiscovery {
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError> {
        let config = &self.config;
        let (info, left_out) = service_info::leave_out_unfit(preference::to_wire(endpoint)?);
        for reason in &left_out {
            warn!(%reason, "a property is left out of the announcement");
        }
        let value = service_info::encode(&info, &config.host_ip)?;
        let key = keys::endpoint(&config.top_key, &config.session_id, endpoint.id())
            .map_err(EncodeError::from)?;
        let commit = self.session.put(key, value);
        self.advertised.lock().insert(endpoint.id().clone());
        Ok(receipt(endpoint.id(), commit))
    }

    fn withdraw(&self, endpoint: &EndpointId) -> Receipt {
        let config = &self.config;
        self.advertised.lock().remove(endpoint);
        match keys::endpoint(&config.top_key, &config.session_id, endpoint) {
            Ok(key) => receipt(endpoint, self.session.delete(key)),
            // An id that cannot be announced never was.
            Err(_) => Box::pin(async { Ok(()) }),
        }
    }
}

/// Lists again whenever the own lease turns out to be gone; runs until the
/// session ends.
///
/// The store may then be another one. Where it was wiped and grew beyond the
/// revision at which the watch stood, while nobody looked, nothing else tells:
/// its cluster id is made of names and addresses, its term begins anew, and a
/// watch opened there is silent on what only the store before had.
async fn relist_after_losses(
    mut session: tokio::sync::watch::Receiver<keyspace::SessionStatus>,
    watcher: Arc<Watcher>,
) {
    let mut known = 0;
    while session.changed().await.is_ok() {
        let losses = session.borrow_and_update().counts.losses;
        if losses != known {
            known = losses;
            watcher.relist();
        }
    }
}

fn receipt(
    endpoint: &EndpointId,
    commit: impl Future<Output = Result<keyspace::Committed, keyspace::Error>> + Send + 'static,
) -> BoxFuture<'static, Result<(), DiscoveryError>> {
    let endpoint = endpoint.to_string();
    Box::pin(async move {
        match commit.await {
            Ok(_) => Ok(()),
            Err(source) => Err(DiscoveryError::KeySpace { endpoint, source }),
        }
    })
}

impl Subscriber for EtcdDiscovery {
    fn endpoints(&self) -> &EndpointFeed {
        self.observer.endpoints()
    }
}
