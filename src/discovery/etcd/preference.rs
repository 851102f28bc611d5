//! Priority and weight: properties of an endpoint that stand beside the
//! others on the wire.
//!
//! ECF takes `ecf.endpoint.discovery.priority` and `.weight` out of the
//! properties and writes them into the fields of the service info; its readers
//! and iPOPO do nothing with those. We put them back, so that consumers can
//! choose by them.

use crate::endpoint::service_info::{EncodeError, ServiceInfo};
use crate::endpoint::{DescriptionError, EndpointDescription};
use crate::names::ecf;
use crate::properties::{Properties, Value};

/// What is to be written for an endpoint.
///
/// # Errors
///
/// If one of the two is no whole number, or negative: DNS, from which both
/// come, has none of those.
pub fn to_wire(endpoint: &EndpointDescription) -> Result<ServiceInfo, EncodeError> {
    let mut info = ServiceInfo::new(endpoint.clone());
    let known = |name: &&str| endpoint.properties().contains(name);
    if ![ecf::DISCOVERY_PRIORITY, ecf::DISCOVERY_WEIGHT]
        .iter()
        .any(known)
    {
        return Ok(info);
    }
    let mut properties = endpoint.properties().clone();
    let mut take = |name: &str| {
        let Some(value) = properties.remove(name) else {
            return Ok(0);
        };
        let number = value.to_i64().filter(|number| *number >= 0);
        number.ok_or_else(|| EncodeError::Unfit {
            endpoint: endpoint.id().to_string(),
            name: name.to_owned(),
            reason: format!("is '{value}': it must be a whole number, and not negative"),
        })
    };
    info.priority = take(ecf::DISCOVERY_PRIORITY)?;
    info.weight = take(ecf::DISCOVERY_WEIGHT)?;
    info.description = rebuilt(endpoint, properties)?;
    Ok(info)
}

fn rebuilt(
    endpoint: &EndpointDescription,
    properties: Properties,
) -> Result<EndpointDescription, EncodeError> {
    EndpointDescription::new(properties).map_err(|error| EncodeError::Unfit {
        endpoint: endpoint.id().to_string(),
        name: ecf::DISCOVERY_PRIORITY.to_owned(),
        reason: format!("cannot be taken out: {error}"),
    })
}

/// The endpoint of what was read. What is 0 or less says nothing and is left
/// out; a property of the same name, as ECF never writes it, counts more.
///
/// # Errors
///
/// None that is known: a valid description stays one with two numbers more.
pub fn from_wire(info: ServiceInfo) -> Result<EndpointDescription, DescriptionError> {
    let given = [
        (ecf::DISCOVERY_PRIORITY, info.priority),
        (ecf::DISCOVERY_WEIGHT, info.weight),
    ];
    let known = info.description.properties();
    let new = given.map(|(name, number)| (number > 0 && !known.contains(name)).then_some(number));
    if new == [None, None] {
        return Ok(info.description);
    }
    let mut properties = known.clone();
    for ((name, _), number) in given.into_iter().zip(new) {
        if let Some(number) = number {
            // Java's and ECF's are of type int.
            let value = i32::try_from(number).map_or(Value::from(number), Value::from);
            properties.set(name, value);
        }
    }
    EndpointDescription::new(properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::service_info::{decode, encode};
    use crate::props;

    fn endpoint(more: Properties) -> EndpointDescription {
        let mut properties = props! {
            "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
            "endpoint.service.id" => 1_i64, "endpoint.framework.uuid" => "f",
            "ecf.endpoint.id" => "u", "ecf.endpoint.id.ns" => "ns", "ecf.rsvc.id" => 1_i64,
            "ecf.endpoint.ts" => 1_i64,
        };
        properties.overlay(&more);
        EndpointDescription::new(properties).unwrap()
    }

    #[test]
    fn priority_and_weight_stand_beside_the_properties_and_come_back_as_properties() {
        let sent = endpoint(props! {
            "ecf.endpoint.discovery.priority" => 3_i32, "ecf.endpoint.discovery.weight" => 70_i32,
        });
        let value = encode(&to_wire(&sent).unwrap(), "localhost").unwrap();
        let wire: serde_json::Value = serde_json::from_str(&value).unwrap();
        assert_eq!(
            (&wire["priority"], &wire["weight"]),
            (&3.into(), &70.into())
        );
        assert!(
            !wire["properties"].to_string().contains("discovery"),
            "{value}"
        );
        let read = from_wire(decode(value.as_bytes()).unwrap()).unwrap();
        assert_eq!(read.properties(), sent.properties());
    }

    #[test]
    fn without_them_nothing_changes_and_what_is_not_above_zero_is_left_out() {
        let plain = endpoint(props! {});
        let info = to_wire(&plain).unwrap();
        assert_eq!((info.priority, info.weight), (0, 0));
        for (priority, weight) in [(0, 0), (-1, -1)] {
            let mut info = ServiceInfo::new(plain.clone());
            (info.priority, info.weight) = (priority, weight);
            assert_eq!(from_wire(info).unwrap().properties(), plain.properties());
        }
        let mut large = ServiceInfo::new(plain);
        large.weight = 5_000_000_000;
        let read = from_wire(large).unwrap();
        let weight = read.properties().get(ecf::DISCOVERY_WEIGHT);
        assert_eq!(weight, Some(&Value::from(5_000_000_000_i64)));
    }

    #[test]
    fn a_priority_that_is_no_number_is_refused_by_name() {
        for value in [Value::from("high"), Value::from(-1_i32)] {
            let endpoint = endpoint(props! {}.with("ecf.endpoint.discovery.priority", value));
            let error = to_wire(&endpoint).unwrap_err().to_string();
            assert!(
                error.contains("ecf.endpoint.discovery.priority is '"),
                "{error}"
            );
        }
    }
}
