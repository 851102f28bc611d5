//! Building a framework.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{Callback, Connected, DEFAULT_CONNECT_TIMEOUT, Framework, FrameworkError};
use crate::admin::RemoteServiceAdmin;
#[cfg(feature = "edef")]
use crate::discovery::edef::{EdefConfig, EdefDiscovery};
use crate::discovery::etcd::{ConfigError, Environment, EtcdConfig, EtcdDiscovery};
use crate::distribution::Provider;
#[cfg(feature = "xmlrpc")]
use crate::distribution::xmlrpc::{XmlRpcConfig, XmlRpcProvider};
use crate::keyspace::{Credentials, TlsOptions};
use crate::names::FrameworkId;
use crate::properties::{Properties, Value};
use crate::services::Registry;
use crate::topology::{Discoveries, Policy, TopologyManager};

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
    framework_id: Option<FrameworkId>,
    providers: Vec<Arc<dyn Provider>>,
    policy: Policy,
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

    /// Discovery through EDEF files, beside etcd or without it: a list of
    /// paths, separated by commas. `dir/` stands for its `*.xml`, the last part
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
        let topology = TopologyManager::start(admin.clone(), &registry, discoveries, self.policy);
        let mut framework = Framework {
            id,
            registry,
            admin,
            exports: topology.exports().clone(),
            topology,
            etcd,
            #[cfg(feature = "edef")]
            edef,
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
