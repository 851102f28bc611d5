//! Traits that are more than a list of methods.

use osgi_remote::interface::CallError;
use osgi_remote::{async_trait, remote_service};

#[remote_service("org.example..Bad")]
#[async_trait]
pub unsafe trait Bad<'a, T, const N: usize>
where
    T: Clone,
{
    const LIMIT: usize;
    type Item;
    some_macro!();

    async fn good(&self) -> Result<(), CallError>;
    fn bad(&self) -> Result<(), CallError>;
}

fn main() {}
