//! OSGi Remote Services for Rust.

pub mod distribution;
pub mod interface;
pub mod properties;
