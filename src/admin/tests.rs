//! The rules of Remote Service Admin, by their ids in the table of OSGi rules
//! (Compendium 122.5, 122.7, and 100.2), on a provider that has no network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod bounded;
mod events;
mod exporting;
mod guarded;
mod importing;
mod intents;
mod life;
mod peers;
mod properties;
mod providers;
mod sharing;
mod trouble;
mod updating;

use std::collections::HashMap;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::*;
use crate::distribution::{
    ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Trouble, Troubles,
};
use crate::interface::{Call, CallError, Data, Dispatch, Invoker};
use crate::names::osgi;
use crate::properties::Properties;
use crate::services::{Service, ServiceReference, ServiceRegistration};
use crate::{async_trait, props, remote_service};

/// One interface of the tests' service.
#[remote_service("org.example.A")]
pub(super) trait A {
    /// Answers "a".
    async fn a(&self) -> Result<String, CallError>;
}

/// Its other interface.
#[remote_service("org.example.B")]
pub(super) trait B {
    /// Answers "b".
    async fn b(&self) -> Result<String, CallError>;
}

struct Both;

#[async_trait]
impl A for Both {
    async fn a(&self) -> Result<String, CallError> {
        Ok("a".to_owned())
    }
}

#[async_trait]
impl B for Both {
    async fn b(&self) -> Result<String, CallError> {
        Ok("b".to_owned())
    }
}

/// What the fake provider was told to do, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A provider of `c.one` and `c.two` that keeps its endpoints in a map.
struct Fake {
    types: &'static [&'static str],
    intents: &'static [&'static str],
    /// The intent that it adds to those of an endpoint, when it exports and
    /// when it imports.
    adds: Option<&'static str>,
    /// Where to tell of trouble, by `endpoint.id`.
    troubles: Arc<Mutex<HashMap<String, Troubles>>>,
    log: Log,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    /// A config type whose exports fail.
    broken: Option<&'static str>,
    /// A permit for each export; none missing unless a test takes them.
    opening: Arc<Semaphore>,
    /// A permit for each end of an endpoint.
    closing: Arc<Semaphore>,
}

impl Fake {
    fn new(broken: Option<&'static str>) -> Self {
        Self {
            types: &["c.one", "c.two"],
            intents: &["osgi.basic", "osgi.async", "i.three"],
            adds: None,
            troubles: Arc::default(),
            log: Log::default(),
            endpoints: Arc::default(),
            broken,
            opening: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            closing: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }
}

impl Provider for Fake {
    fn config_types(&self) -> &'static [&'static str] {
        self.types
    }

    fn intents(&self) -> &'static [&'static str] {
        self.intents
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async move {
            let ExportRequest {
                config_type,
                endpoint_id,
                interfaces,
                service,
                ..
            } = request;
            self.opening.acquire().await.unwrap().forget();
            if self.broken == Some(config_type.as_str()) {
                return Err(DistributionError::Bind {
                    address: "192.0.2.1:80".to_owned(),
                    cause: crate::interface::Cause::new(std::io::Error::other("as asked")),
                });
            }
            let entry = format!("{config_type} {}", interfaces.join(" "));
            self.log.lock().push(format!("open {entry}"));
            let before = self.endpoints.lock().insert(endpoint_id.clone(), service);
            assert!(before.is_none(), "{endpoint_id} is made twice");
            let endpoint = FakeExport {
                entry,
                id: endpoint_id.clone(),
                log: Arc::clone(&self.log),
                endpoints: Arc::clone(&self.endpoints),
                closing: Arc::clone(&self.closing),
                troubles: Arc::clone(&self.troubles),
            };
            let mut properties = props! {
                "ecf.endpoint.id" => format!("fake:{endpoint_id}"),
                "ecf.endpoint.id.ns" => "fake", "ecf.rsvc.id" => 1_i64,
            };
            if let Some(intent) = self.adds {
                properties.set(osgi::SERVICE_INTENTS, intent);
            }
            Ok(Exported::new(properties, Box::new(endpoint)))
        })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        usable(endpoint)?;
        self.log.lock().push(format!("import {}", endpoint.id()));
        Ok(Box::new(FakeImport {
            caller: Arc::new(Caller {
                id: endpoint.id().to_string(),
                endpoints: Arc::clone(&self.endpoints),
                log: Arc::clone(&self.log),
                closed: Mutex::new(false),
            }),
            adds: self.adds,
            troubles: Arc::clone(&self.troubles),
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.log.lock().push("closed".to_owned());
        Box::pin(async {})
    }
}

fn usable(endpoint: &EndpointDescription) -> Result<(), DistributionError> {
    match endpoint.container_id() {
        Some("broken") => Err(DistributionError::Endpoint {
            endpoint: endpoint.id().to_string(),
            problem: "ecf.endpoint.id is 'broken'".to_owned(),
        }),
        _ => Ok(()),
    }
}

struct FakeExport {
    entry: String,
    id: String,
    log: Log,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    closing: Arc<Semaphore>,
    troubles: Arc<Mutex<HashMap<String, Troubles>>>,
}

impl ExportedEndpoint for FakeExport {
    fn watch(&self, troubles: Troubles) {
        self.troubles.lock().insert(self.id.clone(), troubles);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.endpoints.lock().remove(&self.id);
        Box::pin(async move {
            self.closing.acquire().await.unwrap().forget();
            self.log.lock().push(format!("close {}", self.entry));
        })
    }
}

impl Drop for FakeExport {
    fn drop(&mut self) {
        self.endpoints.lock().remove(&self.id);
    }
}

struct FakeImport {
    caller: Arc<Caller>,
    adds: Option<&'static str>,
    troubles: Arc<Mutex<HashMap<String, Troubles>>>,
}

struct Caller {
    id: String,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    log: Log,
    closed: Mutex<bool>,
}

impl Invoker for Caller {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move {
            let service = self.endpoints.lock().get(&self.id).cloned();
            match service {
                Some(service) if !*self.closed.lock() => service.dispatch(call).await,
                _ => Err(CallError::EndpointRemoved {
                    endpoint: self.id.clone(),
                }),
            }
        })
    }
}

impl ImportedEndpoint for FakeImport {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::clone(&self.caller) as Arc<dyn Invoker>
    }

    fn intents(&self) -> Vec<String> {
        self.adds.into_iter().map(str::to_owned).collect()
    }

    fn watch(&self, troubles: Troubles) {
        self.troubles
            .lock()
            .insert(self.caller.id.clone(), troubles);
    }

    fn update(&self, endpoint: &EndpointDescription) -> Result<(), DistributionError> {
        usable(endpoint)?;
        let Caller { id, log, .. } = &*self.caller;
        log.lock().push(format!("update {id}"));
        Ok(())
    }

    fn close(&self) {
        *self.caller.closed.lock() = true;
    }
}

/// What a listener is told that asks now.
fn told(events: &mut AdminEvents) -> Vec<AdminEvent> {
    std::iter::from_fn(|| events.try_next())
        .map(Result::unwrap)
        .collect()
}

/// Trouble as a provider may have it.
fn lost() -> DistributionError {
    DistributionError::Bind {
        address: "192.0.2.1:80".to_owned(),
        cause: crate::interface::Cause::new(std::io::Error::other("the socket is gone")),
    }
}

/// An admin with a fake provider, and its registry.
struct Bench {
    admin: RemoteServiceAdmin,
    registry: Registry,
    fake: Arc<Fake>,
    events: Mutex<AdminEvents>,
}

fn bench() -> Bench {
    bench_of(Fake::new(None))
}

fn bench_of(fake: Fake) -> Bench {
    let (registry, fake) = (Registry::new(), Arc::new(fake));
    let admin = RemoteServiceAdmin::new("framework".parse().unwrap(), registry.clone());
    admin.add_provider(Arc::clone(&fake) as Arc<dyn Provider>);
    Bench {
        events: Mutex::new(admin.events()),
        admin,
        registry,
        fake,
    }
}

/// The mark, for all interfaces.
fn marked() -> Properties {
    props! { osgi::SERVICE_EXPORTED_INTERFACES => "*" }
}

impl Bench {
    /// Registers a service of both interfaces.
    fn register(&self, properties: Properties) -> ServiceRegistration {
        let both = Arc::new(Both);
        let service = Service::of::<dyn A>(both.clone()).and::<dyn B>(both);
        self.registry.register(service, properties).unwrap()
    }

    async fn export(&self, service: &ServiceRegistration) -> Vec<ExportRegistration> {
        let exported = self
            .admin
            .export_service(service.reference(), &props! {})
            .await;
        exported.unwrap()
    }

    /// Registers and exports; there must be one endpoint.
    async fn exported(&self, properties: Properties) -> (ServiceRegistration, ExportRegistration) {
        let service = self.register(properties);
        let mut exports = self.export(&service).await;
        assert_eq!(exports.len(), 1, "{exports:?}");
        (service, exports.pop().unwrap())
    }

    /// Why a service with these properties is not exported.
    async fn refused(&self, properties: Properties) -> ExportError {
        let service = self.register(properties);
        let exported = self
            .admin
            .export_service(service.reference(), &props! {})
            .await;
        exported.unwrap_err()
    }

    /// The kinds of the events since the last question.
    fn events(&self) -> Vec<AdminEventKind> {
        self.told().iter().map(|event| event.kind).collect()
    }

    /// The events since the last question.
    fn told(&self) -> Vec<AdminEvent> {
        told(&mut self.events.lock())
    }

    /// Has the provider tell of trouble.
    fn trouble(&self, endpoint: &EndpointDescription, trouble: Trouble) {
        let troubles = self
            .fake
            .troubles
            .lock()
            .get(endpoint.id().as_str())
            .cloned();
        troubles.unwrap().tell(trouble);
    }

    fn proxies(&self) -> Vec<ServiceReference> {
        let imported = crate::filter::Filter::parse("(service.imported=*)").unwrap();
        self.registry.references(None, Some(&imported))
    }

    /// Nothing is left of anything, nowhere.
    fn is_clean(&self) -> bool {
        self.admin.exported().is_empty()
            && self.admin.imported().is_empty()
            && self.fake.endpoints.lock().is_empty()
    }
}

/// A description of an endpoint of another framework that the fake can call.
fn endpoint(id: &str, extra: Properties) -> Arc<EndpointDescription> {
    let mut properties = props! {
        "objectClass" => ["org.example.A"], "endpoint.id" => id,
        "endpoint.framework.uuid" => "elsewhere", "service.imported.configs" => ["c.one"],
    };
    properties.overlay(&extra);
    Arc::new(EndpointDescription::new(properties).unwrap())
}
