//! What lists and shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use osgi_remote::endpoint::{EndpointDescription, edef};
use osgi_remote::filter::Filter;
use osgi_remote::names::osgi;
use osgi_remote::services::{ServiceId, ServiceReference};
use serde::Serialize;

use super::state::Shell;
use crate::advice::in_options;
use crate::failure::Failure;
use crate::live::property;
use crate::output::{Table, printable};

/// The service by which a provider tells what it supports (OSGi rule P18).
const PROVIDER: &str = "org.osgi.service.remoteserviceadmin.RemoteServiceAdmin";

#[derive(Debug, Serialize)]
struct Config {
    config: String,
    supported_configs: Vec<String>,
    supported_intents: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Container {
    id: String,
    kind: &'static str,
    namespace: Option<String>,
    config: String,
    connected_to: Option<String>,
    endpoints: usize,
}

#[derive(Debug, Serialize)]
struct Exported {
    endpoint: String,
    container: Option<String>,
    service: i64,
}

#[derive(Debug, Serialize)]
struct Imported {
    endpoint: String,
    container: Option<String>,
    local_service: Option<ServiceId>,
    remote_service: i64,
}

#[derive(Debug, Serialize)]
struct Listed {
    service: ServiceId,
    specifications: Vec<String>,
    bundle: &'static str,
    ranking: i32,
}

#[derive(Debug, Serialize)]
struct DefaultsShown<'a> {
    export_config: &'a str,
    edef_file: &'a str,
    exists: bool,
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

impl Shell<'_> {
    /// listconfigs.
    pub(super) fn list_configs(&self, id: Option<&str>) -> Result<(), Failure> {
        let providers = self.framework.registry().references(Some(PROVIDER), None);
        let mut configs = Vec::new();
        for provider in providers {
            let properties = provider.properties();
            let list = |name| {
                let names = properties.string_plus(name);
                names.into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let supported = list(osgi::REMOTE_CONFIGS_SUPPORTED);
            configs.extend(supported.iter().map(|config| Config {
                config: config.clone(),
                supported_configs: supported.clone(),
                supported_intents: list(osgi::REMOTE_INTENTS_SUPPORTED),
            }));
        }
        if let Some(id) = id {
            let found = configs.iter().find(|config| config.config == id);
            let found = found.ok_or_else(|| {
                Failure::no(format!(
                    "no config type {id}: listconfigs lists those there are"
                ))
            })?;
            return self.output().show_text(found, || {
                format!(
                    "ID={}\n\tSupported Configs={}\n\tSupportedIntents={}",
                    found.config,
                    found.supported_configs.join(" "),
                    found.supported_intents.join(" ")
                )
            });
        }
        self.output().show(&configs, || {
            let header = &["DISTRIBUTION PROVIDER/CONFIG", "INTENTS"];
            let mut table = Table::new(header, "no distribution provider");
            for config in &configs {
                table.row([config.config.clone(), config.supported_intents.join(" ")]);
            }
            table
        })
    }

    /// listcontainers: servers of one's own, and those that imports are connected to.
    pub(super) fn list_containers(&self, id: Option<&str>) -> Result<(), Failure> {
        let admin = self.framework.admin();
        let mut containers: BTreeMap<(String, &str), Container> = BTreeMap::new();
        let of = |kind, endpoints: Vec<Arc<EndpointDescription>>| {
            endpoints.into_iter().map(move |endpoint| (kind, endpoint))
        };
        let all = of("export", admin.exported()).chain(of("import", admin.imported()));
        for (kind, endpoint) in all {
            let Some(id) = endpoint.container_id() else {
                continue;
            };
            let container = containers
                .entry((id.to_owned(), kind))
                .or_insert_with(|| Container {
                    id: id.to_owned(),
                    kind,
                    namespace: endpoint.namespace().map(str::to_owned),
                    config: endpoint.config_types().join(" "),
                    connected_to: (kind == "import")
                        .then(|| endpoint.connect_target_id().unwrap_or(id).to_owned()),
                    endpoints: 0,
                });
            container.endpoints += 1;
        }
        let containers: Vec<Container> = containers.into_values().collect();
        if let Some(id) = id {
            let found = containers.iter().find(|container| container.id == id);
            let found = found.ok_or_else(|| {
                Failure::no(format!(
                    "no container {id}: listcontainers lists those there are"
                ))
            })?;
            return self.output().show_text(found, || container_text(found));
        }
        self.output().show(&containers, || {
            let header = &["CONTAINER ID", "KIND", "CONFIG", "ENDPOINTS"];
            let mut table = Table::new(header, "no containers: nothing is exported or imported");
            for container in &containers {
                table.row([
                    container.id.clone(),
                    container.kind.to_owned(),
                    container.config.clone(),
                    container.endpoints.to_string(),
                ]);
            }
            table
        })
    }

    /// listexports.
    pub(super) fn list_exports(&self, id: Option<&str>) -> Result<(), Failure> {
        let exported = self.framework.admin().exported();
        if let Some(id) = id {
            return self.show_endpoint(&exported, id, "exported", "listexports");
        }
        let rows: Vec<Exported> = exported
            .iter()
            .map(|endpoint| Exported {
                endpoint: endpoint.id().to_string(),
                container: endpoint.container_id().map(str::to_owned),
                service: endpoint.service_id(),
            })
            .collect();
        self.output().show(&rows, || {
            let header = &["ENDPOINT ID", "CONTAINER ID", "SERVICE ID"];
            let mut table = Table::new(header, "nothing is exported");
            for row in &rows {
                let container = or_dash(row.container.clone());
                table.row([row.endpoint.clone(), container, row.service.to_string()]);
            }
            table
        })
    }

    /// listimports.
    pub(super) fn list_imports(&self, id: Option<&str>) -> Result<(), Failure> {
        let admin = self.framework.admin();
        if let Some(id) = id {
            return self.show_endpoint(&admin.imported(), id, "imported", "listimports");
        }
        let imports = admin.imports();
        let rows = imports.iter().filter_map(|import| {
            let endpoint = import.description()?;
            Some(Imported {
                endpoint: endpoint.id().to_string(),
                container: endpoint.container_id().map(str::to_owned),
                local_service: import.proxy().map(|proxy| proxy.id()),
                remote_service: endpoint.remote_service_id(),
            })
        });
        let rows: Vec<Imported> = rows.collect();
        self.output().show(&rows, || {
            let header = &[
                "ENDPOINT ID",
                "CONTAINER ID",
                "LOCAL SERVICE ID",
                "REMOTE SERVICE ID",
            ];
            let mut table = Table::new(header, "nothing is imported");
            for row in &rows {
                table.row([
                    row.endpoint.clone(),
                    or_dash(row.container.clone()),
                    or_dash(row.local_service.map(|id| id.to_string())),
                    row.remote_service.to_string(),
                ]);
            }
            table
        })
    }

    fn show_endpoint(
        &self,
        endpoints: &[Arc<EndpointDescription>],
        id: &str,
        what: &str,
        list: &str,
    ) -> Result<(), Failure> {
        let found = endpoints
            .iter()
            .find(|endpoint| endpoint.id().as_str() == id);
        let found = found.ok_or_else(|| {
            Failure::no(format!(
                "no {what} endpoint {id}: {list} lists those there are"
            ))
        })?;
        let text = edef::to_string([found.as_ref()]);
        let text = text.map_err(|error| Failure::failed(error.to_string()))?;
        let properties = property::to_json(found.properties());
        self.output()
            .show_text(&properties, || printable_lines(&text))
    }

    /// sl.
    pub(super) fn list_services(&self, specification: Option<&str>) -> Result<(), Failure> {
        let filter = filter(specification)?;
        let interface = specification.filter(|_| filter.is_none());
        let services = self
            .framework
            .registry()
            .references(interface, filter.as_ref());
        if let (true, Some(specification)) = (services.is_empty(), specification) {
            return Err(Failure::no(format!(
                "no service is, or matches, {specification}"
            )));
        }
        let rows: Vec<Listed> = services
            .iter()
            .map(|service| Listed {
                service: service.id(),
                specifications: service.interfaces(),
                bundle: self.bundle(service),
                ranking: service.ranking(),
            })
            .collect();
        self.output().show_text(&rows, || {
            let header = &["ID", "SPECIFICATIONS", "BUNDLE", "RANKING"];
            let mut table = Table::new(header, "no services");
            for row in &rows {
                table.row([
                    row.service.to_string(),
                    row.specifications.join(" "),
                    row.bundle.to_owned(),
                    row.ranking.to_string(),
                ]);
            }
            format!("{table}\n{} services registered", rows.len())
        })
    }

    /// Where a service comes from, for there are no bundles here.
    fn bundle(&self, service: &ServiceReference) -> &'static str {
        if self.registered.contains_key(&service.id()) {
            "shell"
        } else if service.properties().contains(osgi::SERVICE_IMPORTED) {
            "import"
        } else {
            "framework"
        }
    }

    /// sd.
    pub(super) fn show_service(&self, id: ServiceId) -> Result<(), Failure> {
        let service = self.service(id)?;
        let properties = service.properties();
        let json = property::to_json(&properties);
        self.output().show(&json, || {
            let mut table = Table::new(&["PROPERTY", "VALUE"], "no properties");
            for (name, value) in properties.iter() {
                table.row([name.to_owned(), value.to_string()]);
            }
            table
        })
    }

    /// health.
    pub(super) fn show_health(&self) -> Result<(), Failure> {
        let text = match self.framework.health() {
            Some(health) => in_options(&health.to_string()),
            None => "there is no discovery".to_owned(),
        };
        self.output().show_text(&text, || text.clone())
    }

    /// showdefaults.
    pub(super) fn show_defaults(&self) -> Result<(), Failure> {
        let shown = DefaultsShown {
            export_config: &self.defaults.config,
            edef_file: &self.defaults.file,
            exists: Path::new(&self.defaults.file).is_file(),
        };
        self.output().show(&shown, || {
            let mut table = Table::new(&["DEFAULT", "VALUE"], "no defaults");
            table.row(["export_config", shown.export_config]);
            table.row(["EDEF file", shown.edef_file]);
            table.row(["exists", if shown.exists { "yes" } else { "no" }]);
            table
        })
    }

    /// setdefaults.
    pub(super) fn set_defaults(
        &mut self,
        config: String,
        file: Option<String>,
    ) -> Result<(), Failure> {
        self.change_defaults(Some(config), file)?;
        self.show_defaults()
    }

    pub(super) fn change_defaults(
        &mut self,
        config: Option<String>,
        file: Option<String>,
    ) -> Result<(), Failure> {
        if let Some(config) = config {
            let known = self.framework.admin().config_types();
            if !known.contains(&config.as_str()) {
                return Err(Failure::usage(format!(
                    "no provider has the config type {config}: there is {}",
                    known.join(", ")
                )));
            }
            self.defaults.config = config;
        }
        if let Some(file) = file {
            self.defaults.file = file;
        }
        Ok(())
    }

    /// showedeffile: what it says, as this crate writes it.
    pub(super) fn show_edef_file(&self) -> Result<(), Failure> {
        let path = &self.defaults.file;
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::no(format!(
                "the EDEF file {path} cannot be read: {error}; exportservice writes it"
            ))
        })?;
        let read: Result<Vec<_>, _> = edef::read(&text).into_iter().collect();
        let endpoints = read.map_err(|error| Failure::usage(format!("{path}: {error}")))?;
        let text = edef::to_string(&endpoints);
        let text = text.map_err(|error| Failure::failed(format!("{path}: {error}")))?;
        let json: Vec<_> = endpoints
            .iter()
            .map(|endpoint| property::to_json(endpoint.properties()))
            .collect();
        self.output().show_text(&json, || printable_lines(&text))
    }
}

fn container_text(container: &Container) -> String {
    let namespace = container.namespace.as_deref().unwrap_or("-");
    let connected = container.connected_to.as_deref().unwrap_or("-");
    let lines = [
        format!("ID={}", container.id),
        format!("\tNamespace={namespace}"),
        format!("\tClass={}", container.kind),
        format!("\tConnectedTo={connected}"),
        format!("\tConnectNamespace={namespace}"),
        format!("\tConfig Type/Distribution Provider={}", container.config),
    ];
    // The line ends and tabs are ours, the rest is theirs.
    let lines = lines.iter().map(|line| match line.strip_prefix('\t') {
        Some(rest) => format!("\t{}", printable(rest)),
        None => printable(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// The filter of sl, if it is not given an interface.
pub(super) fn filter(specification: Option<&str>) -> Result<Option<Filter>, Failure> {
    let filter = specification.filter(|text| text.trim_start().starts_with('('));
    let filter = filter.map(Filter::parse).transpose();
    filter.map_err(|error| Failure::usage(error.to_string()))
}
