//! The framework: wires everything, and owns the shutdown.

mod builder;
#[cfg(feature = "embedded")]
mod embedded;
mod export;
#[cfg(all(test, feature = "xmlrpc"))]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::admin::{ExportError, RemoteServiceAdmin};
use crate::calls::{Balance, Balanced};
use crate::discovery::EndpointListeners;
#[cfg(feature = "edef")]
use crate::discovery::edef::{EdefConfigError, EdefDiscovery, EdefHealth};
use crate::discovery::etcd::{ConfigError, EtcdDiscovery, Health, HealthUpdates};
use crate::filter::{Filter, FilterError};
use crate::interface::Interface;
use crate::keyspace;
use crate::names::{FrameworkId, SessionId, osgi};
use crate::properties::{Properties, Value};
use crate::services::{Registry, RegistryError, Service, ServiceListener, Tracker};
use crate::topology::{ExportFeed, TopologyManager};

pub use builder::FrameworkBuilder;
pub use export::Export;

/// How long [`FrameworkBuilder::start`] waits for etcd unless told otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long endpoint listeners may take at the end to hear that all is gone.
const LISTENERS_PATIENCE: Duration = Duration::from_secs(1);

/// A failure to start, use or end a framework.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameworkError {
    /// A setting cannot be used.
    #[error("a setting cannot be used: {0}")]
    Config(#[from] ConfigError),
    /// A setting of discovery by EDEF files cannot be used.
    #[cfg(feature = "edef")]
    #[error("a setting cannot be used: {0}")]
    Edef(#[from] EdefConfigError),
    /// A setting of a distribution provider cannot be used.
    #[error("a setting cannot be used: {0}")]
    Distribution(#[from] crate::distribution::DistributionError),
    /// Discovery did not connect in time, or did not end as it should.
    #[error(transparent)]
    Discovery(#[from] keyspace::Error),
    /// A service cannot be exported as it is asked for. It is not registered.
    #[error("the service is not registered: {0}")]
    Export(#[from] ExportError),
    /// The service registry refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A filter does not parse.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The framework is to run a registry itself, and also to use etcd.
    #[error("the registry is embedded, and etcd is at '{etcd}': leave one of them away")]
    TwoRegistries {
        /// Where etcd is said to be.
        etcd: String,
    },
    /// The embedded registry does not start.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] crate::embedded::Error),
    /// The topology manager's task failed. This is a defect of this crate.
    #[error("the topology manager failed: {0}")]
    Topology(#[from] tokio::task::JoinError),
}

/// What the connected callback is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connected {
    /// The own session.
    pub session_id: SessionId,
    /// Its lease, which `etcdctl` prints in hexadecimal.
    pub lease: i64,
}

type Callback = Box<dyn FnOnce(Connected) + Send>;

/// A running framework: a registry, the services of others in it, and one's
/// own services at the others'.
///
/// End it with [`Framework::shutdown`]. Dropping it ends all its tasks at
/// once and without a goodbye: its endpoints then stay announced until the
/// lease runs out.
pub struct Framework {
    id: FrameworkId,
    registry: Registry,
    admin: RemoteServiceAdmin,
    exports: ExportFeed,
    topology: TopologyManager,
    listeners: EndpointListeners,
    etcd: Option<Arc<EtcdDiscovery>>,
    #[cfg(feature = "edef")]
    edef: Option<Arc<EdefDiscovery>>,
    connecting: Option<AbortOnDropHandle<()>>,
    // The last one, so that those that use it end before it does.
    #[cfg(feature = "embedded")]
    embedded: Option<crate::embedded::Registry>,
}

impl Framework {
    /// A builder with defaults.
    pub fn builder() -> FrameworkBuilder {
        FrameworkBuilder::new()
    }

    async fn connect(
        &mut self,
        timeout: Duration,
        callback: Option<Callback>,
    ) -> Result<(), FrameworkError> {
        #[cfg(feature = "edef")]
        if let Some(edef) = &self.edef {
            // Files of a server that does not answer are waited for no longer
            // than etcd is.
            match tokio::time::timeout(timeout, edef.look()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "no endpoint is known by files"),
                Err(_) => warn!(
                    ?timeout,
                    "the EDEF files are not read yet; starting goes on"
                ),
            }
        }
        let Some(etcd) = &self.etcd else {
            return Ok(());
        };
        etcd.connected(timeout).await?;
        call(callback, etcd);
        Ok(())
    }

    fn connect_later(&mut self, callback: Option<Callback>) {
        let Some(etcd) = self.etcd.clone() else {
            return;
        };
        let waiting = tokio::spawn(async move {
            let mut callback = callback;
            loop {
                match etcd.connected(DEFAULT_CONNECT_TIMEOUT).await {
                    Ok(()) => return call(callback.take(), &etcd),
                    Err(keyspace::Error::Closed) => return,
                    Err(error) => warn!(%error, "not connected yet; trying goes on"),
                }
                // A session that is taken fails at once, and would do so again
                // and again.
                if etcd.session_free().await.is_err() {
                    return;
                }
            }
        });
        self.connecting = Some(AbortOnDropHandle::new(waiting));
    }

    /// The framework's identity, `endpoint.framework.uuid` of its endpoints.
    pub fn id(&self) -> &FrameworkId {
        &self.id
    }

    /// The service registry: own services, and proxies of others'.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The Remote Service Admin, for its events and snapshots.
    pub fn admin(&self) -> &RemoteServiceAdmin {
        &self.admin
    }

    /// The registry that this framework runs, if it does: for its addresses.
    #[cfg(feature = "embedded")]
    pub fn embedded(&self) -> Option<&crate::embedded::Registry> {
        self.embedded.as_ref()
    }

    /// Discovery through etcd, if it is configured.
    pub fn etcd(&self) -> Option<&EtcdDiscovery> {
        self.etcd.as_deref()
    }

    /// Discovery through EDEF files, if it is configured.
    #[cfg(feature = "edef")]
    pub fn edef(&self) -> Option<&EdefDiscovery> {
        self.edef.as_deref()
    }

    /// How discovery through EDEF files stands now; `None` without it.
    #[cfg(feature = "edef")]
    pub fn edef_health(&self) -> Option<EdefHealth> {
        self.edef().map(EdefDiscovery::health)
    }

    /// How discovery through etcd stands now; `None` without it.
    pub fn health(&self) -> Option<Health> {
        self.etcd().map(EtcdDiscovery::health)
    }

    /// How discovery through etcd stands, as it changes; `None` without it.
    pub fn health_updates(&self) -> Option<HealthUpdates> {
        self.etcd().map(EtcdDiscovery::health_updates)
    }

    /// Where to listen to endpoints: to others' as discovery tells of them,
    /// and to one's own that are announced.
    ///
    /// What is of interest is up to the listener's scope:
    /// [`Scope::remote`](crate::discovery::Scope::remote) are others'.
    pub fn endpoints(&self) -> &EndpointListeners {
        &self.listeners
    }

    /// How the exports stand, by `service.id`.
    pub fn exports(&self) -> &ExportFeed {
        &self.exports
    }

    /// Registers a service and has it exported. Dropping the export takes it
    /// back.
    ///
    /// All its interfaces are exported unless `service.exported.interfaces`
    /// says otherwise. The rest happens in the background and through all
    /// failures of the network; [`Export::announced`] waits for it.
    ///
    /// # Errors
    ///
    /// If the properties, under those that the topology policy gives, ask for
    /// what cannot be: an interface that the service does not have, an unknown
    /// config type or intent, a bad value. The service is then not registered.
    pub fn export<I: Interface + ?Sized>(
        &self,
        service: Arc<I>,
        properties: Properties,
    ) -> Result<Export, FrameworkError> {
        self.export_service(Service::of(service), properties)
    }

    /// [`Framework::export`] for a service of several interfaces, or of none
    /// that Rust knows.
    ///
    /// # Errors
    ///
    /// As [`Framework::export`].
    pub fn export_service(
        &self,
        service: Service,
        mut properties: Properties,
    ) -> Result<Export, FrameworkError> {
        if !properties.contains(osgi::SERVICE_EXPORTED_INTERFACES) {
            properties.set(osgi::SERVICE_EXPORTED_INTERFACES, "*");
        }
        let interfaces = Value::array_of(service.interfaces());
        let mut checked = properties
            .clone()
            .with(osgi::OBJECT_CLASS, interfaces.clone());
        // As the topology manager will export it: the policy may name other
        // config types.
        if let Some(overlay) = self.topology.overlay(&checked) {
            checked.overlay(&overlay);
            checked.set(osgi::OBJECT_CLASS, interfaces);
        }
        self.admin.check_export(&checked)?;
        Ok(Export {
            registration: self.registry.register(service, properties)?,
            exports: self.exports.clone(),
        })
    }

    /// Waits for a service of a Rust interface that matches the filter, local
    /// or remote; `(service.imported=*)` for remote ones only, an empty
    /// filter for any. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If the filter does not parse, or no service comes in time.
    pub async fn wait_for<I: Interface + ?Sized>(
        &self,
        filter: &str,
        timeout: Duration,
    ) -> Result<Arc<I>, FrameworkError> {
        let filter = parse(filter)?;
        Ok(self.registry.wait_for(filter.as_ref(), timeout).await?)
    }

    /// Tracks the services of a Rust interface that match the filter; an
    /// empty one for all.
    ///
    /// # Errors
    ///
    /// If the filter does not parse.
    pub fn track<I: Interface + ?Sized>(&self, filter: &str) -> Result<Tracker<I>, FrameworkError> {
        Ok(self.registry.track(parse(filter)?))
    }

    /// The services that match the filter as they come, change and go,
    /// whatever their interfaces; an empty filter for all. A stream, as
    /// [`Framework::track`] is for one interface.
    ///
    /// # Errors
    ///
    /// If the filter does not parse.
    pub fn changes(&self, filter: &str) -> Result<ServiceListener, FrameworkError> {
        Ok(self.registry.listen(None, parse(filter)?))
    }

    /// One service over all that have a Rust interface and match the filter,
    /// local or remote: each call goes to one of them, as `balance` says.
    /// `(service.imported=*)` for remote ones only, an empty filter for any.
    ///
    /// It waits for none: a call that finds nobody fails with
    /// [`CallError::NoEndpoint`](crate::interface::CallError::NoEndpoint), at
    /// once or after [`Balance::wait`]. What it learns of the endpoints it
    /// keeps to itself: make one, and share it.
    ///
    /// ```no_run
    /// # use osgi_remote::{Framework, interface::CallError, remote_service};
    /// use osgi_remote::calls::Balance;
    ///
    /// #[remote_service("org.example.Clock")]
    /// pub trait Clock {
    ///     #[remote(idempotent, timeout = "2s")]
    ///     async fn now(&self) -> Result<i64, CallError>;
    /// }
    ///
    /// # async fn example(framework: Framework) -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = framework.balanced::<dyn Clock>("(zone=utc)", Balance::round_robin())?;
    /// println!("{}", clock.now().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the filter does not parse.
    pub fn balanced<I: Interface + ?Sized>(
        &self,
        filter: &str,
        balance: Balance,
    ) -> Result<Arc<I>, FrameworkError> {
        let balanced = Balanced::new::<I>(&self.registry, parse(filter)?, balance);
        Ok(I::proxy(Arc::new(balanced)))
    }

    /// Ends the framework: announcements are taken back (all at once, by
    /// revoking the lease), then proxies go and exports close. When it
    /// returns, no task of it is left. A registry that it runs ends last, and
    /// with it what other frameworks have in it.
    ///
    /// # Errors
    ///
    /// If the lease could not be revoked in time. Everything else is ended
    /// all the same; the announcements go when the lease runs out.
    pub async fn shutdown(mut self) -> Result<(), FrameworkError> {
        if let Some(connecting) = self.connecting.take() {
            connecting.abort();
            // Aborted or done: either way it has ended.
            let _ = connecting.await;
        }
        let stopped = self.topology.stop().await;
        let discovered = match &self.etcd {
            Some(etcd) => etcd.close().await,
            None => Ok(()),
        };
        #[cfg(feature = "edef")]
        if let Some(edef) = &self.edef {
            edef.close().await;
        }
        let stopped = match stopped {
            Ok(topology) => {
                topology.close().await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.admin.close().await;
        self.listeners.close(LISTENERS_PATIENCE).await;
        #[cfg(feature = "embedded")]
        if let Some(embedded) = self.embedded.take() {
            embedded.shutdown().await;
        }
        info!(framework = %self.id, "framework ended");
        stopped?;
        Ok(discovered?)
    }
}

fn call(callback: Option<Callback>, etcd: &EtcdDiscovery) {
    if let Some(callback) = callback {
        callback(Connected {
            session_id: etcd.session_id().clone(),
            lease: etcd.session_status().lease.unwrap_or_default(),
        });
    }
}

fn parse(filter: &str) -> Result<Option<Filter>, FilterError> {
    if filter.trim().is_empty() {
        Ok(None)
    } else {
        Filter::parse(filter).map(Some)
    }
}

impl fmt::Debug for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framework")
            .field("id", &self.id)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}
