//! Building a framework.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

#[cfg(feature = "embedded")]
use super::embedded::{ADDRESS, InProcess};
use super::{Callback, Connected, DEFAULT_CONNECT_TIMEOUT, Framework, FrameworkError};
use crate::admin::RemoteServiceAdmin;
use crate::calls::{InterceptedProvider, Interceptor};
use crate::discovery::EndpointListeners;
#[cfg(feature = "edef")]
use crate::discovery::edef::{EdefConfig, EdefDiscovery};
use crate::discovery::etcd::{Environment, EtcdConfig, EtcdDiscovery};
use crate::distribution::Provider;
#[cfg(feature = "xmlrpc")]
use crate::distribution::xmlrpc::{XmlRpcConfig, XmlRpcProvider};
#[cfg(feature = "embedded")]
use crate::embedded;
use crate::keyspace::{Credentials, TlsOptions};
use crate::names::FrameworkId;
use crate::network::Network;
use crate::properties::{Properties, Value};
use crate::services::Registry;
use crate::topology::{Discoveries, Policy, TopologyManager, TopologyPolicy};

type Change = Box<dyn FnOnce(&mut EtcdConfig) + Send>;
#[cfg(feature = "edef")]
type EdefChange = Box<dyn FnOnce(&mut EdefConfig) + Send>;

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
    #[cfg(feature = "edef")]
    edef: Vec<String>,
    #[cfg(feature = "edef")]
    edef_changes: Vec<EdefChange>,
    #[cfg(feature = "xmlrpc")]
    xmlrpc: Option<String>,
    #[cfg(feature = "xmlrpc")]
    xmlrpc_config: Option<XmlRpcConfig>,
    #[cfg(feature = "embedded")]
    embedded: Option<embedded::Builder>,
    network: Option<Arc<dyn Network>>,
    framework_id: Option<FrameworkId>,
    providers: Vec<Arc<dyn Provider>>,
    client_interceptors: Vec<Arc<dyn Interceptor>>,
    server_interceptors: Vec<Arc<dyn Interceptor>>,
    policy: Arc<dyn TopologyPolicy>,
    connect_timeout: Option<Duration>,
    connected: Option<Callback>,
}

impl FrameworkBuilder {
    pub(super) fn new() -> Self {
        Self {
            properties: Properties::new(),
            environment: Environment::default(),
            etcd: None,
            etcd_changes: Vec::new(),
            #[cfg(feature = "edef")]
            edef: Vec::new(),
            #[cfg(feature = "edef")]
            edef_changes: Vec::new(),
            #[cfg(feature = "xmlrpc")]
            xmlrpc: None,
            #[cfg(feature = "xmlrpc")]
            xmlrpc_config: None,
            #[cfg(feature = "embedded")]
            embedded: None,
            network: None,
            framework_id: None,
            providers: Vec::new(),
            client_interceptors: Vec::new(),
            server_interceptors: Vec::new(),
            policy: Arc::new(Policy::default()),
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

    /// Runs a registry in this process, in memory, and discovers through it: nothing else needs to
    /// be there. Only frameworks of this process see it; with
    /// [`FrameworkBuilder::embedded_with`] others join by its address.
    ///
    /// It is for development, tests and demonstrations (see [`embedded`](crate::embedded)).
    #[cfg(feature = "embedded")]
    pub fn embedded(self) -> Self {
        self.embedded_with(embedded::Registry::builder())
    }

    /// As [`FrameworkBuilder::embedded`], with a registry that listens, so that others can join it
    /// with [`FrameworkBuilder::etcd`]:
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), osgi_remote::FrameworkError> {
    /// use osgi_remote::{Framework, embedded::Registry};
    ///
    /// let registry = Registry::builder().listen("127.0.0.1:2379");
    /// let first = Framework::builder().embedded_with(registry).start().await?;
    /// let second = Framework::builder().etcd("127.0.0.1:2379").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "embedded")]
    pub fn embedded_with(mut self, registry: embedded::Builder) -> Self {
        self.embedded = Some(registry);
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

    /// Discovery through EDEF files, beside etcd or without it: a list of
    /// paths, separated by commas; what follows a semicolon are attributes,
    /// of which none is known. [`Self::edef_with`] takes any path as it is. `dir/` stands for its `*.xml`, the last part
    /// may have wildcards (see [`crate::discovery::edef`]). Further calls add
    /// to the list, and so does the property `edef.path`.
    #[cfg(feature = "edef")]
    pub fn edef(mut self, paths: impl Into<String>) -> Self {
        self.edef.push(paths.into());
        self
    }

    /// Changes any setting of discovery through EDEF files, after all else was
    /// read; more than one change is made in the order of the calls.
    #[cfg(feature = "edef")]
    pub fn edef_with(mut self, change: impl FnOnce(&mut EdefConfig) + Send + 'static) -> Self {
        self.edef_changes.push(Box::new(change));
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

    /// Makes and accepts all connections over this network: those to etcd, and
    /// those of XML-RPC. Default: [`Tcp`](crate::network::Tcp).
    pub fn network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = Some(network);
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

    /// One more interceptor for the calls to imported services. The first one
    /// that is added sees a call first.
    pub fn client_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.client_interceptors.push(Arc::new(interceptor));
        self
    }

    /// One more interceptor for remote calls to exported services. The first
    /// one that is added sees a call first.
    pub fn server_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.server_interceptors.push(Arc::new(interceptor));
        self
    }

    /// Which services are exported, and which endpoints announced and imported:
    /// filters ([`Policy`]), or a policy of one's own.
    pub fn policy(mut self, policy: impl TopologyPolicy) -> Self {
        self.policy = Arc::new(policy);
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

    fn etcd_config(&mut self) -> Result<Option<EtcdConfig>, FrameworkError> {
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
            if let Some(network) = &self.network {
                config.connect.network = Arc::clone(network);
            }
            for change in self.etcd_changes.drain(..) {
                change(config);
            }
        }
        Ok(config)
    }

    /// Where etcd is said to be.
    #[cfg(feature = "embedded")]
    fn etcd_address(&self) -> Option<String> {
        let names = ["etcd.hostname", "ecf.discovery.etcd3.hostname"];
        let said = names.iter().find_map(|name| self.properties.get(name));
        self.etcd.clone().or_else(|| Some(said?.to_string()))
    }

    /// Starts the registry that is to run here, and turns discovery to it.
    #[cfg(feature = "embedded")]
    async fn start_embedded(&mut self) -> Result<Option<embedded::Registry>, FrameworkError> {
        let Some(builder) = self.embedded.take() else {
            return Ok(None);
        };
        if let Some(etcd) = self.etcd_address() {
            return Err(FrameworkError::TwoRegistries { etcd });
        }
        let registry = builder.start().await?;
        for address in registry.addresses() {
            info!(%address, "the embedded registry listens");
        }
        let network = Arc::new(InProcess(registry.dialer()));
        self.etcd = Some(ADDRESS.to_owned());
        // After all other changes: within a process there is neither TLS nor a user.
        self.etcd_changes.push(Box::new(move |config| {
            config.connect.network = network;
            (config.connect.tls, config.connect.user) = (None, None);
        }));
        Ok(Some(registry))
    }

    #[cfg(feature = "edef")]
    fn edef_config(&mut self) -> Result<Option<EdefConfig>, FrameworkError> {
        let given = EdefConfig::from_properties(&self.properties)?;
        let given_by_property = given.is_some();
        let mut config = given.unwrap_or_else(|| EdefConfig::of(Vec::new()));
        for paths in &self.edef {
            config = config.and(paths)?;
        }
        for change in self.edef_changes.drain(..) {
            change(&mut config);
        }
        let wanted = given_by_property || !config.sources.is_empty();
        Ok(wanted.then_some(config))
    }

    /// Starts the framework. When it returns, the session is registered and
    /// all endpoints are known, unless it was told not to wait. EDEF files were
    /// read once; what is wrong with them is no error here, but in
    /// [`Framework::edef`]'s health.
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
        #[cfg(feature = "embedded")]
        let embedded = self.start_embedded().await?;
        let id = self.framework_id.take().unwrap_or_else(FrameworkId::random);
        let registry = Registry::new();
        let admin = RemoteServiceAdmin::new(id.clone(), registry.clone());
        let client = std::mem::take(&mut self.client_interceptors).into();
        let server = std::mem::take(&mut self.server_interceptors).into();
        let add_provider = |provider: Arc<dyn Provider>| {
            let (client, server) = (Arc::clone(&client), Arc::clone(&server));
            admin.add_provider(Arc::new(InterceptedProvider::new(provider, client, server)));
        };
        for provider in std::mem::take(&mut self.providers) {
            add_provider(provider);
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
            if let Some(network) = &self.network {
                config.network = Arc::clone(network);
            }
            add_provider(Arc::new(XmlRpcProvider::new(config)));
        }
        #[cfg(feature = "edef")]
        let edef_config = self.edef_config()?;
        let mut discoveries = Discoveries::default();
        let etcd = match self.etcd_config()? {
            Some(config) => Some(Arc::new(EtcdDiscovery::start(config)?)),
            None => None,
        };
        if let Some(etcd) = &etcd {
            discoveries = discoveries.with(etcd);
        }
        #[cfg(feature = "edef")]
        let edef = edef_config.map(|config| Arc::new(EdefDiscovery::start(config)));
        #[cfg(feature = "edef")]
        if let Some(edef) = &edef {
            discoveries = discoveries.with_subscriber(edef);
        }
        if discoveries.is_empty() {
            info!("no discovery is configured: endpoints are neither announced nor found");
        }
        let heard = discoveries.subscribers.clone();
        let topology =
            TopologyManager::start_with(admin.clone(), &registry, discoveries, self.policy);
        let listeners = EndpointListeners::new();
        listeners.add_source(topology.announced());
        for subscriber in heard {
            listeners.add_source(subscriber.endpoints());
        }
        let mut framework = Framework {
            id,
            registry,
            admin,
            exports: topology.exports().clone(),
            topology,
            listeners,
            etcd,
            #[cfg(feature = "edef")]
            edef,
            connecting: None,
            #[cfg(feature = "embedded")]
            embedded,
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
