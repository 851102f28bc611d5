//! Call metadata as HTTP headers.
//!
//! Trace context has the names that W3C gave it; everything else is under a
//! prefix of ours, so that no entry can pass for a header of HTTP. Peers that
//! know neither ignore both.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::interface::metadata::{AUTHORIZATION, TRACEPARENT, TRACESTATE};
use crate::interface::{Metadata, MetadataError};

/// Begins the header of an entry that has none of its own: the entry
/// `tenant` travels as `osgi-remote-tenant`.
pub const HEADER_PREFIX: &str = "osgi-remote-";

/// A header that carries no metadata. The text is for the sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the value of header {name} is not ASCII")]
    NotAscii { name: String },
    #[error("header {name} comes twice")]
    Twice { name: String },
    #[error(transparent)]
    Unfit(#[from] MetadataError),
}

/// Adds what may leave the process.
pub(super) fn write(metadata: &Metadata, headers: &mut HeaderMap) -> Result<(), MetadataError> {
    for (name, value) in metadata.public() {
        // Metadata is narrower than HTTP in both, so that this cannot fail;
        // a defect there must not become a panic here.
        let header = match name {
            TRACEPARENT => Ok(HeaderName::from_static(TRACEPARENT)),
            TRACESTATE => Ok(HeaderName::from_static(TRACESTATE)),
            _ => HeaderName::try_from(format!("{HEADER_PREFIX}{name}")),
        };
        let header = header.map_err(|_| MetadataError::Name {
            name: name.to_owned(),
        })?;
        let mut content = HeaderValue::try_from(value).map_err(|_| MetadataError::Value {
            name: name.to_owned(),
            problem: "holds other characters",
        })?;
        content.set_sensitive(name == AUTHORIZATION);
        headers.insert(header, content);
    }
    Ok(())
}

/// Takes the metadata out of a request's headers.
///
/// # Errors
///
/// If a header under our prefix is not of the form that metadata has, or there
/// are too many: who sent it relies on it, so that leaving it out is no
/// choice. Trace context is left out instead, as W3C wants it
/// (Trace Context, 4.3).
pub(super) fn read(headers: &HeaderMap) -> Result<Metadata, HeaderError> {
    let mut metadata = Metadata::new();
    for (name, value) in headers {
        let Some(entry) = name.as_str().strip_prefix(HEADER_PREFIX) else {
            continue;
        };
        let text = value.to_str().map_err(|_| HeaderError::NotAscii {
            name: name.to_string(),
        })?;
        if metadata.insert(entry, text)?.is_some() {
            return Err(HeaderError::Twice {
                name: name.to_string(),
            });
        }
    }
    read_trace(headers, &mut metadata);
    Ok(metadata)
}

/// Of a context with more than one parent nothing is believed; of the state,
/// several headers are one list (Trace Context, 3.3.1.5).
fn read_trace(headers: &HeaderMap, metadata: &mut Metadata) {
    // What does not fit is left out: see above.
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return;
    };
    let Ok(parent) = parent.to_str() else { return };
    if metadata.insert(TRACEPARENT, parent).is_err() {
        return;
    }
    let states = headers.get_all(TRACESTATE).iter();
    let states: Result<Vec<_>, _> = states.map(HeaderValue::to_str).collect();
    if let Ok(states) = states
        && !states.is_empty()
    {
        let _ = metadata.insert(TRACESTATE, states.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_crosses_and_what_is_private_does_not() {
        let mut metadata = Metadata::new();
        for (name, value) in [
            (
                TRACEPARENT,
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
            (TRACESTATE, "congo=t61rcWkgMzE"),
            (AUTHORIZATION, "Bearer s3cret"),
            ("content-length", "7"),
        ] {
            metadata.insert(name, value).unwrap();
        }
        let sent = metadata.clone();
        metadata.insert(".secret", "here only").unwrap();
        let mut headers = HeaderMap::new();
        write(&metadata, &mut headers).unwrap();
        assert_eq!(headers.len(), 4);
        assert!(headers["osgi-remote-authorization"].is_sensitive());
        assert!(
            !headers.contains_key("content-length"),
            "it would be HTTP's"
        );
        assert_eq!(read(&headers), Ok(sent));
    }

    #[test]
    fn headers_that_are_no_metadata_are_refused_by_name() {
        let cases: [(&[(&str, &[u8])], &str); 4] = [
            (&[("osgi-remote-a.b", b"v")], "'a.b' is no name"),
            (&[("osgi-remote-a", b"\xe9")], "osgi-remote-a is not ASCII"),
            (
                &[("osgi-remote-a", b"1"), ("osgi-remote-a", b"2")],
                "osgi-remote-a comes twice",
            ),
            (&[("osgi-remote-a", b"")], "'a' is empty"),
        ];
        for (given, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                let value = HeaderValue::from_bytes(value).unwrap();
                headers.append(HeaderName::from_static(name), value);
            }
            let error = read(&headers).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut many = HeaderMap::new();
        for n in 0..40 {
            let name = HeaderName::try_from(format!("osgi-remote-n{n}")).unwrap();
            many.insert(name, HeaderValue::from_static("v"));
        }
        assert!(read(&many).unwrap_err().to_string().contains("32 entries"));
    }

    #[test]
    fn a_trace_context_that_is_doubtful_is_left_out() {
        let mut headers = HeaderMap::new();
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        assert_eq!(read(&headers), Ok(Metadata::new()));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        headers.append(TRACEPARENT, HeaderValue::from_static("one"));
        assert_eq!(read(&headers).unwrap().get(TRACESTATE), Some("a=1,b=2"));
        headers.append(TRACEPARENT, HeaderValue::from_static("two"));
        assert_eq!(read(&headers), Ok(Metadata::new()));
    }
}
