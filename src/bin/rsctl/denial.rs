//! Being denied, which waiting does not end: who may not write is to hear of it at once.

use osgi_remote::keyspace::{Error, SessionStatus};
use tokio::sync::watch;

use crate::failure::Failure;

/// Whether etcd says no.
pub(crate) fn is_denial(error: &Error) -> bool {
    matches!(
        error,
        Error::Denied { .. } | Error::Authenticate { .. } | Error::NotPermitted { .. }
    )
}

/// Whether waiting does not end it, where nothing went well before: etcd says no, or TLS does not
/// come about. Later, TLS that does not may be a server that is just started anew.
pub(crate) fn is_hopeless(error: &Error) -> bool {
    is_denial(error) || matches!(error, Error::Tls { .. })
}

/// From which moment on a session's denials count: its last error stays when all is well again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    failures: u64,
    servers: u64,
}

impl Since {
    /// From the start, before which nothing failed.
    pub(crate) fn start(servers: usize) -> Self {
        Self {
            failures: 0,
            servers: servers as u64,
        }
    }

    /// From now on, where so much failed before. The session was let in already: if TLS does not
    /// come about now it is an outage.
    pub(crate) fn now(failures: u64) -> Self {
        Self {
            failures,
            servers: u64::MAX,
        }
    }

    /// The session was let in by now: if TLS does not come about later, it is an outage.
    pub(crate) fn let_in(self) -> Self {
        Self {
            servers: u64::MAX,
            ..self
        }
    }

    /// What stands in the way for good, if anything does.
    ///
    /// One server's no is the whole cluster's. With TLS, each server has its own certificate.
    pub(crate) fn denial(self, failures: u64, error: Option<&Error>) -> Option<&Error> {
        let error = error.filter(|error| is_hopeless(error))?;
        let needed = match error {
            Error::Tls { .. } => self.servers.max(1),
            _ => 1,
        };
        (failures.saturating_sub(self.failures) >= needed).then_some(error)
    }

    /// Ends when a session is denied something.
    pub(crate) async fn denied(self, mut session: watch::Receiver<SessionStatus>) -> Failure {
        let is_denied = |status: &SessionStatus| {
            let error = status.last_error.as_ref();
            self.denial(status.counts.failures, error).is_some()
        };
        let status = session.wait_for(is_denied).await;
        match status.map(|status| status.last_error.clone()) {
            Ok(Some(error)) => error.into(),
            _ => Failure::failed("the session ended by itself"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use osgi_remote::keyspace::{Client, ConnectOptions};
    use tokio::net::TcpListener;

    use super::*;

    /// What is told of a server that hangs up at once.
    async fn error_of_tls() -> Error {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let hanging_up = async {
            loop {
                drop(listener.accept().await);
            }
        };
        let client = Client::new(ConnectOptions::parse(&address).unwrap()).unwrap();
        tokio::select! {
            read = client.get("k") => read.unwrap_err(),
            () = hanging_up => unreachable!("it goes on for ever"),
        }
    }

    #[tokio::test]
    async fn each_server_is_tried_for_its_tls_and_afterwards_it_is_an_outage() {
        let error = error_of_tls().await;
        assert!(matches!(error, Error::Tls { .. }), "{error}");
        let since = Since::start(2);
        for (failures, is_final) in [(0, false), (1, false), (2, true), (3, true)] {
            let denial = since.denial(failures, Some(&error));
            assert_eq!(denial.is_some(), is_final, "{failures}");
        }
        assert_eq!(Since::now(5).denial(9, Some(&error)), None);
        assert_eq!(since.let_in().denial(9, Some(&error)), None);
        assert_eq!(since.denial(9, Some(&Error::Closed)), None);
        assert_eq!(since.denial(9, None), None);
    }
}
