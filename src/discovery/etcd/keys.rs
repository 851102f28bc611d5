//! The keys of ECF's and iPOPO's discovery: `<top>/<session>/<endpoint.id>`.

use std::ops::Range;

use crate::names::{EndpointId, NameError, SessionId, TopKey};

/// What a key below the top key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A session.
    Session(SessionId),
    /// An endpoint of a session.
    Endpoint(SessionId, EndpointId),
}

/// A key that belongs to neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not text. iPOPO's watcher ends on such a key.
    #[error("the key is not UTF-8")]
    NotUtf8,
    /// It is not below the top key.
    #[error("the key is not below {0}/")]
    Outside(TopKey),
    /// A segment is no session's or endpoint's id.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It has too many segments.
    #[error("the key has more than three segments: ECF and iPOPO would never remove it")]
    TooDeep,
}

/// All keys below the top key and no others: ECF and iPOPO also read keys of
/// siblings whose names merely begin alike.
pub fn range(top: &TopKey) -> Range<Vec<u8>> {
    // '0' is the character after '/'.
    format!("{top}/").into_bytes()..format!("{top}0").into_bytes()
}

/// The key of a session.
pub fn session(top: &TopKey, session: &SessionId) -> String {
    format!("{top}/{session}")
}

/// The key of an endpoint.
///
/// # Errors
///
/// If the endpoint's id cannot be a segment of a key.
pub fn endpoint(
    top: &TopKey,
    session: &SessionId,
    endpoint: &EndpointId,
) -> Result<String, NameError> {
    endpoint.check_key_segment()?;
    Ok(format!("{top}/{session}/{endpoint}"))
}

/// Reads a key.
///
/// # Errors
///
/// If it is not of a session or an endpoint below the top key.
pub fn parse(top: &TopKey, key: &[u8]) -> Result<Key, KeyError> {
    let text = std::str::from_utf8(key).map_err(|_| KeyError::NotUtf8)?;
    let below = text
        .strip_prefix(top.as_str())
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| KeyError::Outside(top.clone()))?;
    let (session, endpoint) = match below.split_once('/') {
        None => (below, None),
        Some((session, endpoint)) => (session, Some(endpoint)),
    };
    let session = session.parse()?;
    match endpoint {
        None => Ok(Key::Session(session)),
        Some(endpoint) if endpoint.contains('/') => Err(KeyError::TooDeep),
        Some(endpoint) => Ok(Key::Endpoint(session, endpoint.parse()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";

    fn top() -> TopKey {
        "top".parse().unwrap()
    }

    #[test]
    fn keys_are_written_and_read() {
        let session_id: SessionId = SESSION.parse().unwrap();
        let endpoint_id: EndpointId = "e-1".parse().unwrap();
        let key = session(&top(), &session_id);
        assert_eq!(key, format!("top/{SESSION}"));
        assert_eq!(
            parse(&top(), key.as_bytes()),
            Ok(Key::Session(session_id.clone()))
        );
        let key = endpoint(&top(), &session_id, &endpoint_id).unwrap();
        assert_eq!(key, format!("top/{SESSION}/e-1"));
        assert_eq!(
            parse(&top(), key.as_bytes()),
            Ok(Key::Endpoint(session_id.clone(), endpoint_id))
        );
        assert!(endpoint(&top(), &session_id, &"a/b".parse().unwrap()).is_err());
    }

    #[test]
    fn the_range_holds_no_siblings() {
        let range = range(&top());
        let holds = |key: &str| range.contains(&key.as_bytes().to_vec());
        assert!(holds("top/a") && holds("top/~"));
        assert!(!holds("top") && !holds("top2/a") && !holds("top.x/a") && !holds("top0"));
    }

    #[test]
    fn other_keys_are_told_by_what_is_wrong_with_them() {
        let error = |key: &[u8]| parse(&top(), key).unwrap_err();
        assert_eq!(error(b"top/\xff"), KeyError::NotUtf8);
        assert_eq!(error(b"top2/x"), KeyError::Outside(top()));
        assert!(matches!(error(b"top/no-uuid"), KeyError::Name(_)));
        assert!(matches!(
            error(format!("top/{SESSION}/").as_bytes()),
            KeyError::Name(_)
        ));
        assert_eq!(
            error(format!("top/{SESSION}/a/b").as_bytes()),
            KeyError::TooDeep
        );
    }
}
