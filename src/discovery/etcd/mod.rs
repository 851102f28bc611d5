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
mod keys;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::info;

pub use config::{ConfigError, Environment, EtcdConfig};
pub use view::Rejected;

use super::{Advertiser, DiscoveryError, EndpointFeed, Receipt, Subscriber};
use crate::endpoint::EndpointDescription;
use crate::endpoint::service_info::{self, EncodeError, ServiceInfo};
use crate::keyspace::{self, Session, SessionConfig, WatchConfig, Watcher};
use crate::names::{EndpointId, SessionId};

/// Discovery through etcd: announces own endpoints, hears of others'.
pub struct EtcdDiscovery {
    config: EtcdConfig,
    session: Session,
    watcher: Watcher,
    feed: EndpointFeed,
    rejected: Arc<Mutex<Rejected>>,
}

impl EtcdDiscovery {
    /// Starts the session and the watcher, and returns at once. They find
    /// etcd when it is there, and go on until [`EtcdDiscovery::close`].
    ///
    /// # Errors
    ///
    /// If a setting cannot be used.
    pub fn start(config: EtcdConfig) -> Result<Self, keyspace::Error> {
        let key = keys::session(&config.top_key, &config.session_id);
        let mut session = SessionConfig::new(key, config.session_id.to_string());
        session = session.ttl(config.lease_ttl);
        if let Some(interval) = config.keepalive_interval {
            session.renew_interval = interval;
        }
        let session = Session::open(config.connect.clone(), session)?;
        let (feed, rejected) = (EndpointFeed::new(), Arc::default());
        let view = view::View::new(
            config.top_key.clone(),
            config.session_id.clone(),
            feed.clone(),
            Arc::clone(&rejected),
        );
        let range = keys::range(&config.top_key);
        let range = WatchConfig::range(range.start, range.end);
        let watcher = Watcher::open(config.connect.clone(), range, view)?;
        Ok(Self {
            config,
            session,
            watcher,
            feed,
            rejected,
        })
    }

    /// Waits until the session is registered and all endpoints are known.
    ///
    /// # Errors
    ///
    /// If that did not come about within `limit`: which address was tried,
    /// for how long, and what went wrong last. Both go on trying.
    pub async fn connected(&self, limit: Duration) -> Result<(), keyspace::Error> {
        let deadline = Instant::now() + limit;
        let registered = self.session.ready_within(limit).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, self.watcher.synced()).await {
            Ok(result) => result?,
            Err(_) => {
                let status = self.watcher.status().borrow().clone();
                return Err(status.last_error.unwrap_or(keyspace::Error::NotReady {
                    key: self.session.key().to_owned(),
                    waited: limit,
                    cause: Box::new(keyspace::Error::Connect {
                        endpoint: status.endpoint,
                        elapsed: limit,
                        cause: keyspace::Cause::new("the endpoints were not listed yet"),
                    }),
                }));
            }
        };
        info!(
            session = %self.config.session_id,
            lease = format!("{:x}", registered.lease),
            etcd = %registered.endpoint,
            "connected"
        );
        Ok(())
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
        self.watcher.status().borrow().clone()
    }

    /// Keys in range that are no endpoints, with the reason.
    pub fn rejected(&self) -> Rejected {
        self.rejected.lock().clone()
    }

    /// Takes all own endpoints back by revoking the lease, and ends the
    /// listeners' feeds. When it returns no task is left. Closing twice does
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the lease could not be revoked in time: the endpoints then go when
    /// it runs out.
    pub async fn close(&self) -> Result<(), keyspace::Error> {
        let revoked = self.session.close(self.config.disconnect_timeout).await;
        let watched = self.watcher.close().await;
        self.feed.close();
        revoked.and(watched)
    }
}

impl Advertiser for EtcdDiscovery {
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError> {
        let config = &self.config;
        let info = ServiceInfo::new(endpoint.clone());
        let value = service_info::encode(&info, &config.host_ip)?;
        let key = keys::endpoint(&config.top_key, &config.session_id, endpoint.id())
            .map_err(EncodeError::from)?;
        Ok(receipt(endpoint.id(), self.session.put(key, value)))
    }

    fn withdraw(&self, endpoint: &EndpointId) -> Receipt {
        let config = &self.config;
        match keys::endpoint(&config.top_key, &config.session_id, endpoint) {
            Ok(key) => receipt(endpoint, self.session.delete(key)),
            // An id that cannot be announced never was.
            Err(_) => Box::pin(async { Ok(()) }),
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
        &self.feed
    }
}
