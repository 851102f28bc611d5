//! One test body for each server that speaks etcd's protocol.

use std::ops::Deref;

use super::etcd::{Etcd, EtcdVersion};
use super::store::Store;

/// A server of one's own, for tests that care only for what etcd's protocol says. Tests of what
/// happens to a server's process take an [`Etcd`].
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
/// `etcd_3_5`, so that they appear as tests of their own. Use it once in a module.
#[allow(unused_macros, reason = "not each test binary has such tests")]
macro_rules! on_each_server {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "embedded")]
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Server::embedded().await).await;
            })+
        }
        mod etcd_3_4 {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Server::etcd_3_4().await).await;
            })+
        }
        mod etcd_3_5 {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Server::etcd_3_5().await).await;
            })+
        }
    };
}

pub(crate) use on_each_server;
