//! Callers that show a token.

use std::fmt;

use futures::future::BoxFuture;

use super::interceptor::{Interceptor, Next};
use crate::interface::metadata::AUTHORIZATION;
use crate::interface::{Call, CallError, Data, MetadataError};

const SCHEME: &str = "Bearer ";

/// Shows a token with each call: who calls.
///
/// The provider `ecf.xmlrpc.server` sends it in plain text, as it sends
/// everything. Let it cross networks only where nobody listens.
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// The interceptor for the client's side.
    ///
    /// # Errors
    ///
    /// If the token cannot be carried: it is empty, too long, or holds
    /// spaces or other characters than visible ASCII.
    pub fn new(token: &str) -> Result<Self, MetadataError> {
        let value = format!("{SCHEME}{token}");
        if token.is_empty() || token.contains(' ') {
            return Err(MetadataError::Value {
                name: AUTHORIZATION.to_owned(),
                problem: "is empty or holds a space",
            });
        }
        crate::interface::Metadata::new().insert(AUTHORIZATION, value.as_str())?;
        Ok(Self(value))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl Interceptor for BearerToken {
    fn intercept<'a>(
        &'a self,
        mut call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        Box::pin(async move {
            call.metadata.insert(AUTHORIZATION, self.0.as_str())?;
            next.run(call).await
        })
    }
}

/// Refuses calls without a token that is known: a call that it refuses never
/// reaches the service (OSGi rule C07).
#[derive(Clone)]
pub struct RequireBearer(Vec<String>);

impl RequireBearer {
    /// The interceptor for the service's side: any of these tokens will do.
    /// Without any, every call is refused.
    pub fn any_of<S: Into<String>>(tokens: impl IntoIterator<Item = S>) -> Self {
        Self(tokens.into_iter().map(Into::into).collect())
    }

    fn check(&self, call: &Call) -> Result<(), CallError> {
        let refused = |reason: &str| {
            Err(CallError::Refused {
                reason: reason.to_owned(),
            })
        };
        let Some(shown) = call.metadata.get(AUTHORIZATION) else {
            return refused("no credentials were shown, and a bearer token is required");
        };
        let Some(token) = shown.strip_prefix(SCHEME) else {
            return refused("the credentials are no bearer token");
        };
        // All are compared, so that the time tells nothing of which one fits.
        let known = self.0.iter().fold(false, |known, one| {
            known | same(one.as_bytes(), token.as_bytes())
        });
        if known {
            Ok(())
        } else {
            refused("the bearer token is not known")
        }
    }
}

/// Compares in a time that tells at most the length: else a caller could find
/// a token out one character after the other.
fn same(known: &[u8], shown: &[u8]) -> bool {
    let differences = known.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0 && known.len() == shown.len()
}

impl fmt::Debug for RequireBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequireBearer({} tokens)", self.0.len())
    }
}

impl Interceptor for RequireBearer {
    fn intercept<'a>(
        &'a self,
        call: Call,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Data, CallError>> {
        Box::pin(async move {
            self.check(&call)?;
            next.run(call).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_taken() {
        let guard = RequireBearer::any_of(["abc", "s3cret"]);
        for (shown, expected) in [
            (Some("Bearer s3cret"), None),
            (Some("Bearer abc"), None),
            (Some("Bearer ab"), Some("not known")),
            (Some("Bearer abcd"), Some("not known")),
            (Some("Bearer abd"), Some("not known")),
            (Some("Basic abc"), Some("no bearer token")),
            (None, Some("no credentials")),
        ] {
            let mut call = Call::new("m", vec![]);
            if let Some(shown) = shown {
                call.metadata.insert(AUTHORIZATION, shown).unwrap();
            }
            match (guard.check(&call), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
                other => panic!("{shown:?}: {other:?}"),
            }
        }
        let nobody = RequireBearer::any_of([""; 0]);
        let mut call = Call::new("m", vec![]);
        call.metadata.insert(AUTHORIZATION, "Bearer x").unwrap();
        assert!(nobody.check(&call).is_err());
    }

    #[test]
    fn a_token_that_cannot_be_carried_is_refused_and_none_is_shown() {
        for token in ["", "a b", "a\r\nb", "é"] {
            let error = BearerToken::new(token).unwrap_err();
            assert!(
                token.is_empty() || !error.to_string().contains(token),
                "{error}"
            );
        }
        let token = BearerToken::new("s3cret").unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
        assert!(!format!("{:?}", RequireBearer::any_of(["s3cret"])).contains("s3cret"));
    }
}
