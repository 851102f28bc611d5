//! What a client with some permissions only may do and see (122.11).

use super::*;

const READ: EndpointAction = EndpointAction::Read;
const IMPORT: EndpointAction = EndpointAction::Import;
const EXPORT: EndpointAction = EndpointAction::Export;

fn permission(filter: &str, actions: &[EndpointAction]) -> EndpointPermission {
    let framework = "framework".parse().unwrap();
    EndpointPermission::new(filter, &framework, actions.iter().copied()).unwrap()
}

/// Rules K02 and K03: reading alone imports and exports nothing, and what is
/// refused leaves nothing behind.
#[tokio::test]
async fn what_is_not_permitted_is_refused_and_nothing_is_made() {
    let bench = bench();
    let client = bench.admin.guarded([permission("*", &[READ])]);
    let service = bench.register(marked());
    let exports = client
        .export_service(service.reference(), &props! {})
        .await
        .unwrap();
    let [refused] = exports.as_slice() else {
        panic!("{exports:?}");
    };
    let error = refused.error().unwrap();
    assert!(matches!(&*error, AdminError::NotPermitted(_)), "{error}");
    assert!(error.to_string().contains("not permitted to export"));
    assert_eq!(bench.events(), [AdminEventKind::ExportError]);
    let error = client
        .import_service(&endpoint("e", props! {}))
        .unwrap_err();
    assert_eq!((error.action, error.endpoint.as_str()), (IMPORT, "e"));
    assert!(bench.events().is_empty() && bench.is_clean());
    assert!(bench.fake.log().is_empty());
}

/// Rule K02.
#[tokio::test]
async fn a_permission_holds_for_the_endpoints_that_its_filter_matches() {
    let bench = bench();
    let client = bench.admin.guarded([
        permission("(team=blue)", &[IMPORT]),
        permission("(endpoint.framework.uuid=<<LOCAL>>)", &[EXPORT]),
    ]);
    let service = bench.register(marked());
    let exports = client
        .export_service(service.reference(), &props! {})
        .await
        .unwrap();
    assert!(exports[0].error().is_none());
    let blue = endpoint("blue", props! { "team" => "blue" });
    assert!(client.import_service(&blue).unwrap().is_some());
    let red = endpoint("red", props! { "team" => "red" });
    client.import_service(&red).unwrap_err();
    // Of a type that nobody knows there is nothing to be permitted.
    let other = props! { "team" => "blue", "service.imported.configs" => ["c.unknown"] };
    assert!(
        client
            .import_service(&endpoint("o", other))
            .unwrap()
            .is_none()
    );
    let error = EndpointPermission::new("(team", &"framework".parse().unwrap(), [READ]);
    assert!(error.is_err());
}

/// Rule K03.
#[tokio::test]
async fn lists_and_events_show_only_what_may_be_read() {
    let bench = bench();
    let local = "(endpoint.framework.uuid=<<LOCAL>>)";
    let client = bench.admin.guarded([permission(local, &[READ])]);
    let nobody = bench.admin.guarded([]);
    let (mut seen, mut unseen) = (client.events(), nobody.events());
    let (_service, export) = bench.exported(marked()).await;
    let _import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let listed: Vec<_> = client.exports().iter().map(|e| e.number()).collect();
    assert_eq!(listed, [export.reference().unwrap().unwrap().number()]);
    assert!(client.imports().is_empty());
    assert!(nobody.exports().is_empty() && nobody.imports().is_empty());
    assert_eq!(
        (bench.admin.exports().len(), bench.admin.imports().len()),
        (1, 1)
    );
    let event = seen.next().await.unwrap().unwrap();
    assert_eq!(event.kind, AdminEventKind::ExportRegistration);
    assert!(seen.try_next().is_none() && unseen.try_next().is_none());
    // A late listener is told of no more than that.
    let late = client.events().try_next().unwrap().unwrap();
    assert_eq!(late.endpoint, export.description());
}
