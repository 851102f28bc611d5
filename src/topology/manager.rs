//! The topology manager's task.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SelectAll, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::plan::{self, Step};
use super::{Discoveries, ExportFeed, ExportStatus, Policy, TopologyError};
use crate::admin::{ExportRegistration, ImportRegistration, RemoteServiceAdmin};
use crate::discovery::DiscoveryError;
use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::names::EndpointId;
use crate::properties::Properties;
use crate::services::{Registry, ServiceEvent, ServiceEventKind, ServiceId, ServiceReference};

type EndpointChange = Change<EndpointId, Arc<EndpointDescription>>;

/// What goes on beside the task, and is awaited by it.
enum Done {
    /// An announcement is out, or failed.
    Announced {
        service: ServiceId,
        endpoint: EndpointId,
        number: u64,
        result: Result<(), DiscoveryError>,
    },
    /// An announcement is taken back, or could not be.
    Withdrawn(EndpointId, Result<(), DiscoveryError>),
    /// Exports have ended.
    Closed,
}

/// A service as it is exported.
struct Export {
    properties: Arc<Properties>,
    registrations: Vec<ExportRegistration>,
    announced: HashSet<EndpointId>,
    /// The number of the latest announcement of each endpoint. News of an
    /// earlier one says nothing of how things stand.
    announcing: HashMap<EndpointId, u64>,
    error: Option<TopologyError>,
}

impl Export {
    /// Whether there are endpoints, and none is missing.
    fn is_whole(&self) -> bool {
        !self.registrations.is_empty() && self.registrations.iter().all(|r| r.error().is_none())
    }
}

pub(super) struct Manager {
    admin: RemoteServiceAdmin,
    discoveries: Discoveries,
    status: ExportFeed,
    exports: HashMap<ServiceId, Export>,
    /// Who says what of an endpoint, by the discovery's number (rule E07).
    known: HashMap<EndpointId, BTreeMap<usize, Arc<EndpointDescription>>>,
    imports: HashMap<EndpointId, ImportRegistration>,
    /// How many announcements were begun.
    announcements: u64,
    beside: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Manager {
    pub(super) fn new(
        admin: RemoteServiceAdmin,
        discoveries: Discoveries,
        status: ExportFeed,
    ) -> Self {
        Self {
            admin,
            discoveries,
            status,
            exports: HashMap::new(),
            known: HashMap::new(),
            imports: HashMap::new(),
            announcements: 0,
            beside: FuturesUnordered::new(),
        }
    }

    /// Runs until it is stopped, and gives itself back.
    ///
    /// It listens from before it is first polled, so that nothing is missed.
    pub(super) fn run(
        mut self,
        registry: &Registry,
        policy: Policy,
        stop: CancellationToken,
    ) -> impl Future<Output = Self> + Send + 'static {
        let policy = Arc::new(policy);
        let exporting = Arc::clone(&policy);
        let mut services = registry.listen_where(move |p| exporting.exports(p));
        let mut endpoints = SelectAll::new();
        for (source, discovery) in self.discoveries.subscribers.iter().enumerate() {
            let (policy, own) = (Arc::clone(&policy), self.admin.framework().clone());
            let scope = move |d: &Arc<EndpointDescription>| policy.imports(d, &own);
            let listener = discovery.endpoints().listen(scope);
            endpoints.push(listener.map(move |change| (source, change)));
        }
        async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return self,
                    Some(done) = self.beside.next() => self.done(done),
                    Some(event) = services.next() => self.service(event).await,
                    Some((source, change)) = endpoints.next() => self.endpoint(source, change),
                }
            }
        }
    }

    async fn service(&mut self, event: ServiceEvent) {
        let id = event.reference.id();
        let wanted = match event.kind {
            ServiceEventKind::Registered | ServiceEventKind::Modified => Some(event.properties),
            ServiceEventKind::ModifiedEndMatch | ServiceEventKind::Unregistering => None,
        };
        let actual = self
            .exports
            .get(&id)
            .map(|export| Arc::clone(&export.properties));
        let mut step = plan::export(wanted.as_deref(), actual.as_deref());
        if step == Step::Update && !self.exports.get(&id).is_some_and(Export::is_whole) {
            // What could not be made of the old properties may be of the new.
            step = Step::Replace;
        }
        match (step, wanted) {
            (Step::Keep, _) => {}
            (Step::Close, _) => self.unexport(id),
            (Step::Update, Some(wanted)) => self.update(id, wanted),
            (Step::Open, Some(wanted)) => self.export(&event.reference, wanted).await,
            (Step::Replace, Some(wanted)) => {
                self.unexport(id);
                self.export(&event.reference, wanted).await;
            }
            (Step::Open | Step::Update | Step::Replace, None) => {
                debug!(service.id = id, "nothing is wanted of this service");
            }
        }
    }

    async fn export(&mut self, reference: &ServiceReference, properties: Arc<Properties>) {
        let id = reference.id();
        let exported = self
            .admin
            .export_service(reference, &Properties::new())
            .await;
        let (registrations, error) = match exported {
            Ok(registrations) if registrations.is_empty() => {
                (registrations, Some(TopologyError::NoProvider))
            }
            Ok(registrations) => {
                let failed = registrations.iter().find_map(ExportRegistration::error);
                (registrations, failed.map(TopologyError::Endpoint))
            }
            Err(error) => {
                error!(service.id = id, %error, "the service cannot be exported");
                (Vec::new(), Some(error.into()))
            }
        };
        self.exports.insert(
            id,
            Export {
                properties,
                registrations,
                announced: HashSet::new(),
                announcing: HashMap::new(),
                error,
            },
        );
        self.announce(id);
    }

    fn update(&mut self, id: ServiceId, properties: Arc<Properties>) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        export.properties = properties;
        // What was wrong with the old properties is not with the new ones.
        export.error = None;
        for registration in &export.registrations {
            if let Err(error) = registration.update(None) {
                error!(service.id = id, %error, "the export keeps its old properties");
                export.error = Some(TopologyError::Endpoint(Arc::new(error)));
            }
        }
        self.announce(id);
    }

    /// Has all endpoints of a service announced as they are now.
    fn announce(&mut self, id: ServiceId) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        self.announcements += 1;
        let number = self.announcements;
        for registration in &export.registrations {
            let Some(description) = registration.description() else {
                continue;
            };
            export.announced.remove(description.id());
            export.announcing.insert(description.id().clone(), number);
            for discovery in &self.discoveries.advertisers {
                match discovery.advertise(&description) {
                    Ok(receipt) => {
                        let endpoint = description.id().clone();
                        self.beside.push(Box::pin(async move {
                            Done::Announced {
                                service: id,
                                endpoint,
                                number,
                                result: receipt.await,
                            }
                        }));
                    }
                    Err(error) => {
                        error!(endpoint = %description, %error, "the endpoint is not announced");
                        export.error = Some(error.into());
                    }
                }
            }
        }
        self.report(id);
    }

    fn unexport(&mut self, id: ServiceId) {
        let Some(export) = self.exports.remove(&id) else {
            return;
        };
        self.status.remove(&id);
        // Withdrawn first, so that as few callers as can be meet a closed door.
        for description in export
            .registrations
            .iter()
            .filter_map(ExportRegistration::description)
        {
            for discovery in &self.discoveries.advertisers {
                let endpoint = description.id().clone();
                let receipt = discovery.withdraw(&endpoint);
                self.beside.push(Box::pin(
                    async move { Done::Withdrawn(endpoint, receipt.await) },
                ));
            }
        }
        self.beside.push(Box::pin(async move {
            for registration in &export.registrations {
                registration.close().await;
            }
            Done::Closed
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Closed => {}
            Done::Withdrawn(endpoint, Ok(())) => debug!(%endpoint, "announcement withdrawn"),
            Done::Withdrawn(endpoint, Err(error)) => {
                warn!(%endpoint, %error, "the announcement could not be withdrawn");
            }
            Done::Announced {
                service: id,
                endpoint,
                number,
                result,
            } => {
                let Some(export) = self.exports.get_mut(&id) else {
                    return;
                };
                if export.announcing.get(&endpoint) != Some(&number) {
                    return;
                }
                match result {
                    Ok(()) => {
                        info!(%endpoint, "announced");
                        export.announced.insert(endpoint);
                    }
                    Err(error) => {
                        error!(%endpoint, %error, "the endpoint is not announced");
                        export.error = Some(error.into());
                    }
                }
                self.report(id);
            }
        }
    }

    fn report(&self, id: ServiceId) {
        let Some(export) = self.exports.get(&id) else {
            return;
        };
        let descriptions = export
            .registrations
            .iter()
            .filter_map(ExportRegistration::description);
        let endpoints: Vec<_> = descriptions.collect();
        let announced = |endpoint: &&Arc<EndpointDescription>| {
            self.discoveries.advertisers.is_empty() || export.announced.contains(endpoint.id())
        };
        let unannounced = endpoints.len() - endpoints.iter().filter(announced).count();
        let status = ExportStatus {
            properties: Arc::clone(&export.properties),
            endpoints,
            unannounced,
            error: export.error.clone(),
        };
        self.status.set(id, Arc::new(status));
    }

    fn endpoint(&mut self, source: usize, change: EndpointChange) {
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
        let wanted = said.values().next().cloned();
        if wanted.is_none() {
            self.known.remove(&id);
        }
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

    fn import(&mut self, id: EndpointId, description: &Arc<EndpointDescription>) {
        if let Some(registration) = self.admin.import_service(description)
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

    pub(super) async fn close(mut self) {
        for (_, registration) in self.imports.drain() {
            registration.close();
        }
        for (_, export) in self.exports.drain() {
            for registration in export.registrations {
                self.beside.push(Box::pin(async move {
                    registration.close().await;
                    Done::Closed
                }));
            }
        }
        // Discovery is closed by now, so that its receipts are ready too.
        while let Some(done) = self.beside.next().await {
            if let Done::Withdrawn(endpoint, Err(error)) = done {
                debug!(%endpoint, %error, "withdrawn by the end of the session");
            }
        }
    }
}
