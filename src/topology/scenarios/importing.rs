//! What is imported.

use super::*;

fn on_demand(linger: Duration) -> Policy {
    Policy {
        on_demand: Some(linger),
        ..Policy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_before_and_after_the_start_are_imported_once_and_let_go() {
    let board = Board::new();
    board.set("before", props! {});
    let bench = Bench::on("own", vec![board], Policy::default());
    bench.imports(&["before"]).await;
    bench.board().set("after", props! {});
    bench.board().set("after", props! {});
    bench.imports(&["after", "before"]).await;
    bench.board().remove("after");
    bench.board().remove("unknown");
    bench.imports(&["before"]).await;
}

#[tokio::test(start_paused = true)]
async fn e13_an_endpoint_that_leaves_the_scope_is_let_go() {
    let policy = Policy {
        import: vec![Filter::parse("(x=1)").unwrap()],
        ..Policy::default()
    };
    let bench = Bench::new(policy);
    bench.board().set("e", props! { "x" => 1_i32 });
    bench.imports(&["e"]).await;
    bench.board().set("e", props! { "x" => 2_i32 });
    bench.imports(&[]).await;
    bench.board().set("e", props! { "x" => 1_i32 });
    bench.imports(&["e"]).await;
}

#[tokio::test(start_paused = true)]
async fn e07_an_endpoint_of_two_discoveries_is_one_proxy_until_both_let_go() {
    for first_to_go in [0, 1] {
        let boards = vec![Board::new(), Board::new()];
        let bench = Bench::on("own", boards, Policy::default());
        bench.boards[1].set("e", props! { "from" => "file" });
        bench.imports(&["e"]).await;
        let proxy = bench.registry.references(Some("org.example.A"), None);
        bench.boards[0].set("e", props! { "from" => "etcd" });
        let from = |expected: &'static str| {
            let bench = &bench;
            async move {
                eventually(expected, || {
                    let imported = bench.admin.imported();
                    let from = imported.first()?.properties().get_str("from")?.to_owned();
                    (from == expected && imported.len() == 1).then_some(())
                })
                .await;
            }
        };
        from("etcd").await;
        bench.boards[first_to_go].remove("e");
        // What remains counts; another endpoint shows that the news is in.
        bench.boards[first_to_go].set("marker", props! {});
        bench.imports(&["e", "marker"]).await;
        bench.boards[first_to_go].remove("marker");
        bench.imports(&["e"]).await;
        from(if first_to_go == 0 { "file" } else { "etcd" }).await;
        let now = bench.registry.references(Some("org.example.A"), None);
        assert_eq!(proxy, now, "the very same proxy");
        bench.boards[1 - first_to_go].remove("e");
        bench.imports(&[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn e08_a_discovery_that_stops_takes_its_proxies_along() {
    let boards = vec![Board::new(), Board::new()];
    let bench = Bench::on("own", boards, Policy::default());
    bench.boards[0].set("mine", props! {});
    bench.boards[0].set("both", props! {});
    bench.boards[1].set("both", props! {});
    bench.boards[1].set("other", props! {});
    bench.imports(&["both", "mine", "other"]).await;
    bench.boards[0].feed.close();
    bench.imports(&["both", "other"]).await;
    bench.boards[1].set("late", props! {});
    bench.imports(&["both", "late", "other"]).await;
}

#[tokio::test(start_paused = true)]
async fn e10_two_frameworks_of_one_process_import_each_others_only() {
    let board = Board::new();
    let one = Bench::on("one", vec![Arc::clone(&board)], Policy::default());
    let two = Bench::on("two", vec![Arc::clone(&board)], Policy::default());
    let of_one = one.register(marked());
    let of_two = two.register(marked());
    let id = |status: Arc<ExportStatus>| status.endpoints[0].id().to_string();
    let id_of_one = id(one.announced(&of_one).await);
    let id_of_two = id(two.announced(&of_two).await);
    one.imports(&[&id_of_two]).await;
    two.imports(&[&id_of_one]).await;
}

#[tokio::test(start_paused = true)]
async fn e11_a_dead_endpoint_fails_by_itself() {
    let bench = Bench::new(Policy::default());
    bench
        .board()
        .set("dead", props! { "ecf.endpoint.id" => "dead" });
    bench.board().set("alive", props! {});
    bench.imports(&["alive"]).await;
    // Once it says how to be called it is imported.
    bench
        .board()
        .set("dead", props! { "ecf.endpoint.id" => "well" });
    bench.imports(&["alive", "dead"]).await;
}

#[tokio::test(start_paused = true)]
async fn t07_what_somebody_tracks_is_imported_and_goes_a_while_after() {
    let linger = Duration::from_secs(10);
    let bench = Bench::new(on_demand(linger));
    let b = props! { "objectClass" => ["org.example.B"] };
    bench.board().set("a1", props! { "color" => "blue" });
    bench.board().set("a2", props! { "color" => "red" });
    bench.board().set("b1", b);
    let of_b = bench.registry.track::<dyn B>(None);
    bench.imports(&["b1"]).await;

    let filter = Filter::parse("(&(service.imported=*)(color=blue))").unwrap();
    let blue = bench.registry.track::<dyn A>(Some(filter.clone()));
    bench.imports(&["a1", "b1"]).await;
    // One that comes, one that changes so that it fits, and one that does not
    // fit any more.
    bench.board().set("a3", props! { "color" => "blue" });
    bench.board().set("a2", props! { "color" => "blue" });
    bench.imports(&["a1", "a2", "a3", "b1"]).await;
    bench.board().remove("a3");
    bench.imports(&["a1", "a2", "b1"]).await;

    drop(blue);
    let ended = tokio::time::Instant::now();
    tokio::time::sleep(linger / 2).await;
    assert_eq!(
        bench.imported(),
        ["a1", "a2", "b1"],
        "they stay for a while"
    );
    let proxy = bench.registry.references(Some("org.example.A"), None);
    let again = bench.registry.track::<dyn A>(Some(filter));
    tokio::time::sleep(linger).await;
    assert_eq!(
        proxy,
        bench.registry.references(Some("org.example.A"), None)
    );
    assert!(ended.elapsed() > linger);
    drop(again);
    let ended = tokio::time::Instant::now();
    bench.imports(&["b1"]).await;
    assert!(ended.elapsed() >= linger && ended.elapsed() < linger * 2);
    drop(of_b);
    bench.imports(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn t07_who_waits_for_a_service_gets_it() {
    let bench = Bench::new(on_demand(Duration::from_secs(10)));
    bench.board().set("a1", props! {});
    bench
        .board()
        .set("b1", props! { "objectClass" => ["org.example.B"] });
    let found = bench
        .registry
        .wait_for::<dyn B>(None, Duration::from_secs(5));
    assert_eq!(found.await.unwrap().b().await.unwrap(), "b1");
    assert_eq!(bench.imported(), ["b1"]);
    assert!(!bench.registry.demands().snapshot().iter().any(|_| true));
    bench.imports(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn t07_a_policy_may_import_some_always_and_some_on_demand() {
    struct Mixed;
    impl TopologyPolicy for Mixed {
        fn import(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> Import {
            match endpoint.properties().get_str("when") {
                Some("always") => Import::Always,
                Some("demand") => Import::OnDemand,
                _ => Import::Never,
            }
        }
    }
    let bench = Bench::new(Mixed);
    let tracker = bench.registry.track::<dyn A>(None);
    for when in ["always", "demand", "never"] {
        bench.board().set(when, props! { "when" => when });
    }
    bench.imports(&["always", "demand"]).await;
    drop(tracker);
    bench.imports(&["always"]).await;
    // From one to the other, while nobody wants it.
    bench.board().set("always", props! { "when" => "demand" });
    bench.imports(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn t08_of_three_endpoints_the_best_is_used_and_the_next_when_it_goes() {
    let bench = Bench::new(Policy::default());
    for (id, ranking) in [("low", i32::MIN), ("high", i32::MAX), ("middle", 0)] {
        bench
            .board()
            .set(id, props! { "service.ranking" => ranking });
    }
    bench.imports(&["high", "low", "middle"]).await;
    for (best, then) in [
        ("high", vec!["low", "middle"]),
        ("middle", vec!["low"]),
        ("low", vec![]),
    ] {
        let found = bench.registry.find::<dyn A>(None).unwrap();
        assert_eq!(found.a().await.unwrap(), best);
        bench.board().remove(best);
        bench.imports(&then).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_manager_closes_its_proxies_though_nobody_removed_the_endpoints() {
    let bench = Bench::new(on_demand(Duration::from_secs(10)));
    bench.board().set("e", props! {});
    let _tracker = bench.registry.track::<dyn A>(None);
    bench.imports(&["e"]).await;
    bench.topology.stop().await.unwrap().close().await;
    assert!(bench.admin.imported().is_empty());
    assert!(!bench.boards[0].pinned().is_empty());
}
