//! An etcd v3 API server in memory, in this process.
//!
//! etcd-client, etcdctl 3.4 and 3.5, iPOPO and ECF connect to it as to etcd. It is for
//! development, tests and demonstrations: there is no quorum and nothing survives the process.

pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod watch;

pub use self::settings::Settings;
