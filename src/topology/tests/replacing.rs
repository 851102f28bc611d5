//! Changes that take other endpoints (122.5.3, rule U06).

use super::*;

impl Bench {
    /// The endpoints of a service, by config type.
    fn endpoints(&self, service: &ServiceRegistration) -> Vec<Arc<EndpointDescription>> {
        let mut endpoints = self.status(service).endpoints.clone();
        endpoints.sort_by_key(|endpoint| endpoint.config_types().join(" "));
        endpoints
    }
}

/// Rules U06 and N11: an endpoint is made anew, however many share the old
/// one, which says of itself what it said before.
#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_other_intents_gets_other_endpoints_though_others_share_the_old() {
    let bench = bench(Policy::default());
    let fakes = [Fake::of("c.one"), Fake::of("c.two")];
    fakes.iter().for_each(|fake| bench.add(fake));
    let types = ["c.one", "c.two"];
    let service = bench.register(marked(&types));
    settled().await;
    let shared = bench
        .admin
        .export_service(service.reference(), &props! {})
        .await
        .unwrap();
    let before = bench.endpoints(&service);
    for changed in [
        marked(&types).with("service.exported.intents", "osgi.basic"),
        marked(&types)
            .with("service.exported.intents", "osgi.basic")
            .with("c.one.port", 80_i32)
            .with("c.two.port", 80_i32),
    ] {
        let old = bench.endpoints(&service);
        service.set_properties(changed).unwrap();
        settled().await;
        let now = bench.endpoints(&service);
        assert_eq!(now.len(), 2);
        for (old, now) in old.iter().zip(&now) {
            assert_ne!(old.id(), now.id());
            assert_eq!(old.config_types(), now.config_types());
            assert_eq!(now.intents(), ["osgi.basic"]);
        }
        // The new ones alone are announced.
        let announced = bench.board.announced.lock();
        assert!(now.iter().all(|now| announced.contains_key(now.id())));
        assert_eq!(announced.len(), 2);
    }
    for (before, registration) in before.iter().zip(&shared) {
        let now = registration.description().unwrap();
        assert!(now.same_content(before), "{now:?}");
    }
    drop(shared);
    drop(service);
    settled().await;
    bench.end().await;
}

/// Rule U06: old and new endpoint may want the same port.
#[tokio::test(start_paused = true)]
async fn an_endpoint_is_made_anew_after_the_old_one_has_ended() {
    let bench = bench(Policy::default());
    let fakes = [Fake::of("c.one"), Fake::of("c.two")];
    fakes.iter().for_each(|fake| bench.add(fake));
    let types = ["c.one", "c.two"];
    let service = bench.register(marked(&types));
    settled().await;
    let before = bench.endpoints(&service);
    for n in 0..3_i32 {
        service
            .set_properties(marked(&types).with("c.two.port", n))
            .unwrap();
        settled().await;
    }
    let now = bench.endpoints(&service);
    assert_eq!(now.len(), 2);
    assert!(before.iter().zip(&now).all(|(before, now)| before != now));
    for fake in &fakes {
        assert_eq!(fake.attempts.lock().len(), 4);
        assert_eq!(fake.most.load(Ordering::Relaxed), 1, "never two at once");
    }
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    drop(service);
    bench.end().await;
}

/// Rule U06: that the properties shape the endpoint is seen by the config type
/// that it has, which they need not name.
#[tokio::test(start_paused = true)]
async fn a_setting_of_the_default_config_type_replaces_the_endpoint_too() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    let service = bench.register(marked(&[]));
    settled().await;
    let before = bench.endpoints(&service);
    service
        .set_properties(marked(&[]).with("n", 1_i32))
        .unwrap();
    settled().await;
    assert_eq!(bench.endpoints(&service), before, "this does not");
    service
        .set_properties(marked(&[]).with("c.one.port", 80_i32))
        .unwrap();
    settled().await;
    let now = bench.endpoints(&service);
    assert_ne!(now, before);
    assert!(bench.status(&service).error.is_none());
    assert_eq!(bench.announced(), ["c.one"]);
    bench.end().await;
}

/// Rules U06 and T06: an end that hangs, as of a call that goes on and on, is not waited for by those
/// who would call the new endpoint.
#[tokio::test(start_paused = true)]
async fn an_old_endpoint_that_does_not_end_keeps_the_new_one_up_for_a_while_only() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    let before = bench.endpoints(&service);
    let held = Arc::clone(&fake.closing);
    let held = held.acquire_owned().await.unwrap();
    service
        .set_properties(marked(&["c.one"]).with("c.one.port", 80_i32))
        .unwrap();
    settled().await;
    assert!(
        bench.announced().is_empty(),
        "the old one is taken back at once"
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    settled().await;
    let now = bench.endpoints(&service);
    assert_eq!(now.len(), 1);
    assert_ne!(now, before);
    assert_eq!(bench.announced(), ["c.one"]);
    drop(held);
    bench.end().await;
}
