//! Endpoints that fail, one of three and all of them.

use futures::future::BoxFuture;
use osgi_remote::calls::{BreakerConfig, Interceptor, Next};
use osgi_remote::discovery::Advertiser as _;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, Data};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::*;

on_each_server!([embedded, etcd_3_5](
    one_of_three_is_killed_and_no_call_that_may_be_repeated_fails,
    one_of_three_stalls_and_no_call_that_may_be_repeated_fails,
    one_of_three_answers_with_errors_and_no_call_that_may_be_repeated_fails,
    an_outage_of_all_is_not_multiplied_and_ends_by_itself,
));

/// An endpoint that takes each request and gives no answer: HTTP 500, or a
/// broken connection.
struct Liar {
    framework: Framework,
    calls: Arc<AtomicUsize>,
    _server: AbortOnDropHandle<()>,
}

impl Liar {
    async fn start(etcd: &Store, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/xml-rpc", listener.local_addr().unwrap());
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                // The peer may give up at any time.
                while !is_whole(&request) {
                    match stream.read_buf(&mut request).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
                if is_whole(&request) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        let framework = builder(etcd).start().await.unwrap();
        let description = EndpointDescription::new(props! {
            "objectClass" => ["org.example.counted.Counted"],
            "endpoint.package.version.org.example.counted" => "1.2.0",
            "endpoint.id" => "liar", "endpoint.service.id" => 1_i64,
            "endpoint.framework.uuid" => framework.id().as_str(),
            "service.imported.configs" => ["ecf.xmlrpc.server"],
            "remote.configs.supported" => ["ecf.xmlrpc.server"],
            "ecf.endpoint.id" => url, "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc",
            "ecf.rsvc.id" => 1_i64, "ecf.endpoint.ts" => 1_i64,
        });
        let receipt = framework.etcd().unwrap().advertise(&description.unwrap());
        receipt.unwrap().await.unwrap();
        Self {
            framework,
            calls,
            _server: AbortOnDropHandle::new(server),
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    request.trim_ascii_end().ends_with(b"</methodCall>")
}

/// Makes calls, four at a time: those that may be repeated must all succeed.
/// Others may fail, and must reach no service twice.
async fn all_is_well(counted: &Arc<dyn Counted>, book: &Book) {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let counted = Arc::clone(counted);
        callers.spawn(async move {
            let mut writes = Vec::new();
            for _ in 0..25 {
                let read = counted.read(next_call()).await;
                assert!(read.is_ok(), "{}", read.unwrap_err());
                let call = next_call();
                let _ = counted.write(call).await;
                writes.push(call);
            }
            writes
        });
    }
    let mut writes = Vec::new();
    while let Some(made) = callers.join_next().await {
        writes.extend(made.unwrap());
    }
    let repeated = book.repeated();
    let twice: Vec<_> = writes.iter().filter(|w| repeated.contains(w)).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
}

async fn one_of_three_is_killed_and_no_call_that_may_be_repeated_fails(etcd: Server) {
    let book = Book::default();
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        hosts.push(Host::start(&etcd, name, &book, props! {}).await);
    }
    let guest = guest(&etcd, 3).await;
    let counted = guest
        .balanced::<dyn Counted>("(service.imported=*)", quick())
        .unwrap();
    all_is_well(&counted, &book).await;
    for host in &hosts {
        assert!(
            host.calls.swap(0, Ordering::SeqCst) > 0,
            "each has its share"
        );
    }

    // In the midst of calls, so that some are under way there.
    let victim = hosts.remove(0);
    victim.stalls.store(true, Ordering::SeqCst);
    let (calls, killer) = (Arc::clone(&victim.calls), async {
        eventually(SOON, "a call is under way", async || {
            match victim.calls.load(Ordering::SeqCst) {
                0 => Err("none"),
                _ => Ok(()),
            }
        })
        .await;
        victim.kill();
    });
    tokio::join!(killer, all_is_well(&counted, &book));
    let before = calls.load(Ordering::SeqCst);
    all_is_well(&counted, &book).await;
    assert_eq!(calls.load(Ordering::SeqCst), before, "it is dead");
    guest.shutdown().await.unwrap();
    for host in hosts {
        host.shutdown().await;
    }
}

async fn one_of_three_stalls_and_no_call_that_may_be_repeated_fails(etcd: Server) {
    let book = Book::default();
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        hosts.push(Host::start(&etcd, name, &book, props! {}).await);
    }
    let guest = guest(&etcd, 3).await;
    let counted = guest
        .balanced::<dyn Counted>("(service.imported=*)", quick())
        .unwrap();
    hosts[1].stalls.store(true, Ordering::SeqCst);
    all_is_well(&counted, &book).await;
    let stalled = hosts[1].calls.load(Ordering::SeqCst);
    assert!(
        (1..40).contains(&stalled),
        "it is left alone after a few calls: {stalled}"
    );

    hosts[1].stalls.store(false, Ordering::SeqCst);
    eventually(SOON, "calls come back to it", async || {
        let name = counted.read(next_call()).await.map_err(|e| e.to_string())?;
        if name == "b" { Ok(()) } else { Err(name) }
    })
    .await;
    guest.shutdown().await.unwrap();
    for host in hosts {
        host.shutdown().await;
    }
}

async fn one_of_three_answers_with_errors_and_no_call_that_may_be_repeated_fails(etcd: Server) {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "",
    ] {
        let book = Book::default();
        let a = Host::start(&etcd, "a", &book, props! {}).await;
        let b = Host::start(&etcd, "b", &book, props! {}).await;
        let liar = Liar::start(&etcd, answer).await;
        let guest = guest(&etcd, 3).await;
        let counted = guest
            .balanced::<dyn Counted>("(service.imported=*)", quick())
            .unwrap();
        all_is_well(&counted, &book).await;
        let lies = liar.calls.load(Ordering::SeqCst);
        assert!(
            (1..40).contains(&lies),
            "it is left alone after a few calls: {lies}"
        );
        guest.shutdown().await.unwrap();
        liar.framework.shutdown().await.unwrap();
        a.shutdown().await;
        b.shutdown().await;
    }
}

/// Counts the calls that go to an endpoint.
struct Attempts(Arc<AtomicUsize>);

impl Interceptor for Attempts {
    fn intercept<'a>(
        &'a self,
        call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        next.run(call)
    }
}

async fn an_outage_of_all_is_not_multiplied_and_ends_by_itself(etcd: Server) {
    let book = Book::default();
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        hosts.push(Host::start(&etcd, name, &book, props! {}).await);
    }
    let attempts = Arc::<AtomicUsize>::default();
    let counting = Attempts(Arc::clone(&attempts));
    let guest = builder(&etcd)
        .client_interceptor(counting)
        .start()
        .await
        .unwrap();
    knows(&guest, 3).await;
    // No breaker helps: the budget alone must hold.
    let balance = Balance::round_robin()
        .attempt_timeout(Duration::from_millis(20))
        .breaker(BreakerConfig::default().with_failures(0));
    let unbroken = guest
        .balanced::<dyn Counted>("(service.imported=*)", balance)
        .unwrap();
    let broken = Balance::round_robin().attempt_timeout(Duration::from_millis(20));
    let broken = guest
        .balanced::<dyn Counted>("(service.imported=*)", broken)
        .unwrap();

    for host in &hosts {
        host.stalls.store(true, Ordering::SeqCst);
    }
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        assert!(unbroken.read(next_call()).await.is_err());
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let made = attempts.swap(0, Ordering::SeqCst);
    assert!(
        made <= 100 + 20 + 10 + seconds,
        "{made} attempts of 100 calls"
    );

    // A breaker opens after 5 failures, and lets one call try now and then.
    let begun = std::time::Instant::now();
    for _ in 0..300 {
        assert!(broken.read(next_call()).await.is_err());
    }
    let made = attempts.swap(0, Ordering::SeqCst);
    let tries = usize::try_from(begun.elapsed().as_millis() / 500).unwrap() + 1;
    assert!(made <= 3 * (5 + tries), "{made} attempts of 300 calls");

    for host in &hosts {
        host.stalls.store(false, Ordering::SeqCst);
    }
    // Answers take longer than 20 ms on a busy machine: each try counts.
    eventually(SOON, "calls succeed again", async || {
        broken.read(next_call()).await.map_err(|e| e.to_string())
    })
    .await;
    guest.shutdown().await.unwrap();
    for host in hosts {
        host.shutdown().await;
    }
}
