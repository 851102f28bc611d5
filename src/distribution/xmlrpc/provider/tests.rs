//! The provider without peers: where it listens, and what it tells.

mod accepting;
mod intents;
mod machine;
mod managed;

use std::sync::mpsc;

use super::*;
use crate::props;

/// Nobody calls it here.
struct Silent;

impl crate::interface::Dispatch for Silent {
    fn has_method(&self, _: &str) -> bool {
        false
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move { Err(CallError::service(call.method)) })
    }
}

fn provider(address: &str, addresses: Addresses) -> XmlRpcProvider {
    let config = XmlRpcConfig::default().listen(address).unwrap();
    XmlRpcProvider::with_addresses(config, addresses)
}

fn local(addresses: &[&str]) -> Vec<LocalAddress> {
    let local = |ip: &&str| LocalAddress {
        interface: "eth0".to_owned(),
        ip: ip.parse().unwrap(),
    };
    addresses.iter().map(local).collect()
}

fn request(intents: &[&str]) -> ExportRequest {
    let intents = crate::properties::Value::array_of(intents.iter().copied());
    ExportRequest::new(
        CONFIG_TYPE,
        "e",
        vec!["org.example.Silent".to_owned()],
        Arc::new(Silent),
        props! { osgi::SERVICE_EXPORTED_INTENTS => intents },
    )
}

fn private() -> Vec<String> {
    vec![osgi::INTENT_PRIVATE.to_owned()]
}

/// Rule N11.
#[test]
fn a_private_service_needs_a_private_address_to_be_served_at() {
    let none: Addresses = || Ok(Vec::new());
    let public: Addresses = || Ok(local(&["203.0.113.7"]));
    let both: Addresses = || Ok(local(&["203.0.113.7", "10.1.2.3"]));
    let unknown: Addresses = || Err(io::Error::other("not told"));
    let ten = Some(Door::Private("10.1.2.3".parse().unwrap()));
    for (address, addresses, door) in [
        ("0.0.0.0:80", none, None),
        ("0.0.0.0:80", public, None),
        ("0.0.0.0:80", unknown, None),
        ("0.0.0.0:80", both, ten),
        ("203.0.113.7:80", both, None),
        ("10.1.2.3:80", unknown, Some(Door::Ordinary)),
        ("[fd00::1]:80", unknown, Some(Door::Ordinary)),
        ("localhost:80", unknown, Some(Door::Ordinary)),
        ("a.example.org:80", both, None),
    ] {
        let provider = provider(address, addresses);
        assert_eq!(provider.exports.private_door(), door, "{address}");
        let unmet = provider.unmet(&private());
        assert_eq!(unmet.is_empty(), door.is_some(), "{address}");
    }
}

/// Rule N10.
#[test]
fn a_confidential_service_is_not_served_in_plain_text() {
    let confidential = [osgi::INTENT_BASIC, osgi::INTENT_CONFIDENTIAL].map(str::to_owned);
    let provider = provider("127.0.0.1:0", || Ok(Vec::new()));
    assert_eq!(provider.unmet(&confidential), [osgi::INTENT_CONFIDENTIAL]);
}

/// Rule N11: what listens at all addresses is reached by the public ones too.
#[tokio::test]
async fn a_private_service_has_a_server_of_its_own_where_the_other_is_public() {
    let provider = provider("0.0.0.0:0", || Ok(local(&["203.0.113.7", "127.0.0.1"])));
    // Loopback is never advertised for others, so that it stands alone here.
    assert_eq!(provider.unmet(&private()), private());
    let door = Door::Private("127.0.0.1".parse().unwrap());
    let private = provider.exports.running(door).await.unwrap();
    assert!(private.server.local_addr().ip().is_loopback());
    assert!(
        private.url.starts_with("http://127.0.0.1:"),
        "{}",
        private.url
    );
    let ordinary = provider.export(request(&[])).await.unwrap();
    let url = ordinary.properties.get_str(ecf::ENDPOINT_ID).unwrap();
    assert!(url.starts_with("http://203.0.113.7:"), "{url}");
    let address = private.server.local_addr();
    provider.exports.release(private).await;
    // Its port is free, and the other server was not touched.
    drop(tokio::net::TcpListener::bind(address).await.unwrap());
    assert!(
        provider
            .exports
            .server
            .lock()
            .await
            .running
            .upgrade()
            .is_some()
    );
    ordinary.endpoint.close().await;
}

/// Rule V06, for what is wrong from the beginning.
#[tokio::test]
async fn who_exports_where_nobody_can_come_is_told() {
    let provider = provider("0.0.0.0:0", || Ok(Vec::new()));
    let exported = provider.export(request(&[])).await.unwrap();
    let (sender, told) = mpsc::channel();
    exported
        .endpoint
        .watch(Troubles::new(move |trouble| sender.send(trouble).unwrap()));
    let Ok(Trouble::Warning(warning)) = told.try_recv() else {
        panic!("no warning");
    };
    let warning = warning.to_string();
    assert!(
        warning.contains("only this machine can reach it"),
        "{warning}"
    );
    exported.endpoint.close().await;
}

fn described(timeout: impl Into<crate::properties::Value>) -> EndpointDescription {
    EndpointDescription::new(props! {
        "endpoint.id" => "e", "objectClass" => ["org.example.A"],
        "service.imported.configs" => [CONFIG_TYPE], "ecf.rsvc.id" => 1_i64,
        "ecf.endpoint.id" => "http://127.0.0.1:9/xml-rpc", osgi::BASIC_TIMEOUT => timeout,
    })
    .unwrap()
}

/// Rule N06.
#[test]
fn the_timeout_is_read_from_text_and_from_any_number() {
    let three = Some(Duration::from_secs(3));
    let read = |description: EndpointDescription| timeout(&description).0;
    assert_eq!(read(described("3000")), three);
    assert_eq!(read(described(3000_i32)), three);
    assert_eq!(read(described(3000_i16)), three);
    assert_eq!(read(described(3000_i64)), three);
    assert_eq!(read(described(3000.0_f32)), three);
    assert_eq!(read(described(3000.0_f64)), three);
    assert_eq!(read(described("soon")), None);
    assert_eq!(read(described(0_i32)), None);
}

/// Rules N06 and V06: what does not read is told when it comes, also by an
/// update.
#[tokio::test]
async fn a_timeout_that_does_not_read_is_told_and_the_default_holds() {
    let provider = provider("127.0.0.1:0", || Ok(Vec::new()));
    let imported = provider.import(&described("soon")).unwrap();
    let (sender, told) = mpsc::channel();
    imported.watch(Troubles::new(move |trouble| sender.send(trouble).unwrap()));
    imported.update(&described(3000_i32)).unwrap();
    imported.update(&described("later")).unwrap();
    let told: Vec<String> = told
        .try_iter()
        .map(|trouble| match trouble {
            Trouble::Warning(warning) => warning.to_string(),
            Trouble::Error(error) => panic!("{error}"),
        })
        .collect();
    let [soon, later] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        soon.starts_with("osgi.basic.timeout is 'soon': it must be"),
        "{soon}"
    );
    assert!(
        later.starts_with("osgi.basic.timeout is 'later'"),
        "{later}"
    );
}
