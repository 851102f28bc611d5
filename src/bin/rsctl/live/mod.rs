//! Commands that run a live framework, or call what one serves.

mod answer;
pub(crate) mod call;
mod data;
pub(crate) mod export;
mod framework;
pub(crate) mod import;
mod property;
pub(crate) mod shell;

/// The names that look most like a wrong one, for its error; empty if none does.
fn similar_names<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    // Names of one package are alike in all but their last part, which is what people get wrong.
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let parts: Vec<String> = names.iter().map(|name| last(name)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let near = similar::get_close_matches(last(wrong).as_str(), &parts, 3, 0.6);
    let mut near_names: Vec<&str> = Vec::new();
    for part in near {
        let of_part = names.iter().filter(|name| last(name) == part);
        near_names.extend(
            of_part
                .filter(|name| !near_names.contains(name))
                .collect::<Vec<_>>(),
        );
    }
    near_names.truncate(3);
    near_names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_those_like_it() {
        let names = ["org.example.IHello", "org.example.IClock", "withdraw"];
        assert_eq!(similar_names("withdrow", names), "withdraw");
        assert_eq!(similar_names("ihello", names), "org.example.IHello");
        assert_eq!(
            similar_names("org.exampel.IClock", names),
            "org.example.IClock"
        );
        assert_eq!(similar_names("zebra", names), "");
    }
}
