//! The importing half of the topology manager.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::super::plan::{self, Step};
use super::super::policy::Import;
use super::Manager;
use crate::admin::ImportRegistration;
use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::names::EndpointId;
use crate::services::{Demand, DemandId};

type EndpointChange = Change<EndpointId, Arc<EndpointDescription>>;

impl Manager {
    pub(super) fn endpoint(&mut self, source: usize, change: EndpointChange) {
        let id = change.key().clone();
        let said = self.known.entry(id.clone()).or_default();
        match change {
            Change::Added(_, description)
            | Change::Modified {
                value: description, ..
            } => {
                said.insert(source, description);
            }
            Change::EndMatch { .. } | Change::Removed(..) => {
                said.remove(&source);
            }
        }
        if said.is_empty() {
            self.known.remove(&id);
        }
        self.reconcile_import(id);
    }

    pub(super) fn reconcile_import(&mut self, id: EndpointId) {
        let actual = self
            .imports
            .get(&id)
            .and_then(ImportRegistration::description);
        let wanted = self.wanted_import(&id, actual.is_some());
        match (plan::import(wanted.as_deref(), actual.as_deref()), wanted) {
            (Step::Keep, _) => {}
            (Step::Close, _) | (_, None) => self.unimport(&id),
            (Step::Open, Some(wanted)) => self.import(id, &wanted),
            (Step::Replace, Some(wanted)) => {
                self.unimport(&id);
                self.import(id, &wanted);
            }
            (Step::Update, Some(wanted)) => {
                let Some(registration) = self.imports.get(&id) else {
                    return;
                };
                if let Err(error) = registration.update(&wanted) {
                    warn!(endpoint = %wanted, %error, "the import is made anew");
                    self.unimport(&id);
                    self.import(id, &wanted);
                }
            }
        }
    }

    /// The endpoint as it is to be imported, if it is: the first source that
    /// knows it counts.
    fn wanted_import(
        &mut self,
        id: &EndpointId,
        imported: bool,
    ) -> Option<Arc<EndpointDescription>> {
        let said = self.known.get(id).and_then(|said| said.values().next());
        let import = said.map_or(Import::Never, |said| self.rules.import(said));
        let wanted = match import {
            Import::OnDemand => {
                let said = said?;
                let now = Instant::now();
                return self
                    .demands
                    .wants(said, imported, now)
                    .then(|| Arc::clone(said));
            }
            Import::Always => said.cloned(),
            Import::Never => None,
        };
        self.demands.forget(id);
        wanted
    }

    /// Follows what is waited for (rule T07).
    pub(super) fn demand(&mut self, change: &Change<DemandId, Arc<Demand>>) {
        for id in self.demands.change(change) {
            self.reconcile_import(id);
        }
    }

    /// Ends imports that nobody has wanted for long enough.
    pub(super) fn idle(&mut self) {
        for id in self.demands.due(Instant::now()) {
            self.reconcile_import(id);
        }
    }

    /// Takes back all that a discovery said (rule E08).
    pub(super) fn source_stopped(&mut self, source: usize) {
        let mut concerned = Vec::new();
        self.known.retain(|id, said| {
            if said.remove(&source).is_some() {
                concerned.push(id.clone());
            }
            !said.is_empty()
        });
        for id in concerned {
            self.reconcile_import(id);
        }
    }

    /// One that fails is told by the admin, and tried again when the endpoint
    /// or the providers change: what is wrong is in the description.
    fn import(&mut self, id: EndpointId, description: &Arc<EndpointDescription>) {
        let versions = &self.versions;
        if let Some(registration) = self.admin.import_fitting(description, versions)
            && registration.error().is_none()
        {
            self.imports.insert(id, registration);
        }
    }

    fn unimport(&mut self, id: &EndpointId) {
        if let Some(registration) = self.imports.remove(id) {
            registration.close();
        }
    }
}
