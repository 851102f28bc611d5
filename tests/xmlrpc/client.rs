//! Our client and bad servers.

use std::time::Duration;

use osgi_remote::distribution::xmlrpc::{Client, ClientConfig};
use osgi_remote::interface::{Call, CallError, Data, Invoker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{pass, soon};

/// Reads a request up to the end of its document.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"</methodCall>\n") {
        let mut some = [0; 4096];
        let count = soon(stream.read(&mut some)).await.unwrap();
        assert_ne!(count, 0, "the client gave up");
        request.extend_from_slice(&some[..count]);
    }
}

/// Calls a server that answers one request with these bytes and closes.
async fn call_raw(answer: &[u8], config: ClientConfig) -> Result<Data, CallError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/xml-rpc", listener.local_addr().unwrap());
    let client = Client::new(config);
    let invoker = client.invoker(&url, 1, None, "e-1").unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        // A client that has read enough may close before all is sent.
        let _ = stream.write_all(answer).await;
    };
    let (result, ()) =
        soon(async { tokio::join!(invoker.invoke(Call::new("echo", vec![])), serve) }).await;
    result
}

fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn a_server_that_answers_no_http_breaks_the_protocol() {
    let error = call_raw(b"SSH-2.0-rubbish\r\n", ClientConfig::default()).await;
    assert!(
        matches!(&error, Err(CallError::Protocol { detail, .. }) if detail.contains("no HTTP")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_answers_no_xml_rpc_breaks_the_protocol() {
    for body in [
        "",
        "rubbish",
        "<html>hello</html>",
        "<methodResponse><params>",
    ] {
        let error = call_raw(&ok(body), ClientConfig::default()).await;
        assert!(
            matches!(&error, Err(CallError::Protocol { detail, .. })
                if detail.contains("no XML-RPC") && detail.contains(&format!("'{body}'"))),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn another_status_than_ok_is_told_with_the_page() {
    let answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nnot now\r\n";
    let error = call_raw(answer, ClientConfig::default()).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("HTTP 503") && error.contains("'not now'"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_during_the_call_is_told_as_such() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<meth",
    ] {
        let error = call_raw(answer, ClientConfig::default()).await;
        assert!(
            matches!(error, Err(CallError::Disconnected { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let mut config = ClientConfig::default();
    config.max_body = 1000;
    let body = "x".repeat(2000);
    let untold = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    for answer in [ok(&body), untold.into_bytes()] {
        let error = call_raw(&answer, config.clone()).await;
        assert!(
            matches!(error, Err(CallError::TooLarge { limit: 1000, .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/xml-rpc", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(ClientConfig::default());
    let invoker = client.invoker(&url, 1, None, "e-1").unwrap();
    let error = soon(invoker.invoke(Call::new("echo", vec![]))).await;
    assert!(
        matches!(&error, Err(CallError::Unreachable { address, .. }) if *address == url),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up_at_the_timeout_wherever_it_stalls() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<meth",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/xml-rpc", listener.local_addr().unwrap());
        let client = Client::new(ClientConfig::default());
        let timeout = Some(Duration::from_secs(20));
        let invoker = client.invoker(&url, 1, timeout, "e-1").unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            pass(Duration::from_secs(21)).await;
            // Until the client closes.
            soon(stream.read(&mut [0; 1])).await
        };
        let (error, _) = tokio::join!(invoker.invoke(Call::new("echo", vec![])), serve);
        assert!(matches!(error, Err(CallError::Timeout { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn a_request_is_never_sent_twice_once_the_server_had_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/xml-rpc", listener.local_addr().unwrap());
    let client = Client::new(ClientConfig::default());
    let invoker = client.invoker(&url, 1, None, "e-1").unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = ok("<methodResponse><params/></methodResponse>");
        stream.write_all(&answer).await.unwrap();
        // The second call comes over the pooled connection and breaks there.
        read_request(&mut stream).await;
    };
    let calls = async {
        let first = invoker.invoke(Call::new("echo", vec![])).await;
        (first, invoker.invoke(Call::new("echo", vec![])).await)
    };
    let ((first, second), ()) = soon(async { tokio::join!(calls, serve) }).await;
    assert_eq!(first.unwrap(), Data::Nil);
    assert!(
        matches!(second, Err(CallError::Disconnected { .. })),
        "{second:?}"
    );
    let again = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(again.is_err(), "a second connection was made");
}
