//! The topology manager with a provider and a discovery of its own: what
//! fails is tried again, and what comes late is not too late (122.3, T04 to
//! T06).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod replacing;
mod sharing;
mod trouble;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;
use crate::admin::{AdminEventKind, PackageVersions, VersionRule};
use crate::discovery::{EndpointFeed, Receipt};
use crate::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
    Trouble, Troubles,
};
use crate::interface::{Call, CallError, Cause, Data, Dispatch, Invoker};
use crate::names::{EndpointId, FrameworkId, osgi};
use crate::properties::Value;
use crate::props;
use crate::services::{Service, ServiceRegistration};

/// A provider of one config type, whose exports fail while they are to.
struct Fake {
    config_type: [&'static str; 1],
    failures: Mutex<usize>,
    attempts: Mutex<Vec<Instant>>,
    /// When something was imported.
    imports: Mutex<Vec<Instant>>,
    /// Whether all that is made is beyond repair as soon as it is there.
    breaks: AtomicBool,
    /// Where to tell of trouble, by `endpoint.id`; for what is open.
    troubles: Arc<Mutex<HashMap<String, Troubles>>>,
    /// The most endpoints that were open at once.
    most: AtomicUsize,
    /// A permit for each export; none missing unless a test takes them.
    opening: Semaphore,
    /// The permit for the end of an export, one at a time; none while a test has it.
    closing: Arc<Semaphore>,
}

impl Fake {
    fn of(config_type: &'static str) -> Arc<Self> {
        Arc::new(Self {
            config_type: [config_type],
            failures: Mutex::new(0),
            attempts: Mutex::default(),
            imports: Mutex::default(),
            breaks: AtomicBool::new(false),
            troubles: Arc::default(),
            most: AtomicUsize::new(0),
            opening: Semaphore::new(Semaphore::MAX_PERMITS),
            closing: Arc::new(Semaphore::new(1)),
        })
    }
}

impl Fake {
    fn made(&self, id: &str) -> Watched {
        Watched {
            id: id.to_owned(),
            breaks: self.breaks.load(Ordering::Relaxed),
            troubles: Arc::clone(&self.troubles),
            closing: Arc::clone(&self.closing),
        }
    }

    /// Tells of trouble with an endpoint that is open.
    fn trouble(&self, endpoint: &EndpointId, trouble: Trouble) {
        let troubles = self.troubles.lock().get(endpoint.as_str()).cloned();
        troubles.unwrap().tell(trouble);
    }
}

fn lost() -> DistributionError {
    DistributionError::Bind {
        address: "192.0.2.1:80".to_owned(),
        cause: Cause::new(std::io::Error::other("the socket is gone")),
    }
}

/// An endpoint that has trouble when it is told to.
struct Watched {
    id: String,
    breaks: bool,
    troubles: Arc<Mutex<HashMap<String, Troubles>>>,
    closing: Arc<Semaphore>,
}

impl Watched {
    fn hear(&self, troubles: Troubles) {
        self.troubles
            .lock()
            .insert(self.id.clone(), troubles.clone());
        if self.breaks {
            troubles.tell(Trouble::Error(lost()));
        }
    }
}

impl ExportedEndpoint for Watched {
    fn watch(&self, troubles: Troubles) {
        self.hear(troubles);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let _permit = self.closing.acquire().await;
            self.troubles.lock().remove(&self.id);
        })
    }
}

impl ImportedEndpoint for Watched {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(Made)
    }

    fn watch(&self, troubles: Troubles) {
        self.hear(troubles);
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {
        self.troubles.lock().remove(&self.id);
    }
}

struct Made;

impl Invoker for Made {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move { Err(CallError::service(call.method)) })
    }
}

impl Dispatch for Made {
    fn has_method(&self, _: &str) -> bool {
        false
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        self.invoke(call)
    }
}

impl Provider for Fake {
    fn config_types(&self) -> &'static [&'static str] {
        match self.config_type {
            ["c.one"] => &["c.one"],
            _ => &["c.two"],
        }
    }

    fn intents(&self) -> &'static [&'static str] {
        &["osgi.basic"]
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async move {
            self.attempts.lock().push(Instant::now());
            self.opening.acquire().await.unwrap().forget();
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err(DistributionError::Bind {
                    address: "192.0.2.1:80".to_owned(),
                    cause: Cause::new(std::io::Error::other("taken")),
                });
            }
            let properties = props! {
                "ecf.endpoint.id" => format!("fake:{}", request.endpoint_id),
                "ecf.endpoint.id.ns" => "fake", "ecf.rsvc.id" => 1_i64,
            };
            let endpoint = self.made(&request.endpoint_id);
            let open = self.troubles.lock().len() + 1;
            self.most.fetch_max(open, Ordering::Relaxed);
            Ok(Exported::new(properties, Box::new(endpoint)))
        })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        self.imports.lock().push(Instant::now());
        Ok(Box::new(self.made(endpoint.id().as_str())))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A discovery that hears nothing by itself, and notes what it is to announce.
#[derive(Default)]
struct Board {
    heard: EndpointFeed,
    announced: Mutex<HashMap<EndpointId, EndpointDescription>>,
    /// How often something was announced, and withdrawn.
    calls: Mutex<(usize, usize)>,
    /// Whether it says nothing of what became of that.
    silent: AtomicBool,
}

impl Board {
    fn receipt(&self) -> Receipt {
        if self.silent.load(Ordering::Relaxed) {
            return std::future::pending().boxed();
        }
        async { Ok(()) }.boxed()
    }
}

impl Advertiser for Board {
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError> {
        self.calls.lock().0 += 1;
        let mut announced = self.announced.lock();
        announced.insert(endpoint.id().clone(), endpoint.clone());
        Ok(self.receipt())
    }

    fn withdraw(&self, endpoint: &EndpointId) -> Receipt {
        self.calls.lock().1 += 1;
        self.announced.lock().remove(endpoint);
        self.receipt()
    }
}

impl Subscriber for Board {
    fn endpoints(&self) -> &EndpointFeed {
        &self.heard
    }
}

struct Bench {
    registry: Registry,
    admin: RemoteServiceAdmin,
    board: Arc<Board>,
    topology: TopologyManager,
}

fn bench(policy: Policy) -> Bench {
    let registry = Registry::new();
    let framework: FrameworkId = "own".parse().unwrap();
    let admin = RemoteServiceAdmin::new(framework, registry.clone());
    let board = Arc::new(Board::default());
    let discoveries = Discoveries::default().with(&board);
    let topology = TopologyManager::start(admin.clone(), &registry, discoveries, policy);
    Bench {
        registry,
        admin,
        board,
        topology,
    }
}

/// With paused time: all that goes on by itself has gone on.
async fn settled() {
    tokio::time::sleep(Duration::from_micros(1)).await;
}

fn marked(configs: &[&str]) -> Properties {
    props! {
        osgi::SERVICE_EXPORTED_INTERFACES => "*",
        osgi::SERVICE_EXPORTED_CONFIGS => Value::array_of(configs.iter().copied()),
    }
}

impl Bench {
    fn add(&self, provider: &Arc<Fake>) {
        self.admin.add_provider(provider.clone());
    }

    fn register(&self, properties: Properties) -> ServiceRegistration {
        let service = Service::untyped("org.example.A", Arc::new(Made));
        self.registry.register(service, properties).unwrap()
    }

    fn status(&self, service: &ServiceRegistration) -> Arc<ExportStatus> {
        self.topology
            .exports()
            .get(&service.reference().id())
            .unwrap()
    }

    fn hear(&self, id: &str, extra: Properties) {
        let mut properties = props! {
            "objectClass" => ["org.example.A"], "endpoint.id" => id,
            "service.imported.configs" => ["c.one"], "ecf.endpoint.id.ns" => "fake",
        };
        properties.overlay(&extra);
        let description = Arc::new(EndpointDescription::new(properties).unwrap());
        self.board.heard.set(description.id().clone(), description);
    }

    fn announced(&self) -> Vec<String> {
        let announced = self.board.announced.lock();
        let mut types: Vec<String> = announced
            .values()
            .map(|description| description.config_types().join(" "))
            .collect();
        types.sort();
        types
    }

    /// Ends it all; what is left then is a leak.
    async fn end(self) {
        self.topology.stop().await.unwrap().close().await;
        assert!(self.admin.exports().is_empty() && self.admin.imports().is_empty());
        self.admin.close().await;
    }
}

/// Rule T06.
#[tokio::test(start_paused = true)]
async fn an_export_that_failed_is_tried_again_by_itself_ever_less_often() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    *fake.failures.lock() = 12;
    bench.add(&fake);
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    let status = bench.status(&service);
    let error = status.error.as_ref().unwrap().to_string();
    assert_eq!(error, "cannot listen on 192.0.2.1:80: taken");
    assert!(status.endpoints.is_empty() && bench.announced().is_empty());
    tokio::time::sleep(Duration::from_secs(13 * 60)).await;
    let attempts = fake.attempts.lock().clone();
    assert_eq!(attempts.len(), 13, "and no more once it is exported");
    let mut longest = Duration::from_millis(500);
    for pair in attempts.windows(2) {
        let pause = pair[1] - pair[0];
        // A timer has a resolution of a millisecond.
        assert!(
            pause <= longest + Duration::from_millis(2),
            "{pause:?} and not {longest:?}"
        );
        longest = (longest * 2).min(Duration::from_secs(60));
    }
    let status = bench.status(&service);
    assert!(status.error.is_none() && status.unannounced == 0);
    assert_eq!(bench.announced(), ["c.one"]);
    bench.end().await;
}

/// Rules T06 and U01: what is whole is left alone while the rest is tried.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_there_is_not_disturbed_by_another_that_is_tried_again() {
    let bench = bench(Policy::default());
    let (good, bad) = (Fake::of("c.one"), Fake::of("c.two"));
    *bad.failures.lock() = 3;
    bench.add(&good);
    bench.add(&bad);
    let service = bench.register(marked(&["c.one", "c.two"]));
    settled().await;
    assert_eq!(bench.announced(), ["c.one"]);
    let there = bench.status(&service).endpoints[0].clone();
    // A change in between is followed in place, and is one more attempt.
    service
        .set_properties(marked(&["c.one", "c.two"]).with("n", 1_i32))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    let status = bench.status(&service);
    assert!(status.error.is_none());
    assert_eq!(status.endpoints[0].id(), there.id());
    assert!(
        status
            .endpoints
            .iter()
            .all(|e| e.properties().contains("n"))
    );
    assert_eq!(
        (good.attempts.lock().len(), bad.attempts.lock().len()),
        (1, 4)
    );
    // Three announcements: one at first, its update, and the late one.
    assert_eq!(*bench.board.calls.lock(), (3, 0));
    bench.end().await;
}

/// Rule T06: what can only fail again is left until something changes.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_properties_is_not_tried_again() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    let bad = marked(&["c.one"]).with("endpoint.package.version.org.example", "none");
    let service = bench.register(bad);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.attempts.lock().len(), 1);
    assert!(bench.status(&service).error.is_some());
    service.set_properties(marked(&["c.one"])).unwrap();
    settled().await;
    assert!(bench.status(&service).error.is_none());
    assert_eq!(bench.announced(), ["c.one"]);
    bench.end().await;
}

/// Rule T06.
#[tokio::test(start_paused = true)]
async fn a_slow_export_holds_up_no_other_and_is_followed_when_it_is_done() {
    let bench = bench(Policy::default());
    let (slow, quick) = (Fake::of("c.one"), Fake::of("c.two"));
    slow.opening.forget_permits(Semaphore::MAX_PERMITS);
    bench.add(&slow);
    bench.add(&quick);
    let first = bench.register(marked(&["c.one"]));
    settled().await;
    let second = bench.register(marked(&["c.two"]));
    first
        .set_properties(marked(&["c.one"]).with("n", 1_i32))
        .unwrap();
    settled().await;
    assert_eq!(bench.announced(), ["c.two"]);
    slow.opening.add_permits(1);
    settled().await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    let status = bench.status(&first);
    assert!(status.endpoints[0].properties().contains("n"));
    assert_eq!(slow.attempts.lock().len(), 1);
    drop(second);
    bench.end().await;
}

/// A service that goes while it is exported leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_service_that_goes_while_it_is_exported_is_never_announced() {
    let bench = bench(Policy::default());
    let slow = Fake::of("c.one");
    slow.opening.forget_permits(Semaphore::MAX_PERMITS);
    bench.add(&slow);
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    drop(service);
    settled().await;
    slow.opening.add_permits(1);
    settled().await;
    assert_eq!(*bench.board.calls.lock(), (0, 0));
    assert!(bench.admin.exports().is_empty());
    assert!(bench.topology.exports().snapshot().is_empty());
    bench.end().await;
}

/// Rule T04; Aries: the service is there before anybody could export it.
#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_late_exports_what_waits() {
    let bench = bench(Policy::default());
    let default = bench.register(marked(&[]));
    let two = bench.register(marked(&["c.one", "c.two"]));
    let unmarked = bench.register(props! {});
    settled().await;
    let error = bench.status(&default).error.clone().unwrap();
    assert!(matches!(error, TopologyError::NoProvider), "{error}");
    bench.add(&Fake::of("c.one"));
    settled().await;
    assert_eq!(bench.announced(), ["c.one", "c.one"]);
    assert!(bench.status(&default).error.is_none());
    let there = bench.status(&two).endpoints[0].clone();
    bench.add(&Fake::of("c.two"));
    settled().await;
    // What is there stays, and the type that was missing comes.
    assert_eq!(bench.announced(), ["c.one", "c.one", "c.two"]);
    assert_eq!(bench.status(&two).endpoints[0], there);
    assert_eq!(*bench.board.calls.lock(), (3, 0));
    drop((default, two));
    settled().await;
    assert!(bench.announced().is_empty());
    drop(unmarked);
    bench.end().await;
}

/// Rule T04: a provider that comes while an export is on the way, which began
/// without it.
#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_during_an_export_is_not_missed() {
    let bench = bench(Policy::default());
    let slow = Fake::of("c.one");
    slow.opening.forget_permits(Semaphore::MAX_PERMITS);
    bench.add(&slow);
    let service = bench.register(marked(&["c.one", "c.two"]));
    settled().await;
    bench.add(&Fake::of("c.two"));
    settled().await;
    slow.opening.add_permits(1);
    settled().await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    drop(service);
    bench.end().await;
}

/// Rule T04; Aries: the endpoint is known before anybody could import it.
#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_late_imports_what_waits() {
    let bench = bench(Policy::default());
    bench.hear("e", props! {});
    settled().await;
    assert!(bench.admin.imports().is_empty());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    settled().await;
    assert_eq!(bench.admin.imports().len(), 1);
    // Heard again, it is still one import.
    bench.hear("e", props! { "n" => 1_i32 });
    settled().await;
    assert_eq!(bench.admin.imports().len(), 1);
    bench.board.heard.remove(&"e".parse().unwrap());
    settled().await;
    assert!(bench.admin.imports().is_empty());
    bench.end().await;
}

/// Rule T04: what a provider takes along is withdrawn, and another that has
/// the type takes over.
#[tokio::test(start_paused = true)]
async fn a_provider_that_goes_takes_announcements_and_proxies_along() {
    let bench = bench(Policy::default());
    let first = Fake::of("c.one");
    bench.add(&first);
    bench.add(&Fake::of("c.two"));
    let service = bench.register(marked(&["c.one", "c.two"]));
    bench.hear("e", props! {});
    settled().await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    let provider = first.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    settled().await;
    assert_eq!(bench.announced(), ["c.two"]);
    assert!(bench.admin.imports().is_empty());
    assert_eq!(bench.status(&service).endpoints.len(), 1);
    bench.add(&Fake::of("c.one"));
    settled().await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    assert_eq!(bench.admin.imports().len(), 1);
    assert_eq!(first.attempts.lock().len(), 1);
    drop(service);
    bench.end().await;
}

/// Rule P06.
#[tokio::test(start_paused = true)]
async fn a_service_of_unknown_types_falls_back_to_the_default_if_the_policy_says_so() {
    let policy = Policy {
        fall_back: true,
        ..Policy::default()
    };
    for (policy, announced) in [(Policy::default(), &[][..]), (policy, &["c.one"][..])] {
        let bench = bench(policy);
        bench.add(&Fake::of("c.one"));
        let service = bench.register(marked(&["c.unknown"]));
        let strict = bench.register(marked(&["c.unknown", "<<nodefault>>"]));
        settled().await;
        assert_eq!(bench.announced(), announced);
        drop((service, strict));
        bench.end().await;
    }
}

/// Rule I07, by policy.
#[tokio::test(start_paused = true)]
async fn an_endpoint_of_another_package_version_is_told_and_not_imported() {
    let wanted = "[1.2,2.0)".parse().unwrap();
    let policy = Policy {
        versions: PackageVersions::new(VersionRule::Range).declare("org.example", wanted),
        ..Policy::default()
    };
    let bench = bench(policy);
    bench.add(&Fake::of("c.one"));
    let mut events = bench.admin.events();
    let version = |version: &str| props! { "endpoint.package.version.org.example" => version };
    bench.hear("e", version("1.0"));
    settled().await;
    let told = events.try_next().unwrap().unwrap();
    assert_eq!(told.kind, AdminEventKind::ImportError);
    let error = told.error.unwrap().to_string();
    assert!(
        error.contains("1.0.0") && error.contains("[1.2.0,2.0.0)"),
        "{error}"
    );
    bench.hear("e", version("1.2"));
    settled().await;
    assert_eq!(bench.admin.imports().len(), 1);
    // Out of the range again, the proxy goes.
    bench.hear("e", version("2.0"));
    settled().await;
    assert!(bench.admin.imports().is_empty());
    bench.end().await;
}
