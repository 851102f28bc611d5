//! The importing half of the topology manager.

use std::sync::Arc;

use tracing::warn;

use super::super::plan::{self, Step};
use super::Manager;
use crate::admin::ImportRegistration;
use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::names::EndpointId;

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
        let said = self.known.get(&id).and_then(|said| said.values().next());
        let wanted = said.cloned();
        let actual = self
            .imports
            .get(&id)
            .and_then(ImportRegistration::description);
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
