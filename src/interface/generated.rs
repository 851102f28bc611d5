//! What the code written by [`remote_service`](crate::remote_service) calls.
//! Not for use by hand; no promise is made about it between versions.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Call, CallError, CallOptions, Data, Invoker, ServiceError, from_data, metadata, to_data,
};

/// The arguments of a proxy's method, gathered one by one.
///
/// The first that cannot be carried decides the outcome; those after it are
/// no longer looked at.
#[derive(Debug)]
pub struct Args {
    method: &'static str,
    options: CallOptions,
    values: Result<Vec<Data>, CallError>,
}

impl Args {
    /// No arguments yet; `count` will come.
    #[must_use]
    pub fn new(method: &'static str, count: usize) -> Self {
        Self {
            method,
            options: CallOptions::default(),
            values: Ok(Vec::with_capacity(count)),
        }
    }

    /// The call may be repeated.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }

    /// How long the call may take as a whole.
    #[must_use]
    pub fn timeout_ms(mut self, millis: u64) -> Self {
        self.options.timeout = Some(Duration::from_millis(millis));
        self
    }

    /// Appends an argument.
    #[must_use]
    pub fn with<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Self {
        if let Ok(values) = &mut self.values {
            match to_data(value) {
                Ok(data) => values.push(data),
                Err(error) => self.values = Err(invalid_argument(self.method, name, &error)),
            }
        }
        self
    }
}

fn invalid_argument(method: &str, name: &str, why: &dyn std::fmt::Display) -> CallError {
    CallError::InvalidArguments {
        method: method.to_owned(),
        detail: format!("'{name}': {why}"),
    }
}

/// A proxy's method: carries the arguments and reads the result.
///
/// # Errors
///
/// Whatever the call failed with, as the trait's own error type.
pub async fn call<T: DeserializeOwned, E: ServiceError>(
    invoker: &dyn Invoker,
    args: Args,
) -> Result<T, E> {
    let method = args.method;
    let call = async {
        let call = Call::new(method, args.values?)
            .with_options(args.options)
            .with_metadata(metadata::outgoing());
        let result = invoker.invoke(call).await?;
        from_data(result).map_err(|error| CallError::InvalidResult {
            method: method.to_owned(),
            detail: error.to_string(),
        })
    };
    call.await.map_err(E::from_call_error)
}

/// Takes the arguments of a skeleton's method apart.
///
/// # Errors
///
/// If there are more or fewer than `names`.
pub fn arguments<const N: usize>(
    method: &'static str,
    names: [&'static str; N],
    args: Vec<Data>,
) -> Result<[Data; N], CallError> {
    args.try_into()
        .map_err(|args: Vec<Data>| CallError::InvalidArguments {
            method: method.to_owned(),
            detail: match N {
                0 => format!("{} given, none expected", args.len()),
                _ => format!("{} given, {N} expected ({})", args.len(), names.join(", ")),
            },
        })
}

/// Reads one argument of a skeleton's method.
///
/// # Errors
///
/// If it is of another type; names the argument.
pub fn read<T: DeserializeOwned>(
    method: &'static str,
    name: &'static str,
    value: Data,
) -> Result<T, CallError> {
    from_data(value).map_err(|error| invalid_argument(method, name, &error))
}

/// Turns the outcome of a skeleton's method into what crosses the wire.
///
/// # Errors
///
/// The service's own error, or that its result cannot be carried.
pub fn outcome<T: Serialize, E: ServiceError>(
    method: &'static str,
    result: Result<T, E>,
) -> Result<Data, CallError> {
    let value = result.map_err(E::into_call_error)?;
    to_data(&value).map_err(|error| CallError::InvalidResult {
        method: method.to_owned(),
        detail: error.to_string(),
    })
}

/// The answer of a skeleton to a name that it does not know.
#[must_use]
pub fn no_such_method(
    interface: &'static str,
    methods: &'static [&'static str],
    method: &str,
) -> CallError {
    CallError::NoSuchMethod {
        interface: interface.to_owned(),
        method: method.to_owned(),
        methods: methods.iter().map(ToString::to_string).collect(),
    }
}
