//! What a trait may say of its version and of its methods.
#![deny(warnings, unused)]
#![allow(missing_docs, reason = "nobody else uses these traits")]

use osgi_remote::interface::{CallError, Interface};
use osgi_remote::remote_service;

#[remote_service("org.example.Plain")]
pub trait Plain {}

#[remote_service("org.example.Hello", version = "1.2.0.beta-2", crate = "::osgi_remote")]
pub trait Hello {
    #[remote(idempotent, timeout = "500ms", name = "hello")]
    async fn say_hello(&self, name: &str) -> Result<String, CallError>;
    #[remote(timeout = "1min")]
    #[remote(idempotent)]
    async fn slowly(&self) -> Result<(), CallError>;
}

#[test]
fn a_version_a_time_and_names_are_taken_over() {
    assert_eq!(<dyn Plain>::VERSION, None);
    assert_eq!(<dyn Hello>::VERSION, Some("1.2.0.beta-2"));
    assert_eq!(<dyn Hello>::METHODS, ["hello", "slowly"]);
}
