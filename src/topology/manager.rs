//! The topology manager's task.

mod announcing;
mod exports;
mod imports;
mod rests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SelectAll, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::exports::{Export, Wanted};
use self::imports::Imported;
use self::rests::Rests;
use super::demand::Demands;
use super::policy::Import;
use super::rules::Rules;
use super::{Discoveries, ExportFeed};
use crate::admin::{
    AdminError, AdminEvent, AdminEventKind, AdminReference, Announcer, EventsLost, ExportError,
    ExportRegistration, PackageVersions, RemoteServiceAdmin,
};
use crate::discovery::{DiscoveryError, EndpointFeed, Subscriber};
use crate::endpoint::EndpointDescription;
use crate::names::EndpointId;
use crate::properties::Properties;
use crate::services::{Registry, ServiceId, ServiceReference};

/// What goes on beside the task, and is awaited by it.
enum Done {
    /// A service was exported, or could not be.
    Exported {
        service: ServiceReference,
        /// What it was to be exported with.
        properties: Arc<Properties>,
        /// These under those that the policy gave.
        overlaid: Properties,
        /// Of the providers, when that began.
        generation: u64,
        result: Result<Vec<ExportRegistration>, ExportError>,
    },
    /// An endpoint was asked whether it answers.
    Asked {
        service: ServiceId,
        endpoint: EndpointId,
        result: Result<(), AdminError>,
    },
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

pub(super) struct Manager {
    admin: RemoteServiceAdmin,
    subscribers: Vec<Arc<dyn Subscriber>>,
    announcer: Announcer,
    rules: Rules,
    versions: Arc<PackageVersions>,
    status: ExportFeed,
    /// What local listeners hear of own endpoints (rule T02).
    own: EndpointFeed,
    /// The services that are to be exported, as they were told of last.
    /// These maps are in order, because things are done in it.
    wanted: BTreeMap<ServiceId, Wanted>,
    exports: BTreeMap<ServiceId, Export>,
    /// Services that are being exported. What is told of them meanwhile is
    /// looked at when that is done.
    opening: HashSet<ServiceId>,
    /// When to try again what failed. An entry that its export does not know
    /// any more is void.
    retries: BTreeSet<(Instant, ServiceId)>,
    /// Counts the changes of the admin's providers.
    generation: u64,
    /// Who says what of an endpoint, by the discovery's number (rule E07).
    known: BTreeMap<EndpointId, BTreeMap<usize, Arc<EndpointDescription>>>,
    imports: BTreeMap<EndpointId, Imported>,
    rests: Rests,
    demands: Demands,
    /// How many announcements were begun.
    announcements: u64,
    beside: FuturesUnordered<BoxFuture<'static, Done>>,
    /// What discovery was asked for, which goes on by itself. Nobody waits for
    /// it at the end: it may take as long as etcd is away.
    receipts: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Endpoints that are asked whether they answer. Nobody waits for them at
    /// the end.
    asking: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Manager {
    pub(super) fn new(
        admin: RemoteServiceAdmin,
        discoveries: Discoveries,
        rules: Rules,
        status: ExportFeed,
        own: EndpointFeed,
    ) -> Self {
        Self {
            announcer: admin.announcer(discoveries.advertisers),
            subscribers: discoveries.subscribers,
            admin,
            versions: Arc::new(rules.versions()),
            demands: Demands::new(rules.linger()),
            rules,
            status,
            own,
            wanted: BTreeMap::new(),
            exports: BTreeMap::new(),
            opening: HashSet::new(),
            retries: BTreeSet::new(),
            generation: 0,
            known: BTreeMap::new(),
            imports: BTreeMap::new(),
            rests: Rests::default(),
            announcements: 0,
            beside: FuturesUnordered::new(),
            receipts: FuturesUnordered::new(),
            asking: FuturesUnordered::new(),
        }
    }

    /// Runs until it is stopped, and gives itself back.
    ///
    /// It listens from before it is first polled, so that nothing is missed.
    pub(super) fn run(
        mut self,
        registry: &Registry,
        stop: CancellationToken,
    ) -> impl Future<Output = Self> + Send + 'static {
        let exporting = self.rules.clone();
        let mut services = registry.listen_where(move |p| exporting.export(p).is_some());
        let mut demands = registry.demands().listen(|_| true);
        let mut providers = self.admin.provider_changes();
        let mut events = self.admin.events();
        let mut endpoints = SelectAll::new();
        for (source, discovery) in self.subscribers.iter().enumerate() {
            let rules = self.rules.clone();
            let scope = move |d: &Arc<EndpointDescription>| rules.import(d) != Import::Never;
            let listener = discovery.endpoints().listen(scope);
            let changes = listener.map(move |change| (source, Some(change)));
            // A source that stops takes all that it said along (rule E08).
            let stopped = futures::stream::once(std::future::ready((source, None)));
            endpoints.push(changes.chain(stopped));
        }
        async move {
            loop {
                let retry = self.retries.first().map(|(due, _)| *due);
                let idle = self.demands.next_due();
                let rested = self.rests.next_due();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return self,
                    Some(done) = self.beside.next() => self.done(done),
                    Some(done) = self.receipts.next() => self.done(done),
                    // The admin is ours, so that this cannot end before we do.
                    Ok(()) = providers.changed() => self.providers_changed(),
                    Some(event) = events.next() => self.trouble(event),
                    Some(event) = services.next() => self.service(event),
                    Some(done) = self.asking.next() => self.done(done),
                    Some(change) = demands.next() => self.demand(&change),
                    Some((source, change)) = endpoints.next() => match change {
                        Some(change) => self.endpoint(source, change),
                        None => self.source_stopped(source),
                    },
                    () = at(retry) => self.retry(),
                    () = at(idle) => self.idle(),
                    () = at(rested) => self.rested(),
                }
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Exported {
                service,
                properties,
                overlaid,
                generation,
                result,
            } => self.exported(&service, (properties, overlaid), generation, result),
            Done::Asked {
                service,
                endpoint,
                result,
            } => self.asked(service, endpoint, result),
            Done::Announced {
                service,
                endpoint,
                number,
                result,
            } => self.announced(service, endpoint, number, result),
            Done::Withdrawn(endpoint, result) => announcing::withdrawn(&endpoint, result),
            Done::Closed => {}
        }
    }

    /// Rule V06: what is beyond repair is closed, and tried again.
    ///
    /// An event says only where to look. So one that comes late, when its
    /// registration is another one already, does no harm; and after a loss the
    /// events begin with what is broken.
    fn trouble(&mut self, event: Result<AdminEvent, EventsLost>) {
        let event = match event {
            Ok(event) => event,
            Err(lost) => return debug!(%lost, "looking at what is open"),
        };
        match (event.kind, event.reference, event.endpoint) {
            (AdminEventKind::ExportError, AdminReference::Export(export), _) => {
                if let Some(service) = export.service() {
                    self.export_broke(service.id());
                }
            }
            (AdminEventKind::ImportError, _, Some(endpoint)) => self.import_broke(endpoint.id()),
            _ => {}
        }
    }

    /// Rule T04: what waits for a provider is tried again, and what one took
    /// along is taken back.
    fn providers_changed(&mut self) {
        self.generation += 1;
        self.drop_ended_exports();
        // Those that are being exported are looked at when that is done.
        let waiting: Vec<_> = self.wanted.keys().copied().collect();
        for id in waiting {
            self.open(id);
        }
        self.imports
            .retain(|_, import| import.registration.description().is_some());
        self.rests.end_all();
        let known: Vec<_> = self.known.keys().cloned().collect();
        for id in known {
            self.reconcile_import(id);
        }
    }

    pub(super) async fn close(mut self) {
        self.asking.clear();
        self.receipts.clear();
        for (_, import) in std::mem::take(&mut self.imports) {
            import.registration.close();
        }
        for (_, export) in std::mem::take(&mut self.exports) {
            for (endpoint, registration) in export.open {
                // It goes out by itself. Where discovery is closed, as in a
                // framework, nothing is left to take back.
                drop(self.announcer.withdraw(&endpoint));
                self.beside.push(Box::pin(async move {
                    registration.close().await;
                    Done::Closed
                }));
            }
        }
        while let Some(done) = self.beside.next().await {
            if let Done::Exported {
                result: Ok(registrations),
                ..
            } = done
            {
                for registration in registrations {
                    registration.close().await;
                }
            }
        }
    }
}

/// Waits for a moment, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
