//! Services that cannot be exported as they ask.

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::names::SessionId;
use osgi_remote::properties::Value;
use osgi_remote::services::Service;

use crate::*;

on_each_server!([embedded, etcd_3_5](
    an_endpoint_over_our_own_limit_is_refused_before_anything_is_sent,
    what_cannot_be_exported_is_not_even_registered,
    what_cannot_be_exported_is_told_where_exports_stand,
    a_port_that_is_taken_is_told_by_its_address_and_the_export_comes_when_it_is_free,
    an_endpoint_that_etcd_itself_refuses_harms_no_other_of_the_same_session,
    the_log_tells_what_the_admin_does_under_the_names_of_osgi,
    the_log_tells_what_fails_with_its_cause_and_endpoint,
    a_property_that_cannot_be_carried_is_left_out_and_the_rest_is_announced,
));

/// Why the service is not announced.
async fn not_announced(export: &Export) -> String {
    soon(export.announced()).await.unwrap_err().to_string()
}

async fn an_endpoint_over_our_own_limit_is_refused_before_anything_is_sent(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let framework = start(&etcd).await;
    let export = export(&framework, props! { "big" => "x".repeat(1_600_000) });
    let error = not_announced(&export).await;
    let endpoint = &framework.admin().exported()[0];
    for part in [
        &format!("endpoint {} is not announced: key `", endpoint.id()),
        "needs a request of 1",
        "over the limit of 1500000",
        "make the value smaller, or raise etcd's --max-request-bytes",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // The session's own key is all that was ever put.
    assert_eq!(framework.etcd().unwrap().session_status().counts.puts, 1);
    healthy.check(&etcd).await;

    // Mended, it is announced: the error does not stick.
    export
        .set_properties(props! { "big" => "no more" })
        .unwrap();
    announced_after_all(&export).await;
    assert_eq!(endpoint_keys(&etcd).await.len(), 2);
    framework.shutdown().await.unwrap();
    healthy.check(&etcd).await;
}

async fn announced_after_all(export: &Export) {
    eventually(SOON, "the endpoint is announced", async || {
        match export.status() {
            Some(status) if status.error.is_none() && status.unannounced == 0 => Ok(()),
            other => Err(format!("{:?}", other.map(|status| status.error.clone()))),
        }
    })
    .await;
}

async fn an_endpoint_that_etcd_itself_refuses_harms_no_other_of_the_same_session(etcd: Server) {
    let etcd = etcd.with_request_limit(100_000).await;
    let healthy = Healthy::start(&etcd).await;
    let big = export(&healthy.host, props! { "big" => "x".repeat(200_000) });
    let error = not_announced(&big).await;
    for part in [
        &format!("etcd at {} refuses key `", etcd.endpoint()),
        "a request of 2",
        "request is too large",
        "make the value smaller, or raise etcd's --max-request-bytes",
    ] {
        assert!(error.contains(part), "{error}");
    }
    drop(big);
    eventually(SOON, "one endpoint is left", async || {
        match healthy.host.admin().exported().len() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    healthy.check(&etcd).await;
}

/// What cannot be exported, and what is said of it.
fn impossible() -> [(&'static str, Value, &'static str); 4] {
    [
        (
            "service.exported.configs",
            "ecf.grpc.server".into(),
            "no distribution provider supports ecf.grpc.server; there is ecf.xmlrpc.server",
        ),
        (
            "service.exported.interfaces",
            "org.example.Other".into(),
            "the service has no interface 'org.example.Other' to export; it has org.example.Bench",
        ),
        (
            "service.exported.intents",
            "osgi.confidential".into(),
            "no distribution provider has the intents osgi.confidential; there is osgi.basic, \
             osgi.async, osgi.private",
        ),
        (
            "osgi.basic.timeout",
            "ten seconds".into(),
            "osgi.basic.timeout is 'ten seconds': it must be a positive number of milliseconds",
        ),
    ]
}

async fn what_cannot_be_exported_is_not_even_registered(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    for (name, value, expected) in impossible() {
        let refused = healthy.host.export::<dyn Bench>(
            Arc::new(BenchImpl::default()),
            Properties::new().with(name, value),
        );
        let error = refused.unwrap_err().to_string();
        assert_eq!(error, format!("the service is not registered: {expected}"));
    }
    let registered = healthy
        .host
        .registry()
        .references(Some("org.example.Bench"), None);
    assert_eq!(registered.len(), 1);
    healthy.check(&etcd).await;
}

/// The same through the registry, which does not know about exports.
async fn what_cannot_be_exported_is_told_where_exports_stand(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let host = &healthy.host;
    for (name, value, expected) in impossible() {
        let properties = props! { "service.exported.interfaces" => "*" }.with(name, value);
        let service = Service::of::<dyn Bench>(Arc::new(BenchImpl::default()));
        let registration = host.registry().register(service, properties).unwrap();
        let id = registration.reference().id();
        let status = eventually(SOON, "the attempt", async || {
            host.exports().get(&id).ok_or("not tried yet")
        })
        .await;
        let error = status.error.as_ref().unwrap().to_string();
        let unfit =
            "no distribution provider exports the service: see its config types and intents";
        assert!(error == expected || error == unfit, "{error}");
        assert!(status.endpoints.is_empty());
    }
    healthy.check(&etcd).await;
}

async fn a_port_that_is_taken_is_told_by_its_address_and_the_export_comes_when_it_is_free(
    etcd: Server,
) {
    let port = support::process::ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    let taken = std::net::TcpListener::bind(&address).unwrap();
    let framework = builder(&etcd).xmlrpc(&address).start().await.unwrap();
    let export = export(&framework, props! {});
    let error = not_announced(&export).await;
    assert!(
        error.starts_with(&format!("cannot listen on {address}: ")),
        "{error}"
    );
    assert!(error.contains("in use"), "{error}");
    assert_eq!(endpoint_keys(&etcd).await, [""; 0]);
    drop(taken);
    // Rule T06: nobody has to ask for it.
    announced_after_all(&export).await;
    assert_eq!(endpoint_keys(&etcd).await.len(), 1);
}

/// Rule V07.
async fn the_log_tells_what_the_admin_does_under_the_names_of_osgi(etcd: Server) {
    let log = Log::of_all_tests();
    let framework = start(&etcd).await;
    let export = export(&framework, props! {});
    let endpoints = soon(export.announced()).await.unwrap();
    framework.shutdown().await.unwrap();
    let lines = log.lines(&format!("endpoint.id={}", endpoints[0].id()));
    for kind in ["EXPORT_REGISTRATION", "EXPORT_UNREGISTRATION"] {
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(&format!("kind=\"{kind}\"")))
            .collect();
        assert_eq!(told.len(), 1, "{lines:#?}");
        assert!(
            told[0].contains("objectClass=[\"org.example.Bench\"]"),
            "{told:?}"
        );
    }
}

/// Rule C06: a line for each failure, which names what failed and why.
async fn the_log_tells_what_fails_with_its_cause_and_endpoint(etcd: Server) {
    let log = Log::of_all_tests();
    let port = support::process::ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    let taken = std::net::TcpListener::bind(&address).unwrap();
    let framework = builder(&etcd).xmlrpc(&address).start().await.unwrap();
    let export = export(&framework, props! {});
    not_announced(&export).await;
    drop(taken);
    let id = SessionId::random();
    let endpoint = EndpointDescription::new(props! {
        "endpoint.id" => id.as_str(), "objectClass" => ["org.example.Gone"],
        "service.imported.configs" => ["ecf.xmlrpc.server"], "ecf.endpoint.id" => "ftp://gone",
    });
    let import = framework
        .admin()
        .import_service(&Arc::new(endpoint.unwrap()));
    assert!(import.unwrap().error().is_some());
    framework.shutdown().await.unwrap();
    let lines = log.lines(&address);
    let failed = |kind: &'static str| {
        move |line: &&String| line.contains("ERROR") && line.contains(&format!("kind=\"{kind}\""))
    };
    let cause = lines.iter().find(failed("EXPORT_ERROR"));
    assert!(
        cause.is_some_and(|line| line.contains("cannot listen on")),
        "{lines:#?}"
    );
    let lines = log.lines(&format!("endpoint.id={id}"));
    let cause = lines.iter().find(failed("IMPORT_ERROR"));
    assert!(
        cause.is_some_and(|line| line.contains("ftp://gone")),
        "{lines:#?}"
    );
}

/// Rule P15.
async fn a_property_that_cannot_be_carried_is_left_out_and_the_rest_is_announced(etcd: Server) {
    let log = Log::of_all_tests();
    let framework = start(&etcd).await;
    let unfit = "org.example.NotCarried";
    let export = export(
        &framework,
        props! { "ecf.exported.async.interfaces" => unfit, "colour" => "red" },
    );
    let endpoints = soon(export.announced()).await.unwrap();
    let kv = etcd
        .etcdctl(&["get", "--prefix", "--print-value-only", "org.eclipse.ecf"])
        .await;
    assert!(kv.contains(endpoints[0].id().as_str()), "{kv}");
    assert!(kv.contains("red") && !kv.contains(unfit), "{kv}");
    framework.shutdown().await.unwrap();
    let told = log.lines(endpoints[0].id().as_str());
    let left_out = |line: &String| line.contains("left out") && line.contains("async.interfaces");
    assert!(told.iter().any(left_out), "{told:#?}");
}
