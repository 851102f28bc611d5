//! An etcd v3 API server in memory, in this process.
//!
//! etcd-client, etcdctl 3.4 and 3.5, iPOPO and ECF connect to it as to etcd. It is for
//! development, tests and demonstrations: there is no quorum and nothing survives the process.

mod addresses;
mod door;
pub(crate) mod error;
pub(crate) mod grpc;
pub(crate) mod lease;
mod registry;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod store;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
pub(crate) mod watch;

pub(crate) use self::registry::Dialer;
pub use self::registry::{Builder, Error, Registry};
pub use self::settings::Settings;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
