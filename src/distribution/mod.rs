//! Distribution providers: how calls reach services of other processes.

#[cfg(feature = "xmlrpc")]
pub mod xmlrpc;
