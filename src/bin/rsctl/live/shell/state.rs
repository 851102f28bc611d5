//! The shell's own state, and where each command goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use osgi_remote::Framework;
use osgi_remote::admin::{ExportRegistration, ImportRegistration};
use osgi_remote::discovery::Subscriber as _;
use osgi_remote::distribution::xmlrpc::CONFIG_TYPE;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed::{Change, Listener};
use osgi_remote::interface::{Call, CallOptions};
use osgi_remote::names::EndpointId;
use osgi_remote::services::{ServiceId, ServiceReference, ServiceRegistration};
use std::time::Duration;
use tokio::sync::mpsc;

use super::Then;
use super::grammar::{Asked, Command, parse};
use crate::context::Context;
use crate::failure::Failure;
use crate::live::answer::{Answered, Answering, Calls};
use crate::live::call::invoke;
use crate::live::export::missed;
use crate::live::framework::failure;
use crate::live::property::{self, Property};
use crate::live::{data, similar_names};
use crate::output::{self, Output};

/// What commands mean if they do not say it, as in iPOPO.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) config: String,
    pub(super) file: String,
}

/// A framework, with what the shell's commands did in it.
pub(super) struct Shell<'a> {
    pub(super) framework: Framework,
    pub(super) context: &'a Context,
    pub(super) defaults: Defaults,
    pub(super) registered: BTreeMap<ServiceId, ServiceRegistration>,
    pub(super) exports: BTreeMap<EndpointId, ExportRegistration>,
    pub(super) imports: BTreeMap<EndpointId, ImportRegistration>,
    /// Endpoints that were unimported: their updates do not import them again.
    pub(super) unwanted: BTreeSet<EndpointId>,
    pub(super) import_all: bool,
    pub(super) discovered: Discovered,
    calls: Calls,
    pub(super) told: mpsc::Receiver<Answered>,
}

/// News of the endpoints of others; none without discovery.
pub(super) struct Discovered(Option<Listener<EndpointId, Arc<EndpointDescription>>>);

pub(super) type News = Change<EndpointId, Arc<EndpointDescription>>;

impl Discovered {
    /// The next news. Cancellation safe.
    pub(super) async fn next(&mut self) -> News {
        if let Some(listener) = &mut self.0
            && let Some(change) = listener.next().await
        {
            return change;
        }
        std::future::pending().await
    }
}

impl<'a> Shell<'a> {
    pub(super) fn new(
        framework: Framework,
        context: &'a Context,
        calls: Calls,
        told: mpsc::Receiver<Answered>,
        import_all: bool,
    ) -> Self {
        let discovered = framework
            .etcd()
            .map(|etcd| etcd.endpoints().listen(|_| true));
        Self {
            framework,
            context,
            defaults: Defaults {
                config: CONFIG_TYPE.to_owned(),
                file: "edef.xml".to_owned(),
            },
            registered: BTreeMap::new(),
            exports: BTreeMap::new(),
            imports: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            import_all,
            discovered: Discovered(discovered),
            calls,
            told,
        }
    }

    pub(super) fn output(&self) -> &'a Output {
        &self.context.output
    }

    /// Carries one command out. Dropping the future leaves what was not done undone.
    pub(super) async fn execute(&mut self, words: Vec<String>) -> Result<Then, Failure> {
        let command = match parse(words)? {
            Asked::Help(text) => {
                output::print(&text)?;
                return Ok(Then::Go);
            }
            Asked::Command(command) => command,
        };
        match command {
            Command::Quit => return Ok(Then::End),
            Command::Wait { time } => return Ok(Then::Wait(time)),
            Command::Listconfigs { id } => self.list_configs(id.as_deref())?,
            Command::Listcontainers { id } => self.list_containers(id.as_deref())?,
            Command::Listexports { id } => self.list_exports(id.as_deref())?,
            Command::Listimports { id } => self.list_imports(id.as_deref())?,
            Command::Sl { specification } => self.list_services(specification.as_deref())?,
            Command::Sd { service } => self.show_service(service)?,
            Command::Health => self.show_health()?,
            Command::Showdefaults => self.show_defaults()?,
            Command::Setdefaults { config, file } => self.set_defaults(config, file)?,
            Command::Showedeffile => self.show_edef_file()?,
            Command::Importservice { source } => self.import_service(source)?,
            Command::Unimportservice { id } => self.unimport(&id)?,
            Command::Exportservice {
                service,
                config,
                file,
            } => self.export_service(service, config, file).await?,
            Command::Unexportservice { id } => self.unexport(&id).await?,
            Command::Updateservice { id, properties } => {
                self.update_service(&id, &properties).await?;
            }
            Command::Register {
                interfaces,
                properties,
                answering,
            } => {
                self.register(&interfaces.0, &properties, &answering)
                    .await?
            }
            Command::Unregister { service } => self.unregister(service).await?,
            Command::Call {
                target,
                method,
                args,
                string,
                timeout,
            } => {
                let args = data::arguments(&args, string)?;
                let options = CallOptions::default().with_timeout(timeout);
                let call = Call::new(method, args).with_options(options);
                self.call(&target, call, timeout).await?;
            }
        }
        Ok(Then::Go)
    }

    /// A service by its id.
    pub(super) fn service(&self, id: ServiceId) -> Result<ServiceReference, Failure> {
        let all = self.framework.registry().references(None, None);
        all.into_iter()
            .find(|reference| reference.id() == id)
            .ok_or_else(|| Failure::no(format!("no service {id}: sl lists those that are there")))
    }

    async fn register(
        &mut self,
        interfaces: &[String],
        properties: &[Property],
        answering: &Answering,
    ) -> Result<(), Failure> {
        let service = answering.service(interfaces, &self.calls)?;
        let properties = property::all(properties);
        let marked = properties.contains(osgi_remote::names::osgi::SERVICE_EXPORTED_INTERFACES);
        let registration = self.framework.registry().register(service, properties);
        let registration = registration.map_err(|error| Failure::usage(error.to_string()))?;
        let reference = registration.reference().clone();
        let id = reference.id();
        self.registered.insert(id, registration);
        let shown = serde_json::json!({"service": id, "interfaces": interfaces});
        let line = || format!("service {id} registered: {}", interfaces.join(" "));
        self.output().event(&shown, line)?;
        if marked {
            self.export_marked(&reference).await?;
        }
        Ok(())
    }

    async fn unregister(&mut self, id: ServiceId) -> Result<(), Failure> {
        let Some(registration) = self.registered.remove(&id) else {
            let reference = self.service(id)?;
            return Err(Failure::no(format!(
                "service {id}, {}, is not of this shell: only what register registered can go",
                reference.interfaces().join(" ")
            )));
        };
        let of_it = |export: &ExportRegistration| export.service().is_some_and(|s| s.id() == id);
        let endpoints = self.exports.iter().filter(|(_, export)| of_it(export));
        let endpoints: Vec<EndpointId> = endpoints.map(|(id, _)| id.clone()).collect();
        for endpoint in endpoints {
            self.unexport(endpoint.as_str()).await?;
        }
        registration.unregister();
        Ok(())
    }

    async fn call(&self, target: &str, call: Call, timeout: Duration) -> Result<(), Failure> {
        let reference = self.callable(target)?;
        let interfaces = reference.interfaces();
        let invoker = interfaces
            .iter()
            .find_map(|interface| reference.invoker(interface));
        let invoker = invoker.ok_or_else(|| Failure::no(format!("{target} is gone")))?;
        let method = call.method.to_string();
        // A service of this process keeps no time of its own.
        let result = tokio::time::timeout(timeout, invoke(&invoker, call, target)).await;
        let result = result.unwrap_or_else(|_| {
            let text = format!("{method} of {target}: no answer within {timeout:?}");
            Err(Failure::new(crate::failure::Code::Unreachable, text))
        });
        data::show(&result?, self.context.options.output, self.output())
    }

    /// The service of an id, of an endpoint's id, or the best of an interface.
    fn callable(&self, target: &str) -> Result<ServiceReference, Failure> {
        if let Ok(id) = target.parse::<ServiceId>() {
            return self.service(id);
        }
        let registry = self.framework.registry();
        let imports = self.framework.admin().imports();
        let of_endpoint = imports.iter().find(|import| {
            let description = import.description();
            description.is_some_and(|endpoint| endpoint.id().as_str() == target)
        });
        let found = of_endpoint.and_then(|import| import.proxy());
        let found = found.or_else(|| registry.references(Some(target), None).into_iter().next());
        found.ok_or_else(|| {
            let names = registry.references(None, None);
            let names: Vec<String> = names
                .iter()
                .flat_map(|service| service.interfaces())
                .collect();
            let hint = match similar_names(target, names.iter().map(String::as_str)) {
                none if none.is_empty() => "sl lists what is there".to_owned(),
                some => format!("there is {some}"),
            };
            Failure::no(format!(
                "no service, endpoint or interface {target}: {hint}"
            ))
        })
    }

    /// How many calls were not told, if any were not.
    pub(super) fn missed(&self) -> Option<String> {
        missed(&self.calls)
    }

    /// Takes everything back.
    pub(super) async fn close(self) -> Result<(), Failure> {
        // Announcements go first, all at once with the lease; then what they lead to.
        let ended = self.framework.shutdown().await;
        drop((self.imports, self.exports, self.registered));
        ended.map_err(failure)
    }
}
