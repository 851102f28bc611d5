//! The exporting half of the topology manager: which services have endpoints.
//! What is announced of these is beside, in `announcing.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::super::gate::Gates;
use super::super::plan::{self, Step};
use super::super::{ExportStatus, TopologyError};
use super::{Done, Manager};
use crate::admin::{AdminError, ExportError, ExportRegistration};
use crate::ambient::Chance;
use crate::distribution::DistributionError;
use crate::endpoint::EndpointDescription;
use crate::keyspace::Backoff;
use crate::names::EndpointId;
use crate::properties::Properties;
use crate::services::{ServiceEvent, ServiceEventKind, ServiceId, ServiceReference};

/// How long to wait before a failed export is tried again: at first up to
/// half a second, then up to one, twice as long each time, at most a minute.
pub(super) const BACKOFF: Backoff = Backoff::new(
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(60),
);

/// How long an endpoint must have worked for its next failure to be its first.
pub(super) const LASTING: Duration = Duration::from_secs(60);

/// How long an endpoint that is to be replaced has for its end: the same as one has to be made. Whatever
/// holds it up is not to keep the service from its callers for longer.
const END: Duration = Duration::from_secs(30);

/// A service that is to be exported.
pub(super) struct Wanted {
    reference: ServiceReference,
    properties: Arc<Properties>,
    /// The properties under those that the policy gives.
    overlaid: Properties,
}

/// A service as it is exported.
pub(super) struct Export {
    properties: Arc<Properties>,
    overlaid: Properties,
    pub(super) gates: Gates,
    pub(super) open: Vec<(EndpointId, ExportRegistration)>,
    pub(super) announced: HashSet<EndpointId>,
    /// The number of the latest announcement of each endpoint. News of an
    /// earlier one says nothing of how things stand.
    pub(super) announcing: HashMap<EndpointId, u64>,
    /// Why an endpoint is missing, or is not as the properties say.
    failure: Option<TopologyError>,
    /// Whether an endpoint is missing.
    incomplete: bool,
    /// Since when none is.
    whole: Option<Instant>,
    /// Why an endpoint broke that whoever makes the missing ones now took for
    /// one that is there.
    broke: Option<Arc<AdminError>>,
    pub(super) unannounced: Option<TopologyError>,
    backoff: Backoff,
    retry: Option<Instant>,
}

impl Export {
    fn new(properties: Arc<Properties>, overlaid: Properties) -> Self {
        Self {
            properties,
            overlaid,
            gates: Gates::default(),
            open: Vec::new(),
            announced: HashSet::new(),
            announcing: HashMap::new(),
            failure: None,
            incomplete: false,
            whole: None,
            broke: None,
            unannounced: None,
            backoff: BACKOFF,
            retry: None,
        }
    }

    /// Takes what was made, and notes what could not be; whether that is
    /// worth another attempt.
    fn take(&mut self, result: Result<Vec<ExportRegistration>, ExportError>) -> bool {
        self.failure = None;
        let mut again = false;
        match result {
            Ok(registrations) => {
                for registration in registrations {
                    if let Some(error) = registration.error() {
                        again |= may_pass(&error);
                        self.failure = Some(TopologyError::Endpoint(error));
                    } else if let Some(description) = registration.description() {
                        self.open.push((description.id().clone(), registration));
                    }
                }
            }
            Err(error) => self.failure = Some(error.into()),
        }
        if let Some(error) = self.broke.take() {
            again = true;
            self.failure = Some(TopologyError::Endpoint(error));
        }
        if self.open.is_empty() && self.failure.is_none() {
            self.failure = Some(TopologyError::NoProvider);
        }
        self.incomplete = self.failure.is_some();
        again
    }

    /// Forgets how it stood with an endpoint.
    fn gone(&mut self, endpoint: &EndpointId) {
        self.announced.remove(endpoint);
        self.announcing.remove(endpoint);
        self.gates.forget(endpoint);
    }

    /// When to try again what failed now.
    fn try_again(&mut self, now: Instant) -> Instant {
        // One that breaks as soon as it is made is not to be made in a loop.
        let lasted = self.whole.take();
        if lasted.is_some_and(|since| now.duration_since(since) >= LASTING) {
            self.backoff.reset();
        }
        let due = now + self.backoff.next_delay(&mut Chance);
        self.retry = Some(due);
        due
    }
}

/// Whether a failure can be gone at the next attempt though nothing changes
/// here.
pub(super) fn may_pass(error: &AdminError) -> bool {
    match error {
        // What is wrong is in the properties or in the configuration.
        AdminError::Distribution(
            DistributionError::Property { .. }
            | DistributionError::Endpoint { .. }
            | DistributionError::Closed,
        )
        | AdminError::Description(_)
        | AdminError::Export(_)
        | AdminError::NotPermitted(_)
        | AdminError::PackageVersion(_)
        | AdminError::UnknownIntents { .. }
        | AdminError::ServiceGone { .. } => false,
        _ => true,
    }
}

impl Manager {
    pub(super) fn service(&mut self, event: ServiceEvent) {
        let id = event.reference.id();
        match event.kind {
            ServiceEventKind::Registered | ServiceEventKind::Modified => {
                match self.rules.export(&event.properties) {
                    Some(overlay) => {
                        let wanted = Wanted {
                            reference: event.reference,
                            overlaid: overlaid(&event.properties, &overlay),
                            properties: event.properties,
                        };
                        self.wanted.insert(id, wanted);
                    }
                    None => drop(self.wanted.remove(&id)),
                }
            }
            ServiceEventKind::ModifiedEndMatch | ServiceEventKind::Unregistering => {
                self.wanted.remove(&id);
            }
        }
        self.reconcile(id);
    }

    fn reconcile(&mut self, id: ServiceId) {
        if self.opening.contains(&id) {
            return;
        }
        let wanted = self.wanted.get(&id).map(|wanted| &wanted.overlaid);
        let actual = self.exports.get(&id).map(|export| &export.overlaid);
        match plan::export(wanted, actual) {
            Step::Keep => self.keep(id),
            Step::Close => self.unexport(id),
            Step::Update => self.update(id),
            Step::Open => self.open(id),
            Step::Replace => self.replace(id),
        }
    }

    /// Ends the endpoints of a service and makes others. One after the other:
    /// old and new ones may want the same port.
    fn replace(&mut self, id: ServiceId) {
        match (self.end(id), self.wanted.contains_key(&id)) {
            (Some(ended), true) if !self.opening.contains(&id) => self.open_after(id, ended),
            (Some(ended), _) => self.beside.push(Box::pin(ended.map(|()| Done::Closed))),
            (None, _) => self.open(id),
        }
    }

    /// Makes the endpoints of a service that are not there. It goes on
    /// beside: a provider that is slow holds up no other service (rule T06).
    pub(super) fn open(&mut self, id: ServiceId) {
        self.open_after(id, std::future::ready(()));
    }

    fn open_after(&mut self, id: ServiceId, before: impl Future<Output = ()> + Send + 'static) {
        let Some(wanted) = self.wanted.get(&id) else {
            return;
        };
        if !self.opening.insert(id) {
            return;
        }
        let open = self.exports.get(&id).map(|export| &export.open);
        let have: Vec<String> = open
            .into_iter()
            .flatten()
            .filter_map(|(_, registration)| registration.config_type())
            .collect();
        // Asked for anew: providers may have come or gone.
        let overlay = self.rules.export(&wanted.properties);
        let overlay = overlay.unwrap_or_default();
        let (admin, generation) = (self.admin.clone(), self.generation);
        let (service, properties) = (wanted.reference.clone(), Arc::clone(&wanted.properties));
        let overlaid = wanted.overlaid.clone();
        self.beside.push(Box::pin(async move {
            if tokio::time::timeout(END, before).await.is_err() {
                warn!(
                    service.id = service.id(),
                    "its old endpoint has not ended within {} s and goes on ending; a new one is \
                     made",
                    END.as_secs()
                );
            }
            let result = admin.export_besides(&service, &overlay, &have).await;
            Done::Exported {
                service,
                properties,
                overlaid,
                generation,
                result,
            }
        }));
    }

    pub(super) fn exported(
        &mut self,
        service: &ServiceReference,
        (properties, overlaid): (Arc<Properties>, Properties),
        generation: u64,
        result: Result<Vec<ExportRegistration>, ExportError>,
    ) {
        let id = service.id();
        self.opening.remove(&id);
        if !service.is_registered() {
            // What was made has ended with it. That the service went is in
            // the queue, if it was not told yet.
            debug!(service.id = id, "the service went while it was exported");
            if !self.wanted.contains_key(&id) {
                self.unexport(id);
            }
            return;
        }
        if let Err(error) = &result {
            error!(service.id = id, %error, "the service cannot be exported");
        }
        let export = self
            .exports
            .entry(id)
            .or_insert_with(|| Export::new(properties, overlaid));
        export.retry = None;
        if export.take(result) {
            self.retry_later(id);
        } else if !export.incomplete {
            export.whole.get_or_insert_with(Instant::now);
        }
        // What broke before it was known here was told in vain.
        self.export_broke(id);
        self.announce(id);
        if generation == self.generation {
            self.reconcile(id);
        } else if self.wanted.contains_key(&id) {
            self.open(id);
        } else {
            self.unexport(id);
        }
    }

    fn retry_later(&mut self, id: ServiceId) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        let due = export.try_again(now);
        self.retries.insert((due, id));
        info!(service.id = id, delay = ?due - now, "the export is tried again later");
    }

    /// Rules X13, V06: endpoints that are beyond repair are ours to close.
    /// They are made anew later.
    pub(super) fn export_broke(&mut self, id: ServiceId) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        let broken =
            |(_, registration): &mut (_, ExportRegistration)| registration.broken().is_some();
        let broken: Vec<_> = export.open.extract_if(.., broken).collect();
        if broken.is_empty() {
            return;
        }
        for (endpoint, registration) in &broken {
            export.gone(endpoint);
            let error = registration.broken();
            if self.opening.contains(&id) {
                export.broke.clone_from(&error);
            }
            export.failure = error.map(TopologyError::Endpoint);
            export.incomplete = true;
        }
        // First, so that as few callers as can be meet what is broken.
        for (endpoint, _) in &broken {
            self.withdraw(endpoint);
        }
        self.beside.push(Box::pin(async move {
            for (_, registration) in broken {
                registration.close().await;
            }
            Done::Closed
        }));
        self.retry_later(id);
        self.report(id);
    }

    /// Tries again what is due (rule T06).
    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        while let Some((due, id)) = self.retries.first().copied()
            && due <= now
        {
            self.retries.pop_first();
            let export = self.exports.get(&id);
            if export.is_some_and(|export| export.retry == Some(due)) {
                self.open(id);
            }
        }
    }

    /// The service's properties are others, and the export's are not.
    fn keep(&mut self, id: ServiceId) {
        let (Some(wanted), Some(export)) = (self.wanted.get(&id), self.exports.get_mut(&id)) else {
            return;
        };
        if !Arc::ptr_eq(&export.properties, &wanted.properties) {
            export.properties = Arc::clone(&wanted.properties);
            self.report(id);
        }
    }

    fn update(&mut self, id: ServiceId) {
        let (Some(wanted), Some(export)) = (self.wanted.get(&id), self.exports.get_mut(&id)) else {
            return;
        };
        export.properties = Arc::clone(&wanted.properties);
        export.overlaid = wanted.overlaid.clone();
        let overlay = self.rules.export(&wanted.properties);
        // What was wrong with the old properties is not with the new ones.
        export.failure = None;
        export.unannounced = None;
        export.announced.clear();
        export.announcing.clear();
        for (_, registration) in &export.open {
            if let Err(error) = registration.update(overlay.as_ref()) {
                // What shapes an endpoint of the default config type is not
                // seen in the properties alone.
                if error.asks_for_another_endpoint() {
                    info!(service.id = id, %error, "the export is made anew");
                    return self.replace(id);
                }
                error!(service.id = id, %error, "the export keeps its old properties");
                export.failure = Some(TopologyError::Endpoint(Arc::new(error)));
            }
        }
        if export.incomplete {
            // What could not be made of the old properties may be of the new.
            self.open(id);
        } else {
            self.announce(id);
        }
    }

    fn unexport(&mut self, id: ServiceId) {
        if let Some(ended) = self.end(id) {
            self.beside.push(Box::pin(ended.map(|()| Done::Closed)));
        }
    }

    /// Lets go of a service's endpoints; what is given is ready when they
    /// have ended.
    fn end(&mut self, id: ServiceId) -> Option<impl Future<Output = ()> + Send + 'static> {
        let export = self.exports.remove(&id)?;
        self.status.remove(&id);
        // First, so that as few callers as can be meet a closed door.
        for (endpoint, _) in &export.open {
            self.withdraw(endpoint);
        }
        Some(async move {
            for (_, registration) in &export.open {
                registration.close().await;
            }
        })
    }

    /// Takes back what has ended without us: with its provider, say.
    pub(super) fn drop_ended_exports(&mut self) {
        let mut ended = Vec::new();
        for export in self.exports.values_mut() {
            export.open.retain(|(endpoint, registration)| {
                let open = registration.description().is_some();
                if !open {
                    ended.push(endpoint.clone());
                }
                open
            });
            for endpoint in &ended {
                export.gone(endpoint);
            }
        }
        for endpoint in ended {
            self.withdraw(&endpoint);
        }
    }

    pub(super) fn report(&self, id: ServiceId) {
        let Some(export) = self.exports.get(&id) else {
            return;
        };
        let descriptions = export
            .open
            .iter()
            .filter_map(|(_, registration)| registration.description());
        let endpoints: Vec<_> = descriptions.collect();
        let announced = |endpoint: &&Arc<EndpointDescription>| {
            let announcing = export.announcing.contains_key(endpoint.id());
            let announced = self.announcer.is_mute() || export.announced.contains(endpoint.id());
            announced && announcing
        };
        let waits = |endpoint: &&Arc<EndpointDescription>| {
            !announced(endpoint) && self.rules.advertise(endpoint)
        };
        let unannounced = endpoints.iter().filter(waits).count();
        let error = export.failure.as_ref().or(export.unannounced.as_ref());
        let status = ExportStatus {
            properties: Arc::clone(&export.properties),
            endpoints,
            unannounced,
            unready: export.gates.unready(),
            error: error.cloned(),
        };
        self.status.set(id, Arc::new(status));
    }
}

/// The properties that an export with this overlay has.
fn overlaid(service: &Properties, overlay: &Properties) -> Properties {
    let mut properties = service.clone();
    properties.overlay(overlay);
    properties
}
