//! What only the compiler can find is shown at the user's own types.

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

pub struct Opaque;

pub struct NotAnError;

#[remote_service("org.example.Bad")]
pub trait Bad {
    async fn argument(&self, value: Opaque) -> Result<(), CallError>;
    async fn result(&self) -> Result<Opaque, CallError>;
    async fn error(&self) -> Result<(), NotAnError>;
    async fn other_error(&self) -> std::io::Result<()>;
}

fn main() {}
