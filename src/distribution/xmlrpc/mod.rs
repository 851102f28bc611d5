//! XML-RPC over HTTP/1.1, as iPOPO speaks it (config type
//! `ecf.xmlrpc.server`).
//!
//! A service has a number (`ecf.rsvc.id`), and a method's name on the wire is
//! `<number>.<name>`. Many services share one server and one URL.

pub mod codec;
