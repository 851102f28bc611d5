//! XML-RPC over HTTP/1.1, as iPOPO speaks it (config type
//! `ecf.xmlrpc.server`).
//!
//! A service has a number (`ecf.rsvc.id`), and a method's name on the wire is
//! `<number>.<name>`. Many services share one server and one URL.

pub mod address;
mod client;
pub mod codec;
mod faults;
mod headers;
mod probe;
mod provider;
mod server;
mod settings;

pub use self::client::{Client, ClientConfig, ClientError, XmlRpcInvoker};
pub use self::faults::code as fault_code;
pub use self::headers::HEADER_PREFIX;
pub use self::provider::{CONFIG_TYPE, NAMESPACE, XmlRpcProvider};
pub use self::server::{Registration, Server, ServerConfig, ServerError};
pub use self::settings::XmlRpcConfig;

/// What stands between the service's number and the method's name.
const DOT: char = '.';
