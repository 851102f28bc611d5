//! What stands in `#[remote(…)]` and in the options of the trait: all mistakes
//! at once, several of one attribute among them.

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

#[remote_service("org.example.Bad", version = "1.x", crate = "a b")]
pub trait Bad {
    #[remote(timeout = "2", idempotent = true, retries = 3)]
    async fn three_mistakes(&self) -> Result<(), CallError>;
    #[remote(timeout = "0s")]
    #[remote(colour = "red")]
    async fn in_two_attributes(&self) -> Result<(), CallError>;
    #[remote(timeout = 2, idempotent, idempotent)]
    async fn no_text(&self) -> Result<(), CallError>;
    #[remote(timeout = "2h", timeout = "1s")]
    async fn twice(&self) -> Result<(), CallError>;
    #[remote(timeout = "99999999999999999999s", limit(5, of = 3), name = "a b")]
    async fn too_long(&self) -> Result<(), CallError>;
}

#[remote_service("org.example.Bad", version = "1.2", version = "1.3", since = 3)]
pub trait Twice {}

fn main() {}
