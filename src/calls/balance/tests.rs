mod on_demand;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::calls::BreakerState;
use crate::filter::Filter;
use crate::interface::{Call, CallError, CallOptions, Cause, Data, Fault, Interface, Invoker};
use crate::properties::Properties;
use crate::services::{Registry, Service, ServiceRegistration};
use crate::{props, remote_service};

#[remote_service("org.example.Thing")]
trait Thing {
    #[remote(idempotent)]
    async fn read(&self) -> Result<i64, CallError>;
    async fn write(&self) -> Result<i64, CallError>;
}

#[remote_service("org.example.v.Versioned", version = "2.1")]
trait Versioned {
    async fn get(&self) -> Result<(), CallError>;
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Good,
    Unreachable,
    Disconnected,
    Fault,
    Refused,
    Overloaded,
    Protocol,
    Stalled,
    /// Fails each second time.
    Shaky,
}

/// An endpoint elsewhere, with a network that goes as the test says.
struct Endpoint {
    number: i64,
    way: Mutex<Way>,
    calls: AtomicUsize,
}

impl Invoker for Endpoint {
    fn invoke(&self, _: Call) -> futures::future::BoxFuture<'_, Result<Data, CallError>> {
        let before = self.calls.fetch_add(1, Ordering::SeqCst);
        let (address, cause) = ("there".to_owned(), Cause::new("broken"));
        let failed = match *self.way.lock() {
            Way::Shaky if before % 2 == 1 => CallError::Disconnected { address, cause },
            Way::Good | Way::Shaky => return Box::pin(std::future::ready(Ok(self.number.into()))),
            Way::Unreachable => CallError::Unreachable { address, cause },
            Way::Disconnected => CallError::Disconnected { address, cause },
            Way::Fault => CallError::Service(Fault::new("no")),
            Way::Refused => CallError::Refused {
                reason: "no".into(),
            },
            Way::Overloaded => CallError::Overloaded { limit: 1 },
            Way::Protocol => CallError::Protocol {
                address,
                detail: "HTTP 500".into(),
            },
            Way::Stalled => return Box::pin(std::future::pending()),
        };
        Box::pin(std::future::ready(Err(failed)))
    }
}

/// A registry with endpoints.
#[derive(Default)]
struct World {
    registry: Registry,
    endpoints: Vec<Arc<Endpoint>>,
    registrations: Vec<ServiceRegistration>,
}

impl World {
    fn of(ways: &[Way]) -> Self {
        let mut world = Self::default();
        for way in ways {
            world.add(*way, props! {});
        }
        world
    }

    fn add(&mut self, way: Way, properties: Properties) {
        let endpoint = Arc::new(Endpoint {
            number: i64::try_from(self.endpoints.len()).unwrap(),
            way: Mutex::new(way),
            calls: AtomicUsize::new(0),
        });
        let invoker: Arc<dyn Invoker> = Arc::clone(&endpoint) as Arc<dyn Invoker>;
        let service = Service::remote(["org.example.Thing"], &invoker);
        let properties = properties.with("service.imported", "true");
        self.registrations
            .push(self.registry.register(service, properties).unwrap());
        self.endpoints.push(endpoint);
    }

    fn set(&self, index: usize, way: Way) {
        *self.endpoints[index].way.lock() = way;
    }

    fn set_all(&self, way: Way) {
        (0..self.endpoints.len()).for_each(|index| self.set(index, way));
    }

    fn balanced(&self, balance: Balance) -> (Arc<dyn Thing>, Arc<Balanced>) {
        let filter = Filter::parse("(service.imported=*)").unwrap();
        let balanced = Balanced::new::<dyn Thing>(&self.registry, Some(filter), balance.seed(7));
        let balanced = Arc::new(balanced);
        (
            <dyn Thing>::proxy(Arc::clone(&balanced) as Arc<dyn Invoker>),
            balanced,
        )
    }

    /// How many calls each endpoint got since the last time.
    fn calls(&self) -> Vec<usize> {
        let calls = self
            .endpoints
            .iter()
            .map(|e| e.calls.swap(0, Ordering::SeqCst));
        calls.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_round_and_follow_what_comes_and_goes() {
    let mut world = World::of(&[Way::Good; 2]);
    let (thing, _) = world.balanced(Balance::round_robin());
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(thing.write().await.unwrap());
    }
    assert_eq!(answers, [0, 1, 0, 1]);
    world.add(Way::Good, props! {});
    world.registrations.remove(0).unregister();
    for _ in 0..4 {
        thing.write().await.unwrap();
    }
    assert_eq!(world.calls(), [2, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_ranking_moves_the_calls() {
    // OSGi rule G04, and C03: changes of properties reach the proxy.
    let mut world = World::default();
    world.add(Way::Good, props! { "service.ranking" => 1_i32 });
    world.add(Way::Good, props! { "service.ranking" => 2_i32 });
    let (thing, _) = world.balanced(Balance::ranking());
    assert_eq!(thing.read().await.unwrap(), 1);
    let higher = props! { "service.ranking" => 3_i32, "service.imported" => "true" };
    world.registrations[0].set_properties(higher).unwrap();
    assert_eq!(thing.read().await.unwrap(), 0);
    world.registrations[0].set_properties(props! {}).unwrap();
    assert_eq!(
        thing.read().await.unwrap(),
        1,
        "it matches the filter no more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_priority_takes_all_calls_until_it_fails() {
    let mut world = World::default();
    let announced = |priority: i32, weight: i32| {
        props! {
            "ecf.endpoint.discovery.priority" => priority,
            "ecf.endpoint.discovery.weight" => weight,
        }
    };
    world.add(Way::Good, announced(1, 1));
    world.add(Way::Good, announced(0, 90));
    world.add(Way::Good, announced(0, 10));
    let (thing, _) = world.balanced(Balance::priority());
    for _ in 0..1000 {
        thing.read().await.unwrap();
    }
    let calls = world.calls();
    assert_eq!(calls[0], 0);
    assert!((850..950).contains(&calls[1]), "{calls:?}");
    world.set(1, Way::Unreachable);
    world.set(2, Way::Unreachable);
    for _ in 0..4 {
        assert_eq!(thing.read().await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_where_the_fewest_are_under_way() {
    let world = World::of(&[Way::Stalled, Way::Good]);
    let (thing, balanced) = world.balanced(Balance::least_in_flight());
    let mut held = Vec::new();
    while world.endpoints[0].calls.load(Ordering::SeqCst) == 0 {
        let mut call = thing.write();
        if call.as_mut().now_or_never().is_none() {
            held.push(call);
        }
    }
    for _ in 0..50 {
        assert_eq!(thing.write().await.unwrap(), 1);
    }
    assert_eq!(balanced.endpoints()[0].candidate.in_flight, 1);
    drop(held);
    assert_eq!(balanced.endpoints()[0].candidate.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_only_where_that_helps_and_does_no_harm() {
    for (way, read_again, write_again) in [
        (Way::Unreachable, true, true),
        (Way::Disconnected, true, false),
        (Way::Protocol, true, false),
        (Way::Overloaded, true, false),
        (Way::Stalled, true, false),
        (Way::Fault, false, false),
        (Way::Refused, false, false),
    ] {
        let mut world = World::default();
        world.add(way, props! { "service.ranking" => 1_i32 });
        world.add(Way::Good, props! {});
        let balance = Balance::ranking().attempt_timeout(Duration::from_secs(2));
        let (thing, _) = world.balanced(balance);
        assert_eq!(thing.read().await.is_ok(), read_again, "read, {way:?}");
        assert_eq!(world.calls(), [1, usize::from(read_again)], "read, {way:?}");
        assert_eq!(thing.write().await.is_ok(), write_again, "write, {way:?}");
        assert_eq!(
            world.calls(),
            [1, usize::from(write_again)],
            "write, {way:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_everywhere_tells_the_last_failure_and_is_not_made_more_than_thrice() {
    let world = World::of(&[Way::Disconnected; 5]);
    let (thing, _) = world.balanced(Balance::round_robin());
    let error = thing.read().await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error}");
    assert_eq!(world.calls(), [1, 1, 1, 0, 0]);
    let lone = World::of(&[Way::Disconnected]);
    let (thing, _) = lone.balanced(Balance::round_robin().attempts(2));
    let begun = Instant::now();
    assert!(thing.read().await.is_err());
    assert_eq!(lone.calls(), [2], "with a pause, the same endpoint may do");
    assert!(begun.elapsed() > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_an_endpoint_a_call_fails_at_once_or_waits_as_it_is_told() {
    let mut world = World::default();
    let (thing, _) = world.balanced(Balance::round_robin());
    let begun = Instant::now();
    let error = thing.read().await.unwrap_err();
    let expected = "no endpoint offers org.example.Thing matching (service.imported=*)";
    assert_eq!(error.to_string(), expected);
    assert!(error.is_remote() && error.was_not_sent());
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let (patient, _) = world.balanced(Balance::round_robin().wait(Duration::from_secs(3)));
    let error = patient.read().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{expected} after 3000 ms of waiting")
    );
    assert_eq!(begun.elapsed().as_secs(), 3);
    let waiting = tokio::spawn(async move { patient.write().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.add(Way::Good, props! {});
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
    assert_eq!(begun.elapsed().as_secs(), 4, "it began when there was one");
}

#[tokio::test(start_paused = true)]
async fn a_call_may_take_and_wait_as_long_as_a_duration_can_be() {
    let mut world = World::default();
    let breaker = BreakerConfig::default().with_cooldown(Duration::MAX, Duration::MAX);
    let balance = Balance::round_robin()
        .wait(Duration::MAX)
        .timeout(Duration::MAX)
        .attempt_timeout(Duration::MAX)
        .breaker(breaker.with_failures(1));
    let (thing, balanced) = world.balanced(balance);
    let waiting = tokio::spawn(async move { thing.read().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.add(Way::Good, props! {});
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
    let call = || {
        let options = CallOptions::default().with_timeout(Duration::MAX);
        Call::new("write", vec![]).with_options(options)
    };
    assert!(balanced.invoke(call()).await.is_ok());
    world.set_all(Way::Disconnected);
    assert!(balanced.invoke(call()).await.is_err());
    let error = balanced.invoke(call()).await.unwrap_err();
    assert!(matches!(error, CallError::AllFailing { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_call_holds_for_all_attempts_together() {
    let world = World::of(&[Way::Stalled; 3]);
    let balance = Balance::round_robin()
        .timeout(Duration::from_secs(5))
        .attempt_timeout(Duration::from_secs(2));
    let (thing, balanced) = world.balanced(balance);
    let begun = Instant::now();
    let error = thing.read().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { timeout, .. } if timeout.as_secs() == 5));
    assert_eq!(
        (begun.elapsed().as_secs(), world.calls()),
        (5, vec![1, 1, 1])
    );

    let call = Call::new("read", vec![])
        .with_options(CallOptions::idempotent().with_timeout(Duration::from_secs(3)));
    let error = balanced.invoke(call).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { timeout, .. } if timeout.as_secs() == 3));
    assert_eq!(
        begun.elapsed().as_secs(),
        8,
        "the method's own time-out counts"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_every_time_is_left_alone_and_comes_back_by_itself() {
    let world = World::of(&[Way::Disconnected, Way::Good, Way::Good]);
    let (thing, balanced) = world.balanced(Balance::round_robin());
    for _ in 0..300 {
        thing.read().await.unwrap();
    }
    assert_eq!(world.calls()[0], 5);
    let states =
        || -> Vec<BreakerState> { balanced.endpoints().iter().map(|e| e.breaker).collect() };
    assert!(
        matches!(states()[0], BreakerState::Open { .. }),
        "{:?}",
        states()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..30 {
        thing.read().await.unwrap();
    }
    assert_eq!(world.calls()[0], 1, "one call tries");
    world.set(0, Way::Good);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..30 {
        thing.read().await.unwrap();
    }
    assert_eq!(world.calls(), [10, 10, 10]);
    assert_eq!(states(), [BreakerState::Closed; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_often_is_ejected_and_one_of_two_at_most() {
    let world = World::of(&[Way::Shaky, Way::Good, Way::Good]);
    let (thing, balanced) = world.balanced(Balance::round_robin());
    for _ in 0..150 {
        thing.read().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.calls()[0], 10, "by then its record was long enough");
    assert!(balanced.endpoints()[0].ejected_until.is_some());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(balanced.endpoints()[0].ejected_until, None);

    let shaky = World::of(&[Way::Shaky, Way::Shaky]);
    let (thing, balanced) = shaky.balanced(Balance::round_robin());
    for _ in 0..100 {
        // Where both are shaky, some calls fail: that is not what is tested.
        let _ = thing.read().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        balanced
            .endpoints()
            .iter()
            .all(|e| e.ejected_until.is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_all_is_not_multiplied_and_ends_by_itself() {
    let world = World::of(&[Way::Disconnected; 3]);
    // Without breakers, the budget alone holds.
    let unbroken = Balance::round_robin()
        .breaker(BreakerConfig::default().with_failures(0))
        .outliers(OutlierConfig::none());
    let (thing, _) = world.balanced(unbroken);
    let mut calls = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        calls += 1;
        assert!(thing.read().await.is_err());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let attempts: usize = world.calls().iter().sum();
    assert!(attempts > calls, "{attempts} attempts of {calls} calls");
    assert!(
        attempts <= calls + calls / 5 + 10 + 10,
        "{attempts} attempts of {calls} calls"
    );

    // With them, hardly any attempt is made at all.
    let (thing, _) = world.balanced(Balance::round_robin());
    let mut told = None;
    for _ in 0..1000 {
        let error = thing.read().await.unwrap_err();
        if let CallError::AllFailing {
            endpoints,
            retry_after,
            ..
        } = error
        {
            assert_eq!(endpoints, 3);
            told = Some(retry_after);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(told.is_some_and(|after| after <= Duration::from_secs(30)));
    let attempts: usize = world.calls().iter().sum();
    assert!(attempts <= 3 * (5 + 6), "{attempts}");

    world.set_all(Way::Good);
    tokio::time::sleep(Duration::from_secs(30)).await;
    for _ in 0..30 {
        thing.read().await.unwrap();
    }
    assert_eq!(world.calls(), [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn many_calls_that_stall_together_open_the_breaker_once() {
    let world = World::of(&[Way::Stalled]);
    let balance = Balance::round_robin()
        .attempt_timeout(Duration::from_secs(1))
        .attempts(1);
    let (thing, balanced) = world.balanced(balance);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let thing = Arc::clone(&thing);
        calls.spawn(async move { thing.read().await });
    }
    while let Some(outcome) = calls.join_next().await {
        assert!(outcome.unwrap().is_err());
    }
    let until = Instant::now() + Duration::from_secs(1);
    let state = balanced.endpoints()[0].breaker;
    assert!(
        matches!(state, BreakerState::Open { until: at } if at <= until),
        "{state:?}"
    );
    assert_eq!(balanced.endpoints()[0].candidate.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn only_endpoints_of_a_version_that_fits_are_called() {
    // OSGi rule I07: a consumer of 2.1 gets 2.3, and neither 1.0 nor 2.0.
    let registry = Registry::new();
    let invoker: Arc<dyn Invoker> = Arc::new(Endpoint {
        number: 0,
        way: Mutex::new(Way::Good),
        calls: AtomicUsize::new(0),
    });
    let mut registrations = Vec::new();
    for version in ["1.0", "2.0", "2.3", "3.0", "rubbish"] {
        let service = Service::remote(["org.example.v.Versioned"], &invoker);
        let properties = props! {
            "service.imported" => "true", "endpoint.package.version.org.example.v" => version,
        };
        registrations.push(registry.register(service, properties).unwrap());
    }
    let unversioned = Service::remote(["org.example.v.Versioned"], &invoker);
    let unversioned = registry.register(unversioned, props! { "service.imported" => "true" });
    registrations.push(unversioned.unwrap());
    let balanced = Balanced::new::<dyn Versioned>(&registry, None, Balance::round_robin());
    let ids: Vec<_> = balanced
        .endpoints()
        .iter()
        .map(|e| e.candidate.id)
        .collect();
    assert_eq!(ids, [3]);
    assert!(registry.find::<dyn Versioned>(None).is_some());
    let mut tracker = registry.track::<dyn Versioned>(None);
    assert!(tracker.try_next().is_some() && tracker.try_next().is_none());
    assert_eq!(tracker.references(), [registrations[2].reference().clone()]);
}
