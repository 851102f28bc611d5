//! OSGi Remote Services for Rust.
