//! Our client and our server.

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::distribution::xmlrpc::{ClientConfig, ServerConfig};
use osgi_remote::interface::{Call, CallError, CallOptions, Data, Invoker};

use crate::{Pair, all_types, pair, pair_with, pass, soon, url};

/// Begins a call of `wait` and returns when the service is in it.
async fn waiting(pair: &Pair) -> tokio::task::JoinHandle<Result<Data, CallError>> {
    let invoker = Arc::clone(&pair.invoker);
    let call = tokio::spawn(async move { invoker.invoke(Call::new("wait", vec![])).await });
    pair.service.begun.next().await;
    call
}

#[tokio::test]
async fn values_of_all_types_go_there_and_back() {
    let pair = pair().await;
    let result = pair.invoker.invoke(Call::new("echo", all_types())).await;
    assert_eq!(result.unwrap(), Data::Array(all_types()));
}

#[tokio::test]
async fn an_error_of_the_service_arrives_with_code_class_and_message() {
    let pair = pair().await;
    let error = pair.invoker.invoke(Call::new("fail", vec![])).await;
    let error = error.unwrap_err();
    let fault = error.fault().expect("a fault");
    assert_eq!(fault.code, 42);
    assert_eq!(fault.class.as_deref(), Some("ValueError"));
    assert_eq!(fault.message, "it <failed>");
}

#[tokio::test]
async fn failures_of_the_distribution_keep_their_kind() {
    let pair = pair().await;
    let error = pair.invoker.invoke(Call::new("nope", vec![])).await;
    assert!(
        matches!(&error, Err(CallError::NoSuchMethod { interface, method, .. })
            if interface == "org.example.Test" && method == "nope"),
        "{error:?}"
    );
    let error = pair.invoker.invoke(Call::new("unfit", vec![])).await;
    assert!(
        matches!(&error, Err(CallError::InvalidArguments { detail, .. })
            if detail == "'name': a string is wanted"),
        "{error:?}"
    );
    let error = pair.invoker.invoke(Call::new("control", vec![])).await;
    assert!(
        matches!(&error, Err(CallError::InvalidResult { detail, .. }) if detail.contains("U+0001")),
        "{error:?}"
    );
    let other = pair.client.invoker(&url(&pair.server), 8, None, "e-8");
    let error = other.unwrap().invoke(Call::new("echo", vec![])).await;
    assert!(
        matches!(&error, Err(CallError::EndpointRemoved { endpoint }) if endpoint == "e-8"),
        "{error:?}"
    );
}

#[tokio::test]
async fn arguments_that_cannot_be_carried_are_refused_before_sending() {
    let pair = pair().await;
    let args = vec![Data::Nil, Data::from("\u{0}")];
    let error = pair.invoker.invoke(Call::new("echo", args)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("params[1]"), "{error}");
    let error = pair.invoker.invoke(Call::new("a.b", vec![])).await;
    assert!(matches!(error, Err(CallError::InvalidArguments { .. })));
}

#[tokio::test]
async fn a_panic_of_the_service_is_a_fault_and_the_server_goes_on() {
    let pair = pair().await;
    for _ in 0..3 {
        let error = pair.invoker.invoke(Call::new("panic", vec![])).await;
        let error = error.unwrap_err();
        assert!(error.fault().is_some(), "{error}");
        assert!(error.to_string().contains("panicked in 'panic'"), "{error}");
    }
    assert!(pair.invoker.invoke(Call::new("echo", vec![])).await.is_ok());
    pair.server.close().await.unwrap();
}

#[tokio::test]
async fn two_hundred_calls_at_once_all_get_their_own_answer() {
    let pair = pair().await;
    let calls = (0..200).map(|number| {
        let invoker = Arc::clone(&pair.invoker);
        tokio::spawn(async move {
            let result = invoker.invoke(Call::new("echo", vec![number.into()])).await;
            assert_eq!(result.unwrap(), Data::Array(vec![number.into()]));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        soon(call).await.unwrap();
    }
}

#[tokio::test]
async fn calls_beyond_the_servers_limit_are_told_so() {
    let mut config = ServerConfig::default();
    config.max_calls = 1;
    let pair = pair_with(config, ClientConfig::default()).await;
    let first = waiting(&pair).await;
    let second = pair.invoker.invoke(Call::new("echo", vec![])).await;
    assert!(
        matches!(second, Err(CallError::Overloaded { limit: 1 })),
        "{second:?}"
    );
    pair.service.go.cancel();
    assert_eq!(soon(first).await.unwrap().unwrap(), Data::from("waited"));
    assert!(pair.invoker.invoke(Call::new("echo", vec![])).await.is_ok());
}

#[tokio::test]
async fn calls_beyond_the_clients_limit_are_told_so() {
    let mut config = ClientConfig::default();
    config.max_calls = 1;
    let pair = pair_with(ServerConfig::default(), config).await;
    let first = waiting(&pair).await;
    let second = pair.invoker.invoke(Call::new("echo", vec![])).await;
    assert!(matches!(second, Err(CallError::Overloaded { limit: 1 })));
    pair.service.go.cancel();
    soon(first).await.unwrap().unwrap();
}

#[tokio::test]
async fn nesting_and_size_are_limited() {
    let mut config = ServerConfig::default();
    config.max_depth = 3;
    config.max_body = 10_000;
    let mut client = ClientConfig::default();
    client.max_body = 20_000;
    let pair = pair_with(config, client).await;
    let deep = (0..5).fold(Data::Nil, |inner, _| Data::Array(vec![inner]));
    let error = pair.invoker.invoke(Call::new("echo", vec![deep])).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("deeper than the limit of 3"), "{error}");
    let text = Data::from("x".repeat(15_000));
    let error = pair.invoker.invoke(Call::new("echo", vec![text])).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("HTTP 413") && error.contains("10000 bytes"),
        "{error}"
    );
    let text = Data::from("x".repeat(25_000));
    let error = pair.invoker.invoke(Call::new("echo", vec![text])).await;
    assert!(matches!(
        error,
        Err(CallError::TooLarge { limit: 20_000, .. })
    ));
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_on_the_server() {
    let mut config = ServerConfig::default();
    config.call_timeout = Duration::from_millis(50);
    let pair = pair_with(config, ClientConfig::default()).await;
    let error = soon(waiting(&pair).await).await.unwrap();
    assert!(matches!(error, Err(CallError::Timeout { .. })), "{error:?}");
    pair.service.dropped.next().await;
}

#[tokio::test]
async fn a_call_that_the_client_gives_up_is_dropped_on_the_server() {
    let pair = pair().await;
    // Less than the server gives.
    pair.invoker.set_timeout(Some(Duration::from_secs(25)));
    let call = waiting(&pair).await;
    pass(Duration::from_secs(26)).await;
    let error = soon(call).await.unwrap();
    assert!(
        matches!(&error, Err(CallError::Timeout { timeout, .. }) if timeout.as_secs() == 25),
        "{error:?}"
    );
    pair.service.dropped.next().await;

    pair.invoker.set_timeout(None);
    assert_eq!(pair.invoker.timeout(), Duration::from_secs(30));
    let call = waiting(&pair).await;
    call.abort();
    pair.service.dropped.next().await;
}

#[tokio::test]
async fn a_methods_own_timeout_shortens_that_of_the_endpoint_and_never_lengthens_it() {
    // OSGi rules N06, N07.
    let pair = pair().await;
    let millis = Duration::from_millis;
    for (endpoint, method, expected) in [
        (None, 100, 100),
        (Some(200), 100, 100),
        (Some(100), 60_000, 100),
    ] {
        pair.invoker.set_timeout(endpoint.map(millis));
        let options = CallOptions::default().with_timeout(millis(method));
        let call = Call::new("wait", vec![]).with_options(options);
        let error = soon(pair.invoker.invoke(call)).await;
        assert!(
            matches!(&error, Err(CallError::Timeout { timeout, .. }) if *timeout == millis(expected)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn removing_the_service_ends_its_calls_and_those_to_come() {
    let pair = pair().await;
    let call = waiting(&pair).await;
    let removed = |error: Result<Data, CallError>| {
        assert!(
            matches!(&error, Err(CallError::EndpointRemoved { endpoint }) if endpoint == "e-7"),
            "{error:?}"
        );
    };
    drop(pair.registration);
    removed(soon(call).await.unwrap());
    pair.service.dropped.next().await;
    removed(pair.invoker.invoke(Call::new("echo", vec![])).await);

    let again = pair
        .server
        .add(7, &["org.example.Test"], pair.service, None);
    let again = again.unwrap();
    assert_eq!(again.id(), 7);
    assert!(pair.invoker.invoke(Call::new("echo", vec![])).await.is_ok());
}

#[tokio::test]
async fn closing_an_invoker_ends_its_calls_and_no_others() {
    let pair = pair().await;
    let call = waiting(&pair).await;
    let other = pair.client.invoker(&url(&pair.server), 7, None, "e-7b");
    pair.invoker.close();
    let error = soon(call).await.unwrap();
    assert!(matches!(error, Err(CallError::EndpointRemoved { .. })));
    let error = pair.invoker.invoke(Call::new("echo", vec![])).await;
    assert!(matches!(error, Err(CallError::EndpointRemoved { .. })));
    assert!(
        other
            .unwrap()
            .invoke(Call::new("echo", vec![]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn closing_the_client_ends_all_calls_and_connections() {
    let pair = pair().await;
    let call = waiting(&pair).await;
    soon(pair.client.close()).await;
    let error = soon(call).await.unwrap();
    assert!(matches!(error, Err(CallError::EndpointRemoved { .. })));
    pair.service.dropped.next().await;
}

#[tokio::test]
async fn closing_the_server_waits_for_calls_and_frees_the_port_at_once() {
    let pair = pair().await;
    let address = pair.server.local_addr().to_string();
    let call = waiting(&pair).await;
    let closing = tokio::spawn(pair.server.close());
    let mut config = ServerConfig::default();
    config.address = address;
    // The call is still under way while the port is bound again.
    let again = soon(async {
        loop {
            match osgi_remote::distribution::xmlrpc::Server::bind(config.clone()).await {
                Ok(server) => break server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let again = again.await;
    assert!(!closing.is_finished());
    pair.service.go.cancel();
    assert_eq!(soon(call).await.unwrap().unwrap(), Data::from("waited"));
    soon(closing).await.unwrap().unwrap();
    soon(again.close()).await.unwrap();
}

#[tokio::test]
async fn closing_the_server_breaks_off_calls_that_take_too_long() {
    let mut config = ServerConfig::default();
    config.shutdown_timeout = Duration::from_millis(50);
    let pair = pair_with(config, ClientConfig::default()).await;
    let call = waiting(&pair).await;
    soon(pair.server.close()).await.unwrap();
    let error = soon(call).await.unwrap();
    assert!(
        matches!(error, Err(CallError::Disconnected { .. })),
        "{error:?}"
    );
    pair.service.dropped.next().await;
}

#[tokio::test]
async fn dropping_the_server_stops_it() {
    let pair = pair().await;
    let call = waiting(&pair).await;
    drop(pair.server);
    let error = soon(call).await.unwrap();
    assert!(
        matches!(error, Err(CallError::Disconnected { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_closing() {
    let mut config = ServerConfig::default();
    config.shutdown_timeout = Duration::from_secs(3600);
    let pair = pair_with(config, ClientConfig::default()).await;
    pair.invoker
        .invoke(Call::new("echo", vec![]))
        .await
        .unwrap();
    soon(pair.server.close()).await.unwrap();
}
