//! The embedded registry through its doors: sockets, in process, TLS.
#![cfg(feature = "embedded")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, PutOptions, WatchOptions};
use osgi_remote::embedded::{self, Registry, Settings};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Generous: all tests share few cores.
const SOON: Duration = Duration::from_secs(20);

async fn by_socket(registry: &Registry) -> Client {
    let address = registry.address().unwrap().to_string();
    Client::connect([address], None).await.unwrap()
}

async fn in_process() -> (Registry, Client) {
    let registry = Registry::builder().start().await.unwrap();
    let client = registry.client().await.unwrap();
    (registry, client)
}

fn code(error: &Error) -> i32 {
    match error {
        Error::GRpcStatus(status) => status.code() as i32,
        other => panic!("no status: {other}"),
    }
}

const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;

#[tokio::test]
async fn clients_by_socket_and_in_process_see_one_store() {
    let registry = Registry::start("127.0.0.1:0").await.unwrap();
    let (mut near, mut far) = (registry.client().await.unwrap(), by_socket(&registry).await);
    let mut stream = near.watch("key", None).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    far.put("key", "value", None).await.unwrap();
    let told = stream.message().await.unwrap().unwrap();
    let kv = told.events()[0].kv().unwrap();
    assert_eq!((kv.value(), kv.mod_revision()), (&b"value"[..], 2));
    assert_eq!(told.header().unwrap().revision(), 2);
    registry.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_somebody_else_accepted_is_served() {
    let registry = Registry::builder().start().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Client::connect([address], None);
    let mut client = client.await.unwrap();
    let put = client.put("key", "value", None);
    let hand_in = async {
        let (socket, _) = listener.accept().await.unwrap();
        registry.attach(socket).unwrap();
    };
    let (put, ()) = tokio::join!(put, hand_in);
    assert_eq!(put.unwrap().header().unwrap().revision(), 2);
    registry.shutdown().await;
}

#[tokio::test]
async fn without_an_address_there_is_none() {
    let (registry, mut client) = in_process().await;
    assert_eq!(registry.address(), None);
    client.put("key", "value", None).await.unwrap();
    registry.shutdown().await;
    let refused = client.put("key", "value", None).await.unwrap_err();
    assert!(refused.to_string().contains("was shut down"), "{refused:?}");
}

#[tokio::test]
async fn an_address_in_use_is_named_with_what_to_do() {
    let registry = Registry::start("127.0.0.1:0").await.unwrap();
    let address = registry.address().unwrap().to_string();
    let error = Registry::start(&address).await.unwrap_err();
    assert!(matches!(error, embedded::Error::Listen { .. }), "{error:?}");
    let error = error.to_string();
    assert!(
        error.contains(&address) && error.contains("in use"),
        "{error}"
    );
    assert!(error.contains("port 0"), "{error}");
    registry.shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_quoted() {
    let error = Registry::start("2379").await.unwrap_err().to_string();
    assert!(error.starts_with("`2379` is no address"), "{error}");
    assert!(error.contains("127.0.0.1:2379"), "{error}");
}

#[tokio::test]
async fn shutdown_tells_the_streams_and_frees_the_port() {
    let registry = Registry::start("127.0.0.1:0").await.unwrap();
    let address = registry.address().unwrap();
    let mut client = by_socket(&registry).await;
    let mut watch = client.watch("key", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let (mut keeper, mut alive) = client.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    alive.message().await.unwrap().unwrap();

    timeout(SOON, registry.shutdown()).await.unwrap();
    assert_eq!(code(&watch.message().await.unwrap_err()), UNAVAILABLE);
    assert_eq!(code(&alive.message().await.unwrap_err()), UNAVAILABLE);
    let next = Registry::start(address.to_string()).await.unwrap();
    next.shutdown().await;
}

#[tokio::test]
async fn a_dropped_registry_ends_its_connections_and_frees_its_port() {
    let registry = Registry::start("127.0.0.1:0").await.unwrap();
    let address = registry.address().unwrap();
    let mut client = by_socket(&registry).await;
    let mut watch = client.watch("key", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    drop(registry);
    let end = timeout(SOON, watch.message()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    let again = async {
        loop {
            match Registry::start(address.to_string()).await {
                Ok(registry) => return registry,
                // The tasks end in their own time.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(SOON, again).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_for_long_loses_nothing() {
    const PUTS: usize = 3000;
    let (registry, mut client) = in_process().await;
    let mut watcher = registry.client().await.unwrap();
    let mut stream = watcher.watch("key", None).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    // More than all buffers on the way can hold.
    let value = vec![b'v'; 10_000];
    for _ in 0..PUTS {
        client.put("key", value.clone(), None).await.unwrap();
    }
    let mut next = 2;
    while next < 2 + PUTS as i64 {
        let told = timeout(SOON, stream.message()).await.unwrap();
        for event in told.unwrap().unwrap().events() {
            assert_eq!(event.kv().unwrap().mod_revision(), next);
            next += 1;
        }
    }
    registry.shutdown().await;
}

#[tokio::test]
async fn a_watcher_that_compaction_overtook_is_told_so() {
    let (registry, mut client) = in_process().await;
    let mut watcher = registry.client().await.unwrap();
    let mut stream = watcher.watch("key", None).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    let value = vec![b'v'; 100_000];
    for _ in 0..400 {
        client.put("key", value.clone(), None).await.unwrap();
    }
    client.compact(400, None).await.unwrap();
    let last = loop {
        let told = timeout(SOON, stream.message()).await.unwrap();
        let told = told.unwrap().unwrap();
        if told.canceled() {
            break told;
        }
    };
    assert_eq!(last.compact_revision(), 400);
    assert_eq!(last.header().unwrap().revision(), 0, "as etcd's");
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn quiet_watches_are_told_of_progress_in_the_interval() {
    let (registry, mut client) = in_process().await;
    let options = WatchOptions::new().with_progress_notify();
    let mut stream = client.watch("key", Some(options)).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    client.put("other", "value", None).await.unwrap();
    let begun = tokio::time::Instant::now();
    let told = stream.message().await.unwrap().unwrap();
    assert!(told.events().is_empty());
    assert_eq!((told.watch_id(), told.header().unwrap().revision()), (0, 2));
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(599) && took < Duration::from_secs(601),
        "{took:?}"
    );
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_in_virtual_time_and_watchers_see_it() {
    let (registry, mut client) = in_process().await;
    let lease = client.lease_grant(30, None).await.unwrap().id();
    let options = PutOptions::new().with_lease(lease);
    client.put("key", "value", Some(options)).await.unwrap();
    let options = WatchOptions::new().with_prev_key();
    let mut stream = client.watch("key", Some(options)).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().created());
    let told = stream.message().await.unwrap().unwrap();
    let event = &told.events()[0];
    assert_eq!(event.event_type(), etcd_client::EventType::Delete);
    assert_eq!(event.prev_kv().unwrap().value(), b"value");
    registry.shutdown().await;
}

#[tokio::test]
async fn a_large_answer_is_split_for_those_who_ask_and_is_whole_for_others() {
    let (registry, mut client) = in_process().await;
    for key in ["k1", "k2", "k3"] {
        client.put(key, vec![b'v'; 900_000], None).await.unwrap();
    }
    let watcher = registry.client().await.unwrap().watch_client();
    let mut watcher = watcher.max_decoding_message_size(16 * 1024 * 1024);
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut whole = watcher.watch("k", Some(options.clone())).await.unwrap();
    let mut parts = watcher
        .watch("k", Some(options.with_fragment()))
        .await
        .unwrap();
    for stream in [&mut whole, &mut parts] {
        assert!(stream.message().await.unwrap().unwrap().created());
    }
    let all = etcd_client::DeleteOptions::new().with_prefix();
    client.delete("k", Some(all)).await.unwrap();
    let told = whole.message().await.unwrap().unwrap();
    assert_eq!((told.0.fragment, told.events().len()), (false, 3));
    let first = parts.message().await.unwrap().unwrap();
    let second = parts.message().await.unwrap().unwrap();
    assert_eq!((first.0.fragment, first.events().len()), (true, 2));
    assert_eq!((second.0.fragment, second.events().len()), (false, 1));
    registry.shutdown().await;
}

#[tokio::test]
async fn a_watch_request_that_is_too_large_ends_the_stream_with_etcds_words() {
    let (registry, mut client) = in_process().await;
    let key = vec![b'k'; 2 * 1024 * 1024];
    let error = match client.watch(key, None).await {
        Err(error) => error,
        Ok(mut stream) => stream.message().await.unwrap_err(),
    };
    assert_eq!(code(&error), RESOURCE_EXHAUSTED, "{error}");
    assert!(error.to_string().contains("larger than max"), "{error}");
    registry.shutdown().await;
}

#[tokio::test]
async fn watches_go_on_when_the_client_asks_for_no_more() {
    let (registry, mut client) = in_process().await;
    let (sender, mut stream) = client.watch("key", None).await.unwrap().split();
    assert!(stream.message().await.unwrap().unwrap().created());
    drop(sender);
    client.put("key", "value", None).await.unwrap();
    let told = timeout(SOON, stream.message()).await.unwrap();
    assert_eq!(told.unwrap().unwrap().events().len(), 1);
    registry.shutdown().await;
}

async fn http1(registry: &Registry, path: &str) -> String {
    let address = registry.address().unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    get(socket, path).await
}

async fn get(mut connection: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(SOON, connection.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn health_and_version_are_answered_over_plain_http() {
    let registry = Registry::start("127.0.0.1:0").await.unwrap();
    let health = http1(&registry, "/health").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(
        health.ends_with(r#"{"health":"true","reason":""}"#),
        "{health}"
    );
    let version = http1(&registry, "/version").await;
    assert!(version.contains(r#""etcdserver":"3.5"#), "{version}");
    for missing in ["/v3/kv/range", "/metrics"] {
        let answer = http1(&registry, missing).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("JSON gateway"), "{answer}");
    }
    registry.shutdown().await;
}

/// etcd's answers bear the time, and so are another size each second when they are compressed.
#[tokio::test]
async fn a_seeded_registry_bears_no_time_in_its_answers() {
    let settings = Settings::default().seed(1);
    let registry = Registry::builder().listen("127.0.0.1:0").settings(settings);
    let registry = registry.start().await.unwrap();
    for path in ["/health", "/nothing"] {
        let answer = http1(&registry, path).await.to_lowercase();
        assert!(
            answer.contains("date: thu, 01 jan 1970 00:00:00 gmt"),
            "{answer}"
        );
    }
    registry.shutdown().await;
}

#[tokio::test]
async fn a_name_is_listened_on_once_at_each_address() {
    let first = Registry::start("localhost:0").await.unwrap();
    let port = first.address().unwrap().port();
    let error = Registry::start(format!("localhost:{port}")).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    let mut client = Client::connect([format!("localhost:{port}")], None)
        .await
        .unwrap();
    client.put("key", "value", None).await.unwrap();
    first.shutdown().await;
}

#[tokio::test]
async fn settings_reach_the_answers() {
    let settings = Settings::default().cluster_id(7).member_id(8);
    let registry = Registry::builder()
        .settings(settings)
        .start()
        .await
        .unwrap();
    let mut client = registry.client().await.unwrap();
    let mut stream = client.watch("key", None).await.unwrap();
    let created = stream.message().await.unwrap().unwrap();
    let header = created.header().unwrap();
    assert_eq!((header.cluster_id(), header.member_id()), (7, 8));
    registry.shutdown().await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn the_pages_are_served_over_tls_to_clients_that_speak_only_http1() {
    use std::sync::Arc;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = embedded::Tls::new(own.cert.pem(), own.signing_key.serialize_pem());
    let registry = Registry::builder().listen("127.0.0.1:0").tls(tls);
    let registry = registry.start().await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    for (offered, agreed) in [
        (vec!["http/1.1"], Some("http/1.1")),
        (vec!["http/1.1", "h2"], Some("h2")),
        (vec![], None),
    ] {
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let socket = TcpStream::connect(registry.address().unwrap());
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, socket.await.unwrap());
        let stream = timeout(SOON, stream).await.unwrap().unwrap();
        let chosen = stream.get_ref().1.alpn_protocol();
        assert_eq!(chosen, agreed.map(str::as_bytes), "{offered:?}");
        if agreed != Some("h2") {
            let health = get(stream, "/health").await;
            assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        }
    }
    registry.shutdown().await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn mutual_tls_lets_in_clients_of_the_ca_and_no_others() {
    use etcd_client::{Certificate, Identity, TlsOptions};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = params.self_signed(&ca_key).unwrap().pem();
    let ca = Issuer::new(params, ca_key);
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let pem = params.signed_by(&key, &ca).unwrap().pem();
        (pem, key.serialize_pem())
    };
    let (certificate, key) = signed("localhost");
    let tls = embedded::Tls::new(certificate, key).client_ca(ca_pem.clone());
    let registry = Registry::builder().listen("127.0.0.1:0").tls(tls);
    let registry = registry.start().await.unwrap();
    let url = format!("https://localhost:{}", registry.address().unwrap().port());
    let trusting = TlsOptions::new().ca_certificate(Certificate::from_pem(ca_pem));
    let (certificate, key) = signed("client");
    let shown = trusting
        .clone()
        .identity(Identity::from_pem(certificate, key));

    let connect = |tls| Client::connect([url.clone()], Some(ConnectOptions::new().with_tls(tls)));
    let mut client = connect(shown).await.unwrap();
    client.put("key", "value", None).await.unwrap();
    let mut stranger = connect(trusting).await.unwrap();
    let refused = timeout(SOON, stranger.put("key", "other", None))
        .await
        .unwrap();
    assert!(refused.is_err(), "a client without a certificate got in");
    let mut plain = by_socket(&registry).await;
    let refused = timeout(SOON, plain.put("key", "other", None))
        .await
        .unwrap();
    assert!(refused.is_err(), "a client without TLS got in");
    registry.shutdown().await;
}
