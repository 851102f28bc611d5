//! exportservice, unexportservice, updateservice.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::admin::ExportRegistration;
use osgi_remote::discovery::{Advertiser as _, Receipt};
use osgi_remote::endpoint::{EndpointDescription, edef};
use osgi_remote::names::{EndpointId, osgi};
use osgi_remote::properties::{Properties, Value};
use osgi_remote::services::{ServiceId, ServiceReference};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::state::Shell;
use crate::failure::{Code, Failure};
use crate::live::framework::{Denials, denied_now};
use crate::live::property::Property;
use crate::output::{note, printable};

/// How long an endpoint may take to answer, and etcd to take an announcement.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before an endpoint is asked again whether it answers.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
struct Exported<'a> {
    endpoint: &'a str,
    service: ServiceId,
    address: Option<&'a str>,
}

impl Shell<'_> {
    /// exportservice.
    pub(super) async fn export_service(
        &mut self,
        service: ServiceId,
        config: Option<String>,
        file: Option<String>,
    ) -> Result<(), Failure> {
        let reference = self.service(service)?;
        self.change_defaults(config, file)?;
        let config = Value::array_of([self.defaults.config.as_str()]);
        let overlay = Properties::new()
            .with(osgi::SERVICE_EXPORTED_INTERFACES, "*")
            .with(osgi::SERVICE_EXPORTED_CONFIGS, config);
        let exported = self.export(&reference, &overlay).await?;
        let file = self.defaults.file.clone();
        write_edef(&file, exported.iter().map(AsRef::as_ref))?;
        note(&format!(
            "the EDEF of {} endpoints is written to {file}",
            exported.len()
        ));
        Ok(())
    }

    /// Exports a service as its properties say.
    pub(super) async fn export_marked(
        &mut self,
        service: &ServiceReference,
    ) -> Result<(), Failure> {
        self.export(service, &Properties::new()).await.map(drop)
    }

    async fn export(
        &mut self,
        service: &ServiceReference,
        overlay: &Properties,
    ) -> Result<Vec<Arc<EndpointDescription>>, Failure> {
        let admin = self.framework.admin();
        let registrations = admin
            .export_service(service, overlay)
            .await
            .map_err(|error| Failure::usage(error.to_string()))?;
        if registrations.is_empty() {
            return Err(Failure::usage(format!(
                "service {} is not exported: no provider has the config types and intents that it \
                 asks for; there is {}",
                service.id(),
                admin.config_types().join(", ")
            )));
        }
        let mut exported = Vec::new();
        for registration in registrations {
            if let Some(error) = registration.error() {
                return Err(Failure::failed(format!(
                    "service {} is not exported: {error}",
                    service.id()
                )));
            }
            answers(&registration).await?;
            let Some(endpoint) = registration.description() else {
                return Err(Failure::no(format!("service {} is gone", service.id())));
            };
            let announced = self.announce(&endpoint).await;
            // It is exported also if it is not announced: unexportservice takes it back.
            self.exports.insert(endpoint.id().clone(), registration);
            announced?;
            let shown = Exported {
                endpoint: endpoint.id().as_str(),
                service: service.id(),
                address: endpoint.container_id(),
            };
            let line = || format!("service {} exported: {endpoint}", service.id());
            self.output().event(&shown, || printable(&line()))?;
            exported.push(endpoint);
        }
        Ok(exported)
    }

    /// Tells others of an endpoint, or of its new content.
    async fn announce(&self, endpoint: &EndpointDescription) -> Result<(), Failure> {
        let Some(etcd) = self.framework.etcd() else {
            return Ok(());
        };
        let denials = Denials::from_now(&self.framework);
        let receipt = etcd
            .advertise(endpoint)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let otherwise = format!("endpoint {} is not announced", endpoint.id());
        self.confirm(receipt, denials, &otherwise).await
    }

    /// Waits until etcd has what was given to it, or does not take it.
    async fn confirm(
        &self,
        receipt: Receipt,
        denials: Denials,
        otherwise: &str,
    ) -> Result<(), Failure> {
        let denial = tokio::select! {
            biased;
            received = receipt => {
                return received.map_err(|error| Failure::failed(error.to_string()));
            }
            denial = denials.first() => denial,
            () = sleep(PATIENCE) => match self.framework.health().as_ref().and_then(denied_now) {
                // It was denied before, and is not asked again so soon.
                Some(error) => error.clone().into(),
                None => return Err(Failure::new(
                    Code::Unreachable,
                    format!(
                        "{otherwise}: etcd has not answered within {PATIENCE:?}; trying goes on"
                    ),
                )),
            },
        };
        let code = denial.code();
        Err(Failure::new(
            code,
            format!("{otherwise}: {denial}; trying goes on"),
        ))
    }

    /// The export of an endpoint that this shell made.
    fn exported(&self, id: &str) -> Result<(EndpointId, &ExportRegistration), Failure> {
        self.exports
            .iter()
            .find(|(known, _)| known.as_str() == id)
            .map(|(id, export)| (id.clone(), export))
            .ok_or_else(|| {
                Failure::no(format!(
                    "no exported endpoint {id}: listexports lists those there are"
                ))
            })
    }

    /// unexportservice.
    pub(super) async fn unexport(&mut self, id: &str) -> Result<(), Failure> {
        let (id, _) = self.exported(id)?;
        let Some(registration) = self.exports.remove(&id) else {
            return Ok(());
        };
        // Peers hear of it before their calls fail.
        let denials = Denials::from_now(&self.framework);
        let withdrawn = match self.framework.etcd() {
            Some(etcd) => {
                let otherwise = format!("{id} is still announced");
                self.confirm(etcd.withdraw(&id), denials, &otherwise).await
            }
            None => Ok(()),
        };
        registration.close().await;
        withdrawn
    }

    /// updateservice.
    pub(super) async fn update_service(
        &mut self,
        id: &str,
        changes: &[Property],
    ) -> Result<(), Failure> {
        let (_, export) = self.exported(id)?;
        let service = export.service().map(|service| service.id());
        let registration = service.and_then(|service| self.registered.get(&service));
        let Some(registration) = registration else {
            return Err(Failure::no(format!(
                "the service of endpoint {id} is not of this shell: only its owner can change it"
            )));
        };
        let mut properties = (*registration.reference().properties()).clone();
        for change in changes {
            properties.set(change.name.as_str(), change.value.clone());
        }
        registration
            .set_properties(properties)
            .map_err(|error| Failure::no(error.to_string()))?;
        // All endpoints of the service tell of its properties.
        let of_service = |export: &&ExportRegistration| export.service().map(|s| s.id()) == service;
        for export in self.exports.values().filter(of_service) {
            let endpoint = export
                .update(None)
                .map_err(|error| Failure::usage(error.to_string()))?;
            self.announce(&endpoint).await?;
            let shown = Exported {
                endpoint: endpoint.id().as_str(),
                service: service.unwrap_or_default(),
                address: endpoint.container_id(),
            };
            let line = || printable(&format!("updated: {endpoint}"));
            self.output().event(&shown, line)?;
        }
        Ok(())
    }
}

/// Waits until an endpoint answers, so that nobody is told of one that does not.
async fn answers(registration: &ExportRegistration) -> Result<(), Failure> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let problem = match timeout_at(limit, registration.ready()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        if Instant::now() + PAUSE >= limit {
            let text =
                format!("the endpoint is not exported, because it does not answer: {problem}");
            return Err(Failure::new(Code::Unreachable, text));
        }
        sleep(PAUSE).await;
    }
}

/// Writes a file as a whole: who reads it sees the old one or the new one.
fn write_edef<'a>(
    path: &str,
    endpoints: impl IntoIterator<Item = &'a EndpointDescription>,
) -> Result<(), Failure> {
    let text = edef::to_string(endpoints).map_err(|error| Failure::failed(error.to_string()))?;
    let cannot = |error: std::io::Error| {
        Failure::failed(format!("the EDEF file {path} cannot be written: {error}"))
    };
    let folder = match Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    file.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}
