//! Names on the wire.

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

#[remote_service("org.example.Bad")]
pub trait Bad {
    async fn say_hello(&self) -> Result<(), CallError>;
    #[remote(name = "sayHello")]
    async fn later(&self) -> Result<(), CallError>;
    async fn sayHello(&self) -> Result<(), CallError>;
    #[remote(name = "")]
    async fn empty(&self) -> Result<(), CallError>;
    #[remote(name = "a.b")]
    async fn dotted(&self) -> Result<(), CallError>;
    async fn _2d(&self) -> Result<(), CallError>;
    #[remote(title = "x")]
    async fn unknown_option(&self) -> Result<(), CallError>;
    #[remote]
    async fn bare(&self) -> Result<(), CallError>;
    #[remote(name = "x", name = "y")]
    async fn twice(&self) -> Result<(), CallError>;
    #[cfg_attr(unix, cfg(unix), remote(name = "z"))]
    async fn hidden(&self) -> Result<(), CallError>;
}

fn main() {}
