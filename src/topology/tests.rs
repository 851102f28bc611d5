//! Several discoveries at once, without a network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::time::Duration;

use futures::future::BoxFuture;

use super::*;
use crate::admin::{AdminEventKind, AdminEvents};
use crate::discovery::EndpointFeed;
use crate::distribution::{DistributionError, ExportRequest, Exported, ImportedEndpoint, Provider};
use crate::interface::{Call, CallError, Data, Invoker};
use crate::names::EndpointId;
use crate::props;

/// Imports whatever is asked for; nobody calls.
struct Importer;

impl Provider for Importer {
    fn config_types(&self) -> &'static [&'static str] {
        &["c"]
    }

    fn intents(&self) -> &'static [&'static str] {
        &[]
    }

    fn export(&self, _: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async { Err(DistributionError::Closed) })
    }

    fn import(
        &self,
        _: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        Ok(Box::new(Imported))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

struct Imported;

impl ImportedEndpoint for Imported {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(Self)
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {}
}

impl Invoker for Imported {
    fn invoke(&self, _: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async { Ok(Data::Nil) })
    }
}

#[derive(Default)]
struct Source(EndpointFeed);

impl Subscriber for Source {
    fn endpoints(&self) -> &EndpointFeed {
        &self.0
    }
}

impl Source {
    fn tell(&self, from: &str) {
        let description = EndpointDescription::new(props! {
            "endpoint.id" => "e", "objectClass" => ["a.B"], "service.imported.configs" => "c",
            "ecf.endpoint.id.ns" => "ns", "from" => from,
        });
        self.0.set(id(), Arc::new(description.unwrap()));
    }

    fn take_back(&self) {
        self.0.remove(&id()).unwrap();
    }
}

fn id() -> EndpointId {
    "e".parse().unwrap()
}

async fn next(events: &mut AdminEvents) -> (AdminEventKind, String) {
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    let event = event.expect("an event in time").unwrap().unwrap();
    let description = event.endpoint.as_ref().unwrap();
    let from = description.properties().get_str("from").unwrap();
    (event.kind, from.to_owned())
}

/// Rules E06 and E07.
#[tokio::test]
async fn an_endpoint_of_two_discoveries_is_one_and_stays_until_both_took_it_back() {
    use AdminEventKind::{ImportRegistration, ImportUnregistration, ImportUpdate};

    let registry = Registry::new();
    let admin = RemoteServiceAdmin::new("own".parse().unwrap(), registry.clone());
    admin.add_provider(Arc::new(Importer));
    let mut events = admin.events();
    let (one, two) = (Arc::new(Source::default()), Arc::new(Source::default()));
    let discoveries = Discoveries::default()
        .with_subscriber(&one)
        .with_subscriber(&two);
    let manager = TopologyManager::start(admin.clone(), &registry, discoveries, Policy::default());

    two.tell("two");
    assert_eq!(next(&mut events).await, (ImportRegistration, "two".into()));
    // The first discovery's word counts, and nothing is imported twice.
    one.tell("one");
    assert_eq!(next(&mut events).await, (ImportUpdate, "one".into()));
    two.tell("two again");
    assert_eq!(admin.imported().len(), 1);
    one.take_back();
    assert_eq!(next(&mut events).await, (ImportUpdate, "two again".into()));
    assert_eq!(admin.imported().len(), 1);
    two.take_back();
    assert_eq!(
        next(&mut events).await,
        (ImportUnregistration, "two again".into())
    );
    assert!(admin.imported().is_empty());
    manager.stop().await.unwrap().close().await;
}
