//! Interceptors on both sides, and what of a call's metadata crosses.

use futures::future::BoxFuture;
use osgi_remote::calls::{BearerToken, Interceptor, Next, RequireBearer, TraceContext, Tracing};
use osgi_remote::interface::{Call, Data, Metadata, caller_metadata, with_metadata};

use crate::*;

on_each_server!([embedded, etcd_3_5](
    a_trace_and_metadata_cross_to_a_rust_peer,
    who_shows_no_known_token_is_refused_before_the_service_is_reached,
    metadata_that_breaks_the_limits_is_refused_by_the_server,
));

/// What a service can know of its caller.
#[remote_service("org.example.Asked")]
trait Asked {
    /// The trace, the caller's span and the tenant.
    async fn who(&self) -> Result<(String, String, String), CallError>;
}

struct AskedImpl;

#[async_trait]
impl Asked for AskedImpl {
    async fn who(&self) -> Result<(String, String, String), CallError> {
        let metadata = caller_metadata().ok_or_else(|| CallError::service("no metadata"))?;
        let caller = TraceContext::of(&metadata);
        let caller = caller.ok_or_else(|| CallError::service("no trace"))?;
        let own = TraceContext::current().map_or_else(String::new, |own| own.trace_id());
        let tenant = metadata.get("tenant").unwrap_or("none").to_owned();
        Ok((own, caller.span_id(), tenant))
    }
}

/// Notes the trace context with which calls leave.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<TraceContext>>>);

impl Interceptor for Notes {
    fn intercept<'a>(
        &'a self,
        call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        self.0
            .lock()
            .unwrap()
            .extend(TraceContext::of(&call.metadata));
        next.run(call)
    }
}

async fn asked(framework: &Framework) -> Arc<dyn Asked> {
    let asked = framework.wait_for::<dyn Asked>("(service.imported=*)", SOON);
    asked.await.unwrap()
}

async fn a_trace_and_metadata_cross_to_a_rust_peer(etcd: Server) {
    let host = builder(&etcd).server_interceptor(Tracing::new());
    let host = host.start().await.unwrap();
    let _export = host
        .export::<dyn Asked>(Arc::new(AskedImpl), props! {})
        .unwrap();
    let notes = Notes::default();
    let guest = builder(&etcd)
        .client_interceptor(Tracing::new())
        .client_interceptor(notes.clone());
    let guest = guest.start().await.unwrap();
    let asked = asked(&guest).await;

    let mut metadata = Metadata::new();
    metadata.insert("tenant", "blue").unwrap();
    metadata.insert(".secret", "here only").unwrap();
    let (trace, span, tenant) = with_metadata(metadata, asked.who()).await.unwrap();
    let sent = notes.0.lock().unwrap()[0].clone();
    assert_eq!(
        (trace, span, &*tenant),
        (sent.trace_id(), sent.span_id(), "blue")
    );

    // A trace that is there already goes on.
    let root = TraceContext::root();
    let (trace, span, tenant) = root.clone().scope(asked.who()).await.unwrap();
    assert_eq!((trace, &*tenant), (root.trace_id(), "none"));
    assert_ne!(span, root.span_id());
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
}

async fn who_shows_no_known_token_is_refused_before_the_service_is_reached(etcd: Server) {
    // OSGi rule C07.
    let book = Book::default();
    let host = builder(&etcd).server_interceptor(RequireBearer::any_of(["s3cret"]));
    let host = host.start().await.unwrap();
    let calls = Arc::<AtomicUsize>::default();
    let service = CountedImpl {
        name: "guarded",
        book,
        calls: Arc::clone(&calls),
        stalls: Arc::default(),
    };
    let _export = host
        .export::<dyn Counted>(Arc::new(service), props! {})
        .unwrap();
    for (token, refusal) in [
        (
            None,
            Some("no credentials were shown, and a bearer token is required"),
        ),
        (Some("guess"), Some("the bearer token is not known")),
        (Some("s3cret"), None),
    ] {
        let mut guest = builder(&etcd);
        if let Some(token) = token {
            guest = guest.client_interceptor(BearerToken::new(token).unwrap());
        }
        let guest = guest.start().await.unwrap();
        knows(&guest, 1).await;
        let counted = guest
            .balanced::<dyn Counted>("", Balance::round_robin())
            .unwrap();
        match (counted.read(next_call()).await, refusal) {
            (Ok(name), None) => assert_eq!(name, "guarded"),
            (Err(CallError::Refused { reason }), Some(expected)) => assert_eq!(reason, expected),
            other => panic!("{token:?}: {other:?}"),
        }
        guest.shutdown().await.unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    host.shutdown().await.unwrap();
}

async fn metadata_that_breaks_the_limits_is_refused_by_the_server(etcd: Server) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let book = Book::default();
    let host = Host::start(&etcd, "a", &book, props! {}).await;
    let endpoint = host.framework.admin().exported()[0].clone();
    let url = endpoint
        .container_id()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let (authority, _) = url.split_once('/').unwrap();
    let many: String = (0..40)
        .map(|n| format!("osgi-remote-n{n}: v\r\n"))
        .collect();
    let long = format!("osgi-remote-n: {}\r\n", "v".repeat(5000));
    for (headers, expected) in [(many, "a call carries 32 entries"), (long, "is too long")] {
        let mut stream = tokio::net::TcpStream::connect(authority).await.unwrap();
        let request =
            format!("POST /xml-rpc HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n{headers}\r\nx");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What was not read of the request may end the connection roughly.
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(answer.contains(expected), "{answer}");
    }
    host.shutdown().await;
}
