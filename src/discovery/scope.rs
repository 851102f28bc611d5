//! Scopes: of which endpoints a listener wants to hear.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::endpoint::EndpointDescription;
use crate::feed::Topics;
use crate::filter::{Filter, FilterError};
use crate::names::{FrameworkId, osgi};
use crate::properties::{Properties, same_name};

/// A scope that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// One of its filters does not parse.
    #[error("filter {number} of the scope, '{text}', cannot be used: {source}")]
    Filter {
        /// Which one, counted from 1.
        number: usize,
        /// Its text.
        text: String,
        /// What is wrong with it.
        source: FilterError,
    },
}

/// Of which endpoints a listener wants to hear (`endpoint.listener.scope`,
/// OSGi Compendium 122.6.1): of those that one of its filters matches. The
/// first of them that does is told with the event (rule E02). Without a
/// filter it hears of nothing (rule E01).
///
/// Cheap to clone. Filters that ask for certain interfaces, such as
/// `(&(objectClass=a.A)(n>=1))`, are found through an index and are not
/// evaluated for endpoints of other interfaces, however many there are.
///
/// ```
/// use osgi_remote::discovery::Scope;
///
/// let scope = Scope::parse(["(objectClass=org.example.A)", "(team=blue)"])?;
/// assert_eq!(scope.filters().len(), 2);
/// assert!(Scope::parse([" ", ""])?.is_empty());
/// # Ok::<(), osgi_remote::discovery::ScopeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Scope(Arc<Inner>);

#[derive(Default)]
struct Inner {
    filters: Vec<Filter>,
    /// The filters, by number, that match only what has this interface.
    by_interface: HashMap<String, Vec<usize>>,
    /// The filters that may match whatever interfaces there are.
    others: Vec<usize>,
    evaluations: AtomicU64,
}

impl Scope {
    /// A scope of these filters, tried in this order.
    pub fn new(filters: impl IntoIterator<Item = Filter>) -> Self {
        let mut inner = Inner::default();
        for (number, filter) in filters.into_iter().enumerate() {
            match filter.required(osgi::OBJECT_CLASS) {
                Some(interfaces) => {
                    for interface in interfaces {
                        let entry = inner.by_interface.entry(interface.to_owned());
                        entry.or_default().push(number);
                    }
                }
                None => inner.others.push(number),
            }
            inner.filters.push(filter);
        }
        Self(Arc::new(inner))
    }

    /// A scope that nothing is in.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The endpoints of one framework (`<<LOCAL>>` in OSGi's permissions).
    ///
    /// OSGi's own examples tell local from remote by
    /// `service.remote.framework.uuid` and `org.osgi.framework.uuid`, which no
    /// endpoint has; this asks for `endpoint.framework.uuid` (rule E10).
    pub fn local(framework: &FrameworkId) -> Self {
        Self::of_framework(framework, Ok)
    }

    /// The endpoints of all other frameworks, and of none.
    pub fn remote(framework: &FrameworkId) -> Self {
        Self::of_framework(framework, Filter::not)
    }

    fn of_framework(
        framework: &FrameworkId,
        how: impl FnOnce(Filter) -> Result<Filter, FilterError>,
    ) -> Self {
        let filter = Filter::equals(osgi::ENDPOINT_FRAMEWORK_UUID, framework).and_then(how);
        #[allow(
            clippy::expect_used,
            reason = "a checked id is shorter than any limit of filters"
        )]
        Self::new([filter.expect("ids are short, and the name is a name")])
    }

    /// Reads the filters. Blank ones are left out.
    ///
    /// # Errors
    ///
    /// If one does not parse: the error says which.
    pub fn parse<S: AsRef<str>>(filters: impl IntoIterator<Item = S>) -> Result<Self, ScopeError> {
        let mut parsed = Vec::new();
        for (index, text) in filters.into_iter().enumerate() {
            let text = text.as_ref();
            if text.trim().is_empty() {
                continue;
            }
            parsed.push(Filter::parse(text).map_err(|source| ScopeError::Filter {
                number: index + 1,
                text: text.to_owned(),
                source,
            })?);
        }
        Ok(Self::new(parsed))
    }

    /// Reads `endpoint.listener.scope`: a string, or an array or a collection
    /// of them. Absent, empty, or of another type it is nothing (rule E01).
    ///
    /// # Errors
    ///
    /// As [`Scope::parse`].
    pub fn from_properties(properties: &Properties) -> Result<Self, ScopeError> {
        Self::parse(properties.string_plus(osgi::ENDPOINT_LISTENER_SCOPE))
    }

    /// The filters, in order.
    pub fn filters(&self) -> &[Filter] {
        &self.0.filters
    }

    /// Whether nothing can be in it.
    pub fn is_empty(&self) -> bool {
        self.0.filters.is_empty()
    }

    /// This scope, and what one more filter matches.
    #[must_use]
    pub fn with(&self, filter: Filter) -> Self {
        Self::new(self.0.filters.iter().cloned().chain([filter]))
    }

    /// This scope without a filter.
    #[must_use]
    pub fn without(&self, filter: &Filter) -> Self {
        let left = self.0.filters.iter().filter(|other| *other != filter);
        Self::new(left.cloned())
    }

    /// The first of the filters that matches an endpoint (rule E02).
    pub fn first_match(&self, endpoint: &EndpointDescription) -> Option<&Filter> {
        let inner = &*self.0;
        let mut candidates = inner.others.clone();
        if !inner.by_interface.is_empty() {
            for interface in endpoint.interfaces() {
                candidates.extend(inner.by_interface.get(interface).into_iter().flatten());
            }
            candidates.sort_unstable();
            candidates.dedup();
        }
        let mut evaluations = 0;
        let found = candidates.into_iter().find_map(|number| {
            evaluations += 1;
            let filter = inner.filters.get(number)?;
            endpoint.matches(filter).then_some(filter)
        });
        inner.evaluations.fetch_add(evaluations, Ordering::Relaxed);
        found
    }

    /// How many filters this scope and its clones evaluated so far.
    pub fn evaluations(&self) -> u64 {
        self.0.evaluations.load(Ordering::Relaxed)
    }

    /// The interfaces of what can be in the scope.
    pub fn topics(&self) -> Topics {
        if self.0.others.is_empty() {
            let interfaces: BTreeSet<_> = self.0.by_interface.keys().cloned().collect();
            Topics::Of(interfaces)
        } else {
            Topics::All
        }
    }

    /// Names in the filters that no endpoint has, though OSGi's examples use
    /// them to tell local from remote: a filter that asks for one of these
    /// matches nothing, and its negation everything.
    pub fn doubtful_names(&self) -> Vec<&str> {
        let names = self.0.filters.iter().flat_map(Filter::names);
        let doubtful = |name: &&str| {
            let wrong = [
                osgi::SERVICE_REMOTE_FRAMEWORK_UUID,
                osgi::OSGI_FRAMEWORK_UUID,
            ];
            wrong.iter().any(|wrong| same_name(wrong, name))
        };
        names.filter(doubtful).collect()
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.0.filters == other.0.filters
    }
}

impl Eq for Scope {}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.0.filters).finish()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]
mod tests {
    use super::*;
    use crate::properties::Value;
    use crate::props;

    fn endpoint(interface: &str, more: Properties) -> EndpointDescription {
        let mut properties = props! {
            "objectClass" => [interface], "endpoint.id" => "e", "service.imported.configs" => ["c"],
        };
        properties.overlay(&more);
        EndpointDescription::new(properties).unwrap()
    }

    fn texts(scope: &Scope) -> Vec<String> {
        scope.filters().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_scope_is_read_from_a_text_an_array_a_list_and_a_set() {
        let two = ["(a=1)", "(b=2)"];
        for (value, expected) in [
            (Value::from("(a=1)"), &two[..1]),
            (Value::array_of(two), &two[..]),
            (Value::list_of(two), &two[..]),
            (Value::Set(two.map(Value::from).to_vec()), &two[..]),
            (Value::array_of(["", "(b=2)"]), &two[1..]),
        ] {
            let properties = Properties::new().with("endpoint.listener.scope", value.clone());
            let scope = Scope::from_properties(&properties).unwrap();
            assert_eq!(texts(&scope), expected, "{value}");
        }
    }

    #[test]
    fn no_scope_an_empty_one_and_one_that_is_no_text_hear_of_nothing() {
        let any = endpoint("a.A", props! {});
        for properties in [
            props! {},
            props! { "endpoint.listener.scope" => "" },
            props! { "endpoint.listener.scope" => Value::array_of([""; 0]) },
            props! { "endpoint.listener.scope" => 7_i32 },
        ] {
            let scope = Scope::from_properties(&properties).unwrap();
            assert!(scope.is_empty(), "{properties:?}");
            assert_eq!(scope.first_match(&any), None);
            assert_eq!(scope.topics(), Topics::Of(BTreeSet::new()));
        }
    }

    #[test]
    fn a_filter_that_does_not_parse_is_told_with_its_place() {
        let error = Scope::parse(["(a=1)", "(b=2"]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("filter 2 of the scope, '(b=2', cannot be used: "),
            "{text}"
        );
    }

    #[test]
    fn the_first_filter_that_matches_is_told_wherever_it_is_found() {
        let scope = Scope::parse([
            "(&(objectClass=a.A)(n=2))",
            "(n=*)",
            "(objectClass=a.A)",
            "(|(objectClass=b.B)(objectClass=a.A))",
        ])
        .unwrap();
        let first = |interface, more| {
            let endpoint = endpoint(interface, more);
            scope.first_match(&endpoint).map(ToString::to_string)
        };
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(
            first("a.A", props! { "n" => 2_i32 }),
            told("(&(objectClass=a.A)(n=2))")
        );
        assert_eq!(first("a.A", props! { "n" => 1_i32 }), told("(n=*)"));
        assert_eq!(first("a.A", props! {}), told("(objectClass=a.A)"));
        assert_eq!(
            first("b.B", props! {}),
            told("(|(objectClass=b.B)(objectClass=a.A))")
        );
        assert_eq!(first("c.C", props! {}), None);
    }

    #[test]
    fn filters_for_other_interfaces_are_not_evaluated() {
        let filters = (0..1000).map(|n| format!("(&(objectClass=a.A{n})(x=1))"));
        let scope = Scope::parse(filters).unwrap();
        let matching = endpoint("a.A7", props! { "x" => "1" });
        assert!(scope.first_match(&matching).is_some());
        assert_eq!(scope.first_match(&endpoint("b.B", props! {})), None);
        assert_eq!(scope.evaluations(), 1);
        let general = scope.with(Filter::parse("(y=1)").unwrap());
        assert_eq!(general.first_match(&endpoint("b.B", props! {})), None);
        assert_eq!(general.evaluations(), 1);
        assert_eq!(general.topics(), Topics::All);
    }

    #[test]
    fn a_scope_can_be_extended_and_reduced_down_to_nothing() {
        let filter = |text: &str| Filter::parse(text).unwrap();
        let one = Scope::nothing().with(filter("(a=b)"));
        assert!(one.without(&filter("(a=b)")).is_empty());
        let two = one.with(filter("(c=d)"));
        assert_eq!(texts(&two), ["(a=b)", "(c=d)"]);
        assert_eq!(texts(&two.without(&filter("( a=b)"))), ["(c=d)"]);
        assert_eq!(two.without(&filter("(e=f)")), two);
    }

    #[test]
    fn local_and_remote_are_told_by_the_endpoints_framework() {
        let own: FrameworkId = "own".parse().unwrap();
        let mine = endpoint("a.A", props! { "endpoint.framework.uuid" => "own" });
        let theirs = endpoint("a.A", props! { "endpoint.framework.uuid" => "other" });
        let nobodys = endpoint("a.A", props! {});
        for (endpoint, local) in [(mine, true), (theirs, false), (nobodys, false)] {
            let matched = |scope: Scope| scope.first_match(&endpoint).is_some();
            assert_eq!(matched(Scope::local(&own)), local);
            assert_eq!(matched(Scope::remote(&own)), !local);
        }
    }

    #[test]
    fn names_that_no_endpoint_has_are_pointed_out() {
        let scope = Scope::parse([
            "(!(service.remote.framework.uuid=x))",
            "(&(a=1)(ORG.osgi.framework.uuid=x))",
            "(endpoint.framework.uuid=x)",
        ])
        .unwrap();
        assert_eq!(
            scope.doubtful_names(),
            ["service.remote.framework.uuid", "ORG.osgi.framework.uuid"]
        );
    }
}
