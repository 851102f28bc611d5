//! Signatures that cannot be called from afar.

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

#[remote_service("org.example.Bad")]
pub trait Bad {
    fn not_async(&self) -> Result<(), CallError>;
    async fn no_receiver() -> Result<(), CallError>;
    async fn by_value(self) -> Result<(), CallError>;
    async fn by_mut(&mut self) -> Result<(), CallError>;
    async fn boxed(self: Box<Self>) -> Result<(), CallError>;
    async fn no_result(&self);
    async fn no_error(&self) -> String;
    async fn lent_result(&self) -> Result<&str, CallError>;
    async fn hidden_result(&self) -> Result<impl Iterator<Item = u8>, CallError>;
    async fn generic<T>(&self, value: T) -> Result<(), CallError>;
    async fn lifetime<'a>(&self, text: &'a str) -> Result<(), CallError>;
    async fn sized<const N: usize>(&self, bytes: [u8; N]) -> Result<(), CallError>;
    async fn clause(&self) -> Result<(), CallError>
    where
        String: Clone;
    async unsafe fn trusting(&self) -> Result<(), CallError>;
    async extern "C" fn foreign(&self) -> Result<(), CallError>;
    async fn with_body(&self) -> Result<(), CallError> {
        Ok(())
    }
}

fn main() {}
