//! The life of registrations (122.5.5, 122.5.6).

use futures::FutureExt as _;

use super::AdminEventKind::{
    ExportError, ExportRegistration, ExportUnregistration, ImportRegistration, ImportUnregistration,
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
    // Closing what is invalid does not make it valid, nor forget why.
    assert!(invalid.error().is_some());
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

/// Rules L03 and L04.
#[tokio::test]
async fn an_invalid_registration_has_no_reference_and_a_closed_one_has_none_any_more() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let service = bench.register(marked());
    let invalid = bench.export(&service).await.pop().unwrap();
    let error = invalid.reference().unwrap_err();
    assert!(matches!(error, AdminError::Invalid(_)), "{error}");
    let broken = endpoint("f", props! { "ecf.endpoint.id" => "broken" });
    let invalid = bench.admin.import_service(&broken).unwrap();
    assert!(matches!(invalid.reference(), Err(AdminError::Invalid(_))));

    let (service, export) = bench
        .exported(marked().with("service.exported.configs", "c.two"))
        .await;
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let exported = export.reference().unwrap().unwrap();
    let imported = import.reference().unwrap().unwrap();
    assert_eq!(exported.service().as_ref(), Some(service.reference()));
    assert_eq!(exported.description(), export.description());
    assert_eq!(imported.proxy(), import.proxy());
    assert!(imported.proxy().is_some() && imported.description().is_some());
    export.close().await;
    import.close();
    assert!(export.reference().unwrap().is_none() && import.reference().unwrap().is_none());
    assert!(exported.service().is_none() && exported.description().is_none());
    assert!(imported.proxy().is_none() && imported.description().is_none());
    assert!(export.service().is_none() && export.config_type().is_none());
}

/// Rules L01 and L05: registrations end with who made them, and may be closed
/// by anybody at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn registrations_are_closed_from_many_threads_and_in_any_order() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    let description = export.description().unwrap();
    let mut ends = Vec::new();
    for n in 0..40 {
        if n % 2 == 0 {
            let export = bench.export(&service).await.pop().unwrap();
            ends.push(tokio::spawn(async move {
                tokio::join!(export.close(), export.close());
            }));
        } else {
            let import = bench.admin.import_service(&description).unwrap();
            ends.push(tokio::task::spawn_blocking(move || {
                import.close();
                import.close();
            }));
        }
    }
    for end in ends {
        end.await.unwrap();
    }
    // The one that is left kept the endpoint alive all the time.
    assert_eq!(export.description(), Some(description));
    export.close().await;
    assert!(bench.is_clean() && bench.proxies().is_empty());
    let told = bench.events();
    for (opened, closed, count) in [
        (ExportRegistration, ExportUnregistration, 21),
        (ImportRegistration, ImportUnregistration, 20),
    ] {
        for kind in [opened, closed] {
            assert_eq!(
                told.iter().filter(|k| **k == kind).count(),
                count,
                "{kind:?}"
            );
        }
    }
    let closed = bench
        .fake
        .log()
        .iter()
        .filter(|e| e.starts_with("close "))
        .count();
    assert_eq!(closed, 1);
}

/// Rule C04: who called an export calls nothing once its service is gone.
#[tokio::test]
async fn an_export_ends_with_its_service() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    let reference = export.reference().unwrap().unwrap();
    let import = bench
        .admin
        .import_service(&export.description().unwrap())
        .unwrap();
    bench.events();
    service.unregister();
    assert!(export.description().is_none() && reference.description().is_none());
    assert!(bench.admin.exports().is_empty());
    assert_eq!(bench.events(), [ExportUnregistration]);
    let error = import.proxy().unwrap().get::<dyn A>().unwrap().a().await;
    assert!(matches!(error, Err(CallError::EndpointRemoved { .. })));
    drop((export, import));
    // The provider's end of it is waited for.
    bench.admin.close().await;
    assert!(
        bench
            .fake
            .log()
            .contains(&"close c.one org.example.A org.example.B".to_owned())
    );
}

/// Rule C04, for a service that goes while its export is on the way.
#[tokio::test]
async fn a_service_that_goes_while_it_is_exported_leaves_an_invalid_registration() {
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let service = bench.register(marked());
    let (reference, overlay) = (service.reference().clone(), props! {});
    let mut export = Box::pin(bench.admin.export_service(&reference, &overlay));
    assert!(export.as_mut().now_or_never().is_none());
    service.unregister();
    bench.fake.opening.add_permits(1);
    let exports = export.await.unwrap();
    let error = exports[0].error().unwrap().to_string();
    assert_eq!(
        error,
        format!("service {} is not registered any more", reference.id())
    );
    assert_eq!(bench.events(), [ExportError]);
    assert!(bench.is_clean());
}

/// Rule L07.
#[tokio::test(start_paused = true)]
async fn a_provider_that_never_finishes_is_given_up() {
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let service = bench.register(marked());
    let begun = tokio::time::Instant::now();
    let invalid = bench.export(&service).await.pop().unwrap();
    assert_eq!(begun.elapsed(), export::SET_UP);
    let error = invalid.error().unwrap().to_string();
    assert_eq!(
        error,
        "the provider of c.one did not make the endpoint within 30 s"
    );
    assert!(bench.is_clean());
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

/// Tells at compile time whether a type can be copied.
struct Copies<T>(std::marker::PhantomData<T>);

impl<T: Clone> Copies<T> {
    fn can(&self) -> bool {
        true
    }
}

trait Otherwise {
    fn can(&self) -> bool {
        false
    }
}

impl<T> Otherwise for Copies<T> {}

/// Rule L08.
#[tokio::test]
async fn references_are_given_to_anybody_and_end_nothing_and_registrations_have_one_owner() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let import = bench
        .admin
        .import_service(&export.description().unwrap())
        .unwrap();
    let exported = export.reference().unwrap().unwrap();
    let imported = import.reference().unwrap().unwrap();
    let elsewhere = (exported.clone(), imported.clone());
    std::thread::spawn(move || drop(elsewhere)).join().unwrap();
    drop((exported, imported, bench.admin.exports(), bench.told()));
    assert_eq!(bench.admin.exports().len(), 1);
    let a = import.proxy().unwrap().get::<dyn A>().unwrap();
    assert_eq!(a.a().await.unwrap(), "a");
    assert!(Copies::<ExportReference>(std::marker::PhantomData).can());
    assert!(!Copies::<crate::admin::ExportRegistration>(std::marker::PhantomData).can());
    assert!(!Copies::<crate::admin::ImportRegistration>(std::marker::PhantomData).can());
}
