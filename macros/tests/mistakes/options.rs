//! What stands in the attribute's parentheses, and where it stands.

use osgi_remote::remote_service;

#[remote_service]
pub trait NoName {}

#[remote_service("")]
pub trait EmptyName {}

#[remote_service("org example")]
pub trait Spaced {}

#[remote_service("org.2example")]
pub trait Digit {}

#[remote_service(Hello)]
pub trait NotText {}

#[remote_service("org.example.A", name = "B")]
pub trait UnknownOption {}

#[remote_service("org.example.A", crate = "a b")]
pub trait BadPath {}

#[remote_service("org.example.A")]
pub struct NoTrait;

fn main() {}
