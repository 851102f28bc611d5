//! Whether a server of one's own answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::Client;
use crate::distribution::DistributionError;
use crate::interface::{Call, CallError, Invoker as _};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// No service has this number: they are counted from a number above.
const NOBODY: u64 = 0;

/// Where a server that listens at `local` is reached from the same machine.
/// What it advertises may be reachable from elsewhere only.
pub(super) fn url(local: SocketAddr, path: &str) -> String {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}{path}", SocketAddr::new(ip, local.port()))
}

/// Calls nobody, which has to be answered by a fault.
pub(super) async fn ask(client: &Client, url: &str) -> Result<(), DistributionError> {
    let not_ready = |problem: String| DistributionError::NotReady {
        address: url.to_owned(),
        problem,
    };
    let nobody = client.invoker(url, NOBODY, Some(PATIENCE), "nobody");
    let nobody = nobody.map_err(|error| not_ready(error.to_string()))?;
    match nobody.invoke(Call::new("ready", Vec::new())).await {
        Err(
            error @ (CallError::Unreachable { .. }
            | CallError::Disconnected { .. }
            | CallError::Timeout { .. }
            | CallError::Protocol { .. }),
        ) => Err(not_ready(error.to_string())),
        // Any fault comes from a server that answers.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]
mod tests {
    use super::*;
    use crate::distribution::xmlrpc::{Server, XmlRpcConfig};

    #[test]
    fn a_server_at_all_addresses_is_asked_at_loopback() {
        for (local, expected) in [
            ("0.0.0.0:80", "http://127.0.0.1:80/x"),
            ("[::]:80", "http://[::1]:80/x"),
            ("192.0.2.1:80", "http://192.0.2.1:80/x"),
            ("[2001:db8::1]:80", "http://[2001:db8::1]:80/x"),
        ] {
            assert_eq!(url(local.parse().unwrap(), "/x"), expected);
        }
    }

    #[tokio::test]
    async fn a_server_is_ready_while_it_is_there() {
        let config = XmlRpcConfig::default();
        let client = Client::new(config.client.clone());
        let server = Server::bind(config.server.clone()).await.unwrap();
        let url = url(server.local_addr(), server.path());
        ask(&client, &url).await.unwrap();
        server.close().await.unwrap();
        let error = ask(&client, &url).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{url} does not answer yet: ")),
            "{text}"
        );
        client.close().await;
    }

    #[tokio::test]
    async fn one_that_speaks_something_else_is_not_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap(), "/");
        let client = Client::new(XmlRpcConfig::default().client);
        let hang_up = async {
            for _ in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                stream.writable().await.unwrap();
                // It may have hung up itself by now.
                let _ = stream.try_write(b"220 mail\r\n");
            }
        };
        tokio::select! {
            result = ask(&client, &url) => assert!(result.is_err()),
            () = async { hang_up.await; std::future::pending().await } => {}
        }
        client.close().await;
    }
}
