//! The services of both sides.

use std::collections::BTreeMap;

use osgi_remote::interface::{CallError, Data, DateTime, Fault, ServiceError};
use osgi_remote::{async_trait, remote_service};
use serde::{Deserialize, Serialize};

pub(crate) const HELLO: &str = "org.eclipse.ecf.examples.hello.IHello";
pub(crate) const TYPES: &str = "osgi.remote.test.ITypes";

/// The interface of iPOPO's sample.
#[remote_service("org.eclipse.ecf.examples.hello.IHello")]
pub(crate) trait Hello {
    async fn say_hello(&self, name: String, message: String) -> Result<String, CallError>;
    async fn say_hello_async(&self, name: String, message: String) -> Result<String, CallError>;
    async fn say_hello_promise(&self, name: String, message: String) -> Result<String, CallError>;
}

/// Says in its answers who it is, how it was called and with what.
pub(crate) struct Greeter(pub(crate) &'static str);

#[async_trait]
impl Hello for Greeter {
    async fn say_hello(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(format!("{} sync {name} {message}", self.0))
    }

    async fn say_hello_async(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(format!("{} async {name} {message}", self.0))
    }

    async fn say_hello_promise(&self, name: String, message: String) -> Result<String, CallError> {
        Ok(format!("{} promise {name} {message}", self.0))
    }
}

/// The error of a service of our own, with a code by which it is known again.
#[derive(Debug)]
pub(crate) enum AccountError {
    Overdrawn { missing: i64 },
    Call(CallError),
}

impl ServiceError for AccountError {
    fn into_call_error(self) -> CallError {
        match self {
            Self::Overdrawn { missing } => {
                let text = format!("{missing} cents are missing");
                CallError::Service(Fault::new(text).with_code(7).with_class("bank.Overdrawn"))
            }
            Self::Call(error) => error,
        }
    }

    fn from_call_error(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// What Rust exports as `ITypes`.
#[remote_service("osgi.remote.test.ITypes")]
pub(crate) trait RustTypes {
    async fn echo(&self, value: Data) -> Result<Data, CallError>;
    async fn add(&self, a: i64, b: i64) -> Result<i64, CallError>;
    async fn half(&self, value: f64) -> Result<f64, CallError>;
    async fn nothing(&self) -> Result<(), CallError>;
    async fn withdraw(&self, balance: i64, cents: i64) -> Result<i64, AccountError>;
    async fn fail(&self, message: String) -> Result<(), CallError>;
}

pub(crate) struct Teller;

#[async_trait]
impl RustTypes for Teller {
    async fn echo(&self, value: Data) -> Result<Data, CallError> {
        Ok(value)
    }

    async fn add(&self, a: i64, b: i64) -> Result<i64, CallError> {
        Ok(a + b)
    }

    async fn half(&self, value: f64) -> Result<f64, CallError> {
        Ok(value / 2.0)
    }

    async fn nothing(&self) -> Result<(), CallError> {
        Ok(())
    }

    async fn withdraw(&self, balance: i64, cents: i64) -> Result<i64, AccountError> {
        let left = balance - cents;
        if left < 0 {
            return Err(AccountError::Overdrawn { missing: -left });
        }
        Ok(left)
    }

    async fn fail(&self, message: String) -> Result<(), CallError> {
        Err(CallError::service(message))
    }
}

/// The members of [`PythonTypes::nested`].
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nested {
    pub(crate) list: (i64, f64, String, bool, Option<String>),
    #[serde(rename = "struct")]
    pub(crate) inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Inner {
    pub(crate) empty: BTreeMap<String, i64>,
    pub(crate) none: Vec<i64>,
}

/// What the driver's Python class exports as `ITypes`.
#[remote_service("osgi.remote.test.ITypes")]
pub(crate) trait PythonTypes {
    async fn echo(&self, value: Data) -> Result<Data, CallError>;
    #[remote(name = "type_name")]
    async fn type_name(&self, value: Data) -> Result<String, CallError>;
    async fn add(&self, a: i64, b: i64) -> Result<i64, CallError>;
    async fn nothing(&self) -> Result<Option<String>, CallError>;
    async fn fail(&self, message: &str) -> Result<(), CallError>;
    async fn fault(&self, code: i64, text: &str) -> Result<(), CallError>;
    async fn date(&self) -> Result<DateTime, CallError>;
    async fn binary(&self) -> Result<Vec<u8>, CallError>;
    #[remote(name = "big_int")]
    async fn big_int(&self) -> Result<i64, CallError>;
    async fn nested(&self) -> Result<Nested, CallError>;
    async fn block(&self, seconds: u32) -> Result<u32, CallError>;
    #[remote(name = "noSuchMethod")]
    async fn missing(&self) -> Result<(), CallError>;
}

/// The same interface, as one sees it who knows what comes back.
#[remote_service("osgi.remote.test.ITypes")]
pub(crate) trait NestedTypes {
    async fn echo(&self, value: &Nested) -> Result<Nested, CallError>;
}
