//! rsctl endpoint

mod advertise;
mod edef;
mod list;
mod peers;
mod show;
mod watch;
mod withdraw;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::names::TopKey;
use osgi_remote::properties::Properties;
use osgi_remote::props;

use crate::support::Store;

/// Sessions of peers that never were.
pub(crate) const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
pub(crate) const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// Longer than any test, so that nothing ends by itself, and what is left has four digits.
pub(crate) const LONG: u32 = 5000;

pub(crate) fn greeter(id: &str, more: Properties) -> EndpointDescription {
    let mut properties = props! {
        "objectClass" => ["org.example.Greeter"], "endpoint.id" => id,
        "endpoint.service.id" => 7_i64,
        "endpoint.framework.uuid" => "f0000000-0000-4000-8000-000000000009",
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "ecf.endpoint.id" => "http://127.0.0.1:1/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc",
        "ecf.rsvc.id" => 1_i64, "ecf.endpoint.ts" => 1_700_000_000_000_i64,
    };
    properties.overlay(&more);
    EndpointDescription::new(properties).unwrap()
}

pub(crate) fn key(session: &str, id: &str) -> String {
    format!("{}/{session}/{id}", TopKey::DEFAULT)
}

/// What a peer writes, by hand: put under a lease, or without one.
pub(crate) async fn put(etcd: &Store, key: &str, value: &str, lease: Option<&str>) {
    let mut args = vec!["put", key, value];
    let lease = lease.map(|lease| format!("--lease={lease}"));
    args.extend(lease.as_deref());
    etcd.etcdctl(&args).await;
}

pub(crate) fn value_of(endpoint: &EndpointDescription) -> String {
    service_info::encode(&ServiceInfo::new(endpoint.clone()), "127.0.0.1").unwrap()
}

/// An endpoint of a session whose key is there too.
pub(crate) async fn announce(
    etcd: &Store,
    session: &str,
    endpoint: &EndpointDescription,
    lease: Option<&str>,
) {
    let session_key = format!("{}/{session}", TopKey::DEFAULT);
    if etcd.get(&session_key).await.is_none() {
        put(etcd, &session_key, session, lease).await;
    }
    let key = key(session, endpoint.id().as_str());
    put(etcd, &key, &value_of(endpoint), lease).await;
}

/// A lease, in hexadecimal.
pub(crate) async fn grant(etcd: &Store, seconds: u32) -> String {
    let told = etcd
        .etcdctl(&["lease", "grant", &seconds.to_string()])
        .await;
    let id = told.split(' ').nth(1).expect("`lease ID granted ...`");
    id.to_owned()
}
