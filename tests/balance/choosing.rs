//! Which endpoint a call goes to, by what exporters say.

use futures::StreamExt;
use osgi_remote::services::ServiceEventKind;

use crate::*;

on_each_server!([embedded, etcd_3_5](
    a_change_of_ranking_at_the_exporter_moves_the_calls,
    priority_and_weight_cross_beside_the_properties_and_decide,
    an_export_tells_its_traits_version_and_a_consumer_of_another_gets_none,
));

async fn a_change_of_ranking_at_the_exporter_moves_the_calls(etcd: Server) {
    // OSGi rules C03 and G04.
    let book = Book::default();
    let a = Host::start(&etcd, "a", &book, props! { "service.ranking" => 1_i32 }).await;
    let b = Host::start(&etcd, "b", &book, props! { "service.ranking" => 2_i32 }).await;
    let guest = guest(&etcd, 2).await;
    let counted = guest
        .balanced::<dyn Counted>("(service.imported=*)", Balance::ranking())
        .unwrap();
    assert_eq!(counted.write(next_call()).await.unwrap(), "b");
    let mut changes = guest.changes("(service.ranking=3)").unwrap();
    let higher = props! { "service.ranking" => 3_i32, "name" => "a" };
    a.export.set_properties(higher).unwrap();
    let change = tokio::time::timeout(SOON, StreamExt::next(&mut changes)).await;
    assert_eq!(change.unwrap().unwrap().kind, ServiceEventKind::Registered);
    assert_eq!(counted.write(next_call()).await.unwrap(), "a");
    guest.shutdown().await.unwrap();
    a.shutdown().await;
    b.shutdown().await;
}

async fn priority_and_weight_cross_beside_the_properties_and_decide(etcd: Server) {
    let book = Book::default();
    let announced = |priority: i32, weight: i32| {
        props! {
            "ecf.endpoint.discovery.priority" => priority,
            "ecf.endpoint.discovery.weight" => weight,
        }
    };
    let spare = Host::start(&etcd, "spare", &book, announced(1, 5)).await;
    let heavy = Host::start(&etcd, "heavy", &book, announced(0, 80)).await;
    let light = Host::start(&etcd, "light", &book, announced(0, 20)).await;
    for kv in etcd.get_prefix("").await {
        let text = String::from_utf8(kv.value.clone()).unwrap();
        assert!(!text.contains("ecf.endpoint.discovery"), "{text}");
        if text.contains("\"spare\"") {
            assert!(text.contains("\"priority\":1,\"weight\":5"), "{text}");
        }
    }
    let guest = guest(&etcd, 3).await;
    let balance = Balance::priority().seed(1);
    let counted = guest
        .balanced::<dyn Counted>("(service.imported=*)", balance)
        .unwrap();
    for _ in 0..200 {
        counted.write(next_call()).await.unwrap();
    }
    let calls = |host: &Host| host.calls.load(Ordering::SeqCst);
    assert_eq!((calls(&spare), calls(&heavy) + calls(&light)), (0, 200));
    assert!(
        (130..190).contains(&calls(&heavy)),
        "{} of 200",
        calls(&heavy)
    );
    heavy.shutdown().await;
    light.shutdown().await;
    knows(&guest, 1).await;
    assert_eq!(counted.write(next_call()).await.unwrap(), "spare");
    guest.shutdown().await.unwrap();
    spare.shutdown().await;
}

/// The same interface, as a consumer of a later version knows it.
mod later {
    use osgi_remote::interface::CallError;
    use osgi_remote::remote_service;

    #[remote_service("org.example.counted.Counted", version = "2.0.0")]
    pub(crate) trait Counted {
        async fn write(&self, call: u64) -> Result<String, CallError>;
    }
}

async fn an_export_tells_its_traits_version_and_a_consumer_of_another_gets_none(etcd: Server) {
    // OSGi rules D09 and I07.
    let book = Book::default();
    let old = Host::start(&etcd, "old", &book, props! {}).await;
    let new = "endpoint.package.version.org.example.counted";
    let new = Host::start(&etcd, "new", &book, props! {}.with(new, "2.1.0")).await;
    let package = "org.example.counted";
    let version = |host: &Host| host.framework.admin().exported()[0].package_version(package);
    assert_eq!(version(&old).to_string(), "1.2.0");
    assert_eq!(
        version(&new).to_string(),
        "2.1.0",
        "the service's property wins"
    );
    let guest = guest(&etcd, 2).await;
    let find = guest.wait_for::<dyn Counted>("(service.imported=*)", SOON);
    assert_eq!(find.await.unwrap().write(next_call()).await.unwrap(), "old");
    let find = guest.wait_for::<dyn later::Counted>("(service.imported=*)", SOON);
    let later = find.await.unwrap();
    assert_eq!(
        later::Counted::write(&*later, next_call()).await.unwrap(),
        "new"
    );
    guest.shutdown().await.unwrap();
    old.shutdown().await;
    new.shutdown().await;
}
