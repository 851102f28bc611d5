//! OSGi Remote Services for Rust.

pub mod endpoint;
pub mod feed;
pub mod filter;
pub mod interface;
pub mod names;
pub mod properties;
pub mod services;
pub mod keyspace;
