//! OSGi Remote Services for Rust.

pub mod filter;
pub mod interface;
pub mod properties;
