//! Values to documents.
//!
//! The tags are few and fixed, so they are written as they are; only text
//! needs care, and all of it goes through [`push_text`].

use std::collections::btree_map;
use std::fmt::Write;
use std::slice;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{MAX_DEPTH, Step, WriteError, is_xml_char, spell_path};
use crate::interface::{Data, DateTime};

const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Writes a `methodCall`. At most `max_depth` arrays and structs may be
/// nested in one another ([`MAX_DEPTH`] at most).
///
/// # Errors
///
/// If an argument, or the method's name, cannot be carried.
pub fn write_request(
    method: &str,
    params: &[Data],
    max_depth: usize,
) -> Result<String, WriteError> {
    let mut out = String::with_capacity(256);
    out.push_str(PROLOGUE);
    out.push_str("<methodCall><methodName>");
    push_text(&mut out, method).map_err(|bad| bad.at("methodName".to_owned()))?;
    out.push_str("</methodName><params>");
    for (index, param) in params.iter().enumerate() {
        out.push_str("<param>");
        push_value(&mut out, &format!("params[{index}]"), param, max_depth)?;
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>\n");
    Ok(out)
}

/// Writes a `methodResponse` with a result. At most `max_depth` arrays and
/// structs may be nested in one another ([`MAX_DEPTH`] at most).
///
/// # Errors
///
/// If the result cannot be carried.
pub fn write_response(result: &Data, max_depth: usize) -> Result<String, WriteError> {
    let mut out = String::with_capacity(256);
    out.push_str(PROLOGUE);
    out.push_str("<methodResponse><params><param>");
    push_value(&mut out, "result", result, max_depth)?;
    out.push_str("</param></params></methodResponse>\n");
    Ok(out)
}

/// Writes a `methodResponse` with a fault.
///
/// A fault must always get through: characters that XML cannot carry are
/// replaced by U+FFFD here, and only here.
pub fn write_fault(code: i64, text: &str) -> String {
    let mut out = String::with_capacity(256 + text.len());
    out.push_str(PROLOGUE);
    out.push_str("<methodResponse><fault><value><struct><member><name>faultCode</name><value>");
    push_int(&mut out, code);
    out.push_str("</value></member><member><name>faultString</name><value><string>");
    for c in text.chars() {
        push_char(&mut out, if is_xml_char(c) { c } else { '\u{FFFD}' });
    }
    out.push_str("</string></value></member></struct></value></fault></methodResponse>\n");
    out
}

/// An array or a struct of which not everything has been written.
enum Frame<'a> {
    Array(slice::Iter<'a, Data>, usize),
    Struct(btree_map::Iter<'a, String, Data>, &'a str),
}

impl<'a> Frame<'a> {
    fn step(&self) -> Step<'a> {
        match self {
            Self::Array(_, next) => Step::Index(next.saturating_sub(1)),
            Self::Struct(_, name) => Step::Member(name),
        }
    }
}

/// Like reading, this keeps the nesting off the thread's stack.
fn push_value(
    out: &mut String,
    root: &str,
    value: &Data,
    max_depth: usize,
) -> Result<(), WriteError> {
    let mut open: Vec<Frame<'_>> = Vec::new();
    push_nested(out, &mut open, value, max_depth.min(MAX_DEPTH))
        .map_err(|problem| problem.at(spell_path(root, open.iter().map(Frame::step))))
}

fn push_nested<'a>(
    out: &mut String,
    open: &mut Vec<Frame<'a>>,
    value: &'a Data,
    max_depth: usize,
) -> Result<(), Problem> {
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take() {
            out.push_str("<value>");
            match value {
                Data::Array(_) | Data::Struct(_) if open.len() >= max_depth => {
                    return Err(Problem::TooDeep(max_depth));
                }
                Data::Array(items) => {
                    out.push_str("<array><data>");
                    open.push(Frame::Array(items.iter(), 0));
                }
                Data::Struct(members) => {
                    out.push_str("<struct>");
                    open.push(Frame::Struct(members.iter(), ""));
                }
                scalar => {
                    push_scalar(out, scalar)?;
                    out.push_str("</value>");
                    if let Some(Frame::Struct(..)) = open.last() {
                        out.push_str("</member>");
                    }
                }
            }
        }
        let Some(frame) = open.last_mut() else {
            return Ok(());
        };
        match frame {
            Frame::Array(items, count) => {
                next = items.next();
                *count += 1;
            }
            Frame::Struct(members, current) => {
                if let Some((name, value)) = members.next() {
                    *current = name;
                    out.push_str("<member><name>");
                    push_text(out, name)?;
                    out.push_str("</name>");
                    next = Some(value);
                }
            }
        }
        if next.is_none() {
            out.push_str(match open.pop() {
                Some(Frame::Array(..)) => "</data></array></value>",
                _ => "</struct></value>",
            });
            if let Some(Frame::Struct(..)) = open.last() {
                out.push_str("</member>");
            }
        }
    }
}

fn push_scalar(out: &mut String, value: &Data) -> Result<(), Problem> {
    match value {
        Data::Bool(true) => out.push_str("<boolean>1</boolean>"),
        Data::Bool(false) => out.push_str("<boolean>0</boolean>"),
        Data::Int(number) => push_int(out, *number),
        Data::Double(number) => push_double(out, *number),
        Data::String(text) => {
            out.push_str("<string>");
            push_text(out, text)?;
            out.push_str("</string>");
        }
        Data::Bytes(bytes) => {
            out.push_str("<base64>");
            BASE64_STANDARD.encode_string(bytes, out);
            out.push_str("</base64>");
        }
        Data::DateTime(date) => push_date(out, date)?,
        // The containers are the caller's.
        Data::Nil | Data::Array(_) | Data::Struct(_) => out.push_str("<nil/>"),
    }
    Ok(())
}

/// `<int>` is 32 bits in the specification; `<i8>` is not understood
/// everywhere, so it is used only where it must be.
fn push_int(out: &mut String, number: i64) {
    let tag = if i32::try_from(number).is_ok() {
        "int"
    } else {
        "i8"
    };
    // Writing to a String does not fail.
    let _ = write!(out, "<{tag}>{number}</{tag}>");
}

/// The specification knows no exponents, and neither NaN nor infinity. The
/// spellings of the latter are those that both Python and Java read.
fn push_double(out: &mut String, number: f64) {
    // Writing to a String does not fail.
    let _ = if number.is_nan() {
        write!(out, "<double>NaN</double>")
    } else if number.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        write!(out, "<double>{sign}Infinity</double>")
    } else {
        write!(out, "<double>{number}</double>")
    };
}

fn push_date(out: &mut String, date: &DateTime) -> Result<(), Problem> {
    let text = date.to_string();
    if text.parse().as_ref() != Ok(date) {
        return Err(Problem::Date(text));
    }
    out.push_str("<dateTime.iso8601>");
    out.push_str(&text);
    out.push_str("</dateTime.iso8601>");
    Ok(())
}

fn push_text(out: &mut String, text: &str) -> Result<(), Problem> {
    for (position, c) in text.chars().enumerate() {
        if !is_xml_char(c) {
            return Err(Problem::Character(position, c));
        }
        push_char(out, c);
    }
    Ok(())
}

/// A carriage return goes as a reference: XML readers turn a bare one into a
/// line feed. `>` is escaped because of `]]>`.
fn push_char(out: &mut String, c: char) {
    match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '\r' => out.push_str("&#13;"),
        c => out.push(c),
    }
}

/// A [`WriteError`] whose place is not yet known.
enum Problem {
    Character(usize, char),
    Date(String),
    TooDeep(usize),
}

impl Problem {
    fn at(self, path: String) -> WriteError {
        match self {
            Self::Character(position, c) => WriteError::Character {
                path,
                position,
                code: u32::from(c),
            },
            Self::Date(date) => WriteError::Date { path, date },
            Self::TooDeep(limit) => WriteError::TooDeep { path, limit },
        }
    }
}
