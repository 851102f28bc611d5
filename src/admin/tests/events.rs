//! Events (122.7), and the lists that go with them (122.5.4).

use super::AdminEventKind::{
    ExportError, ExportRegistration, ExportUnregistration, ExportUpdate, ExportWarning,
    ImportError, ImportRegistration, ImportUnregistration, ImportUpdate, ImportWarning,
};
use super::*;

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
        (ExportWarning, 7),
        (ImportWarning, 8),
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
            ExportUpdate,
            ImportUpdate,
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

/// Which registrations are open, as a listener adds it up. It panics at what
/// does not add up (RELIABILITY's I4).
#[derive(Default)]
struct Folded(std::collections::BTreeMap<u64, Arc<EndpointDescription>>);

impl Folded {
    /// Adds what is told now. Who lost events begins again.
    fn take_all(&mut self, events: &mut AdminEvents) {
        while let Some(event) = events.try_next() {
            match event {
                Ok(event) => self.add(&event),
                Err(EventsLost(_)) => self.0.clear(),
            }
        }
    }

    fn add(&mut self, event: &AdminEvent) {
        let number = event.reference.number();
        let endpoint = event.endpoint.clone();
        match event.kind {
            ExportRegistration | ImportRegistration => {
                let before = self.0.insert(number, endpoint.unwrap());
                assert!(before.is_none(), "{number} is opened twice");
            }
            ExportUpdate | ImportUpdate => {
                let before = self.0.insert(number, endpoint.unwrap());
                assert!(before.is_some(), "{number} is updated and not open");
            }
            ExportUnregistration | ImportUnregistration => {
                assert!(
                    self.0.remove(&number).is_some(),
                    "{number} is closed and not open"
                );
            }
            ExportWarning | ImportWarning => assert!(self.0.contains_key(&number)),
            ExportError | ImportError => assert!(event.error.is_some()),
        }
    }

    fn is_what_is_open(&self, admin: &RemoteServiceAdmin) {
        let mut open: Vec<_> = admin
            .exports()
            .iter()
            .map(ExportReference::number)
            .collect();
        open.extend(admin.imports().iter().map(ImportReference::number));
        open.sort_unstable();
        assert_eq!(self.0.keys().copied().collect::<Vec<_>>(), open);
    }
}

/// Rule V02.
#[tokio::test]
async fn a_late_listener_is_told_first_of_what_is_open() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    let closed = bench.export(&service).await.pop().unwrap();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    closed.close().await;
    let mut late = bench.admin.events();
    import
        .update(&endpoint("e", props! { "n" => 1_i32 }))
        .unwrap();
    let told = told(&mut late);
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [ExportRegistration, ImportRegistration, ImportUpdate]
    );
    let reference = export.reference().unwrap().unwrap();
    assert_eq!(told[0].reference, AdminReference::Export(reference));
    assert_eq!(told[0].endpoint, export.description());
    assert_eq!(told[0].source.as_str(), "framework");
}

/// Rules V03 and V05: the reference is always there; of what is closed it
/// answers nothing, and the event has the endpoint besides.
#[tokio::test]
async fn an_event_tells_of_which_registration_and_of_the_endpoint_as_it_was() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let service = bench.register(marked());
    drop(bench.export(&service).await);
    let failed = bench.told().pop().unwrap();
    assert_eq!((failed.kind, failed.endpoint), (ExportError, None));
    assert!(matches!(failed.reference, AdminReference::Export(_)));
    assert!(failed.reference.description().is_none() && failed.error.is_some());

    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let opened = bench.told().pop().unwrap();
    import.close();
    let closed = bench.told().pop().unwrap();
    assert_eq!(closed.reference, opened.reference);
    assert!(closed.reference.description().is_none());
    assert_eq!(closed.endpoint.unwrap().id().as_str(), "e");
    assert!(closed.error.is_none());
}

/// Rules X13 and V06: who exported decides what becomes of it.
#[tokio::test]
async fn trouble_is_told_for_each_registration_and_closes_none() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let _second = bench.export(&service).await.pop().unwrap();
    let exported = first.description().unwrap();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let imported = import.description().unwrap();
    bench.events();
    bench.trouble(&exported, Trouble::Warning(lost()));
    bench.trouble(&exported, Trouble::Error(lost()));
    bench.trouble(&imported, Trouble::Warning(lost()));
    bench.trouble(&imported, Trouble::Error(lost()));
    let told = bench.told();
    let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            ExportWarning,
            ExportWarning,
            ExportError,
            ExportError,
            ImportWarning,
            ImportError
        ]
    );
    for event in told {
        let error = event.error.unwrap().to_string();
        assert_eq!(error, "cannot listen on 192.0.2.1:80: the socket is gone");
        assert!(event.reference.description().is_some());
    }
    assert_eq!(
        (bench.admin.exports().len(), bench.admin.imports().len()),
        (2, 1)
    );
    assert!(first.error().is_none() && import.error().is_none());
    // Trouble of what is closed is nobody's.
    import.close();
    bench.events();
    bench.trouble(&imported, Trouble::Error(lost()));
    assert!(bench.events().is_empty());
}

/// A listener that sleeps is told how much it lost, harms nobody, and knows
/// the truth again from what follows.
#[tokio::test]
async fn a_listener_that_lags_is_told_its_loss_and_then_what_is_open() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let mut lagging = bench.admin.events();
    let news = event::CAPACITY + 10;
    for n in 0..news {
        let n = i64::try_from(n).unwrap();
        import.update(&endpoint("e", props! { "n" => n })).unwrap();
    }
    export.close().await;
    let lost = lagging.next().await.unwrap().unwrap_err();
    // Two that were told of at the beginning, the updates and the end.
    assert_eq!(lost.0, u64::try_from(2 + news + 1).unwrap());
    assert!(lost.to_string().contains("what is open now is told anew"));
    let mut folded = Folded::default();
    for event in told(&mut lagging) {
        folded.add(&event);
    }
    folded.is_what_is_open(&bench.admin);
    let told: Vec<_> = folded.0.into_values().collect();
    assert!(told[0].same_content(&import.description().unwrap()));
    import.close();
    let next = lagging.next().await.unwrap().unwrap();
    assert_eq!(next.kind, ImportUnregistration);
}

/// What is open at the beginning does not count against a listener.
#[tokio::test]
async fn a_late_listener_to_many_registrations_loses_nothing() {
    let bench = bench();
    let imports: Vec<_> = (0..event::CAPACITY + 10)
        .map(|n| {
            bench
                .admin
                .import_service(&endpoint(&n.to_string(), props! {}))
                .unwrap()
        })
        .collect();
    let mut late = bench.admin.events();
    imports[0]
        .update(&endpoint("0", props! { "n" => 1_i32 }))
        .unwrap();
    assert_eq!(told(&mut late).len(), imports.len() + 1);
}

/// Rule V01: each thing is in the listener's queue before the call returns,
/// and one listener's lag is not another's.
#[tokio::test]
async fn listeners_are_told_by_themselves_and_in_the_order_of_what_happens() {
    let bench = bench();
    let (mut one, mut other) = (bench.admin.events(), bench.admin.events());
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    assert_eq!(told(&mut one).len(), 1);
    import.close();
    assert_eq!(told(&mut one)[0].kind, ImportUnregistration);
    let both: Vec<_> = told(&mut other).iter().map(|event| event.kind).collect();
    assert_eq!(both, [ImportRegistration, ImportUnregistration]);
}

#[tokio::test]
async fn a_waiting_listener_wakes_and_ends_with_the_admin() {
    let bench = bench();
    let mut events = bench.admin.events();
    let waiting = tokio::spawn(async move {
        let first = events.next().await.map(|event| event.unwrap().kind);
        (first, events.next().await.is_none())
    });
    tokio::task::yield_now().await;
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    tokio::task::yield_now().await;
    drop(bench);
    drop(import);
    assert_eq!(waiting.await.unwrap(), (Some(ImportRegistration), true));
}

/// Rules V02 and I4: listeners that come in the middle of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listener_that_comes_in_the_middle_of_everything_adds_up_to_what_is_open() {
    let bench = bench();
    let admin = &bench.admin;
    std::thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || {
                for n in 0..100 {
                    let id = (thread + n) % 4;
                    let n = i64::from(n);
                    let described = endpoint(&id.to_string(), props! { "n" => n });
                    let import = admin.import_service(&described);
                    if n % 7 == 0 {
                        std::mem::forget(import);
                    }
                }
            });
        }
        for _ in 0..20 {
            let mut events = admin.events();
            scope.spawn(move || {
                let mut folded = Folded::default();
                // Whatever was told so far adds up, whenever that is.
                for _ in 0..50 {
                    folded.take_all(&mut events);
                    std::thread::yield_now();
                }
            });
        }
    });
    let mut folded = Folded::default();
    folded.take_all(&mut admin.events());
    folded.is_what_is_open(admin);
    assert_eq!(admin.imports().len(), 45);
}
