//! Switches.

use std::time::Duration;

use futures::future::join_all;
use osgi_remote::catalog::switches::{self, Error, Swap, Switches};
use osgi_remote::catalog::{EntryName, TreeRoot};

use crate::support::{Server, Store, on_each_server};
use crate::{SOON, client, options};

on_each_server!(
    many_who_toggle_at_once_all_do,
    of_many_who_compare_and_set_one_wins,
    a_swap_that_is_refused_leaves_neither_value_nor_lease,
    a_watch_tells_of_switches,
);

fn root() -> TreeRoot {
    "/prod".parse().unwrap()
}

fn switches(server: &Store) -> Switches {
    Switches::new(client(server), &root())
}

fn name() -> EntryName {
    "a".parse().unwrap()
}

async fn many_who_toggle_at_once_all_do(server: Server) {
    const CLIENTS: usize = 4;
    const TOGGLES: usize = 10;
    switches(&server).set(&name(), "no", None).await.unwrap();
    let work = (0..CLIENTS).map(|_| async {
        let switches = switches(&server);
        let mut on = 0;
        for _ in 0..TOGGLES {
            on += usize::from(switches.toggle(&name()).await.unwrap());
        }
        on
    });
    let on: usize = join_all(work).await.into_iter().sum();
    assert_eq!(on, CLIENTS * TOGGLES / 2);
    let entry = server.get("/prod/switch/a").await.unwrap();
    // Each wrote once for each toggle.
    assert_eq!(entry.version, 1 + i64::try_from(CLIENTS * TOGGLES).unwrap());
    assert_eq!(entry.value, b"no");
}

async fn of_many_who_compare_and_set_one_wins(server: Server) {
    let swap = |value: &'static str, previous: &'static str| {
        let switches = switches(&server);
        async move {
            switches
                .compare_and_set(&name(), value, previous, None)
                .await
        }
    };
    for (previous, won) in [("anything", Swap::Created), ("x", Swap::Replaced)] {
        let value = if won == Swap::Created { "x" } else { "y" };
        let swaps = join_all((0..6).map(|_| swap(value, previous))).await;
        let of = |kind| swaps.iter().filter(|swap| **swap == Ok(kind)).count();
        assert_eq!((of(won), of(Swap::Refused)), (1, 5), "{swaps:?}");
    }
}

async fn a_swap_that_is_refused_leaves_neither_value_nor_lease(server: Server) {
    let switches = switches(&server);
    switches.set(&name(), "maybe", None).await.unwrap();
    let ttl = Some(Duration::from_secs(60));
    let swap = switches.compare_and_set(&name(), "yes", "no", ttl).await;
    assert_eq!(swap, Ok(Swap::Refused));
    assert_eq!(server.leases().await, Vec::<i64>::new());
    let error = switches.toggle(&name()).await.unwrap_err();
    assert!(matches!(error, Error::NotBoolean { .. }), "{error}");
    let removed = switches.remove(&name()).await.unwrap().unwrap();
    assert_eq!(removed.value, "maybe");
    let error = switches.toggle(&name()).await.unwrap_err();
    assert!(matches!(error, Error::NotSet { .. }), "{error}");
}

async fn a_watch_tells_of_switches(server: Server) {
    let watch = switches::watch(options(&server), &root()).unwrap();
    let mut changes = watch.listen();
    let switches = switches(&server);
    switches.set(&name(), "On", None).await.unwrap();
    let change = tokio::time::timeout(SOON, changes.next()).await.unwrap();
    assert_eq!(change.unwrap().key(), "a");
    assert_eq!(watch.snapshot()[0].is_on(), Some(true));
}
