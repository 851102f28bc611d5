//! OSGi Remote Services for Rust.

pub mod discovery;
pub mod distribution;
pub mod endpoint;
pub mod feed;
pub mod filter;
pub mod interface;
pub mod keyspace;
pub mod names;
pub mod properties;
pub mod services;
