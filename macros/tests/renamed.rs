//! A trait in a crate that knows osgi-remote by another path only.
#![deny(warnings)]
#![allow(missing_docs, reason = "nobody else uses this trait")]

mod facade {
    pub(crate) extern crate osgi_remote as remote;
}

use facade::remote::interface::{CallError, Interface};
use facade::remote::remote_service;

#[remote_service("org.example.Hello", crate = "crate::facade::remote")]
pub trait Hello {
    async fn say_hello(&self, name: &str) -> Result<String, CallError>;
}

#[test]
fn a_trait_finds_the_library_by_another_path() {
    assert_eq!(<dyn Hello>::NAME, "org.example.Hello");
}
