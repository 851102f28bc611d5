//! What is beyond repair (122.5.1, 122.7): it stays open until it is closed,
//! and nobody gets it any more.

use super::AdminEventKind::{
    ExportError, ExportRegistration, ImportError, ImportRegistration, ImportUpdate,
};
use super::*;

/// Rules X13 and X11.
#[tokio::test]
async fn a_service_whose_endpoint_broke_is_exported_by_another() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let broken = first.description().unwrap();
    assert!(first.broken().is_none());
    bench.trouble(&broken, Trouble::Warning(lost()));
    assert!(first.broken().is_none(), "it works still");
    bench.trouble(&broken, Trouble::Error(lost()));
    assert_eq!(
        first.broken().unwrap().to_string(),
        "cannot listen on 192.0.2.1:80: the socket is gone"
    );
    let second = bench.export(&service).await.pop().unwrap();
    assert!(second.broken().is_none());
    assert_ne!(second.description().unwrap().id(), broken.id());
    assert_eq!(bench.admin.exports().len(), 2);
    first.close().await;
    assert!(first.broken().is_none(), "what is closed answers nothing");
    // The one that works is what is shared.
    let third = bench.export(&service).await.pop().unwrap();
    assert_eq!(third.description(), second.description());
}

/// Rules V06 and I03.
#[tokio::test]
async fn an_endpoint_whose_import_broke_is_imported_by_another_proxy() {
    let bench = bench();
    let described = endpoint("e", props! {});
    let import = || bench.admin.import_service(&described).unwrap();
    let first = import();
    let proxy = first.proxy().unwrap();
    bench.trouble(&described, Trouble::Error(lost()));
    assert!(first.broken().is_some() && proxy.is_registered());
    let second = import();
    assert!(second.broken().is_none());
    assert_ne!(second.proxy().unwrap(), proxy);
    first.close();
    assert!(!proxy.is_registered());
    assert_eq!(import().proxy(), second.proxy());
}

/// Rule T04: a provider takes what is broken along, too.
#[tokio::test]
async fn a_provider_that_goes_ends_what_is_broken_and_what_works() {
    let bench = bench();
    let described = endpoint("e", props! {});
    let broken = bench.admin.import_service(&described).unwrap();
    bench.trouble(&described, Trouble::Error(lost()));
    let works = bench.admin.import_service(&described).unwrap();
    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    assert!(broken.proxy().is_none() && works.proxy().is_none());
    assert!(bench.proxies().is_empty() && bench.is_clean());
}

/// Rule V02: who comes late, or lost events, learns what is broken with what
/// is open.
#[tokio::test]
async fn a_listener_that_missed_the_error_is_told_it_with_what_is_open() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let imported = endpoint("e", props! {});
    let import = bench.admin.import_service(&imported).unwrap();
    let mut lagging = bench.admin.events();
    bench.trouble(&export.description().unwrap(), Trouble::Error(lost()));
    bench.trouble(&imported, Trouble::Error(lost()));
    let kinds = |events: &mut AdminEvents| -> Vec<_> {
        let events = told(events);
        assert!(
            events
                .iter()
                .all(|e| e.error.is_some() == matches!(e.kind, ExportError | ImportError))
        );
        events.iter().map(|event| event.kind).collect()
    };
    let open = [
        ExportRegistration,
        ExportError,
        ImportRegistration,
        ImportError,
    ];
    assert_eq!(kinds(&mut bench.admin.events()), open);
    for n in 0..event::CAPACITY {
        let n = i64::try_from(n).unwrap();
        import.update(&endpoint("e", props! { "n" => n })).unwrap();
    }
    lagging.next().await.unwrap().unwrap_err();
    assert_eq!(kinds(&mut lagging), open);
    import.update(&imported).unwrap();
    assert_eq!(kinds(&mut lagging), [ImportUpdate]);
}
