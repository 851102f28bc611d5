//! The rules E01 to E13 of endpoint listeners, by their ids in the table of
//! OSGi rules (Compendium 122.6).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::discovery::endpoint_feed;
use crate::properties::Properties;
use crate::props;

const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it did not happen in time")
}

fn described(id: &str, more: Properties) -> Arc<EndpointDescription> {
    let mut properties = props! {
        "objectClass" => ["a.A"], "endpoint.id" => id, "service.imported.configs" => ["c"],
    };
    properties.overlay(&more);
    Arc::new(EndpointDescription::new(properties).unwrap())
}

/// One discovery, and the place where its listeners are.
struct Bench {
    feed: EndpointFeed,
    listeners: EndpointListeners,
}

impl Bench {
    fn new() -> Self {
        let (feed, listeners) = (endpoint_feed(), EndpointListeners::new());
        listeners.add_source(&feed);
        Self { feed, listeners }
    }

    fn listen<const N: usize>(&self, filters: [&str; N]) -> EndpointListener {
        self.listeners.listen(Scope::parse(filters).unwrap())
    }

    fn set(&self, id: &str, more: Properties) {
        set(&self.feed, id, more);
    }

    fn remove(&self, id: &str) {
        self.feed.remove(&id.parse().unwrap());
    }
}

fn set(feed: &EndpointFeed, id: &str, more: Properties) {
    let endpoint = described(id, more);
    feed.set(endpoint.id().clone(), endpoint);
}

/// An event as a line: its kind, endpoint and filter.
fn line(event: &EndpointEvent) -> String {
    let kind = match event.kind {
        EndpointEventKind::Added => "+",
        EndpointEventKind::Modified => "~",
        EndpointEventKind::ModifiedEndMatch => "!",
        EndpointEventKind::Removed => "-",
    };
    format!("{kind}{} {}", event.endpoint.id(), event.filter)
}

/// The events that are there already.
fn told(listener: &mut EndpointListener) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(Some(event)) = listener.next().now_or_never() {
        lines.push(line(&event));
    }
    lines
}

#[test]
fn e01_only_what_a_filter_matches_is_told() {
    let bench = Bench::new();
    let mut none = bench.listen([]);
    let mut blank = bench.listen([""]);
    let mut blue = bench.listen(["(color=blue)"]);
    bench.set("red", props! { "color" => "red" });
    bench.set("blue", props! { "color" => "blue" });
    bench.remove("red");
    bench.remove("blue");
    bench.set("blue", props! { "color" => "blue" });
    assert_eq!(told(&mut blue), ["+blue (color=blue)"]);
    assert_eq!(told(&mut none), [""; 0]);
    assert_eq!(told(&mut blank), [""; 0]);
}

#[test]
fn e02_the_first_filter_that_matches_goes_with_every_kind_of_event() {
    let bench = Bench::new();
    let mut listener = bench.listen(["(n=1)", "(n=*)", "(objectClass=*)"]);
    bench.set("e", props! { "n" => 1_i32, "m" => 1_i32 });
    assert_eq!(told(&mut listener), ["+e (n=1)"]);
    bench.set("e", props! { "n" => 2_i32 });
    assert_eq!(told(&mut listener), ["~e (n=*)"]);
    bench.remove("e");
    assert_eq!(told(&mut listener), ["-e (n=*)"], "the one that matched");
}

#[test]
fn e03_the_state_table_of_changes() {
    // What was told before, what is there now, and what is told then.
    let yes = || Some(props! { "x" => 1_i32, "n" => 1_i32 });
    let yes_again = || Some(props! { "x" => 1_i32, "n" => 2_i32 });
    let no = || Some(props! { "n" => 1_i32 });
    let no_again = || Some(props! { "n" => 2_i32 });
    for (before, now, expected) in [
        (None, yes(), Some("+e (x=1)")),
        (None, no(), None),
        (yes(), yes_again(), Some("~e (x=1)")),
        (yes(), yes(), None),
        (yes(), no(), Some("!e (x=1)")),
        (yes(), None, Some("-e (x=1)")),
        (no(), yes(), Some("+e (x=1)")),
        (no(), no_again(), None),
        (no(), None, None),
    ] {
        let bench = Bench::new();
        let mut listener = bench.listen(["(x=1)"]);
        let name = format!("{before:?} to {now:?}");
        if let Some(before) = before {
            bench.set("e", before);
            told(&mut listener);
        }
        match now {
            Some(now) => bench.set("e", now),
            None => bench.remove("e"),
        }
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(told(&mut listener), expected, "{name}");
    }
}

#[test]
fn e03_kinds_have_the_numbers_of_osgi() {
    use EndpointEventKind::{Added, Modified, ModifiedEndMatch, Removed};
    let codes = [Added, Removed, Modified, ModifiedEndMatch].map(EndpointEventKind::code);
    assert_eq!(codes, [1, 2, 4, 8]);
}

#[test]
fn e03_an_event_says_what_was_and_what_is() {
    let bench = Bench::new();
    let mut listener = bench.listen(["(x=*)"]);
    let mut next = |more: Properties| {
        bench.set("e", more);
        let event = listener.next().now_or_never().unwrap().unwrap();
        let x = |endpoint: &EndpointDescription| {
            let x = endpoint.properties().get("x");
            x.map(ToString::to_string)
        };
        (x(&event.endpoint), event.before.as_deref().map(x))
    };
    let one = || Some("1".to_owned());
    let two = || Some("2".to_owned());
    assert_eq!(next(props! { "x" => 1_i32 }), (one(), None));
    assert_eq!(next(props! { "x" => 2_i32 }), (two(), Some(one())));
    assert_eq!(next(props! {}), (None, Some(two())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e04_a_late_listener_is_told_of_everything_once_also_while_it_changes() {
    let bench = Bench::new();
    for n in 0..100 {
        bench.set(&format!("old{n}"), props! {});
    }
    let feed = bench.feed.clone();
    let churn = tokio::task::spawn_blocking(move || {
        for n in 0..2000 {
            set(&feed, &format!("new{}", n % 50), props! { "n" => n });
            set(&feed, &format!("old{}", n % 100), props! { "n" => n });
        }
        for n in 0..25 {
            feed.remove(&format!("new{n}").parse().unwrap());
        }
    });
    let mut listener = bench.listen(["(objectClass=a.A)"]);
    let mut view = std::collections::BTreeSet::new();
    let mut churn = Some(churn);
    loop {
        if churn.as_ref().is_some_and(|churn| churn.is_finished()) {
            churn.take().unwrap().await.unwrap();
        }
        let over = churn.is_none();
        match listener.next().now_or_never().flatten() {
            Some(event) => {
                let id = event.endpoint.id().to_string();
                match event.kind {
                    EndpointEventKind::Added => assert!(view.insert(id), "added twice"),
                    EndpointEventKind::Modified => assert!(view.contains(&id)),
                    _ => assert!(view.remove(&id), "removed though unknown"),
                }
            }
            None if over => break,
            None => tokio::task::yield_now().await,
        }
    }
    let there: std::collections::BTreeSet<_> = bench
        .feed
        .snapshot()
        .into_iter()
        .collect::<Vec<_>>()
        .iter()
        .map(|(id, _)| id.to_string())
        .collect();
    assert_eq!(view, there);
    assert_eq!(there.len(), 125);
}

#[test]
fn e05_a_changed_scope_tells_the_differences_and_nothing_else() {
    let bench = Bench::new();
    for color in ["red", "blue", "green"] {
        bench.set(color, props! { "color" => color });
    }
    let mut listener = bench.listen(["(color=red)"]);
    let scope = listener.scope();
    assert_eq!(told(&mut listener), ["+red (color=red)"]);
    let filter = |text: &str| Filter::parse(text).unwrap();
    scope.extend(filter("(color=blue)"));
    assert_eq!(told(&mut listener), ["+blue (color=blue)"]);
    scope.reduce(&filter("(color=red)"));
    assert_eq!(told(&mut listener), ["!red (color=red)"]);
    // Another filter for what is known is no news, but goes with the next.
    scope.set(Scope::parse(["(color=b*)", "(color=green)"]).unwrap());
    assert_eq!(told(&mut listener), ["+green (color=green)"]);
    bench.set("blue", props! { "color" => "blue", "n" => 1_i32 });
    assert_eq!(told(&mut listener), ["~blue (color=b*)"]);
    scope.set(Scope::nothing());
    let mut ended = told(&mut listener);
    ended.sort();
    assert_eq!(ended, ["!blue (color=b*)", "!green (color=green)"]);
    assert!(scope.get().is_empty());
}

/// With nothing told between the change and the end.
#[test]
fn e03_the_end_goes_with_the_filter_that_the_scope_has_by_then() {
    let set_scope = |listener: &EndpointListener, filter| {
        listener.scope().set(Scope::parse([filter]).unwrap());
    };
    let blue = |n: i32| props! { "n" => n, "color" => "blue" };
    for (now, expected) in [
        (None, "-e (color=blue)"),
        (Some(props! { "n" => 2_i32 }), "!e (color=blue)"),
    ] {
        let bench = Bench::new();
        bench.set("e", blue(1));
        let mut listener = bench.listen(["(n=*)"]);
        assert_eq!(told(&mut listener), ["+e (n=*)"]);
        set_scope(&listener, "(color=blue)");
        assert_eq!(told(&mut listener), [""; 0]);
        match now {
            Some(now) => bench.set("e", now),
            None => bench.remove("e"),
        }
        assert_eq!(told(&mut listener), [expected]);
    }

    // The word of another source that counts next was given before the change,
    // and the last word is not taken back but its source goes.
    let bench = Bench::new();
    let file = endpoint_feed();
    let source = bench.listeners.add_source(&file);
    let mut listener = bench.listen(["(n=*)"]);
    bench.set("e", blue(1));
    assert_eq!(told(&mut listener), ["+e (n=*)"]);
    set(&file, "e", blue(2));
    set_scope(&listener, "(color=blue)");
    assert_eq!(told(&mut listener), [""; 0]);
    bench.remove("e");
    assert_eq!(told(&mut listener), ["~e (color=blue)"]);
    set_scope(&listener, "(color=b*)");
    assert_eq!(told(&mut listener), [""; 0]);
    bench.listeners.remove_source(source);
    assert_eq!(told(&mut listener), ["-e (color=b*)"]);
}

#[tokio::test]
async fn e05_a_changed_scope_wakes_a_listener_that_waits() {
    let bench = Bench::new();
    bench.set("e", props! { "n" => 1_i32 });
    let mut listener = bench.listen(["(objectClass=other)"]);
    let scope = listener.scope();
    let waiting = tokio::spawn(async move { listener.next().await });
    tokio::task::yield_now().await;
    scope.set(Scope::parse(["(n=1)"]).unwrap());
    assert_eq!(line(&soon(waiting).await.unwrap().unwrap()), "+e (n=1)");
}

#[test]
fn e06_additions_are_not_counted_and_removals_of_the_unknown_are_nothing() {
    let bench = Bench::new();
    let mut listener = bench.listen(["(objectClass=*)"]);
    for _ in 0..3 {
        bench.set("e", props! {});
    }
    assert_eq!(told(&mut listener), ["+e (objectClass=*)"]);
    bench.set("e", props! {});
    assert_eq!(told(&mut listener), [""; 0], "the same once more");
    bench.remove("e");
    bench.remove("e");
    bench.remove("unknown");
    assert_eq!(told(&mut listener), ["-e (objectClass=*)"]);
}

#[test]
fn e07_an_endpoint_of_two_sources_stays_until_both_took_it_back() {
    for first_to_go in [0, 1] {
        let bench = Bench::new();
        let file = endpoint_feed();
        bench.listeners.add_source(&file);
        let feeds = [&bench.feed, &file];
        let mut listener = bench.listen(["(from=*)"]);
        set(feeds[1], "e", props! { "from" => "file" });
        assert_eq!(told(&mut listener), ["+e (from=*)"]);
        set(feeds[0], "e", props! { "from" => "etcd" });
        assert_eq!(told(&mut listener), ["~e (from=*)"], "the first counts");
        set(feeds[1], "e", props! { "from" => "file", "n" => 1_i32 });
        assert_eq!(told(&mut listener), [""; 0], "the second does not");

        let id = "e".parse().unwrap();
        feeds[first_to_go].remove(&id);
        let expected = if first_to_go == 0 { "~e (from=*)" } else { "" };
        assert_eq!(told(&mut listener).join(","), expected);
        feeds[1 - first_to_go].remove(&id);
        assert_eq!(told(&mut listener), ["-e (from=*)"]);
    }
}

#[test]
fn e07_a_match_that_ends_at_one_source_lives_on_at_the_other() {
    let bench = Bench::new();
    let file = endpoint_feed();
    bench.listeners.add_source(&file);
    let mut listener = bench.listen(["(x=1)"]);
    bench.set("e", props! { "x" => 1_i32 });
    set(&file, "e", props! { "x" => 1_i32 });
    assert_eq!(told(&mut listener), ["+e (x=1)"]);
    bench.set("e", props! { "x" => 2_i32 });
    assert_eq!(told(&mut listener), [""; 0]);
    set(&file, "e", props! { "x" => 2_i32 });
    assert_eq!(told(&mut listener), ["!e (x=1)"]);
}

#[test]
fn e08_what_a_source_gave_is_removed_when_it_stops() {
    let bench = Bench::new();
    let (file, other) = (endpoint_feed(), endpoint_feed());
    set(&other, "late", props! {});
    let mut listener = bench.listen(["(objectClass=*)"]);
    bench.set("both", props! {});
    bench.set("etcd", props! {});
    let source = bench.listeners.add_source(&file);
    set(&file, "both", props! {});
    set(&file, "file", props! {});
    let mut events = told(&mut listener);
    events.sort();
    let added = ["both", "etcd", "file"].map(|id| format!("+{id} (objectClass=*)"));
    assert_eq!(events, added);

    bench.listeners.add_source(&other);
    assert_eq!(told(&mut listener), ["+late (objectClass=*)"]);
    bench.feed.close();
    assert_eq!(told(&mut listener), ["-etcd (objectClass=*)"], "by its end");
    bench.listeners.remove_source(source);
    let mut events = told(&mut listener);
    events.sort();
    let removed = ["-both (objectClass=*)", "-file (objectClass=*)"];
    assert_eq!(events, removed, "by being taken out");
}

#[test]
fn e13_a_listener_that_lets_go_at_each_end_holds_what_matches() {
    let bench = Bench::new();
    let mut listener = bench.listen(["(x=1)"]);
    let mut held = std::collections::BTreeSet::new();
    for x in [1, 2, 1, 1, 3] {
        bench.set("e", props! { "x" => x });
        while let Some(Some(event)) = listener.next().now_or_never() {
            let id = event.endpoint.id().to_string();
            match event.kind {
                EndpointEventKind::Added | EndpointEventKind::Modified => held.insert(id),
                EndpointEventKind::Removed | EndpointEventKind::ModifiedEndMatch => {
                    held.remove(&id)
                }
            };
        }
        assert_eq!(held.contains("e"), x == 1, "{x}");
    }
}

#[test]
fn thousands_of_listeners_to_other_interfaces_evaluate_nothing() {
    const LISTENERS: usize = 5000;
    let bench = Bench::new();
    let scopes: Vec<Scope> = (0..LISTENERS)
        .map(|n| Scope::parse([format!("(&(objectClass=a.A{n})(x=1))")]).unwrap())
        .collect();
    let mut listeners: Vec<_> = scopes
        .iter()
        .map(|scope| bench.listeners.listen(scope.clone()))
        .collect();
    for listener in &mut listeners {
        assert_eq!(told(listener), [""; 0]);
    }
    const EVENTS: usize = 200;
    for n in 0..EVENTS {
        let class = format!("a.A{}", n % 10);
        let more = props! { "objectClass" => [class.as_str()], "x" => 1_i32, "n" => n as i64 };
        bench.set(&format!("e{}", n % 10), more);
        told(&mut listeners[n % 10]);
    }
    for listener in &mut listeners {
        told(listener);
    }
    let evaluated: u64 = scopes.iter().map(Scope::evaluations).sum();
    assert_eq!(evaluated, EVENTS as u64, "one for each event, not 5000");
}

/// Sends each event's line, and then does as it is told.
struct Told {
    lines: mpsc::UnboundedSender<String>,
    then: fn(&EndpointEvent) -> Then,
}

enum Then {
    Go,
    Fail,
    Panic,
    Hang,
}

#[async_trait]
impl EndpointEventListener for Told {
    async fn endpoint_changed(&self, event: &EndpointEvent) -> Result<(), ListenerFailure> {
        self.lines.send(line(event)).unwrap();
        match (self.then)(event) {
            Then::Go => Ok(()),
            Then::Fail => Err("as asked".into()),
            Then::Panic => panic!("as asked"),
            Then::Hang => std::future::pending().await,
        }
    }
}

fn register(
    bench: &Bench,
    then: fn(&EndpointEvent) -> Then,
) -> (ListenerRegistration, mpsc::UnboundedReceiver<String>) {
    let (lines, told) = mpsc::unbounded_channel();
    let scope = Scope::parse(["(objectClass=*)"]).unwrap();
    let listener = Arc::new(Told { lines, then });
    (bench.listeners.register(scope, listener), told)
}

#[tokio::test]
async fn a_listener_that_fails_panics_or_hangs_hurts_no_other() {
    let bench = Bench::new();
    let (fails, mut failing) = register(&bench, |_| Then::Fail);
    let (panics, mut panicking) = register(&bench, |_| Then::Panic);
    let (hangs, mut hanging) = register(&bench, |_| Then::Hang);
    let (goes, mut going) = register(&bench, |_| Then::Go);
    for id in ["a", "b"] {
        bench.set(id, props! {});
        let expected = format!("+{id} (objectClass=*)");
        for lines in [&mut failing, &mut panicking, &mut going] {
            assert_eq!(soon(lines.recv()).await.unwrap(), expected);
        }
    }
    assert_eq!(soon(hanging.recv()).await.unwrap(), "+a (objectClass=*)");
    assert!(
        hanging.try_recv().is_err(),
        "it is called for one at a time"
    );

    bench.listeners.close(Duration::from_millis(50)).await;
    let counts = |registration: &ListenerRegistration| {
        let ListenerCounts {
            calls,
            failures,
            panics,
        } = registration.counts();
        (calls, failures, panics)
    };
    // Two were added, and at the end two were removed.
    assert_eq!(counts(&fails), (4, 4, 0));
    assert_eq!(counts(&panics), (4, 0, 4));
    assert_eq!(counts(&goes), (4, 0, 0));
    assert_eq!(counts(&hangs), (0, 0, 0));
    assert!(hanging.recv().await.is_none(), "its task is gone");
}

#[tokio::test]
async fn a_listener_that_blocks_its_thread_hurts_no_other() {
    let bench = Bench::new();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let (lines, mut called) = mpsc::unbounded_channel();
    let listener = Blocking::new(move |event: &EndpointEvent| {
        lines.send(line(event))?;
        blocked.lock().recv()?;
        Ok(())
    });
    let scope = Scope::parse(["(objectClass=*)"]).unwrap();
    let registration = bench.listeners.register(scope, Arc::new(listener));
    let (_goes, mut going) = register(&bench, |_| Then::Go);
    bench.set("a", props! {});
    assert_eq!(soon(called.recv()).await.unwrap(), "+a (objectClass=*)");
    // This test has one thread, and the listener holds another.
    assert_eq!(soon(going.recv()).await.unwrap(), "+a (objectClass=*)");
    bench.set("b", props! {});
    assert_eq!(soon(going.recv()).await.unwrap(), "+b (objectClass=*)");
    assert_eq!(registration.counts().calls, 0);
    release.send(()).unwrap();
    assert_eq!(soon(called.recv()).await.unwrap(), "+b (objectClass=*)");
    drop(release);
    bench.listeners.close(SOON).await;
    assert_eq!(registration.counts().failures, 3, "b, and the two removals");
}

#[tokio::test]
async fn a_dropped_registration_is_called_no_more() {
    let bench = Bench::new();
    let (gone, mut gone_lines) = register(&bench, |_| Then::Go);
    let (closed, mut closed_lines) = register(&bench, |_| Then::Hang);
    bench.set("a", props! {});
    soon(gone_lines.recv()).await.unwrap();
    soon(closed_lines.recv()).await.unwrap();
    drop(gone);
    soon(closed.close()).await;
    bench.set("b", props! {});
    assert_eq!(soon(gone_lines.recv()).await, None);
    assert_eq!(soon(closed_lines.recv()).await, None);
}

#[tokio::test]
async fn a_callbacks_scope_can_be_changed_while_it_is_called() {
    let bench = Bench::new();
    let entered = Arc::new(Notify::new());
    struct Slow(Arc<Notify>, Arc<Notify>, mpsc::UnboundedSender<String>);
    #[async_trait]
    impl EndpointEventListener for Slow {
        async fn endpoint_changed(&self, event: &EndpointEvent) -> Result<(), ListenerFailure> {
            self.0.notify_one();
            self.1.notified().await;
            self.2.send(line(event))?;
            Ok(())
        }
    }
    let go = Arc::new(Notify::new());
    let (lines, mut told) = mpsc::unbounded_channel();
    let listener = Arc::new(Slow(Arc::clone(&entered), Arc::clone(&go), lines));
    let registration = bench
        .listeners
        .register(Scope::parse(["(n=1)"]).unwrap(), listener);
    bench.set("one", props! { "n" => 1_i32 });
    bench.set("two", props! { "n" => 2_i32 });
    soon(entered.notified()).await;
    registration.scope().set(Scope::parse(["(n=2)"]).unwrap());
    go.notify_one();
    assert_eq!(soon(told.recv()).await.unwrap(), "+one (n=1)");
    let mut lines = Vec::new();
    for _ in 0..2 {
        soon(entered.notified()).await;
        go.notify_one();
        lines.push(soon(told.recv()).await.unwrap());
    }
    lines.sort();
    assert_eq!(lines, ["!one (n=1)", "+two (n=2)"]);
}

#[tokio::test]
async fn streams_and_callbacks_end_when_the_listeners_are_closed() {
    let bench = Bench::new();
    bench.set("a", props! {});
    let mut stream = bench.listen(["(objectClass=*)"]);
    assert_eq!(told(&mut stream), ["+a (objectClass=*)"]);
    bench.listeners.close(SOON).await;
    let last = soon(stream.next()).await.unwrap();
    assert_eq!(line(&last), "-a (objectClass=*)");
    assert!(soon(stream.next()).await.is_none());
}

proptest! {
    /// I4 over two sources and a changing scope: added, modified any number of
    /// times, removed; and in the end what is held is what matches.
    #[test]
    fn whatever_happens_the_events_folded_are_what_matches(
        steps in proptest::collection::vec(
            (0..2_usize, 0..3_u8, proptest::option::of(0..4_i32), 0..6_usize, any::<bool>()), 0..60)
    ) {
        const SCOPES: [&str; 3] = ["(n=1)", "(|(n=1)(n=2))", "(objectClass=a.B)"];
        let bench = Bench::new();
        let file = endpoint_feed();
        bench.listeners.add_source(&file);
        let feeds = [&bench.feed, &file];
        let mut listener = bench.listen([SCOPES[0]]);
        let scope = listener.scope();
        let mut held = std::collections::BTreeMap::new();
        let mut fold = |listener: &mut EndpointListener, limit: usize| {
            for _ in 0..limit {
                let Some(Some(event)) = listener.next().now_or_never() else { break };
                let id = event.endpoint.id().clone();
                match event.kind {
                    EndpointEventKind::Added => {
                        assert!(event.before.is_none());
                        assert!(held.insert(id, event.endpoint).is_none());
                    }
                    EndpointEventKind::Modified => {
                        let before = held.insert(id, event.endpoint).unwrap();
                        assert!(before.same_content(&event.before.unwrap()));
                    }
                    EndpointEventKind::Removed | EndpointEventKind::ModifiedEndMatch => {
                        let before = held.remove(&id).unwrap();
                        assert!(before.same_content(&event.before.unwrap()));
                    }
                }
            }
            held.clone()
        };
        for (source, id, n, new_scope, take) in steps {
            let id = format!("e{id}");
            match n {
                Some(n) => {
                    let class = if n == 3 { "a.B" } else { "a.A" };
                    set(feeds[source], &id, props! { "n" => n, "objectClass" => [class] });
                }
                None => drop(feeds[source].remove(&id.parse().unwrap())),
            }
            if let Some(filter) = SCOPES.get(new_scope) {
                scope.set(Scope::parse([filter]).unwrap());
            }
            if take {
                fold(&mut listener, 1);
            }
        }
        let held = fold(&mut listener, usize::MAX);
        let scope = scope.get();
        let mut expected = std::collections::BTreeMap::new();
        for feed in feeds {
            for (id, endpoint) in feed.snapshot() {
                if scope.first_match(&endpoint).is_some() {
                    expected.entry(id).or_insert(endpoint);
                }
            }
        }
        let content = |map: &std::collections::BTreeMap<_, Arc<EndpointDescription>>| -> Vec<_> {
            map.values().map(|e| e.properties().clone()).collect()
        };
        prop_assert_eq!(content(&held), content(&expected));
    }
}
