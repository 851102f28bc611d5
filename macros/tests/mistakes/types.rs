//! An error type that only the compiler knows is shown where it is written.

use osgi_remote::remote_service;

pub struct NotAnError;

#[remote_service("org.example.Bad")]
pub trait Bad {
    async fn error(&self) -> Result<(), NotAnError>;
    async fn other_error(&self) -> std::io::Result<()>;
}

fn main() {}
