//! The topology manager at work, between providers and discoveries that have
//! no network: the rules T01 to T08, and those of the others that it keeps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod exporting;
mod importing;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::discovery::{EndpointEvent, EndpointEventKind, EndpointListeners, Receipt, Scope};
use crate::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
};
use crate::filter::Filter;
use crate::interface::{Call, CallError, Data, Invoker};
use crate::services::{Service, ServiceRegistration};
use crate::{async_trait, props, remote_service};

#[remote_service("org.example.A")]
pub(super) trait A {
    /// Answers.
    async fn a(&self) -> Result<String, CallError>;
}

#[remote_service("org.example.B")]
pub(super) trait B {
    /// Answers.
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

/// Waits until there is something, by the clock that tests hold.
async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(300), search).await;
    found.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A provider of `c.one` without a network.
struct Fake {
    /// Whether its endpoints answer.
    answers: Arc<AtomicBool>,
    /// Whether they take for ever to say so.
    hangs: bool,
}

impl Provider for Fake {
    fn config_types(&self) -> &'static [&'static str] {
        &["c.one"]
    }

    fn intents(&self) -> &'static [&'static str] {
        &["osgi.basic"]
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        let properties = props! {
            "ecf.endpoint.id" => format!("fake:{}", request.endpoint_id),
            "ecf.endpoint.id.ns" => "fake", "ecf.rsvc.id" => 1_i64,
        };
        let endpoint = Endpoint {
            answers: Arc::clone(&self.answers),
            hangs: self.hangs,
        };
        Box::pin(async move { Ok(Exported::new(properties, Box::new(endpoint))) })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        match endpoint.container_id() {
            Some("dead") => Err(DistributionError::Endpoint {
                endpoint: endpoint.id().to_string(),
                problem: "it is dead".to_owned(),
            }),
            _ => Ok(Box::new(Proxy(endpoint.id().to_string()))),
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

struct Endpoint {
    answers: Arc<AtomicBool>,
    hangs: bool,
}

impl ExportedEndpoint for Endpoint {
    fn ready(&self) -> BoxFuture<'static, Result<(), DistributionError>> {
        let (answers, hangs) = (Arc::clone(&self.answers), self.hangs);
        Box::pin(async move {
            if answers.load(Ordering::Relaxed) {
                return Ok(());
            }
            if hangs {
                std::future::pending::<()>().await;
            }
            Err(DistributionError::NotReady {
                address: "fake".to_owned(),
                problem: "as asked".to_owned(),
            })
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// A proxy that answers its endpoint's id.
struct Proxy(String);

struct Named(String);

impl Invoker for Named {
    fn invoke(&self, _: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        let name = self.0.clone();
        Box::pin(async move { Ok(Data::from(name)) })
    }
}

impl ImportedEndpoint for Proxy {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(Named(self.0.clone()))
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {}
}

/// A discovery that is a board where all can read what was pinned to it.
struct Board {
    feed: EndpointFeed,
    log: Mutex<Vec<String>>,
}

impl Board {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            feed: endpoint_feed(),
            log: Mutex::default(),
        })
    }

    fn pinned(&self) -> BTreeSet<String> {
        let pinned = self.feed.snapshot().into_iter();
        pinned.map(|(id, _)| id.to_string()).collect()
    }

    /// Pins an endpoint of another framework.
    fn set(&self, id: &str, more: Properties) {
        let mut properties = props! {
            "objectClass" => ["org.example.A"], "endpoint.id" => id,
            "endpoint.framework.uuid" => "elsewhere", "service.imported.configs" => ["c.one"],
            "ecf.endpoint.id.ns" => "fake",
        };
        properties.overlay(&more);
        let endpoint = Arc::new(EndpointDescription::new(properties).unwrap());
        self.feed.set(endpoint.id().clone(), endpoint);
    }

    fn remove(&self, id: &str) {
        self.feed.remove(&id.parse().unwrap());
    }
}

impl Advertiser for Board {
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError> {
        self.log.lock().push("+".to_owned());
        let id = endpoint.id().clone();
        self.feed.set(id, Arc::new(endpoint.clone()));
        Ok(Box::pin(async { Ok(()) }))
    }

    fn withdraw(&self, endpoint: &EndpointId) -> Receipt {
        self.log.lock().push("-".to_owned());
        self.feed.remove(endpoint);
        Box::pin(async { Ok(()) })
    }
}

impl Subscriber for Board {
    fn endpoints(&self) -> &EndpointFeed {
        &self.feed
    }
}

/// A framework of a registry, an admin and a topology manager.
struct Bench {
    registry: Registry,
    admin: RemoteServiceAdmin,
    topology: TopologyManager,
    boards: Vec<Arc<Board>>,
    answers: Arc<AtomicBool>,
}

impl Bench {
    fn new(policy: impl TopologyPolicy) -> Self {
        Self::on("own", vec![Board::new()], policy)
    }

    fn on(name: &str, boards: Vec<Arc<Board>>, policy: impl TopologyPolicy) -> Self {
        let answers = Arc::new(AtomicBool::new(true));
        let fake = Fake {
            answers: Arc::clone(&answers),
            hangs: false,
        };
        Self::with(name, boards, policy, fake)
    }

    fn with(name: &str, boards: Vec<Arc<Board>>, policy: impl TopologyPolicy, fake: Fake) -> Self {
        let registry = Registry::new();
        let admin = RemoteServiceAdmin::new(name.parse().unwrap(), registry.clone());
        let answers = Arc::clone(&fake.answers);
        admin.add_provider(Arc::new(fake));
        let none = Discoveries::default();
        let discoveries = boards.iter().fold(none, Discoveries::with);
        let topology = TopologyManager::start(admin.clone(), &registry, discoveries, policy);
        Self {
            registry,
            admin,
            topology,
            boards,
            answers,
        }
    }

    fn board(&self) -> &Board {
        &self.boards[0]
    }

    fn register(&self, properties: Properties) -> ServiceRegistration {
        let both = Arc::new(Both);
        let service = Service::of::<dyn A>(both.clone()).and::<dyn B>(both);
        self.registry.register(service, properties).unwrap()
    }

    fn status(&self, service: &ServiceRegistration) -> Option<Arc<ExportStatus>> {
        self.topology.exports().get(&service.reference().id())
    }

    /// Waits until a service has this many endpoints announced.
    async fn announced(&self, service: &ServiceRegistration) -> Arc<ExportStatus> {
        eventually("the service is announced", || {
            let properties = service.reference().properties();
            self.status(service)
                .filter(|s| s.unannounced == 0 && !s.endpoints.is_empty())
                .filter(|s| s.properties == properties)
        })
        .await
    }

    /// The ids of the endpoints that are imported.
    fn imported(&self) -> Vec<String> {
        let imported = self.admin.imported();
        let mut ids: Vec<_> = imported.iter().map(|e| e.id().to_string()).collect();
        ids.sort();
        ids
    }

    async fn imports(&self, expected: &[&str]) {
        eventually(&format!("{expected:?} are imported"), || {
            (self.imported() == expected).then_some(())
        })
        .await;
    }
}

fn marked() -> Properties {
    props! { "service.exported.interfaces" => "*" }
}

/// An event as a letter.
fn letter(event: &EndpointEvent) -> &'static str {
    match event.kind {
        EndpointEventKind::Added => "+",
        EndpointEventKind::Modified => "~",
        EndpointEventKind::ModifiedEndMatch => "!",
        EndpointEventKind::Removed => "-",
    }
}
