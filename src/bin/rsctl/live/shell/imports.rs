//! importservice, unimportservice, and what is imported because it was discovered.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use osgi_remote::discovery::Subscriber as _;
use osgi_remote::endpoint::{EndpointDescription, edef};
use osgi_remote::feed::Change;
use osgi_remote::names::EndpointId;
use serde::Serialize;

use super::state::{News, Shell};
use crate::failure::Failure;
use crate::live::similar_names;
use crate::output::{note, printable};

#[derive(Debug, Serialize)]
struct Imported<'a> {
    endpoint: &'a str,
    service: i64,
    remote_service: i64,
}

impl Shell<'_> {
    /// importservice.
    pub(super) fn import_service(&mut self, source: Option<String>) -> Result<(), Failure> {
        let source = source.unwrap_or_else(|| self.defaults.file.clone());
        let known = self
            .framework
            .etcd()
            .map(|etcd| etcd.endpoints().snapshot());
        let known = known.unwrap_or_default();
        let discovered = known.iter().find(|(id, _)| id.as_str() == source);
        if let Some((id, endpoint)) = discovered {
            self.unwanted.remove(id);
            return self.import_and_show(endpoint);
        }
        let file = File::open(&source).map_err(|error| {
            let near = similar_names(&source, known.iter().map(|(id, _)| id.as_str()));
            let near = match near {
                none if none.is_empty() => String::new(),
                some => format!("; there is {some}"),
            };
            Failure::no(format!(
                "{source} is no discovered endpoint, and as a file it cannot be read: {error}{near}"
            ))
        })?;
        let read: Result<Vec<_>, _> = edef::Reader::new(BufReader::new(file)).collect();
        let endpoints = read.map_err(|error| Failure::usage(format!("{source}: {error}")))?;
        note(&format!("{source} describes {} endpoints", endpoints.len()));
        for endpoint in endpoints {
            self.import_and_show(&Arc::new(endpoint))?;
        }
        Ok(())
    }

    fn import_and_show(&mut self, endpoint: &Arc<EndpointDescription>) -> Result<(), Failure> {
        let service = self.import(endpoint)?;
        let shown = Imported {
            endpoint: endpoint.id().as_str(),
            service,
            remote_service: endpoint.remote_service_id(),
        };
        let line = || printable(&format!("service {service} imported: {endpoint}"));
        self.output().event(&shown, line)
    }

    /// Imports an endpoint, or has its import follow; gives the id of the proxy.
    fn import(&mut self, endpoint: &Arc<EndpointDescription>) -> Result<i64, Failure> {
        let failed = |problem: String| {
            Failure::failed(format!(
                "endpoint {} is not imported: {problem}",
                endpoint.id()
            ))
        };
        if let Some(registration) = self.imports.get(endpoint.id()) {
            registration
                .update(endpoint)
                .map_err(|error| failed(error.to_string()))?;
            return Ok(registration.proxy().map_or(0, |proxy| proxy.id()));
        }
        let admin = self.framework.admin();
        let Some(registration) = admin.import_service(endpoint) else {
            let (has, know) = (
                endpoint.config_types().join(", "),
                admin.config_types().join(", "),
            );
            return Err(Failure::no(format!(
                "endpoint {} cannot be imported: its config types are {has}, and there is {know}; \
                 or it has intents that are unknown here",
                endpoint.id()
            )));
        };
        if let Some(error) = registration.error() {
            return Err(failed(error.to_string()));
        }
        let service = registration.proxy().map_or(0, |proxy| proxy.id());
        self.imports.insert(endpoint.id().clone(), registration);
        Ok(service)
    }

    /// unimportservice.
    pub(super) fn unimport(&mut self, id: &str) -> Result<(), Failure> {
        let known = self.imports.keys().find(|known| known.as_str() == id);
        let Some(known) = known.cloned() else {
            return Err(Failure::no(format!(
                "no imported endpoint {id}: listimports lists those there are"
            )));
        };
        self.close_import(&known);
        self.unwanted.insert(known);
        Ok(())
    }

    fn close_import(&mut self, id: &EndpointId) -> bool {
        match self.imports.remove(id) {
            Some(registration) => {
                registration.close();
                true
            }
            None => false,
        }
    }

    /// Follows what discovery tells, and says what came of it.
    pub(super) fn discovered(&mut self, news: News) -> Option<String> {
        let text = match news {
            Change::Added(id, endpoint) => self.appeared(&id, &endpoint)?,
            Change::Modified { key, value, .. } => {
                let imported = self.imports.contains_key(&key);
                match self.import_or_leave(&key, &value)? {
                    Ok(_) if imported => format!("import updated: {value}"),
                    Ok(service) => format!("service {service} imported: {value}"),
                    Err(failure) => failure.to_string(),
                }
            }
            Change::EndMatch { key, value, .. } | Change::Removed(key, value) => {
                self.unwanted.remove(&key);
                if !self.close_import(&key) {
                    return None;
                }
                format!("import ended: {value}")
            }
        };
        Some(printable(&text))
    }

    fn appeared(&mut self, id: &EndpointId, endpoint: &Arc<EndpointDescription>) -> Option<String> {
        // It came anew, whatever was thought of the one before.
        self.unwanted.remove(id);
        Some(match self.import_or_leave(id, endpoint)? {
            Ok(service) => format!("service {service} imported: {endpoint}"),
            Err(failure) => failure.to_string(),
        })
    }

    fn import_or_leave(
        &mut self,
        id: &EndpointId,
        endpoint: &Arc<EndpointDescription>,
    ) -> Option<Result<i64, Failure>> {
        let wanted = self.import_all && !self.unwanted.contains(id);
        (wanted || self.imports.contains_key(id)).then(|| self.import(endpoint))
    }
}
