//! Filters for configuration files, beside the engine's own.

use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::data::address;
use crate::prometheus_sd::targets;

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("json", json);
    environment.add_filter("fromjson", from_json);
    environment.add_filter("shell", shell);
    environment.add_filter("haproxy", haproxy);
    environment.add_filter("nginx", nginx);
    environment.add_filter("slug", slug);
    environment.add_filter("host", |text: &str| {
        address::split(text).map(|found| found.host)
    });
    environment.add_filter("port", |text: &str| {
        address::split(text).map(|found| found.port)
    });
    environment.add_filter("address", |text: &str| {
        address::split(text).map(|found| found.joined())
    });
    environment.add_filter("prometheus_targets", prometheus_targets);
}

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

/// JSON as it is, which YAML reads too; the engine's `tojson` escapes what HTML does not like.
fn json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let written = match indent {
        None | Some(0) => serde_json::to_string(value),
        Some(width) if width > 16 => return Err(wrong("json: an indent is at most 16")),
        Some(width) => {
            let spaces = " ".repeat(width);
            let mut bytes = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            serde::Serialize::serialize(value, &mut serializer)
                .map(|()| String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    written.map_err(|error| wrong(format!("json: {error}")))
}

fn from_json(text: &str) -> Result<Value, Error> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("fromjson: {error}")))?;
    Ok(Value::from(Serde(value)))
}

/// One word for a shell.
fn shell(text: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(wrong("shell: a zero byte can be in no word"));
    }
    Ok(if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    })
}

/// Characters that mean nothing to shells, HAProxy and nginx.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,+=".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

fn check_line(filter: &str, text: &str) -> Result<(), Error> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(wrong(format!(
            "{filter}: {} cannot be written in a line of its file",
            c.escape_default()
        ))),
        None => Ok(()),
    }
}

/// One word of HAProxy's configuration: in its weak quotes backslash, quote and dollar are escaped.
fn haproxy(text: &str) -> Result<String, Error> {
    check_line("haproxy", text)?;
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    let escaped = text.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '\\' | '"' | '$') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    });
    Ok(format!("\"{escaped}\""))
}

/// One word of nginx's configuration.
fn nginx(text: &str) -> Result<String, Error> {
    check_line("nginx", text)?;
    if text.contains('$') {
        // There is no way to write it that all of its directives understand.
        return Err(wrong(
            "nginx: a dollar sign begins a variable and cannot be escaped",
        ));
    }
    Ok(if is_plain(text) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
    })
}

/// A name of letters, digits and `-_.`, which differs for texts that differ: where something had to
/// be replaced, a number made of the whole text is added. With `lower=true` the names differ also
/// for who takes great letters for small ones.
fn slug(text: &str, options: Kwargs) -> Result<String, Error> {
    let lower: Option<bool> = options.get("lower")?;
    options.assert_all_used()?;
    Ok(slug_of(text, lower.unwrap_or(false)))
}

fn slug_of(text: &str, lower: bool) -> String {
    let fits = |c: char| {
        c.is_ascii_alphanumeric() && !(lower && c.is_ascii_uppercase()) || "-_.".contains(c)
    };
    if !text.is_empty() && text.chars().all(fits) && !ends_with_number(text) {
        return text.to_owned();
    }
    let small = |c: char| if lower { c.to_ascii_lowercase() } else { c };
    let name: String = text
        .chars()
        .map(small)
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    format!("{name}-{:08x}", fnv(text))
}

/// Whether a text could be the name that was made of another one.
fn ends_with_number(text: &str) -> bool {
    let last = text.rsplit_once('-').map_or("", |(_, last)| last);
    last.len() == 8 && last.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// FNV-1a, which is the same in all versions of this tool.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// What `rsctl prometheus-sd` would serve for endpoints, services, groups or nodes.
fn prometheus_targets(items: &Value) -> Result<Value, Error> {
    let items: Vec<targets::Any> = serde_json::to_value(items)
        .and_then(serde_json::from_value)
        .map_err(|_| wrong("prometheus_targets: give it endpoints, services, groups or nodes"))?;
    let targets: Vec<_> = items.iter().flat_map(targets::of).collect();
    Ok(Value::from(Serde(targets)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn apply(expression: &str, x: impl serde::Serialize) -> Result<String, Error> {
        let mut environment = Environment::new();
        add(&mut environment);
        let context = std::collections::BTreeMap::from([("x", Value::from(Serde(&x)))]);
        environment.render_str(&format!("{{{{ {expression} }}}}"), Value::from(context))
    }

    #[test]
    fn words_are_quoted_where_they_must_be() {
        for (filter, text, expected) in [
            ("shell", "a-b.c:1", "a-b.c:1"),
            ("shell", "it's $HOME", r"'it'\''s $HOME'"),
            ("shell", "", "''"),
            ("haproxy", "a b", "\"a b\""),
            ("haproxy", r#"a\"$x#"#, r#""a\\\"\$x#""#),
            ("nginx", "a;b", "\"a;b\""),
            ("nginx", r#"a"\b"#, r#""a\"\\b""#),
            ("nginx", "", "\"\""),
        ] {
            let quoted = apply(&format!("x | {filter}"), text).unwrap();
            assert_eq!(quoted, expected, "{filter} {text}");
        }
    }

    #[test]
    fn what_no_quotes_can_hold_is_refused() {
        for (filter, text) in [
            ("haproxy", "a\nb"),
            ("nginx", "a\rb"),
            ("nginx", "$a"),
            ("shell", "\0"),
        ] {
            assert!(
                apply(&format!("x | {filter}"), text).is_err(),
                "{filter} {text:?}"
            );
        }
    }

    #[test]
    fn slugs_of_different_texts_differ() {
        let slug = |text| apply("x | slug", text).unwrap();
        assert_eq!(slug("web-1.a_B"), "web-1.a_B");
        assert_eq!(slug("a b"), "a_b-10a3f9f2");
        // What was made of one text is not what another one is.
        assert_eq!(slug("a_b-10a3f9f2"), "a_b-10a3f9f2-b5bc8c40");
        assert_ne!(slug("a b"), slug("a/b"));
        assert_ne!(slug(""), slug("_"));
    }

    #[test]
    fn slugs_differ_also_for_who_ignores_case() {
        let slug = |text| apply("x | slug(lower=true)", text).unwrap();
        assert_eq!(slug("web"), "web");
        let names = ["web", "Web", "WEB", "w b", "W b"].map(slug);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name, &name.to_lowercase());
            assert!(!names[..index].contains(name), "{names:?}");
        }
    }

    #[test]
    fn json_is_written_plain_and_read_again() {
        let value = serde_json::json!({"a": ["<&>", 1, null]});
        assert_eq!(
            apply("x | json", &value).unwrap(),
            r#"{"a":["<&>",1,null]}"#
        );
        let text = apply("x | json(indent=1)", &value).unwrap();
        assert_eq!(text, "{\n \"a\": [\n  \"<&>\",\n  1,\n  null\n ]\n}");
        assert_eq!(
            apply("(x | fromjson).a[1]", value.to_string()).unwrap(),
            "1"
        );
        assert!(apply("x | fromjson", "{").is_err());
    }

    #[test]
    fn locations_are_split() {
        assert_eq!(
            apply("x | host ~ ' ' ~ x | port", "http://[::1]/a").unwrap(),
            "::1 80"
        );
        assert_eq!(apply("x | address", "http://[::1]/a").unwrap(), "[::1]:80");
        assert_eq!(
            apply("(x | host is none) | json", "nowhere").unwrap(),
            "true"
        );
    }
}
