//! What a peer takes as it is and is a mistake all the same.

use std::fmt;

use crate::names::osgi;
use crate::properties::Properties;

/// Something in the properties of a service or an endpoint that is most
/// likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The property.
    pub property: &'static str,
    /// What stands there.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// What to do.
    pub cure: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} holds '{}', {}: {}",
            self.property, self.value, self.problem, self.cure
        )
    }
}

/// The properties that name intents.
const INTENTS: [&str; 4] = [
    osgi::SERVICE_INTENTS,
    osgi::SERVICE_EXPORTED_INTENTS,
    osgi::SERVICE_EXPORTED_INTENTS_EXTRA,
    osgi::REMOTE_INTENTS_SUPPORTED,
];

/// Looks through the properties of a service or of an endpoint.
///
/// Intents must be names: a token, or two of them joined by one full stop, as
/// in `osgi.basic` (OSGi Compendium 100.3, rule N01). Another text can be no
/// provider's intent, so that such a service is exported by nobody.
///
/// ```
/// use osgi_remote::endpoint::lint::lint;
/// use osgi_remote::props;
///
/// let findings = lint(&props! { "service.exported.intents" => ["osgi.basic", "osgi."] });
/// assert_eq!(findings.len(), 1);
/// assert!(findings[0].to_string().starts_with("service.exported.intents holds 'osgi.'"));
/// ```
pub fn lint(properties: &Properties) -> Vec<Finding> {
    let mut findings = Vec::new();
    for property in INTENTS {
        for intent in properties.string_plus(property) {
            if let Some((problem, cure)) = problem_of_intent(intent) {
                findings.push(Finding {
                    property,
                    value: intent.to_owned(),
                    problem,
                    cure,
                });
            }
        }
    }
    findings
}

/// What is wrong with an intent, and what to do.
fn problem_of_intent(intent: &str) -> Option<(&'static str, &'static str)> {
    let tokens: Vec<&str> = intent.split('.').collect();
    if intent.is_empty() {
        Some(("and an intent has a name", "leave it out"))
    } else if intent.contains(char::is_whitespace) {
        Some((
            "and an intent has no spaces",
            "give several intents as a list",
        ))
    } else if tokens.len() > 2 {
        Some((
            "and an intent has one full stop at most",
            "use one such as 'osgi.basic'",
        ))
    } else if tokens.contains(&"") {
        Some((
            "and on both sides of an intent's full stop there is a name",
            "complete it",
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    /// Rule N01.
    #[test]
    fn an_intent_is_one_token_or_two_joined_by_a_full_stop() {
        let good = ["a", "osgi.basic", "confidentiality.message", "passByValue"];
        for intent in good {
            assert_eq!(problem_of_intent(intent), None, "{intent}");
        }
        for bad in ["", ".", "a.", ".b", "a..b", "a.b.c", "a b", "a.b\t"] {
            assert!(problem_of_intent(bad).is_some(), "{bad:?}");
        }
    }

    /// Rule N01: in each property that names intents, by the property's name.
    #[test]
    fn the_lint_tells_where_an_intent_is_malformed() {
        for property in INTENTS {
            let findings = lint(&props! { property => ["osgi.basic", "a.b.c"] });
            let [finding] = findings.as_slice() else {
                panic!("{property}: {findings:?}");
            };
            assert_eq!(
                (finding.property, finding.value.as_str()),
                (property, "a.b.c")
            );
        }
        assert!(lint(&props! { "colour" => "a.b.c" }).is_empty());
    }
}
