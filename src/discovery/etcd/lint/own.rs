//! This crate: the very code that reads endpoints.

use super::{Effect, Problem};
use crate::discovery::etcd::keys::KeyError;
use crate::discovery::etcd::preference;
use crate::endpoint::lint;
use crate::endpoint::service_info::{self, DecodeError};
use crate::names::EndpointId;

/// What comes of the value of an endpoint's key.
pub(super) fn judge(id: &EndpointId, value: &[u8]) -> Vec<Problem> {
    let info = match service_info::decode(value) {
        Ok(info) => info,
        Err(error) => return vec![undecodable(&error)],
    };
    let found = info.description.id();
    if found != id {
        let cause = format!("the key ends with '{id}', and endpoint.id is '{found}'");
        let cure = "put it under the key that ends with its endpoint.id";
        return vec![Problem::new(Effect::Drops, cause, cure).at("endpoint.id")];
    }
    let description = match preference::from_wire(info) {
        Ok(description) => description,
        Err(error) => {
            return vec![Problem::new(Effect::Drops, error.to_string(), "write 0").at("priority")];
        }
    };
    let findings = lint::lint(description.properties()).into_iter();
    findings
        .map(|finding| {
            let lint::Finding {
                property,
                value,
                problem,
                cure,
                ..
            } = finding;
            let cause = format!("{property} holds '{value}', {problem}");
            Problem::new(Effect::FindsNoProvider, cause, cure).at(property)
        })
        .collect()
}

fn undecodable(error: &DecodeError) -> Problem {
    let cure = match error {
        DecodeError::Json(_) => "put the endpoint's description as JSON",
        DecodeError::Property { .. } => "write it as its type has it, or leave it out",
        DecodeError::CaseVariants { .. } => "leave one of them out",
        DecodeError::Description(_) => "put a whole description",
    };
    let problem = Problem::new(Effect::Drops, error.to_string(), cure);
    match error {
        DecodeError::Property { name, .. } => problem.at(name),
        DecodeError::CaseVariants { second, .. } => problem.at(second),
        DecodeError::Json(_) | DecodeError::Description(_) => problem.at("value"),
    }
}

/// A key that is neither a session's nor an endpoint's. `others` tells whether a peer takes it for
/// an endpoint's.
pub(super) fn rejected(error: &KeyError, others: bool) -> Problem {
    let effect = if others {
        Effect::Drops
    } else {
        Effect::Ignores
    };
    let cure = "delete it, or move it to another prefix";
    Problem::new(effect, error.to_string(), cure).at("key")
}
