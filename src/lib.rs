//! OSGi Remote Services for Rust.

pub mod keyspace;
