//! The life of registrations (122.5.5, 122.5.6), and events (122.7).

use futures::FutureExt as _;

use super::AdminEventKind::{
    ExportError, ExportRegistration, ExportUnregistration, ExportUpdate, ImportError,
    ImportRegistration, ImportUnregistration, ImportUpdate,
};
use super::*;

/// Rule L02.
#[tokio::test]
async fn a_valid_registration_has_no_error_and_an_invalid_one_has_at_once() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let service = bench.register(marked());
    let invalid = bench.export(&service).await.pop().unwrap();
    assert!(invalid.error().is_some());
    let told = bench.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, ExportError);
    let error = told[0].error.as_ref().unwrap().to_string();
    assert_eq!(error, invalid.error().unwrap().to_string());
    let (_service, valid) = bench
        .exported(marked().with("service.exported.configs", "c.two"))
        .await;
    assert!(valid.error().is_none());
}

/// Rule L05.
#[tokio::test]
async fn closing_twice_at_once_or_what_is_invalid_does_nothing() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let (_service, export) = bench
        .exported(marked().with("service.exported.configs", "c.two"))
        .await;
    let description = endpoint("e", props! {});
    let import = bench.admin.import_service(&description).unwrap();
    let service = bench.register(marked());
    let invalid = bench.export(&service).await.pop().unwrap();
    bench.events();
    tokio::join!(export.close(), export.close());
    export.close().await;
    import.close();
    import.close();
    invalid.close().await;
    drop((export, import, invalid));
    assert_eq!(bench.events(), [ExportUnregistration, ImportUnregistration]);
    let closed: Vec<_> = bench.fake.log();
    let closed = closed.iter().filter(|entry| entry.starts_with("close "));
    assert_eq!(closed.count(), 1);
}

/// Rules L05 and V01: whoever listens may act at once.
#[tokio::test]
async fn a_listener_may_close_what_it_is_told_of() {
    let bench = bench();
    let mut events = bench.admin.events();
    let (_service, export) = bench.exported(marked()).await;
    let listener = async {
        let told = events.next().await.unwrap().unwrap();
        assert_eq!(told.kind, ExportRegistration);
        export.close().await;
    };
    listener.await;
    assert_eq!(bench.events(), [ExportRegistration, ExportUnregistration]);
    assert!(bench.is_clean());
}

/// Rule L06.
#[tokio::test]
async fn closing_an_export_waits_until_the_provider_is_done() {
    let mut fake = Fake::new(None);
    fake.closing = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let (_service, export) = bench.exported(marked()).await;
    let mut closing = Box::pin(export.close());
    assert!(closing.as_mut().now_or_never().is_none());
    // It is on the list no more, though its end goes on.
    assert!(bench.admin.exported().is_empty());
    bench.fake.closing.add_permits(1);
    closing.await;
    let log = bench.fake.log();
    assert_eq!(
        log.last().unwrap(),
        "close c.one org.example.A org.example.B"
    );
    assert!(bench.is_clean());
}

/// Rule L06, for whoever drops instead of closing.
#[tokio::test]
async fn dropping_a_registration_cuts_off_too() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let import = bench
        .admin
        .import_service(&export.description().unwrap())
        .unwrap();
    drop(export);
    assert!(bench.fake.endpoints.lock().is_empty());
    drop(import);
    assert!(bench.proxies().is_empty() && bench.is_clean());
    assert_eq!(
        bench.events(),
        [
            ExportRegistration,
            ImportRegistration,
            ExportUnregistration,
            ImportUnregistration
        ]
    );
}

/// Rule V03.
#[test]
fn kinds_have_the_numbers_of_osgi() {
    let codes = [
        (ImportRegistration, 1),
        (ExportRegistration, 2),
        (ExportUnregistration, 3),
        (ImportUnregistration, 4),
        (ImportError, 5),
        (ExportError, 6),
        (AdminEventKind::ExportWarning, 7),
        (AdminEventKind::ImportWarning, 8),
        (ImportUpdate, 9),
        (ExportUpdate, 10),
    ];
    for (kind, code) in codes {
        assert_eq!(kind.code(), code, "{kind:?}");
    }
}

/// Rule V04.
#[tokio::test]
async fn there_is_an_event_for_each_registration_made_updated_and_closed() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let second = bench.export(&service).await.pop().unwrap();
    let description = first.description().unwrap();
    let imports: Vec<_> = (0..2)
        .map(|_| bench.admin.import_service(&description).unwrap())
        .collect();
    service.set_properties(marked().with("n", 1_i32)).unwrap();
    let after = first.update(None).unwrap();
    imports[1].update(&after).unwrap();
    first.close().await;
    imports[0].close();
    imports[1].close();
    second.close().await;
    let told = bench.told();
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            ExportRegistration,
            ExportRegistration,
            ImportRegistration,
            ImportRegistration,
            ExportUpdate,
            ImportUpdate,
            ExportUnregistration,
            ImportUnregistration,
            ImportUnregistration,
            ExportUnregistration
        ]
    );
    // Rule V05: the event tells of which endpoint, when the registration is
    // silent already.
    assert!(told.iter().all(|event| event.endpoint.is_some()));
    assert!(first.description().is_none());
}

/// A listener that sleeps is told what it lost, and harms nobody.
#[tokio::test]
async fn a_listener_that_lags_is_told_how_much_it_lost() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let mut events = bench.admin.events();
    let extra = 10;
    for n in 0..event::CAPACITY + extra {
        let n = i64::try_from(n).unwrap();
        import.update(&endpoint("e", props! { "n" => n })).unwrap();
    }
    let lost = events.next().await.unwrap().unwrap_err();
    assert_eq!(lost.0, u64::try_from(extra).unwrap());
    assert!(lost.to_string().contains("ask the admin for its snapshots"));
    assert_eq!(events.next().await.unwrap().unwrap().kind, ImportUpdate);
}

/// Closing the admin ends its providers, and exports and imports need one.
#[tokio::test]
async fn a_closed_admin_has_no_provider_left() {
    let bench = bench();
    bench.admin.close().await;
    assert_eq!(bench.fake.log(), ["closed"]);
    let service = bench.register(marked());
    assert!(bench.export(&service).await.is_empty());
    let described = endpoint("e", props! {});
    assert!(bench.admin.import_service(&described).is_none());
    assert!(bench.admin.config_types().is_empty());
}
