//! With a real iPOPO.

use osgi_remote::endpoint::edef;
use osgi_remote::names::EndpointId;

use crate::support::{Ipopo, IpopoOptions, Server, on_each_server};
use crate::tool::{SOON, Tool};

on_each_server!([etcd_3_4, embedded](
    an_endpoint_of_ipopo_is_seen_and_its_copy_is_imported_by_ipopo
));

const HELLO: &str = "org.eclipse.ecf.examples.hello.IHello";

async fn an_endpoint_of_ipopo_is_seen_and_its_copy_is_imported_by_ipopo(etcd: Server) {
    let exporter = Ipopo::start(IpopoOptions::new(&etcd)).await;
    exporter.install_sample().await;
    let importer = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let watch = Tool::new(&etcd)
        .args(["endpoint", "watch", "--interface", HELLO])
        .start();
    watch.says("ADDED").await;

    let rsctl = async |args: &[&str]| Tool::new(&etcd).args(args.iter().copied()).run().await;
    let listed = rsctl(&["endpoint", "list", "-o", "json"]).await.json();
    let one = &listed[0];
    assert_eq!(one["interfaces"], serde_json::json!([HELLO]));
    assert_eq!(
        (&one["peer"], &one["session"]),
        (&"iPOPO".into(), &exporter.session_id().into())
    );
    let id = one["id"].as_str().unwrap();
    let shown = rsctl(&["endpoint", "show", id]).await.good();
    assert!(shown.contains("written by iPOPO"), "{shown}");

    let sessions = rsctl(&["session", "list", "-o", "json"]).await.json();
    let of = |id: &str| {
        let mut rows = sessions.as_array().unwrap().iter();
        rows.find(|row| row["session"] == id).unwrap().clone()
    };
    let (exporting, idle) = (of(exporter.session_id()), of(importer.session_id()));
    assert_eq!(
        (&exporting["peer"], &exporting["endpoints"]),
        (&"iPOPO".into(), &1.into())
    );
    // Without an endpoint there is nothing to tell it by.
    assert_eq!(
        (&idle["peer"], &idle["endpoints"]),
        (&"unknown".into(), &0.into())
    );
    assert_eq!(
        (&idle["state"], &idle["lease"]["granted"]),
        (&"alive".into(), &5.into())
    );

    let xml = rsctl(&["endpoint", "edef", id]).await.good();
    assert!(edef::read(&xml).remove(0).is_ok(), "{xml}");
    let copy = EndpointId::random().to_string();
    let set = format!("endpoint.id={copy}");
    let advertise = Tool::new(&etcd).args(["endpoint", "advertise", "-", "--set", &set]);
    let advertising = advertise.input(xml).start();
    importer.endpoint_event("added", &copy, SOON).await;
    watch.says(&copy).await;
    advertising.stop("INT").await.good();
    importer.endpoint_event("removed", &copy, SOON).await;
    let health = importer.health().await;
    assert_eq!(
        (&health["watching"], &health["keeping_alive"]),
        (&true.into(), &true.into())
    );
    watch.says("REMOVED").await;
    watch.stop("TERM").await.good();
}
