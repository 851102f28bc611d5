//! OSGi Remote Services for Rust.

pub mod interface;
pub mod properties;
