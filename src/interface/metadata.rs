//! What a call carries beside its arguments.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The most entries of one call.
pub const MAX_ENTRIES: usize = 32;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 4096;
/// The most that all names and values may take together, in bytes. Servers of
/// HTTP commonly take 8 KiB for all headers.
pub const MAX_TOTAL: usize = 6 * 1024;

/// The name of a W3C trace context's first part.
pub const TRACEPARENT: &str = "traceparent";
/// The name of a W3C trace context's second part.
pub const TRACESTATE: &str = "tracestate";
/// The name under which credentials travel. [`Metadata`]'s `Debug` hides
/// their value.
pub const AUTHORIZATION: &str = "authorization";

/// An entry that metadata cannot take. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The name is not one.
    #[error(
        "'{name}' is no name of call metadata: write 1 to {MAX_NAME} lower-case letters, digits, '-' \
         and '_', after a '.' if it is to stay in this process"
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// The value cannot be carried by every protocol. It is not shown, for
    /// it may be a secret.
    #[error(
        "the value of call metadata '{name}' {problem}: write up to {MAX_VALUE} visible ASCII \
         characters, with spaces only between them"
    )]
    Value {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There are too many entries.
    #[error("call metadata '{name}' is one too many: a call carries {MAX_ENTRIES} entries at most")]
    Entries {
        /// The entry's name.
        name: String,
    },
    /// All entries together are too large.
    #[error("call metadata '{name}' makes all of it larger than {MAX_TOTAL} bytes: carry less")]
    Total {
        /// The entry's name.
        name: String,
    },
}

/// Metadata of a call: a small map of text, for what concerns the call and
/// not the service, such as trace context and credentials.
///
/// [Interceptors](crate::calls) read and write it. Where the provider's
/// protocol has a place for it, it crosses to the service's side; in XML-RPC
/// it becomes HTTP headers. Peers that do not know them ignore them. Names
/// that begin with `.` stay in the process, as private service properties do
/// (OSGi rule P14).
///
/// It is bounded: [`MAX_ENTRIES`] entries, names of [`MAX_NAME`] bytes, values
/// of [`MAX_VALUE`] bytes, [`MAX_TOTAL`] bytes in all. Values are visible
/// ASCII, so that they can hide no line break from any protocol.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// No entries. It allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets an entry; gives the value that it had.
    ///
    /// # Errors
    ///
    /// If name or value are not of the form that all protocols can carry, or
    /// a limit is passed.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Option<String>, MetadataError> {
        let (name, value) = (name.into(), value.into());
        if !is_name(&name) {
            return Err(MetadataError::Name { name });
        }
        if let Some(problem) = value_problem(&value) {
            return Err(MetadataError::Value { name, problem });
        }
        let before = self.0.get(&name);
        if before.is_none() && self.0.len() >= MAX_ENTRIES {
            return Err(MetadataError::Entries { name });
        }
        let freed = before.map_or(0, |value| name.len() + value.len());
        if self.size() - freed + name.len() + value.len() > MAX_TOTAL {
            return Err(MetadataError::Total { name });
        }
        Ok(self.0.insert(name, value))
    }

    /// The value of an entry.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes an entry out; gives the value that it had.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The entries that may leave the process.
    pub fn public(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(name, _)| !name.starts_with('.'))
    }

    fn size(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

fn is_name(name: &str) -> bool {
    let word = name.strip_prefix('.').unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    !word.is_empty() && name.len() <= MAX_NAME && word.bytes().all(allowed)
}

fn value_problem(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        Some("is empty")
    } else if value.len() > MAX_VALUE {
        Some("is too long")
    } else if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        Some("holds other characters")
    } else if value.starts_with(' ') || value.ends_with(' ') {
        Some("begins or ends with a space")
    } else {
        None
    }
}

/// Shows no credentials: calls are logged.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| match name {
            AUTHORIZATION => (name, "…"),
            _ => (name, value),
        });
        f.debug_map().entries(shown).finish()
    }
}

tokio::task_local! {
    static OUTGOING: Arc<Metadata>;
    static INCOMING: Arc<Metadata>;
}

/// Runs `work` so that every call made in it through a typed proxy carries
/// `metadata`: a trait's methods have no argument for it.
///
/// It holds for the future itself, not for tasks that it spawns. An inner
/// scope replaces an outer one.
pub async fn with_metadata<T>(metadata: Metadata, work: impl Future<Output = T>) -> T {
    OUTGOING.scope(Arc::new(metadata), work).await
}

/// The metadata of the remote call that the current task serves; `None`
/// outside of one. A service asks this to learn who called.
///
/// It is not passed on to calls that the service makes: the credentials of
/// its caller are not its own.
pub fn caller_metadata() -> Option<Arc<Metadata>> {
    INCOMING.try_with(Arc::clone).ok()
}

/// Runs `work`, which serves a call with this metadata.
pub(crate) async fn serving<T>(metadata: Arc<Metadata>, work: impl Future<Output = T>) -> T {
    INCOMING.scope(metadata, work).await
}

/// What [`with_metadata`] said for this place.
pub(super) fn outgoing() -> Metadata {
    OUTGOING
        .try_with(|metadata| (**metadata).clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_that_a_protocol_could_misread_are_refused() {
        let mut metadata = Metadata::new();
        for name in ["", ".", "A", "a b", "a:b", "é", "a.b", &"n".repeat(65)] {
            let error = metadata.insert(name, "v").unwrap_err();
            assert!(error.to_string().contains(&format!("'{name}'")), "{error}");
        }
        for value in [
            "",
            " v",
            "v ",
            "a\r\nb: c",
            "a\nb",
            "\t",
            "é",
            "\0",
            &"v".repeat(4097),
        ] {
            let error = metadata.insert("n", value).unwrap_err();
            assert!(matches!(error, MetadataError::Value { .. }), "{value:?}");
        }
        assert!(metadata.is_empty());
        assert_eq!(metadata.insert("a-b_1", "two words"), Ok(None));
        assert_eq!(metadata.insert(".local", "v"), Ok(None));
        assert_eq!(
            metadata.public().collect::<Vec<_>>(),
            [("a-b_1", "two words")]
        );
    }

    #[test]
    fn number_and_size_are_bounded_and_replacing_frees_what_was_there() {
        let mut metadata = Metadata::new();
        for n in 0..MAX_ENTRIES {
            metadata.insert(format!("n{n}"), "v").unwrap();
        }
        let error = metadata.insert("more", "v").unwrap_err();
        assert_eq!(
            error,
            MetadataError::Entries {
                name: "more".into()
            }
        );
        assert_eq!(metadata.insert("n0", "w"), Ok(Some("v".into())));

        let mut large = Metadata::new();
        large.insert("a", "x".repeat(MAX_VALUE)).unwrap();
        let error = large.insert("b", "x".repeat(MAX_VALUE)).unwrap_err();
        assert_eq!(error, MetadataError::Total { name: "b".into() });
        large.insert("a", "y".repeat(MAX_VALUE)).unwrap();
    }

    #[test]
    fn credentials_are_not_shown() {
        let mut metadata = Metadata::new();
        metadata.insert(AUTHORIZATION, "Bearer s3cret").unwrap();
        metadata.insert("tenant", "blue").unwrap();
        let shown = format!("{metadata:?}");
        assert!(
            shown.contains("blue") && shown.contains(AUTHORIZATION),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[tokio::test]
    async fn what_a_caller_said_is_not_passed_on_by_the_service() {
        let mut metadata = Metadata::new();
        metadata.insert(AUTHORIZATION, "Bearer s3cret").unwrap();
        let told = Arc::new(metadata);
        let seen = serving(Arc::clone(&told), async { (caller_metadata(), outgoing()) }).await;
        assert_eq!(seen, (Some(told), Metadata::new()));
        assert_eq!(caller_metadata(), None);
    }
}
