//! One test body for each server that speaks etcd's protocol.

use std::ops::Deref;

use super::etcd::{Etcd, EtcdVersion};
use super::store::Store;

/// A server of one's own, for tests that care only for what etcd's protocol says, and for tests in
/// which all that is in it is lost. Tests of what else happens to a server's process, or of what it
/// keeps over its restart, take an [`Etcd`].
#[derive(Debug)]
pub enum Server {
    Etcd(Etcd),
    #[cfg(feature = "embedded")]
    Embedded(super::embedded::Embedded),
}

impl Server {
    pub async fn etcd_3_4() -> Self {
        Self::Etcd(Etcd::start(EtcdVersion::V3_4).await)
    }

    pub async fn etcd_3_5() -> Self {
        Self::Etcd(Etcd::start(EtcdVersion::V3_5).await)
    }

    #[cfg(feature = "embedded")]
    pub async fn embedded() -> Self {
        Self::Embedded(super::embedded::Embedded::start().await)
    }

    /// Another server of this kind, for requests of at most so many bytes.
    pub async fn with_request_limit(self, bytes: usize) -> Self {
        match self {
            Self::Etcd(etcd) => {
                let args = ["--max-request-bytes", &bytes.to_string()];
                Self::Etcd(Etcd::start_with(etcd.version(), &args).await)
            }
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => {
                let settings = super::embedded::Embedded::settings().max_request_bytes(bytes);
                Self::Embedded(super::embedded::Embedded::start_with(settings).await)
            }
        }
    }

    /// Ends the server without a goodbye; its port stays its own.
    pub fn kill(&mut self) {
        match self {
            Self::Etcd(etcd) => etcd.kill9(),
            #[cfg(feature = "embedded")]
            Self::Embedded(embedded) => embedded.stop(),
        }
    }

    /// Starts an empty server on the same address. One that is still running is killed first.
    pub async fn restart_empty(&mut self) {
        match self {
            Self::Etcd(etcd) => {
                etcd.wipe();
                etcd.restart().await;
            }
            #[cfg(feature = "embedded")]
            Self::Embedded(embedded) => embedded.restart().await,
        }
    }
}

impl Deref for Server {
    type Target = Store;

    fn deref(&self) -> &Store {
        match self {
            Self::Etcd(etcd) => etcd,
            #[cfg(feature = "embedded")]
            Self::Embedded(embedded) => embedded,
        }
    }
}

/// Makes tests of functions `async fn name(server: Server)`: each in `embedded`, `etcd_3_4` and
/// `etcd_3_5`, so that they appear as tests of their own, or in those of them that are named first:
/// `on_each_server!([embedded, etcd_3_5] (one, other))`. Use it once in a module, with
/// `use support::on_each_server`.
#[allow(unused_macros, reason = "not each test binary has such tests")]
macro_rules! on_each_server {
    ([$($server:ident),+] $names:tt) => {
        $(on_each_server!(@$server $names);)+
    };
    (@embedded $names:tt) => {
        #[cfg(feature = "embedded")]
        on_each_server!(@module embedded $names);
    };
    (@etcd_3_4 $names:tt) => {
        on_each_server!(@module etcd_3_4 $names);
    };
    (@etcd_3_5 $names:tt) => {
        on_each_server!(@module etcd_3_5 $names);
    };
    (@module $server:ident ($($name:ident),+ $(,)?)) => {
        mod $server {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Server::$server().await).await;
            })+
        }
    };
    ($($name:ident),+ $(,)?) => {
        on_each_server!([embedded, etcd_3_4, etcd_3_5] ($($name),+));
    };
}

#[allow(unused_imports, reason = "not each test binary has such tests")]
pub(crate) use on_each_server;
