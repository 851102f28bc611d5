use std::sync::Barrier;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::*;
use crate::interface::{Call, CallError, Data, Dispatch, Invoker, Loopback};
use crate::props;

/// What `remote_service` would write, by hand: this room is below the macro.
#[async_trait]
trait Greeter: Send + Sync + 'static {
    async fn greet(&self) -> String;
}

struct Local(&'static str);

#[async_trait]
impl Greeter for Local {
    async fn greet(&self) -> String {
        self.0.to_owned()
    }
}

struct Proxy(Arc<dyn Invoker>);

#[async_trait]
impl Greeter for Proxy {
    async fn greet(&self) -> String {
        match self.0.invoke(Call::new("greet", vec![])).await {
            Ok(Data::String(text)) => format!("by value: {text}"),
            other => format!("{other:?}"),
        }
    }
}

struct Skeleton(Arc<dyn Greeter>);

impl Dispatch for Skeleton {
    fn has_method(&self, method: &str) -> bool {
        method == "greet"
    }

    fn dispatch(&self, _call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async { Ok(Data::String(self.0.greet().await)) })
    }
}

impl Interface for dyn Greeter {
    const NAME: &'static str = "org.example.Greeter";
    const METHODS: &'static [&'static str] = &["greet"];

    fn proxy(invoker: Arc<dyn Invoker>) -> Arc<Self> {
        Arc::new(Proxy(invoker))
    }

    fn skeleton(service: Arc<Self>) -> Arc<dyn Dispatch> {
        Arc::new(Skeleton(service))
    }
}

fn greeter(text: &'static str) -> Service {
    Service::of::<dyn Greeter>(Arc::new(Local(text)))
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

#[tokio::test]
async fn a_local_service_is_found_as_itself_and_a_remote_one_as_a_proxy() {
    let registry = Registry::new();
    let _local = registry.register(greeter("hi"), props! {}).unwrap();
    let found = registry.find::<dyn Greeter>(None).unwrap();
    assert_eq!(found.greet().await, "hi");

    let skeleton: Arc<dyn Dispatch> = Arc::new(Skeleton(Arc::new(Local("far"))));
    let invoker: Arc<dyn Invoker> = Arc::new(Loopback::new(skeleton));
    let remote = Service::remote(["org.example.Greeter"], &invoker);
    let _remote = registry
        .register(remote, props! { "service.imported" => "true" })
        .unwrap();
    let imported = filter("(service.imported=*)");
    let found = registry.find::<dyn Greeter>(Some(&imported)).unwrap();
    assert_eq!(found.greet().await, "by value: far");
}

#[test]
fn the_registry_sets_object_class_and_service_id_itself() {
    // OSGi rule G01.
    let registry = Registry::new();
    let forged = props! { "SERVICE.ID" => 99_i64, "objectclass" => ["x"], "Kept" => 1_i32 };
    let registration = registry.register(greeter(""), forged.clone()).unwrap();
    registration
        .set_properties(forged.with("more", true))
        .unwrap();
    let properties = registration.reference().properties();
    assert_eq!(properties.get("service.id"), Some(&Value::from(1_i64)));
    assert_eq!(
        properties.string_plus("objectClass"),
        ["org.example.Greeter"]
    );
    assert_eq!(
        properties.keys().collect::<Vec<_>>(),
        ["Kept", "more", "objectClass", "service.id"]
    );
}

#[test]
fn ids_grow_and_are_never_used_again() {
    let registry = Registry::new();
    let first = registry
        .register(greeter(""), props! {})
        .unwrap()
        .reference()
        .id();
    let second = registry
        .register(greeter(""), props! {})
        .unwrap()
        .reference()
        .id();
    assert_eq!((first, second), (1, 2));
}

#[test]
fn references_are_ordered_by_ranking_and_then_by_age() {
    // OSGi rule G04: a ranking that is no Integer counts as 0.
    let registry = Registry::new();
    let register = |properties| registry.register(greeter(""), properties).unwrap();
    let low = register(props! { "service.ranking" => -1_i32 });
    let text = register(props! { "service.ranking" => "100" });
    let long = register(props! { "service.ranking" => 100_i64 });
    let high = register(props! { "service.ranking" => 5_i32 });
    let order = || -> Vec<_> {
        let references = registry.references(Some("org.example.Greeter"), None);
        references.iter().map(ServiceReference::id).collect()
    };
    let ids = |all: [&ServiceRegistration; 4]| all.map(|r| r.reference().id()).to_vec();
    assert_eq!(order(), ids([&high, &text, &long, &low]));
    low.set_properties(props! { "service.ranking" => 6_i32 })
        .unwrap();
    assert_eq!(order(), ids([&low, &high, &text, &long]));
}

#[test]
fn a_listener_hears_of_matching_services_by_the_rules() {
    // OSGi rule G05.
    let registry = Registry::new();
    let there = registry
        .register(greeter(""), props! { "n" => 1_i32 })
        .unwrap();
    let mut listener = registry.listen(None, Some(filter("(n=1)")));
    let mut event = || listener.try_next();
    let mut next = || event().map(|event| event.kind);
    assert_eq!(next(), Some(ServiceEventKind::Registered));
    there
        .set_properties(props! { "n" => 1_i32, "m" => 1_i32 })
        .unwrap();
    assert_eq!(next(), Some(ServiceEventKind::Modified));
    there.set_properties(props! { "n" => 2_i32 }).unwrap();
    assert_eq!(next(), Some(ServiceEventKind::ModifiedEndMatch));
    there.set_properties(props! { "n" => 2_i32 }).unwrap();
    assert_eq!(next(), None);
    there.set_properties(props! { "n" => 1_i32 }).unwrap();
    assert_eq!(next(), Some(ServiceEventKind::Registered));
    there.set_properties(props! { "n" => 1_i32 }).unwrap();
    assert_eq!(next(), None, "nothing changed");
    there.unregister();
    there.unregister();
    // The service is gone when this is read; what it was can be read still.
    let gone = event().unwrap();
    assert_eq!(gone.kind, ServiceEventKind::Unregistering);
    assert!(gone.reference.get::<dyn Greeter>().is_none());
    assert_eq!(gone.properties.get("n"), Some(&Value::from(1_i32)));
    assert_eq!(event(), None);
}

#[test]
fn an_unregistered_service_is_gone_but_its_properties_stay_readable() {
    // OSGi rule G06.
    let registry = Registry::new();
    let registration = registry
        .register(greeter(""), props! { "n" => 1_i32 })
        .unwrap();
    let reference = registration.reference().clone();
    drop(registration);
    assert!(!reference.is_registered());
    assert!(reference.get::<dyn Greeter>().is_none());
    assert_eq!(reference.properties().get("n"), Some(&Value::from(1_i32)));
    assert!(registry.references(None, None).is_empty());
    assert!(registry.find::<dyn Greeter>(None).is_none());
}

#[test]
fn properties_of_a_service_that_is_gone_cannot_be_set() {
    let registry = Registry::new();
    let registration = registry.register(greeter(""), props! {}).unwrap();
    registration.unregister();
    let error = registration.set_properties(props! {}).unwrap_err();
    assert_eq!(error, RegistryError::Unregistered { id: 1 });
}

#[tokio::test]
async fn a_tracker_tells_what_comes_changes_and_goes() {
    let registry = Registry::new();
    let mut tracker = registry.track::<dyn Greeter>(Some(filter("(!(hidden=true))")));
    let gone = registry.register(greeter("gone"), props! {}).unwrap();
    drop(gone);
    let registration = registry.register(greeter("hi"), props! {}).unwrap();
    let Some(TrackedEvent::Added(_, service)) = tracker.next().await else {
        panic!("the service that is gone again is never told");
    };
    assert_eq!(service.greet().await, "hi");
    assert_eq!(tracker.references().len(), 1);
    registration
        .set_properties(props! { "x" => 1_i32 })
        .unwrap();
    assert!(matches!(
        tracker.next().await,
        Some(TrackedEvent::Modified(..))
    ));
    registration
        .set_properties(props! { "hidden" => true })
        .unwrap();
    assert!(matches!(
        tracker.next().await,
        Some(TrackedEvent::Removed(_))
    ));
    assert!(tracker.best().is_none());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_service_ends_when_it_comes_or_in_time() {
    let registry = Registry::new();
    let second = Duration::from_secs(1);
    let wanted = filter("(n=2)");
    let error = registry
        .wait_for::<dyn Greeter>(Some(&wanted), second)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "no service org.example.Greeter matching (n=2) within 1000 ms"
    );
    let waiting = {
        let registry = registry.clone();
        tokio::spawn(async move {
            registry
                .wait_for::<dyn Greeter>(Some(&wanted), second)
                .await
        })
    };
    tokio::task::yield_now().await;
    let _other = registry
        .register(greeter("no"), props! { "n" => 1_i32 })
        .unwrap();
    let _wanted = registry
        .register(greeter("yes"), props! { "n" => 2_i32 })
        .unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().greet().await, "yes");
}

#[tokio::test]
async fn a_service_with_several_interfaces_is_called_by_any_method() {
    struct Other;
    impl Dispatch for Other {
        fn has_method(&self, method: &str) -> bool {
            method == "other"
        }
        fn dispatch(&self, _: Call) -> BoxFuture<'_, Result<Data, CallError>> {
            Box::pin(async { Ok(Data::Int(1)) })
        }
    }
    let registry = Registry::new();
    let mut service = greeter("hi");
    service
        .facets
        .extend(Service::untyped("org.example.Other", Arc::new(Other)).facets);
    let registration = registry.register(service, props! {}).unwrap();
    let names = ["org.example.Greeter", "org.example.Other"];
    let dispatch = registration.reference().dispatch(&names).unwrap();
    let call = |method: &'static str| dispatch.dispatch(Call::new(method, vec![]));
    assert_eq!(call("greet").await.unwrap(), Data::from("hi"));
    assert_eq!(call("other").await.unwrap(), Data::Int(1));
    assert!(matches!(
        call("none").await,
        Err(CallError::NoSuchMethod { .. })
    ));
    assert!(
        registration
            .reference()
            .dispatch(&["org.example.Missing"])
            .is_none()
    );
    for name in names {
        assert_eq!(registry.references(Some(name), None).len(), 1);
    }
}

#[test]
fn many_threads_leave_the_registry_whole() {
    let registry = Registry::new();
    let mut listener = registry.listen(None, None);
    let barrier = Barrier::new(8);
    let kept: Vec<ServiceRegistration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let mut last = None;
                    for n in 0..200_i32 {
                        let service = registry.register(greeter(""), props! { "n" => n }).unwrap();
                        service.set_properties(props! { "n" => n + 1 }).unwrap();
                        last = Some(service);
                    }
                    last.unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    while listener.try_next().is_some() {}
    let mut told: Vec<_> = listener.told().map(ServiceReference::id).collect();
    let mut there: Vec<_> = registry
        .references(None, None)
        .iter()
        .map(ServiceReference::id)
        .collect();
    let mut expected: Vec<_> = kept.iter().map(|r| r.reference().id()).collect();
    told.sort_unstable();
    there.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(there, expected);
}
