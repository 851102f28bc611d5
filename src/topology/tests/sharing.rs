//! Several who export and announce one service (122.3.1).

use super::*;

impl Bench {
    /// One more topology manager of the same admin.
    fn another(&self, board: &Arc<Board>, policy: Policy) -> TopologyManager {
        let discoveries = Discoveries::default().with(board);
        TopologyManager::start(self.admin.clone(), &self.registry, discoveries, policy)
    }
}

/// Rule T03.
#[tokio::test(start_paused = true)]
async fn two_topology_managers_share_one_endpoint_and_one_announcement() {
    let bench = bench(Policy::default());
    let fake = Fake::of("c.one");
    bench.add(&fake);
    let other = bench.another(&bench.board, Policy::default());
    let service = bench.register(marked(&["c.one"]));
    bench.hear("e", props! {});
    settled().await;
    assert_eq!(bench.admin.exports().len(), 2);
    assert_eq!(bench.admin.imports().len(), 2);
    assert_eq!(fake.attempts.lock().len(), 1);
    assert_eq!(bench.announced(), ["c.one"]);
    // One lets go: the announcement is the other's as well.
    other.stop().await.unwrap().close().await;
    settled().await;
    assert_eq!(
        (bench.admin.exports().len(), bench.admin.imports().len()),
        (1, 1)
    );
    assert_eq!(bench.announced(), ["c.one"]);
    drop(service);
    settled().await;
    assert!(bench.announced().is_empty());
    bench.end().await;
}

/// Rules T03 and T05: both let go at once.
#[tokio::test(start_paused = true)]
async fn a_shared_announcement_goes_with_the_last_who_wants_it() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    let other = bench.another(&bench.board, Policy::default());
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    assert_eq!(bench.announced(), ["c.one"]);
    service.set_properties(props! { "n" => 1_i32 }).unwrap();
    settled().await;
    assert!(bench.announced().is_empty() && bench.admin.exports().is_empty());
    service.set_properties(marked(&["c.one"])).unwrap();
    settled().await;
    assert_eq!(bench.announced(), ["c.one"]);
    other.stop().await.unwrap().close().await;
    bench.end().await;
}

/// Rules C04 and T03: a user of the admin shares the endpoint, and announces
/// nothing that could be left to him.
#[tokio::test(start_paused = true)]
async fn an_announcement_is_taken_back_though_a_user_shares_the_endpoint() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    let none = props! {};
    let exported = bench.admin.export_service(service.reference(), &none).await;
    let users = exported.unwrap().pop().unwrap();
    assert_eq!(bench.admin.exports().len(), 2);
    assert_eq!(bench.announced(), ["c.one"]);
    service.set_properties(props! { "n" => 1_i32 }).unwrap();
    settled().await;
    assert_eq!(bench.admin.exports().len(), 1, "the user's is the user's");
    assert!(bench.announced().is_empty());
    users.close().await;
    settled().await;
    assert_eq!(*bench.board.calls.lock(), (1, 1));
    bench.end().await;
}

/// Rule T03: managers that announce by different ways each take back their
/// own, and leave the other's alone.
#[tokio::test(start_paused = true)]
async fn each_manager_takes_back_what_it_announced_by_its_own_discovery() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    let own = Arc::new(Board::default());
    let policy = Policy {
        export: crate::filter::Filter::parse("(n=1)").unwrap(),
        ..Policy::default()
    };
    let other = bench.another(&own, policy);
    let service = bench.register(marked(&["c.one"]).with("n", 1_i32));
    settled().await;
    assert_eq!(bench.admin.exports().len(), 2);
    let counts = || (bench.announced().len(), own.announced.lock().len());
    assert_eq!(counts(), (1, 1));
    service
        .set_properties(marked(&["c.one"]).with("n", 2_i32))
        .unwrap();
    settled().await;
    assert_eq!(counts(), (1, 0));
    service
        .set_properties(marked(&["c.one"]).with("n", 1_i32))
        .unwrap();
    settled().await;
    assert_eq!(counts(), (1, 1));
    // A manager that ends takes its own along, though its discovery goes on.
    other.stop().await.unwrap().close().await;
    assert_eq!(counts(), (1, 0));
    drop(service);
    settled().await;
    assert_eq!(counts(), (0, 0));
    bench.end().await;
}

/// Rules T03 and C04: one that is gone without a word is not waited for.
#[tokio::test(start_paused = true)]
async fn what_a_manager_announced_that_was_dropped_goes_with_those_who_are_left() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    let other = bench.another(&bench.board, Policy::default());
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    assert_eq!(bench.admin.exports().len(), 2);
    drop(other);
    settled().await;
    assert_eq!(bench.admin.exports().len(), 1);
    assert_eq!(bench.announced(), ["c.one"]);
    drop(service);
    settled().await;
    assert!(bench.announced().is_empty());
    bench.end().await;
}

/// Rule C04: an end takes back what was announced, and waits for nobody.
#[tokio::test(start_paused = true)]
async fn a_manager_ends_though_discovery_never_answers() {
    let bench = bench(Policy::default());
    bench.add(&Fake::of("c.one"));
    bench.board.silent.store(true, Ordering::Relaxed);
    let gone = bench.register(marked(&["c.one"]));
    let service = bench.register(marked(&["c.one"]));
    settled().await;
    drop(gone);
    settled().await;
    assert_eq!(bench.announced(), ["c.one"]);
    assert_eq!(bench.status(&service).unannounced, 1);
    let board = Arc::clone(&bench.board);
    let ended = tokio::time::timeout(Duration::from_secs(1), bench.end());
    ended.await.unwrap();
    assert!(board.announced.lock().is_empty());
    drop(service);
}
