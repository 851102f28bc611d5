//! The importing half of the topology manager.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};

use super::super::plan::{self, Step};
use super::super::policy::Import;
use super::Manager;
use super::exports::may_pass;
use crate::admin::ImportRegistration;
use crate::ambient::Chance;
use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::names::EndpointId;
use crate::services::{Demand, DemandId};

/// An endpoint that is imported.
pub(super) struct Imported {
    pub(super) registration: ImportRegistration,
    since: Instant,
}

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
        let actual = self.imports.get(&id);
        let actual = actual.and_then(|import| import.registration.description());
        let mut wanted = self.wanted_import(&id, actual.is_some());
        if !self.known.contains_key(&id) {
            self.rests.forget(&id);
        } else if actual.is_none() && wanted.as_ref().is_some_and(|w| self.rests.holds(w)) {
            wanted = None;
        }
        match (plan::import(wanted.as_deref(), actual.as_deref()), wanted) {
            (Step::Keep, _) => {}
            (Step::Close, _) | (_, None) => self.unimport(&id),
            (Step::Open, Some(wanted)) => self.import(id, &wanted),
            (Step::Replace, Some(wanted)) => {
                self.unimport(&id);
                self.import(id, &wanted);
            }
            (Step::Update, Some(wanted)) => {
                let Some(import) = self.imports.get(&id) else {
                    return;
                };
                if let Err(error) = import.registration.update(&wanted) {
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

    /// One that fails is told by the admin. It is tried again when the
    /// endpoint or the providers change, and before that if it may pass (rule
    /// T06).
    fn import(&mut self, id: EndpointId, description: &Arc<EndpointDescription>) {
        let versions = &self.versions;
        let Some(registration) = self.admin.import_fitting(description, versions) else {
            return;
        };
        if let Some(error) = registration.error() {
            if may_pass(&error) {
                self.rest(description, None);
            }
            return;
        }
        let since = Instant::now();
        let import = Imported {
            registration,
            since,
        };
        self.imports.insert(id, import);
    }

    fn unimport(&mut self, id: &EndpointId) {
        if let Some(import) = self.imports.remove(id) {
            import.registration.close();
        }
    }

    /// Rule V06: an import that is beyond repair is ours to close. It is tried
    /// again later.
    pub(super) fn import_broke(&mut self, id: &EndpointId) {
        let import = self.imports.get(id);
        let Some(import) = import.filter(|import| import.registration.broken().is_some()) else {
            return;
        };
        let (since, described) = (import.since, import.registration.description());
        self.unimport(id);
        if let Some(described) = described {
            self.rest(&described, Some(since));
        }
        // Another source may describe it otherwise.
        self.reconcile_import(id.clone());
    }

    fn rest(&mut self, described: &Arc<EndpointDescription>, since: Option<Instant>) {
        let now = Instant::now();
        let delay = self.rests.begin(described, since, now, &mut Chance);
        info!(endpoint = %described, ?delay, "the import is tried again later");
    }

    /// Tries again what has rested.
    pub(super) fn rested(&mut self) {
        for id in self.rests.over(Instant::now()) {
            self.reconcile_import(id);
        }
    }
}
