//! Documents to values.
//!
//! Nested values are kept on a stack of our own ([`Frame`]), not on the
//! thread's: how deep a peer nests is not ours to choose.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::tokens::{Tag, Token, Tokens};
use super::{MAX_DEPTH, ReadError, Request, Response, Step, excerpt, spell_path};
use crate::interface::Data;

/// Peers disagree on the padding and on the bits that it leaves over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Reads a `methodCall`. At most `max_depth` arrays and structs may be nested
/// in one another ([`MAX_DEPTH`] at most).
///
/// # Errors
///
/// If the document is no XML-RPC call; says where and why.
pub fn read_request(document: &[u8], max_depth: usize) -> Result<Request, ReadError> {
    let mut reader = Reader::new(document, max_depth)?;
    reader.open("methodCall")?;
    reader.open("methodName")?;
    let method = reader.text("methodName")?.trim().to_owned();
    let mut params = Vec::new();
    if reader.open_or_close("params", "methodCall")? {
        params = reader.params()?;
        reader.close("methodCall")?;
    }
    reader.end()?;
    Ok(Request { method, params })
}

/// Reads a `methodResponse`. At most `max_depth` arrays and structs may be
/// nested in one another ([`MAX_DEPTH`] at most).
///
/// # Errors
///
/// If the document is no XML-RPC response; says where and why.
pub fn read_response(document: &[u8], max_depth: usize) -> Result<Response, ReadError> {
    let mut reader = Reader::new(document, max_depth)?;
    reader.open("methodResponse")?;
    let token = reader.structural()?;
    let response = match &token.tag {
        Tag::Open(name) if name == "fault" => reader.fault()?,
        Tag::Open(name) if name == "params" => {
            let mut params = reader.params()?;
            if params.len() > 1 {
                let found = format!("{} of them", params.len());
                return Err(reader.structure(token.offset, "one <param> at most", found));
            }
            Response::Value(params.pop().unwrap_or_default())
        }
        _ => return Err(reader.unexpected(&token, "<params> or <fault>")),
    };
    reader.close("methodResponse")?;
    reader.end()?;
    Ok(response)
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    max_depth: usize,
    /// Where in the call the reader is, but for the open frames.
    root: String,
}

/// An array or a struct of which not everything has been read.
enum Frame {
    Array(Vec<Data>),
    Struct {
        members: BTreeMap<String, Data>,
        name: String,
    },
}

impl Frame {
    fn put(&mut self, value: Data) {
        match self {
            Self::Array(items) => items.push(value),
            Self::Struct { members, name } => {
                members.insert(std::mem::take(name), value);
            }
        }
    }

    fn into_data(self) -> Data {
        match self {
            Self::Array(items) => Data::Array(items),
            Self::Struct { members, .. } => Data::Struct(members),
        }
    }

    fn step(&self) -> Step<'_> {
        match self {
            Self::Array(items) => Step::Index(items.len()),
            Self::Struct { name, .. } => Step::Member(name),
        }
    }
}

/// What a `<value>` turned out to begin with.
enum Begun {
    /// A value without others in it, read to its `</value>`.
    Whole(Data),
    /// An array or a struct, read up to its first element.
    Container(Frame),
}

impl<'a> Reader<'a> {
    fn new(document: &'a [u8], max_depth: usize) -> Result<Self, ReadError> {
        Ok(Self {
            tokens: Tokens::new(document)?,
            max_depth: max_depth.min(MAX_DEPTH),
            root: "document".to_owned(),
        })
    }

    /// Reads the parameters after `<params>`, up to and with `</params>`.
    fn params(&mut self) -> Result<Vec<Data>, ReadError> {
        let mut params = Vec::new();
        self.root = "params".to_owned();
        while self.open_or_close("param", "params")? {
            self.root = format!("params[{}]", params.len());
            self.open("value")?;
            params.push(self.value()?);
            self.close("param")?;
            self.root = "params".to_owned();
        }
        self.root = "document".to_owned();
        Ok(params)
    }

    /// Reads a fault after `<fault>`, up to and with `</fault>`.
    fn fault(&mut self) -> Result<Response, ReadError> {
        self.root = "fault".to_owned();
        self.open("value")?;
        let offset = self.tokens.position();
        let value = self.value()?;
        self.close("fault")?;
        let Data::Struct(mut members) = value else {
            return Err(self.structure(offset, "a struct", value.type_name().to_owned()));
        };
        let code = match members.remove("faultCode") {
            Some(Data::Int(code)) => Some(code),
            Some(Data::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(code) = code else {
            return Err(self.structure(
                offset,
                "a member faultCode",
                "no integer there".to_owned(),
            ));
        };
        let text = match members.remove("faultString") {
            Some(Data::String(text)) => text,
            Some(Data::Nil) => String::new(),
            _ => {
                let found = "no string there".to_owned();
                return Err(self.structure(offset, "a member faultString", found));
            }
        };
        self.root = "document".to_owned();
        Ok(Response::Fault { code, text })
    }

    /// Reads a value after `<value>`, up to and with `</value>`.
    fn value(&mut self) -> Result<Data, ReadError> {
        let mut open = Vec::new();
        self.nested(&mut open).map_err(|mut error| {
            if let ReadError::Structure { path, .. }
            | ReadError::Value { path, .. }
            | ReadError::TooDeep { path, .. } = &mut error
            {
                *path = spell_path(&self.root, open.iter().map(Frame::step));
            }
            error
        })
    }

    fn nested(&mut self, open: &mut Vec<Frame>) -> Result<Data, ReadError> {
        'values: loop {
            let mut done = match self.begin_value(open.len())? {
                Begun::Whole(data) => Some(data),
                Begun::Container(frame) => {
                    open.push(frame);
                    None
                }
            };
            while let Some(frame) = open.last_mut() {
                if let Some(value) = done.take() {
                    if let Frame::Struct { .. } = frame {
                        self.close("member")?;
                    }
                    frame.put(value);
                }
                if self.next_value_in(frame)? {
                    continue 'values;
                }
                done = open.pop().map(Frame::into_data);
            }
            return Ok(done.unwrap_or_default());
        }
    }

    /// Goes on within a container: true at its next `<value>`, false after
    /// the container's own `</value>`.
    fn next_value_in(&mut self, frame: &mut Frame) -> Result<bool, ReadError> {
        match frame {
            Frame::Array(_) => {
                if self.open_or_close("value", "data")? {
                    return Ok(true);
                }
                self.close("array")?;
            }
            Frame::Struct { name, .. } => {
                if self.open_or_close("member", "struct")? {
                    self.open("name")?;
                    *name = self.text("name")?.into_owned();
                    self.open("value")?;
                    return Ok(true);
                }
            }
        }
        self.close("value")?;
        Ok(false)
    }

    /// Reads what follows `<value>`, with `depth` containers open around it.
    fn begin_value(&mut self, depth: usize) -> Result<Begun, ReadError> {
        let token = self.tokens.next()?;
        let kind = match &token.tag {
            // Without a type it is a string, of which white space is a part.
            Tag::Close(_) => return Ok(Begun::Whole(Data::String(token.text.into_owned()))),
            Tag::Open(kind) if token.is_blank() => kind,
            _ => return Err(self.unexpected(&token, "a type or </value>")),
        };
        let container = match kind.as_ref() {
            "array" => {
                self.check_depth(depth, token.offset)?;
                self.open("data")?;
                Frame::Array(Vec::new())
            }
            "struct" => {
                self.check_depth(depth, token.offset)?;
                Frame::Struct {
                    members: BTreeMap::new(),
                    name: String::new(),
                }
            }
            kind => {
                let text = self.text(kind)?;
                let data = scalar(kind, text).map_err(|detail| ReadError::Value {
                    offset: token.offset,
                    path: self.root.clone(),
                    detail,
                })?;
                self.close("value")?;
                return Ok(Begun::Whole(data));
            }
        };
        Ok(Begun::Container(container))
    }

    fn check_depth(&self, depth: usize, offset: u64) -> Result<(), ReadError> {
        if depth < self.max_depth {
            return Ok(());
        }
        Err(ReadError::TooDeep {
            offset,
            path: self.root.clone(),
            limit: self.max_depth,
        })
    }

    /// The text of an element that holds nothing else, up to its end.
    fn text(&mut self, element: &str) -> Result<Cow<'a, str>, ReadError> {
        let token = self.tokens.next()?;
        match token.tag {
            Tag::Close(_) => Ok(token.text),
            _ => Err(self.unexpected(&token, &format!("text and </{}>", excerpt(element)))),
        }
    }

    /// The next tag, with nothing but white space before it.
    fn structural(&mut self) -> Result<Token<'a>, ReadError> {
        let token = self.tokens.next()?;
        if token.is_blank() {
            return Ok(token);
        }
        Err(self.structure(
            token.offset,
            "only tags here",
            format!("the text '{}'", excerpt(token.text.trim())),
        ))
    }

    fn open(&mut self, name: &str) -> Result<(), ReadError> {
        let token = self.structural()?;
        match &token.tag {
            Tag::Open(found) if found == name => Ok(()),
            _ => Err(self.unexpected(&token, &format!("<{name}>"))),
        }
    }

    /// That the end tag has the name of its element the tokens have checked.
    fn close(&mut self, name: &str) -> Result<(), ReadError> {
        let token = self.structural()?;
        match &token.tag {
            Tag::Close(_) => Ok(()),
            _ => Err(self.unexpected(&token, &format!("</{name}>"))),
        }
    }

    fn open_or_close(&mut self, child: &str, parent: &str) -> Result<bool, ReadError> {
        let token = self.structural()?;
        match &token.tag {
            Tag::Open(found) if found == child => Ok(true),
            Tag::Close(_) => Ok(false),
            _ => Err(self.unexpected(&token, &format!("<{child}> or </{parent}>"))),
        }
    }

    fn end(&mut self) -> Result<(), ReadError> {
        let token = self.structural()?;
        match token.tag {
            Tag::End => Ok(()),
            _ => Err(self.unexpected(&token, "the end of the document")),
        }
    }

    fn unexpected(&self, token: &Token<'_>, expected: &str) -> ReadError {
        let found = if token.is_blank() || matches!(token.tag, Tag::End) {
            token.tag.describe()
        } else {
            let text = excerpt(token.text.trim());
            format!("the text '{text}' before {}", token.tag.describe())
        };
        self.structure(token.offset, expected, found)
    }

    fn structure(&self, offset: u64, expected: &str, found: String) -> ReadError {
        ReadError::Structure {
            offset,
            path: self.root.clone(),
            expected: expected.to_owned(),
            found,
        }
    }
}

/// The value of a type without others in it, or what is wrong with its text.
fn scalar(kind: &str, text: Cow<'_, str>) -> Result<Data, String> {
    let trimmed = text.trim();
    match kind {
        "string" => Ok(Data::String(text.into_owned())),
        "int" | "i4" | "i8" | "i1" | "i2" | "biginteger" => match trimmed.parse() {
            Ok(number) => Ok(Data::Int(number)),
            Err(error) => Err(format!("<{kind}> '{}': {error}", excerpt(trimmed))),
        },
        "boolean" => match trimmed {
            "1" => Ok(Data::Bool(true)),
            "0" => Ok(Data::Bool(false)),
            _ if trimmed.eq_ignore_ascii_case("true") => Ok(Data::Bool(true)),
            _ if trimmed.eq_ignore_ascii_case("false") => Ok(Data::Bool(false)),
            _ => Err(format!("<boolean> '{}': not 0 or 1", excerpt(trimmed))),
        },
        "double" | "float" => match trimmed.parse() {
            Ok(number) => Ok(Data::Double(number)),
            Err(error) => Err(format!("<{kind}> '{}': {error}", excerpt(trimmed))),
        },
        "dateTime.iso8601" | "dateTime" => match trimmed.parse() {
            Ok(date) => Ok(Data::DateTime(date)),
            Err(_) => Err(format!(
                "<{kind}> '{}': not a date and time such as 20261121T01:27:22",
                excerpt(trimmed)
            )),
        },
        "base64" => {
            let compact: Vec<u8> = text
                .bytes()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            match BASE64.decode(compact) {
                Ok(bytes) => Ok(Data::Bytes(bytes)),
                Err(error) => Err(format!("<base64>: {error} (white space not counted)")),
            }
        }
        "nil" if trimmed.is_empty() => Ok(Data::Nil),
        "nil" => Err(format!("<nil> is not empty but '{}'", excerpt(trimmed))),
        other => Err(format!("<{}> is no type of XML-RPC", excerpt(other))),
    }
}
