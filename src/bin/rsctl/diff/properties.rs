//! What two descriptions of an endpoint say differently.

use std::collections::BTreeSet;

use osgi_remote::properties::{Properties, Value};

use super::shown::PropertyChange;

/// The properties that differ, by their names. Whatever its case, a name is the same.
pub(super) fn changes(old: &Properties, new: &Properties) -> Vec<PropertyChange> {
    let mut seen = BTreeSet::new();
    let names = old.keys().chain(new.keys());
    let names = names.filter(|name| seen.insert(name.to_lowercase()));
    let changes = names.filter_map(|name| change(name, old.get(name), new.get(name)));
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

fn change(name: &str, old: Option<&Value>, new: Option<&Value>) -> Option<PropertyChange> {
    if old == new {
        return None;
    }
    let text = |value: Option<&Value>| value.map(ToString::to_string);
    let (mut before, mut after) = (text(old), text(new));
    // What looks the same differs in its type.
    if before == after {
        let typed = |value: &Value| format!("{value} ({})", value.type_name());
        (before, after) = (old.map(typed), new.map(typed));
    }
    Some(PropertyChange {
        name: name.to_owned(),
        old: before,
        new: after,
    })
}

#[cfg(test)]
mod tests {
    use osgi_remote::props;

    use super::*;

    fn changed(name: &str, old: Option<&str>, new: Option<&str>) -> PropertyChange {
        let own = |text: &str| text.to_owned();
        PropertyChange {
            name: own(name),
            old: old.map(own),
            new: new.map(own),
        }
    }

    #[test]
    fn what_differs_is_told_by_name_and_whatever_the_case_of_it() {
        let old = props! { "same" => 1_i32, "Gone" => "x", "size" => 1_i32, "Case" => true };
        let new = props! { "same" => 1_i32, "come" => "y", "size" => 1_i64, "case" => true };
        let expected = [
            changed("Gone", Some("x"), None),
            changed("come", None, Some("y")),
            changed("size", Some("1 (an integer)"), Some("1 (a long)")),
        ];
        assert_eq!(changes(&old, &new), expected);
    }
}
