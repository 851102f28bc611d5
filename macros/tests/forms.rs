//! All that a service trait may look like, under strict lints.
#![deny(
    warnings,
    missing_docs,
    unreachable_pub,
    unused,
    missing_debug_implementations
)]
#![forbid(unsafe_code)]

use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

type HelloResult<T> = Result<T, CallError>;

/// A lone name, and no methods.
#[remote_service("Empty")]
pub trait Empty {}

/// All forms.
#[remote_service("org.example.Outer$Inner", crate = "::osgi_remote")]
pub trait Forms: std::fmt::Debug + Send + std::marker::Sync + 'static {
    /// Nothing in, nothing out.
    async fn ping(&self) -> Result<(), CallError>;
    /// Owned and lent.
    async fn take(
        &self,
        a: String,
        b: &str,
        c: &[String],
        d: &Option<u8>,
        e: &u8,
    ) -> HelloResult<Vec<u8>>;
    /// A keyword as a name, of the method and of an argument.
    async fn r#type(&self, r#match: u8) -> std::result::Result<u8, CallError>;
    /// Names that the generated code has a use for.
    #[allow(clippy::too_many_arguments)]
    async fn clone(
        &self,
        call: u8,
        method: u8,
        args: u8,
        f: u8,
        invoker: u8,
        service: u8,
        unknown: u8,
    ) -> HelloResult<()>;
    /// Gone on all systems; so is its type.
    #[cfg(any())]
    async fn gone(&self, value: NoSuchType) -> HelloResult<NoSuchType>;
    /// Out of use.
    #[deprecated]
    async fn old(&self) -> HelloResult<()>;
}

/// Gone altogether.
#[remote_service("org.example.Gone")]
#[cfg(any())]
pub trait Gone {
    async fn gone(&self, value: NoSuchType) -> NoSuchResult;
}

mod inner {
    #[super::remote_service("org.example.Private")]
    trait Private {
        async fn ping(&self) -> super::HelloResult<()>;
    }

    #[super::remote_service("org.example.Crate")]
    pub(crate) trait InCrate {
        async fn ping(&self) -> super::HelloResult<()>;
    }
}

macro_rules! service {
    ($name:ident, $ty:ty, $lent:ty) => {
        /// From a macro.
        #[remote_service("org.example.Written")]
        pub trait $name {
            /// Typed from outside.
            async fn echo(&self, value: $ty, lent: $lent) -> HelloResult<$ty>;
        }
    };
}

service!(Written, Vec<u8>, &str);

#[test]
fn a_trait_may_take_all_these_forms() {
    // In a function's body, where items cannot be named from outside.
    #[remote_service("org.example.Local")]
    trait Local {
        async fn ping(&self) -> HelloResult<()>;
    }

    use osgi_remote::interface::Interface;
    assert_eq!(
        <dyn Forms>::METHODS,
        ["ping", "take", "type", "clone", "old"]
    );
    assert_eq!(<dyn Forms>::NAME, "org.example.Outer$Inner");
    assert!(<dyn Empty>::METHODS.is_empty());
    assert_eq!(<dyn Local>::NAME, "org.example.Local");
}
