//! What integration tests stand on: real etcd servers, the embedded registry, real iPOPO peers, and
//! waiting by condition.
//!
//! Use it with `mod support;`. The programs come from `make setup-tests`; a test that misses one fails
//! and says so. Everything started here ends with the test, also when the test process is killed.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary includes this module and uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a harness fails its test by panicking, and is included as a private module"
)]

pub mod cluster;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod etcd;
pub mod ipopo;
pub mod ipopo_decoder;
pub mod namespace;
pub mod process;
pub mod proxy;
pub mod seed;
pub mod server;
pub mod store;
pub mod tools;
pub mod wait;

pub use cluster::Cluster;
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use etcd::{Etcd, EtcdVersion, ServerTls};
pub use ipopo::{Ipopo, IpopoError, IpopoOptions};
pub use ipopo_decoder::Decoded;
pub use proxy::{Cut, Flow, Mode, Proxy};
pub use seed::seed;
pub use server::Server;
pub(crate) use server::on_each_server;
pub use store::{Kv, Store};
pub use wait::eventually;
