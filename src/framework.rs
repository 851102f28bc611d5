//! The framework: wires everything, and owns the shutdown.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::admin::{ExportError, RemoteServiceAdmin};
use crate::discovery::etcd::{
    ConfigError, Environment, EtcdConfig, EtcdDiscovery, Health, HealthUpdates,
};
use crate::distribution::Provider;
#[cfg(feature = "xmlrpc")]
use crate::distribution::xmlrpc::{XmlRpcConfig, XmlRpcProvider};
use crate::endpoint::EndpointDescription;
use crate::filter::{Filter, FilterError};
use crate::interface::Interface;
use crate::keyspace::{self, Credentials, TlsOptions};
use crate::names::{FrameworkId, SessionId, osgi};
use crate::properties::{Properties, Value};
use crate::services::{
    Registry, RegistryError, Service, ServiceReference, ServiceRegistration, Tracker,
};
use crate::topology::{
    Discovery, ExportFeed, ExportStatus, Policy, TopologyError, TopologyManager,
};

/// How long [`FrameworkBuilder::start`] waits for etcd unless told otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A failure to start, use or end a framework.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameworkError {
    /// A setting cannot be used.
    #[error("a setting cannot be used: {0}")]
    Config(#[from] ConfigError),
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

type Change = Box<dyn FnOnce(&mut EtcdConfig) + Send>;
type Callback = Box<dyn FnOnce(Connected) + Send>;

/// Builds a [`Framework`].
///
/// Settings can be given by the methods here, or as properties under the
/// names that users of iPOPO and ECF know (see
/// [`EtcdConfig`] and
#[cfg_attr(feature = "xmlrpc", doc = "[`XmlRpcConfig`]")]
/// ). What a method says wins over a property, and a property over a variable of
/// the environment, which is read only after [`FrameworkBuilder::env`].
#[must_use = "a builder does nothing until it is started"]
pub struct FrameworkBuilder {
    properties: Properties,
    environment: Environment,
    etcd: Option<String>,
    etcd_changes: Vec<Change>,
    #[cfg(feature = "xmlrpc")]
    xmlrpc: Option<String>,
    #[cfg(feature = "xmlrpc")]
    xmlrpc_config: Option<XmlRpcConfig>,
    framework_id: Option<FrameworkId>,
    providers: Vec<Arc<dyn Provider>>,
    policy: Policy,
    connect_timeout: Option<Duration>,
    connected: Option<Callback>,
}

impl FrameworkBuilder {
    fn new() -> Self {
        Self {
            properties: Properties::new(),
            environment: Environment::default(),
            etcd: None,
            etcd_changes: Vec::new(),
            #[cfg(feature = "xmlrpc")]
            xmlrpc: None,
            #[cfg(feature = "xmlrpc")]
            xmlrpc_config: None,
            framework_id: None,
            providers: Vec::new(),
            policy: Policy::default(),
            connect_timeout: Some(DEFAULT_CONNECT_TIMEOUT),
            connected: None,
        }
    }

    /// Discovery through etcd at `host:port`; several servers of one cluster
    /// are separated by commas. Without this, and without a property that
    /// configures it, the framework discovers and announces nothing.
    pub fn etcd(mut self, endpoints: impl Into<String>) -> Self {
        self.etcd = Some(endpoints.into());
        self
    }

    /// Reads etcdctl's variables now, such as `ETCDCTL_ENDPOINTS` (all are in
    /// [`EtcdConfig`]), for what is not said otherwise. Without this call the
    /// environment changes nothing.
    pub fn env(self) -> Self {
        self.environment(Environment::of_process())
    }

    /// As [`FrameworkBuilder::env`], with these variables.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Reaches etcd by TLS, with these options. Addresses need no `https://`
    /// then. It needs the cargo feature `tls`; without it
    /// [`FrameworkBuilder::start`] refuses.
    pub fn etcd_tls(self, tls: TlsOptions) -> Self {
        self.etcd_with(|config| config.connect.tls = Some(tls))
    }

    /// Who this process is to etcd.
    pub fn etcd_user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let user = Credentials::new(name, password);
        self.etcd_with(|config| config.connect.user = Some(user))
    }

    /// Changes any setting of discovery through etcd, after all else was
    /// read; more than one change is made in the order of the calls.
    pub fn etcd_with(mut self, change: impl FnOnce(&mut EtcdConfig) + Send + 'static) -> Self {
        self.etcd_changes.push(Box::new(change));
        self
    }

    /// Exports listen on `host:port`; port 0 for a free one. Default:
    /// `127.0.0.1:0`, which only this machine can reach.
    #[cfg(feature = "xmlrpc")]
    pub fn xmlrpc(mut self, address: impl Into<String>) -> Self {
        self.xmlrpc = Some(address.into());
        self
    }

    /// All settings of XML-RPC, with its limits, instead of those that the
    /// properties give.
    #[cfg(feature = "xmlrpc")]
    pub fn xmlrpc_config(mut self, config: XmlRpcConfig) -> Self {
        self.xmlrpc_config = Some(config);
        self
    }

    /// One setting, by iPOPO's or ECF's name.
    pub fn property(mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> Self {
        self.properties.set(name, value);
        self
    }

    /// Settings, by iPOPO's or ECF's names.
    pub fn properties(mut self, properties: &Properties) -> Self {
        self.properties.overlay(properties);
        self
    }

    /// The framework's identity. Default: a fresh one.
    pub fn framework_id(mut self, id: FrameworkId) -> Self {
        self.framework_id = Some(id);
        self
    }

    /// One more distribution provider, before those that are built in.
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// Which services are exported and which endpoints imported.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long [`FrameworkBuilder::start`] waits for discovery. Default:
    /// [`DEFAULT_CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Does not wait for discovery: the framework starts, and connects when
    /// it can.
    pub fn start_disconnected(mut self) -> Self {
        self.connect_timeout = None;
        self
    }

    /// Called once, when the own session is registered and all endpoints are
    /// known for the first time (iPOPO's `etcd.connected_callback`).
    pub fn on_connected(mut self, callback: impl FnOnce(Connected) + Send + 'static) -> Self {
        self.connected = Some(Box::new(callback));
        self
    }

    fn etcd_config(&mut self) -> Result<Option<EtcdConfig>, ConfigError> {
        let mut properties = self.properties.clone();
        if let Some(endpoints) = &self.etcd {
            for name in ["hostname", "port"] {
                properties.remove(&format!("etcd.{name}"));
                properties.remove(&format!("ecf.discovery.etcd3.{name}"));
            }
            properties.set("etcd.hostname", endpoints.as_str());
        }
        if !EtcdConfig::is_configured(&properties) && !self.environment.has_endpoints() {
            return Ok(None);
        }
        let mut config = EtcdConfig::from_properties_and_env(&properties, &self.environment)?;
        if let Some(config) = &mut config {
            for change in self.etcd_changes.drain(..) {
                change(config);
            }
        }
        Ok(config)
    }

    /// Starts the framework. When it returns, the session is registered and
    /// all endpoints are known, unless it was told not to wait.
    ///
    /// Cancelling it ends all that was started.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used, or etcd was not reached in time: the
    /// error says which address was tried and for how long. Nothing of the
    /// framework is left then, in etcd neither, if it can be reached within
    /// `etcd.disconnect_timeout`.
    pub async fn start(mut self) -> Result<Framework, FrameworkError> {
        let id = self.framework_id.take().unwrap_or_else(FrameworkId::random);
        let registry = Registry::new();
        let admin = RemoteServiceAdmin::new(id.clone(), registry.clone());
        for provider in std::mem::take(&mut self.providers) {
            admin.add_provider(provider);
        }
        #[cfg(feature = "xmlrpc")]
        {
            let mut config = match self.xmlrpc_config.take() {
                Some(config) => config,
                None => XmlRpcConfig::from_properties(&self.properties)?,
            };
            if let Some(address) = &self.xmlrpc {
                config = config.listen(address)?;
            }
            admin.add_provider(Arc::new(XmlRpcProvider::new(config)));
        }
        let etcd = match self.etcd_config()? {
            Some(config) => Some(Arc::new(EtcdDiscovery::start(config)?)),
            None => {
                info!("no discovery is configured: endpoints are neither announced nor found");
                None
            }
        };
        let discoveries = etcd.iter().map(|d| Arc::clone(d) as Arc<dyn Discovery>);
        let topology =
            TopologyManager::start(admin.clone(), &registry, discoveries.collect(), self.policy);
        let mut framework = Framework {
            id,
            registry,
            admin,
            exports: topology.exports().clone(),
            topology,
            etcd,
            connecting: None,
        };
        match self.connect_timeout {
            Some(timeout) => {
                if let Err(error) = framework.connect(timeout, self.connected).await {
                    // A lease may be granted already, and keys may be under it.
                    if let Err(left) = framework.shutdown().await {
                        warn!(error = %left, "ended badly after a start that failed");
                    }
                    return Err(error);
                }
            }
            None => framework.connect_later(self.connected),
        }
        info!(framework = %framework.id, "framework started");
        Ok(framework)
    }
}

impl fmt::Debug for FrameworkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameworkBuilder")
            // Not the values: a password may be among them.
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("etcd", &self.etcd)
            .finish_non_exhaustive()
    }
}

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
    etcd: Option<Arc<EtcdDiscovery>>,
    connecting: Option<AbortOnDropHandle<()>>,
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

    /// Discovery through etcd, if it is configured.
    pub fn etcd(&self) -> Option<&EtcdDiscovery> {
        self.etcd.as_deref()
    }

    /// How discovery stands now; `None` without discovery.
    pub fn health(&self) -> Option<Health> {
        self.etcd().map(EtcdDiscovery::health)
    }

    /// How discovery stands, as it changes; `None` without discovery.
    pub fn health_updates(&self) -> Option<HealthUpdates> {
        self.etcd().map(EtcdDiscovery::health_updates)
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
    /// If the properties ask for what cannot be: an interface that the
    /// service does not have, an unknown config type or intent, a bad value.
    /// The service is then not registered.
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
        let checked = properties.clone().with(osgi::OBJECT_CLASS, interfaces);
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

    /// Ends the framework: announcements are taken back (all at once, by
    /// revoking the lease), then proxies go and exports close. When it
    /// returns, no task of it is left.
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
        let stopped = match stopped {
            Ok(topology) => {
                topology.close().await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.admin.close().await;
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

/// An exported service. Dropping it takes the service back.
#[must_use = "dropping an export takes the service back"]
#[derive(Debug)]
pub struct Export {
    registration: ServiceRegistration,
    exports: ExportFeed,
}

impl Export {
    /// The service in the own registry.
    pub fn reference(&self) -> &ServiceReference {
        self.registration.reference()
    }

    /// How the export stands; `None` before it was begun.
    pub fn status(&self) -> Option<Arc<ExportStatus>> {
        self.exports.get(&self.reference().id())
    }

    /// Waits until all endpoints of the service are announced, with the
    /// service's properties as they are now, and gives their descriptions.
    /// Waits for ever while etcd cannot be reached. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If the service could not be exported or announced.
    pub async fn announced(&self) -> Result<Vec<Arc<EndpointDescription>>, TopologyError> {
        let mut news = self.exports.listen(|_| true);
        loop {
            let properties = self.reference().properties();
            let status = self.status();
            if let Some(status) = status.filter(|s| s.properties == properties) {
                if let Some(error) = &status.error {
                    return Err(error.clone());
                }
                if status.unannounced == 0 && !status.endpoints.is_empty() {
                    return Ok(status.endpoints.clone());
                }
            }
            if news.next().await.is_none() {
                return Err(TopologyError::NoProvider);
            }
        }
    }

    /// Replaces the service's properties. The announcement follows, and the
    /// proxies elsewhere.
    ///
    /// # Errors
    ///
    /// If the service is not registered any more.
    pub fn set_properties(&self, mut properties: Properties) -> Result<(), RegistryError> {
        let before = self.reference().properties();
        if !properties.contains(osgi::SERVICE_EXPORTED_INTERFACES)
            && let Some(exported) = before.get(osgi::SERVICE_EXPORTED_INTERFACES)
        {
            properties.set(osgi::SERVICE_EXPORTED_INTERFACES, exported.clone());
        }
        self.registration.set_properties(properties)
    }

    /// Takes the service back. The rest happens in the background.
    pub fn close(self) {
        self.registration.unregister();
    }
}
