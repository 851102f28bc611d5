//! What listeners were told, added up: at each step it must make sense, and in
//! the end it must be the truth (RELIABILITY's I4).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use osgi_remote::admin::{AdminEvent, AdminEventKind, AdminEvents, RemoteServiceAdmin};
use osgi_remote::discovery::{EndpointEventKind, EndpointFeed, EndpointListener};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::filter::Filter;
use osgi_remote::names::EndpointId;
use osgi_remote::properties::Properties;
use osgi_remote::services::{Registry, ServiceEventKind, ServiceId, ServiceListener};

/// What a listener of the admin was told, added up.
#[derive(Default)]
pub(crate) struct Registrations {
    pub(crate) open: BTreeMap<u64, Arc<EndpointDescription>>,
    closed: u64,
    pub(crate) events: u64,
    pub(crate) losses: u64,
}

impl Registrations {
    pub(crate) fn take_all(&mut self, events: &mut AdminEvents) {
        while let Some(event) = events.try_next() {
            match event {
                Ok(event) => self.add(&event),
                Err(_) => {
                    self.open.clear();
                    self.losses += 1;
                }
            }
        }
    }

    fn add(&mut self, event: &AdminEvent) {
        use AdminEventKind as Kind;
        self.events += 1;
        let number = event.reference.number();
        let endpoint = event.endpoint.clone();
        match event.kind {
            Kind::ExportRegistration | Kind::ImportRegistration => {
                assert!(number > 0 && self.open.insert(number, endpoint.unwrap()).is_none());
            }
            Kind::ExportUpdate | Kind::ImportUpdate => {
                let before = self.open.insert(number, endpoint.unwrap());
                assert!(before.is_some(), "{number} is updated and not open");
            }
            Kind::ExportUnregistration | Kind::ImportUnregistration => {
                assert!(
                    self.open.remove(&number).is_some(),
                    "{number} is closed and not open"
                );
                self.closed += 1;
            }
            Kind::ExportWarning | Kind::ImportWarning => {
                assert!(self.open.contains_key(&number) && event.error.is_some());
            }
            Kind::ExportError | Kind::ImportError => {
                // Of one that never was valid, or of one that is open still.
                assert!(event.error.is_some());
            }
            other => panic!("{other:?} is of no known kind"),
        }
    }

    /// Whether it is what is open, description by description.
    pub(crate) fn is_true(&self, admin: &RemoteServiceAdmin) {
        let exports = admin.exports();
        let exports = exports
            .iter()
            .map(|e| (e.number(), e.description().unwrap()));
        let imports = admin.imports();
        let imports = imports
            .iter()
            .map(|i| (i.number(), i.description().unwrap()));
        let open: BTreeMap<_, _> = exports.chain(imports).collect();
        assert_eq!(
            self.open.keys().collect::<Vec<_>>(),
            open.keys().collect::<Vec<_>>()
        );
        for (number, description) in &open {
            assert!(self.open[number].same_content(description), "{number}");
        }
    }
}

/// What a listener of services was told.
#[derive(Default)]
pub(crate) struct Services {
    there: BTreeMap<ServiceId, Arc<Properties>>,
    pub(crate) events: u64,
}

impl Services {
    pub(crate) fn take_all(&mut self, listener: &mut ServiceListener) {
        use ServiceEventKind as Kind;
        while let Some(event) = listener.try_next() {
            self.events += 1;
            let (id, kind) = (event.reference.id(), event.kind);
            let before = match kind {
                Kind::Registered | Kind::Modified => self.there.insert(id, event.properties),
                _ => self.there.remove(&id),
            };
            assert_eq!(before.is_none(), kind == Kind::Registered, "{id}: {kind:?}");
        }
    }

    pub(crate) fn is_true(&self, registry: &Registry, filter: Option<&Filter>) {
        let there = registry.references(None, filter);
        let there: BTreeMap<_, _> = there.iter().map(|r| (r.id(), r.properties())).collect();
        assert_eq!(self.there, there);
    }
}

/// What a listener of endpoints was told.
#[derive(Default)]
pub(crate) struct Endpoints {
    there: BTreeMap<EndpointId, Arc<EndpointDescription>>,
    pub(crate) events: u64,
}

impl Endpoints {
    pub(crate) fn take_all(&mut self, listener: &mut EndpointListener) {
        use EndpointEventKind as Kind;
        while let Some(event) = listener.next().now_or_never() {
            let event = event.expect("the listeners are there still");
            self.events += 1;
            let (id, kind) = (event.endpoint.id().clone(), event.kind);
            let before = match kind {
                Kind::Added | Kind::Modified => self.there.insert(id, event.endpoint),
                _ => self.there.remove(&id),
            };
            assert_eq!(before.is_none(), kind == Kind::Added, "{kind:?}");
            // Unless it came and went in between, it is what was told before.
            assert_eq!(before, event.before, "{kind:?}");
        }
    }

    /// Whether it is what this source says.
    pub(crate) fn is_true(&self, source: &EndpointFeed) {
        let said: BTreeMap<_, _> = source.snapshot().into_iter().collect();
        let ids = |all: &BTreeMap<EndpointId, _>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&self.there), ids(&said));
        for (id, endpoint) in &self.there {
            assert!(endpoint.same_content(&said[id]), "{id}");
        }
    }
}
