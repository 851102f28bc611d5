//! Which endpoints are called, and in which order. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::filter::Filter;
use osgi_remote::names::osgi;
use osgi_remote::properties::Value;

use crate::failure::Failure;
use crate::live::similar_names;

/// An endpoint that is registered.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// When its key was written last.
    pub(crate) revision: i64,
    /// Lower is to be preferred.
    pub(crate) priority: i64,
    pub(crate) endpoint: Arc<EndpointDescription>,
}

/// Chooses the endpoint of this id, or those of this interface, the best first; never none.
pub(crate) fn choose(
    target: &str,
    filter: Option<&Filter>,
    candidates: Vec<Candidate>,
    rejected: usize,
) -> Result<Vec<Arc<EndpointDescription>>, Failure> {
    // Several sessions may carry one endpoint, after a restart for example: the newest counts.
    let mut known: BTreeMap<_, Candidate> = BTreeMap::new();
    for candidate in candidates {
        let id = candidate.endpoint.id().clone();
        let newer = |other: &Candidate| other.revision > candidate.revision;
        if !known.get(&id).is_some_and(newer) {
            known.insert(id, candidate);
        }
    }
    let of_id = |candidate: &&Candidate| candidate.endpoint.id().as_str() == target;
    let mut named: Vec<&Candidate> = known.values().filter(of_id).collect();
    if named.is_empty() {
        let of_interface = |c: &&Candidate| c.endpoint.interfaces().contains(&target);
        named = known.values().filter(of_interface).collect();
    }
    if named.is_empty() {
        return Err(missing(
            target,
            &known.into_values().collect::<Vec<_>>(),
            rejected,
        ));
    }
    let all = named.len();
    if let Some(filter) = filter {
        named.retain(|candidate| candidate.endpoint.matches(filter));
        if named.is_empty() {
            return Err(Failure::no(format!(
                "none of the {all} endpoints of {target} matches {filter}"
            )));
        }
    }
    // The map was sorted by id, and the sort is stable.
    named.sort_by_key(|candidate| (Reverse(ranking(candidate)), candidate.priority));
    let endpoints = named.into_iter().map(|named| Arc::clone(&named.endpoint));
    Ok(endpoints.collect())
}

/// iPOPO writes it as text.
fn ranking(candidate: &Candidate) -> i64 {
    let value = candidate.endpoint.properties().get(osgi::SERVICE_RANKING);
    value.and_then(Value::to_i64).unwrap_or(0)
}

fn missing(target: &str, known: &[Candidate], rejected: usize) -> Failure {
    let names = known.iter().flat_map(|candidate| {
        let mut names = candidate.endpoint.interfaces();
        names.push(candidate.endpoint.id().as_str());
        names
    });
    let hint = match similar_names(target, names) {
        none if none.is_empty() => match known.len() {
            0 => "none is registered".to_owned(),
            count => format!("{count} are registered, see rsctl endpoint list"),
        },
        some => format!("there is {some}"),
    };
    let rubbish = match rejected {
        0 => String::new(),
        count => format!("; {count} keys are no endpoints, see rsctl endpoint lint"),
    };
    Failure::no(format!(
        "no endpoint or interface {target}: {hint}{rubbish}"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use osgi_remote::props;

    fn candidate(id: &str, revision: i64, ranking: &str, priority: i64) -> Candidate {
        let properties = props! {
            "endpoint.id" => id, "objectClass" => ["org.example.IHello"],
            "service.imported.configs" => ["c"], "service.ranking" => ranking,
            "revision" => revision,
        };
        Candidate {
            revision,
            priority,
            endpoint: Arc::new(EndpointDescription::new(properties).unwrap()),
        }
    }

    fn chosen(target: &str, candidates: Vec<Candidate>) -> String {
        let chosen = choose(target, None, candidates, 0).unwrap();
        let ids: Vec<&str> = chosen
            .iter()
            .map(|endpoint| endpoint.id().as_str())
            .collect();
        ids.join(" ")
    }

    fn refused(target: &str, filter: Option<&str>, candidates: Vec<Candidate>) -> String {
        let filter = filter.map(|filter| Filter::parse(filter).unwrap());
        choose(target, filter.as_ref(), candidates, 2)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_id_names_one_and_an_interface_all_the_best_first() {
        let all = || {
            vec![
                candidate("d", 1, "0", 0),
                candidate("c", 2, "7", 5),
                candidate("b", 3, "7", 1),
                candidate("a", 4, "-1", 0),
            ]
        };
        assert_eq!(chosen("a", all()), "a");
        assert_eq!(chosen("org.example.IHello", all()), "b c d a");
        let equals = vec![candidate("b", 1, "0", 0), candidate("a", 2, "0", 0)];
        assert_eq!(chosen("org.example.IHello", equals), "a b");
    }

    #[test]
    fn of_one_endpoint_in_two_sessions_the_newest_counts() {
        let twice = vec![candidate("a", 2, "0", 0), candidate("a", 1, "0", 0)];
        let chosen = choose("a", None, twice, 0).unwrap();
        let revision = |endpoint: &Arc<EndpointDescription>| {
            let revision = endpoint.properties().get("revision");
            revision.and_then(Value::to_i64)
        };
        let revisions: Vec<_> = chosen.iter().map(revision).collect();
        assert_eq!(revisions, [Some(2)]);
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let one = || vec![candidate("4711-a", 1, "0", 0)];
        let text = refused("org.example.Hello", None, one());
        assert!(text.contains("there is org.example.IHello"), "{text}");
        assert!(text.contains("2 keys are no endpoints"), "{text}");
        let text = refused("org.example.IHello", Some("(zone=a)"), one());
        assert_eq!(
            text,
            "none of the 1 endpoints of org.example.IHello matches (zone=a)"
        );
        assert!(refused("x", None, Vec::new()).contains("none is registered"));
    }
}
