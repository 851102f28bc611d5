//! Our server and bad clients.

use std::time::Duration;

use osgi_remote::distribution::xmlrpc::{ClientConfig, Server, ServerConfig, ServerError};
use osgi_remote::interface::{Call, Invoker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Pair, pair, pair_with, soon};

/// Sends bytes and reads until the server closes.
async fn raw(pair: &Pair, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(pair.server.local_addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn post(pair: &Pair, body: &str) -> String {
    let request = format!(
        "POST /xml-rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw(pair, request.as_bytes()).await
}

#[tokio::test]
async fn only_post_is_served_and_only_at_the_path() {
    let pair = pair().await;
    let get = raw(
        &pair,
        b"GET /xml-rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(get.starts_with("HTTP/1.1 405 "), "{get}");
    assert!(get.to_lowercase().contains("\r\nallow: post\r\n"), "{get}");
    let other = raw(
        &pair,
        b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    assert!(other.contains("/xml-rpc"), "{other}");
    let old = raw(&pair, b"POST /xml-rpc/ HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    let zipped = "POST /xml-rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                  Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
    let zipped = raw(&pair, zipped.as_bytes()).await;
    assert!(zipped.starts_with("HTTP/1.1 415 "), "{zipped}");
}

#[tokio::test]
async fn what_is_no_call_is_answered_with_a_fault() {
    let pair = pair().await;
    let named = |name: &str| format!("<methodCall><methodName>{name}</methodName></methodCall>");
    for (body, code, text) in [
        (
            "rubbish".to_owned(),
            -32600,
            "cannot read the request: byte",
        ),
        ("<methodCall>".to_owned(), -32600, "expected"),
        ("<a><b></a>".to_owned(), -32600, "byte 0"),
        ("<methodCall></b>".to_owned(), -32700, "not well-formed"),
        ("<!DOCTYPE a><methodCall/>".to_owned(), -32700, "DOCTYPE"),
        (named("echo"), -32600, "invalid method name 'echo'"),
        (named("7.a.b"), -32600, "invalid method name '7.a.b'"),
        (
            named("7.nope"),
            -32601,
            "org.example.Test has no method 'nope'",
        ),
        (named("9.echo"), -32000, "no service has the number 9"),
    ] {
        let answer = post(&pair, &body).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: text/xml\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("<int>{code}</int>")),
            "{body}: {answer}"
        );
        assert!(
            answer.contains(&text.replace('<', "&lt;")),
            "{body}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let mut config = ServerConfig::default();
    config.max_body = 1000;
    let pair = pair_with(config, ClientConfig::default()).await;
    let told = post(&pair, &"x".repeat(200_000)).await;
    assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let untold = format!(
        "POST /xml-rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let untold = raw(&pair, untold.as_bytes()).await;
    assert!(untold.starts_with("HTTP/1.1 413 "), "{untold}");
    assert!(untold.contains("limit of 1000 bytes"), "{untold}");
}

#[tokio::test]
async fn slow_and_silent_clients_lose_their_connection() {
    let mut config = ServerConfig::default();
    // Long enough for a whole head to come, also where everything is slow.
    config.head_timeout = Duration::from_secs(3);
    config.body_timeout = Duration::from_millis(50);
    let pair = pair_with(config, ClientConfig::default()).await;
    let half_body = b"POST /xml-rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n<meth";
    let (nothing, half_head, half_body) = tokio::join!(
        raw(&pair, b""),
        raw(&pair, b"POST /xml-rpc HTTP/1.1\r\nHo"),
        raw(&pair, half_body),
    );
    assert_eq!(nothing, "");
    assert!(!half_head.contains("200 OK"), "{half_head}");
    assert!(half_body.starts_with("HTTP/1.1 408 "), "{half_body}");
    // No body has to come in time for this one.
    let well = raw(
        &pair,
        b"GET /xml-rpc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(well.starts_with("HTTP/1.1 405 "), "{well}");
}

#[tokio::test]
async fn broken_clients_leave_the_server_whole() {
    let pair = pair().await;
    for bytes in [
        &b"\x00\xff\x16\x03"[..],
        b"GET\r\n\r\n",
        b"POST /xml-rpc HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /xml-rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<meth",
    ] {
        let mut stream = TcpStream::connect(pair.server.local_addr()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
    }
    assert!(pair.invoker.invoke(Call::new("echo", vec![])).await.is_ok());
    // Nothing of them is left that closing would have to wait for.
    soon(pair.server.close()).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_free_place() {
    let mut config = ServerConfig::default();
    config.max_connections = 1;
    let pair = pair_with(config, ClientConfig::default()).await;
    let mut first = TcpStream::connect(pair.server.local_addr()).await.unwrap();
    first
        .write_all(b"POST /xml-rpc HTTP/1.1\r\n")
        .await
        .unwrap();
    // That the server has taken it shows in its answer.
    first.write_all(b"Content-Length: 0\r\n\r\n").await.unwrap();
    let mut begin = [0; 8];
    soon(first.read_exact(&mut begin)).await.unwrap();
    let call = pair.invoker.invoke(Call::new("echo", vec![]));
    let mut call = std::pin::pin!(call);
    let early = tokio::time::timeout(Duration::from_millis(100), call.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert!(soon(call).await.is_ok());
}

#[tokio::test]
async fn a_taken_port_and_a_taken_number_are_errors_that_say_so() {
    let pair = pair().await;
    let mut config = ServerConfig::default();
    config.address = pair.server.local_addr().to_string();
    let error = Server::bind(config.clone())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains(&config.address), "{error}");
    let error = pair.server.add(7, &["other"], pair.service.clone(), None);
    assert!(
        matches!(&error, Err(ServerError::IdTaken { id: 7, interfaces }) if interfaces == "org.example.Test")
    );
}
