//! A trait in a crate that knows osgi-remote by another path only.

mod facade {
    pub extern crate osgi_remote as remote;
}

use facade::remote::interface::CallError;
use facade::remote::remote_service;

#[remote_service("org.example.Hello", crate = "crate::facade::remote")]
pub trait Hello {
    async fn say_hello(&self, name: &str) -> Result<String, CallError>;
}

fn main() {}
