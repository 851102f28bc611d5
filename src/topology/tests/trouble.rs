//! Trouble that comes after all went well (122.7, rules V06 and X13).

use super::*;
use crate::services::ServiceReference;

const MINUTE: Duration = Duration::from_secs(60);

impl Bench {
    fn proxies(&self) -> Vec<ServiceReference> {
        self.registry.references(Some("org.example.A"), None)
    }
}

fn no_oftener_than_the_backoff(attempts: &[Instant]) {
    let mut longest = Duration::from_millis(500);
    for pair in attempts.windows(2) {
        // A timer has a resolution of a millisecond.
        let pause = pair[1] - pair[0];
        assert!(pause <= longest + Duration::from_millis(2), "{pause:?}");
        longest = (longest * 2).min(MINUTE);
    }
    // After the first few, one in half a minute on average.
    assert!((20..120).contains(&attempts.len()), "{}", attempts.len());
}

/// Rules V06 and T06.
#[tokio::test(start_paused = true)]
async fn an_import_beyond_repair_is_closed_and_tried_again_ever_less_often() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    fake.breaks.store(true, Ordering::Relaxed);
    bench.add(&fake);
    bench.hear("e", props! {});
    tokio::time::sleep(30 * MINUTE).await;
    assert!(bench.admin.imports().is_empty() && bench.proxies().is_empty());
    no_oftener_than_the_backoff(&fake.imports.lock());
    fake.breaks.store(false, Ordering::Relaxed);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(bench.proxies().len(), 1);
    // One that worked for long is tried again soon.
    let id: EndpointId = "e".parse().unwrap();
    let before = bench.proxies();
    fake.trouble(&id, Trouble::Error(lost()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.proxies().len(), 1);
    assert_ne!(bench.proxies(), before);
    bench.end().await;
}

/// Rule V06: nothing closes after a warning.
#[tokio::test(start_paused = true)]
async fn what_has_trouble_and_works_still_is_left_alone() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    let service = bench.register(marked(&["c.one"]));
    bench.hear("e", props! {});
    settled().await;
    let (exported, imported) = (bench.admin.exported(), bench.admin.imported());
    for endpoint in exported.iter().chain(&imported) {
        fake.trouble(endpoint.id(), Trouble::Warning(lost()));
    }
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.admin.exported(), exported);
    assert_eq!(bench.admin.imported(), imported);
    assert!(bench.status(&service).error.is_none());
    assert_eq!(*bench.board.calls.lock(), (1, 0));
    bench.end().await;
}

/// Rules X13, V06 and T06.
#[tokio::test(start_paused = true)]
async fn an_endpoint_beyond_repair_is_withdrawn_and_made_anew_and_others_are_left_alone() {
    let bench = bench(Policy::default());
    let (good, bad) = (Fake::of("c.one"), Fake::of("c.two"));
    bench.add(&good);
    bench.add(&bad);
    let service = bench.register(marked(&["c.one", "c.two"]));
    settled().await;
    let before = bench.status(&service).endpoints.clone();
    *bad.failures.lock() = 2;
    bad.trouble(before[1].id(), Trouble::Error(lost()));
    settled().await;
    assert_eq!(bench.announced(), ["c.one"]);
    assert_eq!(bench.admin.exports().len(), 1);
    let status = bench.status(&service);
    let error = status.error.as_ref().unwrap().to_string();
    assert!(
        error.starts_with("cannot listen on 192.0.2.1:80"),
        "{error}"
    );
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    let status = bench.status(&service);
    assert!(status.error.is_none());
    assert_eq!(status.endpoints[0], before[0]);
    assert_ne!(status.endpoints[1], before[1]);
    assert_eq!(
        (good.attempts.lock().len(), bad.attempts.lock().len()),
        (1, 4)
    );
    bench.end().await;
}

/// Rule T06: one that breaks as soon as it is made is not made in a loop.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_breaks_at_once_is_made_anew_ever_less_often() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    fake.breaks.store(true, Ordering::Relaxed);
    bench.add(&fake);
    let service = bench.register(marked(&["c.one"]));
    tokio::time::sleep(30 * MINUTE).await;
    no_oftener_than_the_backoff(&fake.attempts.lock());
    assert!(bench.status(&service).error.is_some());
    assert!(bench.announced().is_empty() && bench.admin.exports().is_empty());
    fake.breaks.store(false, Ordering::Relaxed);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(bench.announced(), ["c.one"]);
    assert!(bench.status(&service).error.is_none());
    bench.end().await;
}

/// Rule X13: it was there when somebody began to make what was missing.
#[tokio::test(start_paused = true)]
async fn what_breaks_while_another_is_made_is_made_anew_as_well() {
    let bench = bench(Policy::default());
    let (quick, slow) = (Fake::of("c.one"), Fake::of("c.two"));
    bench.add(&quick);
    let service = bench.register(marked(&["c.one", "c.two"]));
    settled().await;
    slow.opening.forget_permits(Semaphore::MAX_PERMITS);
    bench.add(&slow);
    settled().await;
    assert_eq!(slow.attempts.lock().len(), 1);
    let there = bench.status(&service).endpoints[0].clone();
    quick.trouble(there.id(), Trouble::Error(lost()));
    settled().await;
    assert!(bench.announced().is_empty());
    slow.opening.add_permits(1);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.announced(), ["c.one", "c.two"]);
    assert!(bench.status(&service).error.is_none());
    bench.end().await;
}

/// Rule V06: what happened while the manager could not listen.
#[tokio::test(start_paused = true)]
async fn trouble_in_lost_events_is_seen_all_the_same() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    let service = bench.register(marked(&["c.one"]));
    bench.hear("e", props! {});
    settled().await;
    let (exported, imported) = (bench.admin.exported(), bench.admin.imported());
    let other = bench.admin.import_service(&imported[0]).unwrap();
    fake.trouble(exported[0].id(), Trouble::Error(lost()));
    fake.trouble(imported[0].id(), Trouble::Error(lost()));
    // The manager's task does not run meanwhile.
    for n in 0..2_000_i64 {
        let properties = imported[0].properties().clone().with("n", n);
        let changed = EndpointDescription::new(properties).unwrap();
        other.update(&Arc::new(changed)).unwrap();
    }
    other.close();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(bench.admin.imports().len(), 1);
    assert_eq!(fake.imports.lock().len(), 2);
    assert_ne!(bench.admin.exported(), exported);
    assert_eq!(bench.announced(), ["c.one"]);
    assert!(bench.status(&service).error.is_none());
    bench.end().await;
}

/// Rule T08: of several the next serves while the best is broken.
#[tokio::test(start_paused = true)]
async fn t08_the_next_endpoint_is_used_while_the_best_is_beyond_repair() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    for (id, ranking) in [("low", 1), ("high", 2)] {
        bench.hear(id, props! { "service.ranking" => ranking });
    }
    settled().await;
    let best = |bench: &Bench| {
        let best = bench.proxies().into_iter().next();
        let properties = best.unwrap().properties();
        properties.get_str("endpoint.id").unwrap().to_owned()
    };
    assert_eq!(best(&bench), "high");
    let high: EndpointId = "high".parse().unwrap();
    fake.breaks.store(true, Ordering::Relaxed);
    fake.trouble(&high, Trouble::Error(lost()));
    settled().await;
    assert_eq!(best(&bench), "low");
    fake.breaks.store(false, Ordering::Relaxed);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(best(&bench), "high");
    bench.end().await;
}

/// Rule T06: an import that others keep from being made comes when they let go.
#[tokio::test(start_paused = true)]
async fn an_import_that_failed_for_others_sake_is_tried_again() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    bench.hear("e", props! {});
    settled().await;
    let users = bench.admin.import_service(&bench.admin.imported()[0]);
    bench.hear("e", props! { "objectClass" => ["org.example.B"] });
    settled().await;
    let proxies = || bench.registry.references(Some("org.example.B"), None);
    assert!(proxies().is_empty(), "the user's proxy has the id");
    drop(users);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(proxies().len(), 1);
    bench.end().await;
}
