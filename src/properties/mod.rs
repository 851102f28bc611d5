//! Properties: names and typed values that describe a service or an endpoint.
//!
//! Names are compared without regard to case and given back in the case in
//! which they were last set (OSGi Core 5.2.5).

#[cfg(test)]
pub(crate) mod arbitrary;
mod value;
mod version;
mod version_range;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

pub use value::{Array, ArrayItemError, ScalarType, Value};
pub use version::{Version, VersionError};
pub use version_range::{VersionRange, VersionRangeError};

/// A map of property names to values, ordered by name.
///
/// Lookup ignores case; what is read back has the case last set.
///
/// ```
/// use osgi_remote::properties::Properties;
///
/// let mut properties = Properties::new();
/// properties.set("Colour", "red");
/// properties.set("COLOUR", "blue");
/// assert_eq!(properties.get("colour").and_then(|v| v.as_str()), Some("blue"));
/// assert_eq!(properties.keys().collect::<Vec<_>>(), ["COLOUR"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Properties {
    // Sorted by name without case. A vector takes a third of a map's memory
    // for the dozen entries that an endpoint has.
    entries: Vec<(Name, Value)>,
}

/// A name in the case last set; two that differ in case only are equal.
#[derive(Clone)]
struct Name(Arc<str>);

/// Two names in one source that differ in case only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the property names '{first}' and '{second}' differ in case only: keep one of them")]
pub struct CaseVariantError {
    /// The name that came first.
    pub first: String,
    /// The name that collides with it.
    pub second: String,
}

fn folded(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().flat_map(char::to_lowercase)
}

/// Compares two names without regard to case.
fn compare(a: &str, b: &str) -> Ordering {
    // Nearly all names are ASCII, and comparing bytes is several times faster.
    if a.is_ascii() && b.is_ascii() {
        return a
            .bytes()
            .map(|b| b.to_ascii_lowercase())
            .cmp(b.bytes().map(|b| b.to_ascii_lowercase()));
    }
    folded(a).cmp(folded(b))
}

/// Whether two property names are the same without regard to case.
pub fn same_name(a: &str, b: &str) -> bool {
    compare(a, b) == Ordering::Equal
}

/// Whether a property name begins with `prefix`, without regard to case.
pub fn name_starts_with(name: &str, prefix: &str) -> bool {
    let mut rest = folded(name);
    folded(prefix).all(|c| rest.next() == Some(c))
}

impl Properties {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// A map of these entries, in which no two names may differ in case only.
    ///
    /// # Errors
    ///
    /// If two names are the same without regard to case (OSGi rules G02, D01).
    pub fn from_entries<K, V>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, CaseVariantError>
    where
        K: Into<Arc<str>>,
        V: Into<Value>,
    {
        let mut properties = Self::new();
        for (name, value) in entries {
            let name = name.into();
            if let Ok(at) = properties.position(&name) {
                return Err(CaseVariantError {
                    first: properties.entries[at].0.0.to_string(),
                    second: name.to_string(),
                });
            }
            properties.set(name, value);
        }
        Ok(properties)
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(key, _)| compare(&key.0, name))
    }

    /// Sets a value, and the name's case with it; gives back the value before.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> Option<Value> {
        let name = name.into();
        let value = value.into();
        match self.position(&name) {
            Ok(at) => {
                let entry = std::mem::replace(&mut self.entries[at], (Name(name), value));
                Some(entry.1)
            }
            Err(at) => {
                self.entries.insert(at, (Name(name), value));
                None
            }
        }
    }

    /// [`Properties::set`] for building a map in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// The value under this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).ok().map(|at| &self.entries[at].1)
    }

    /// The text under this name, if it is a string.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The strings under this name, read as `String+`; none if it is absent
    /// or of another type.
    pub fn string_plus(&self, name: &str) -> Vec<&str> {
        self.get(name).map(Value::string_plus).unwrap_or_default()
    }

    /// Whether there is a value under this name.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.position(name).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// Keeps only the entries for which `keep` says true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.entries.retain(|(name, value)| keep(&name.0, value));
    }

    /// Sets every entry of `other` here; its names and cases win.
    pub fn overlay(&mut self, other: &Self) {
        for (name, value) in &other.entries {
            self.set(Arc::clone(&name.0), value.clone());
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &*name.0)
    }

    /// Names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (&*name.0, value))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Later entries win; for a source in which a repeated name is a mistake use
/// [`Properties::from_entries`].
impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Properties {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut properties = Self::new();
        for (name, value) in entries {
            properties.set(name, value);
        }
        properties
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        same_name(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for c in folded(&self.0) {
            c.hash(state);
        }
    }
}

/// Builds [`Properties`](crate::properties::Properties) from names and values.
///
/// ```
/// use osgi_remote::props;
///
/// let properties = props! { "service.exported.interfaces" => "*", "size" => 3_i32 };
/// assert_eq!(properties.len(), 2);
/// ```
#[macro_export]
macro_rules! props {
    ($($name:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "nothing is set when the list is empty")]
        let mut properties = $crate::properties::Properties::new();
        $(properties.set($name, $value);)*
        properties
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_keep_the_case_last_set() {
        let mut properties = Properties::new();
        assert_eq!(properties.set("Foo", 1_i32), None);
        assert_eq!(properties.get("foo"), Some(&Value::from(1_i32)));
        assert_eq!(properties.set("FOO", 2_i32), Some(Value::from(1_i32)));
        assert_eq!(
            properties.iter().collect::<Vec<_>>(),
            [("FOO", &Value::from(2_i32))]
        );
        assert_eq!(properties.remove("fOO"), Some(Value::from(2_i32)));
        assert!(properties.is_empty());
    }

    #[test]
    fn names_beyond_ascii_ignore_case_too() {
        let properties = props! { "Größe" => 1_i32 };
        assert!(properties.contains("GRÖßE"));
        assert!(name_starts_with("ÄB.c", "äb"));
        assert!(!name_starts_with("a", "ab"));
    }

    #[test]
    fn two_names_that_differ_in_case_only_are_refused_from_one_source() {
        let error = Properties::from_entries([("foo", 1_i32), ("Foo", 2_i32)]).unwrap_err();
        assert_eq!(
            (error.first.as_str(), error.second.as_str()),
            ("foo", "Foo")
        );
    }

    #[test]
    fn an_overlay_wins_whatever_its_case() {
        let mut properties = props! { "mykey" => "old", "other" => 1_i32 };
        properties.overlay(&props! { "MyKey" => "new" });
        assert_eq!(properties.get_str("mykey"), Some("new"));
        assert_eq!(properties.keys().collect::<Vec<_>>(), ["MyKey", "other"]);
    }

    #[test]
    fn maps_are_equal_whatever_the_case_of_their_names() {
        assert_eq!(props! { "a" => 1_i32 }, props! { "A" => 1_i32 });
        assert_ne!(props! { "a" => 1_i32 }, props! { "a" => 1_i64 });
    }

    #[test]
    fn order_is_by_name_without_case() {
        let properties = props! { "b" => 1_i32, "A" => 1_i32, "ab" => 1_i32, "C" => 1_i32 };
        assert_eq!(properties.keys().collect::<Vec<_>>(), ["A", "ab", "b", "C"]);
    }
}
