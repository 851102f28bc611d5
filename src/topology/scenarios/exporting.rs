//! What is exported and announced.

use super::*;

#[tokio::test(start_paused = true)]
async fn t02_local_listeners_hear_of_own_endpoints() {
    let bench = Bench::new(Policy::default());
    let listeners = EndpointListeners::new();
    listeners.add_source(bench.topology.announced());
    let own = Scope::local(bench.admin.framework());
    let mut listener = listeners.listen(own);
    let mut none = listeners.listen(Scope::remote(bench.admin.framework()));
    let service = bench.register(marked());
    let event = listener.next().await.unwrap();
    assert_eq!(letter(&event), "+");
    service.set_properties(marked().with("n", 1_i32)).unwrap();
    let event = listener.next().await.unwrap();
    assert_eq!(letter(&event), "~");
    assert_eq!(event.endpoint.properties().get("n"), Some(&1_i32.into()));
    service.unregister();
    assert_eq!(letter(&listener.next().await.unwrap()), "-");
    listeners.close(Duration::ZERO).await;
    assert!(none.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn t05_a_service_is_exported_while_it_has_the_mark() {
    let bench = Bench::new(Policy::default());
    let service = bench.register(props! { "n" => 1_i32 });
    let other = bench.register(marked());
    bench.announced(&other).await;
    assert!(bench.status(&service).is_none());
    service.set_properties(marked()).unwrap();
    bench.announced(&service).await;
    assert_eq!(bench.board().pinned().len(), 2);
    service.set_properties(props! { "n" => 1_i32 }).unwrap();
    eventually("the mark is gone, and so is the endpoint", || {
        (bench.board().pinned().len() == 1).then_some(())
    })
    .await;
    assert_eq!(bench.admin.exported().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_under_several_names_has_one_endpoint_and_under_none_it_has_none() {
    let bench = Bench::new(Policy::default());
    let names = ["org.example.A", "org.example.B"];
    let both = bench.register(props! { "service.exported.interfaces" => names });
    let none = bench.register(props! { "service.exported.interfaces" => "" });
    let status = bench.announced(&both).await;
    assert_eq!(status.endpoints.len(), 1);
    assert_eq!(status.endpoints[0].interfaces(), names);
    let refused = eventually("the one without names is refused", || bench.status(&none)).await;
    assert!(refused.endpoints.is_empty());
    assert!(refused.error.is_some());
    assert_eq!(bench.board().pinned().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn services_go_one_by_one_and_each_takes_its_own_announcement_along() {
    let bench = Bench::new(Policy::default());
    let services: Vec<_> = (0..3).map(|_| bench.register(marked())).collect();
    let mut ids = Vec::new();
    for service in &services {
        ids.push(bench.announced(service).await.endpoints[0].id().to_string());
    }
    for (service, id) in services.iter().zip(&ids) {
        assert!(bench.board().pinned().contains(id));
        service.unregister();
        eventually("it is withdrawn", || {
            (!bench.board().pinned().contains(id)).then_some(())
        })
        .await;
    }
    assert_eq!(*bench.board().log.lock(), ["+", "+", "+", "-", "-", "-"]);
}

#[tokio::test(start_paused = true)]
async fn x14_what_is_imported_is_not_exported_again() {
    struct All;
    impl TopologyPolicy for All {
        fn export(&self, service: &Properties, _: &PolicyContext<'_>) -> Option<Properties> {
            service.contains("mine").then(marked)
        }
    }
    let bench = Bench::new(All);
    bench.board().set("theirs", props! { "mine" => true });
    bench.imports(&["theirs"]).await;
    let own = bench.register(props! { "mine" => true });
    bench.announced(&own).await;
    assert_eq!(bench.admin.exported().len(), 1);
}

/// Exports what is of team blue, marked or not, with the team's label.
struct Blue;

impl TopologyPolicy for Blue {
    fn export(&self, service: &Properties, context: &PolicyContext<'_>) -> Option<Properties> {
        assert_eq!(context.framework.as_str(), "own");
        let blue = service.get_str("team") == Some("blue");
        let label = service.get_str("label").unwrap_or("none").to_owned();
        blue.then(|| marked().with("seen", format!("{label}!")))
    }

    fn advertise(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> bool {
        !endpoint.properties().contains("secret")
    }
}

#[tokio::test(start_paused = true)]
async fn x10_a_policy_exports_what_it_picks_with_what_it_adds() {
    let bench = Bench::new(Blue);
    let red = bench.register(marked().with("team", "red"));
    let blue = bench.register(props! { "team" => "blue", "label" => "a" });
    let seen = |status: &ExportStatus| {
        let seen = status.endpoints[0].properties().get_str("seen");
        seen.map(str::to_owned)
    };
    let status = bench.announced(&blue).await;
    assert_eq!(seen(&status).as_deref(), Some("a!"));
    assert!(bench.status(&red).is_none());
    let id = status.endpoints[0].id().clone();
    let changed = props! { "team" => "blue", "label" => "b" };
    blue.set_properties(changed).unwrap();
    let status = bench.announced(&blue).await;
    assert_eq!(seen(&status).as_deref(), Some("b!"));
    assert_eq!(*status.endpoints[0].id(), id, "an update, no replacement");
    blue.set_properties(props! { "team" => "red" }).unwrap();
    eventually("it is taken back", || {
        bench.board().pinned().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn e13_an_endpoint_that_is_not_to_be_announced_any_more_is_withdrawn() {
    let bench = Bench::new(Blue);
    let team = || props! { "team" => "blue" };
    let hidden = bench.register(team().with("secret", true));
    let service = bench.register(team());
    bench.announced(&service).await;
    let id = bench.announced(&hidden).await.endpoints[0].id().to_string();
    assert!(
        !bench.board().pinned().contains(&id),
        "made, and not told of"
    );
    service.set_properties(team().with("secret", true)).unwrap();
    bench.announced(&service).await;
    assert!(bench.board().pinned().is_empty());
    assert_eq!(bench.admin.exported().len(), 2);
    hidden.set_properties(team()).unwrap();
    bench.announced(&hidden).await;
    assert!(bench.board().pinned().contains(&id));
    assert_eq!(*bench.board().log.lock(), ["+", "-", "+"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_announced_once_it_answers() {
    let bench = Bench::new(Policy::default());
    bench.answers.store(false, Ordering::Relaxed);
    let service = bench.register(marked());
    let status = eventually("it was asked three times", || {
        let status = bench.status(&service)?;
        let unready = status.unready.values().next()?;
        (unready.attempts >= 3).then_some(status)
    })
    .await;
    assert_eq!(status.unannounced, 1);
    assert!(status.error.is_none(), "it may pass");
    let unready = status.unready.values().next().unwrap();
    let cause = unready.cause.as_ref().unwrap().to_string();
    assert_eq!(cause, "fake does not answer yet: as asked");
    // A change of properties does not open the gate.
    service.set_properties(marked().with("n", 1_i32)).unwrap();
    eventually("the change was seen", || {
        let status = bench.status(&service)?;
        (status.properties == service.reference().properties()).then_some(())
    })
    .await;
    assert!(bench.board().log.lock().is_empty());
    assert!(bench.topology.announced().snapshot().is_empty());

    bench.answers.store(true, Ordering::Relaxed);
    let status = bench.announced(&service).await;
    assert!(status.unready.is_empty());
    assert_eq!(*bench.board().log.lock(), ["+"]);
    let pinned = bench.board().feed.snapshot();
    assert_eq!(pinned[0].1.properties().get("n"), Some(&1_i32.into()));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_says_whether_it_answers_holds_up_nothing() {
    let fake = Fake {
        answers: Arc::new(AtomicBool::new(false)),
        hangs: true,
    };
    let bench = Bench::with("own", vec![Board::new()], Policy::default(), fake);
    let silent = bench.register(marked());
    let cause = eventually("its silence is told", || {
        let status = bench.status(&silent)?;
        status.unready.values().next()?.cause.clone()
    })
    .await;
    assert!(
        cause.to_string().ends_with("no answer within 5 s"),
        "{cause}"
    );
    bench.answers.store(true, Ordering::Relaxed);
    let other = bench.register(marked());
    bench.announced(&other).await;
    silent.unregister();
    // Ends at once, though an answer is awaited.
    let ended = async {
        bench.topology.stop().await.unwrap().close().await;
    };
    tokio::time::timeout(Duration::from_millis(10), ended)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_has_said_no_and_the_manager_goes_on() {
    struct Panics;
    impl TopologyPolicy for Panics {
        fn export(&self, service: &Properties, _: &PolicyContext<'_>) -> Option<Properties> {
            assert!(!service.contains("bad"), "as asked");
            Some(Properties::new())
        }

        fn import(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> Import {
            assert!(endpoint.id().as_str() != "bad", "as asked");
            Import::Always
        }
    }
    let bench = Bench::new(Panics);
    let bad = bench.register(marked().with("bad", true));
    bench.board().set("bad", props! {});
    bench.board().set("good", props! {});
    let good = bench.register(marked());
    bench.announced(&good).await;
    bench.imports(&["good"]).await;
    assert!(bench.status(&bad).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_announced_by_every_discovery() {
    let boards = vec![Board::new(), Board::new()];
    let bench = Bench::on("own", boards, Policy::default());
    let service = bench.register(marked());
    bench.announced(&service).await;
    let pinned: Vec<_> = bench.boards.iter().map(|board| board.pinned()).collect();
    assert_eq!(pinned[0].len(), 1);
    assert_eq!(pinned[0], pinned[1]);
}
