//! Calls that cannot be answered, and peers that do not speak the protocol.

use osgi_remote::interface::{Call, Data, Invoker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::*;

on_each_server!([embedded, etcd_3_5](
    a_call_that_cannot_be_answered_says_what_is_wrong_with_it,
    a_fault_of_the_service_arrives_as_its_own,
    rubbish_at_the_advertised_url_is_refused_and_calls_go_on,
));

fn untyped(framework: &Framework) -> Arc<dyn Invoker> {
    let references = framework
        .registry()
        .references(Some("org.example.Bench"), None);
    references[0].invoker("org.example.Bench").unwrap()
}

async fn a_call_that_cannot_be_answered_says_what_is_wrong_with_it(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let invoker = untyped(&healthy.guest);
    for (method, args, expected) in [
        (
            "nope",
            vec![],
            "org.example.Bench has no method 'nope'; it has echo, withdraw, wait",
        ),
        (
            "echo",
            vec![Data::Int(1)],
            "arguments of 'echo' do not fit: 'text'",
        ),
        (
            "withdraw",
            vec![Data::from("much")],
            "arguments of 'withdraw' do not fit: 'amount'",
        ),
        (
            "withdraw",
            vec![Data::Int(5_000_000_000)],
            "arguments of 'withdraw' do not fit: 'amount'",
        ),
        ("echo", vec![], "arguments of 'echo' do not fit: "),
        (
            "echo",
            vec![Data::from("a"), Data::from("b")],
            "arguments of 'echo' do not fit: ",
        ),
    ] {
        let error = soon(invoker.invoke(Call::new(method, args)))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_remote(), "{error}");
    }
    healthy.check(&etcd).await;
}

async fn a_fault_of_the_service_arrives_as_its_own(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let call = Call::new("withdraw", vec![Data::Int(101)]);
    let error = soon(untyped(&healthy.guest).invoke(call))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the service failed: overdrawn (code 7)");
    assert!(!error.is_remote());
    healthy.check(&etcd).await;
}

/// Sends bytes to a framework's advertised URL and reads until it closes.
async fn raw(url: &str, head: &str, body: &[u8]) -> String {
    let authority = url.strip_prefix("http://").unwrap();
    let authority = authority.split_once('/').unwrap().0;
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let head = format!("{head}\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may close before it has read all of what it refuses.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

async fn post(url: &str, body: &[u8]) -> String {
    let head = format!("POST /xml-rpc HTTP/1.1\r\nContent-Length: {}", body.len());
    raw(url, &head, body).await
}

async fn rubbish_at_the_advertised_url_is_refused_and_calls_go_on(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let url = url(&healthy.export).await;
    let endpoints = healthy.export.announced().await.unwrap();
    let id = endpoints[0].remote_service_id();
    let bodies: [(Vec<u8>, &str); 7] = [
        (b"".to_vec(), "cannot read the request"),
        (
            b"GET me".to_vec(),
            "cannot read the request: byte 6, document",
        ),
        (b"\xff\xfe\x00".to_vec(), "cannot read the request"),
        (b"<methodCall></b>".to_vec(), "not well-formed"),
        (
            b"<!DOCTYPE a [<!ENTITY b \"c\">]><methodCall/>".to_vec(),
            "DOCTYPE",
        ),
        (
            format!("<methodCall><methodName>{id}.nope</methodName></methodCall>").into(),
            "org.example.Bench has no method",
        ),
        (
            b"<methodCall><methodName>0.echo</methodName></methodCall>".to_vec(),
            "no service has the number 0",
        ),
    ];
    for (body, expected) in bodies {
        let answer = post(&url, &body).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("<fault>"), "{answer}");
        assert!(answer.contains(expected), "{answer}");
    }
    let deep = "<array><data><value>".repeat(10_000);
    let deep =
        format!("<methodCall><methodName>{id}.echo</methodName><params><param><value>{deep}");
    let answer = post(&url, deep.as_bytes()).await;
    assert!(answer.contains("<fault>"), "{answer}");

    let answer = post(&url, &vec![b'x'; 5_000_000]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("4194304"), "{answer}");
    let other = raw(&url, "GET /xml-rpc HTTP/1.1", b"").await;
    assert!(other.starts_with("HTTP/1.1 405 "), "{other}");
    healthy.check(&etcd).await;
}
