//! The server's configuration.

use std::time::Duration;

use super::ServerError;
use crate::distribution::xmlrpc::codec;

/// How a [`Server`](super::Server) serves. Begin with the default and set
/// what shall differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// `host:port` to bind; port 0 chooses a free one. Default
    /// `127.0.0.1:0`.
    pub address: String,
    /// The path of the URL, iPOPO's `ecf.xmlrpc.server.path`. Default
    /// `/xml-rpc`.
    pub path: String,
    /// The largest request, in bytes. Default 4 MiB.
    pub max_body: usize,
    /// How deeply arrays and structs may be nested, both ways. Default 64,
    /// highest [`codec::MAX_DEPTH`].
    pub max_depth: usize,
    /// How many calls may be under way at once; a fault says so to those
    /// beyond. Default 256.
    pub max_calls: usize,
    /// How long one call may take, iPOPO's `ecf.xmlrpc.server.timeout`, if
    /// its service has no longer `osgi.basic.timeout`. Default 30 s.
    pub call_timeout: Duration,
    /// How many connections may be open at once; others wait in the system's
    /// queue. Requests are held in memory, so that
    /// `max_connections * max_body` bounds what all of them may take. Default
    /// 1024.
    pub max_connections: usize,
    /// How long a connection may stay without the complete head of a request,
    /// be it idle or slow. Default 30 s; clients should close idle
    /// connections sooner.
    pub head_timeout: Duration,
    /// How long the body of a request may take to arrive. Default 30 s.
    pub body_timeout: Duration,
    /// How long a peer may refuse to read its answer. Default 30 s.
    pub write_timeout: Duration,
    /// How long [`Server::close`](super::Server::close) waits for calls under
    /// way. Default 5 s.
    pub shutdown_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0".to_owned(),
            path: "/xml-rpc".to_owned(),
            max_body: 4 * 1024 * 1024,
            max_depth: codec::DEFAULT_DEPTH,
            max_calls: 256,
            call_timeout: Duration::from_secs(30),
            max_connections: 1024,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ServerError> {
        let bad = |setting, value: String, rule| {
            Err(ServerError::Config {
                setting,
                value,
                rule,
            })
        };
        let path_is_plain = self
            .path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        if !self.path.starts_with('/') || !path_is_plain {
            let rule = "it must begin with '/' and hold no space, '?' or '#'";
            return bad("path", format!("'{}'", self.path), rule);
        }
        for (setting, value) in [
            ("max_body", self.max_body),
            ("max_depth", self.max_depth),
            ("max_calls", self.max_calls),
            ("max_connections", self.max_connections),
        ] {
            // The upper bound is that of semaphores.
            if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&value) {
                let rule = "it must be at least 1 and at most usize::MAX >> 3";
                return bad(setting, value.to_string(), rule);
            }
        }
        for (setting, value) in [
            ("call_timeout", self.call_timeout),
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            if value.is_zero() {
                return bad(setting, "0".to_owned(), "nothing could ever be served");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused_by_name() {
        let refused = |change: fn(&mut ServerConfig)| {
            let mut config = ServerConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(refused(|c| c.path = "xml-rpc".into()).contains("path is 'xml-rpc'"));
        assert!(refused(|c| c.path = "/a b".into()).contains("path is '/a b'"));
        assert!(refused(|c| c.max_calls = 0).contains("max_calls is 0"));
        assert!(refused(|c| c.max_connections = usize::MAX).contains("max_connections"));
        assert!(refused(|c| c.call_timeout = Duration::ZERO).contains("call_timeout is 0"));
        assert!(ServerConfig::default().check().is_ok());
    }
}
