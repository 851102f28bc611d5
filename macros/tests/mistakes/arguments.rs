//! Arguments that cannot be carried, or have no name.

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

#[remote_service("org.example.Bad")]
pub trait Bad {
    async fn pattern(&self, (a, b): (u8, u8)) -> Result<(), CallError>;
    async fn nameless(&self, _: u8) -> Result<(), CallError>;
    async fn mutable(&self, mut count: u8) -> Result<(), CallError>;
    async fn lent_mutably(&self, list: &mut Vec<u8>) -> Result<(), CallError>;
    async fn nested(&self, names: &[&str], maybe: Option<&str>) -> Result<(), CallError>;
    async fn any(&self, value: impl Into<String>) -> Result<(), CallError>;
    async fn object(&self, value: Box<dyn Send>) -> Result<(), CallError>;
    async fn itself(&self, other: &Self) -> Result<(), CallError>;
    async fn switched(&self, #[cfg(unix)] value: u8) -> Result<(), CallError>;
}

fn main() {}
