//! XML as the reader of XML-RPC wants it: tags, and the text before each.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, Event};

use super::{ReadError, excerpt, is_xml_char};

/// A tag, known by its local name: `ex:i8` is `i8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag<'a> {
    Open(Cow<'a, str>),
    Close(Cow<'a, str>),
    End,
}

impl Tag<'_> {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Open(name) => format!("<{}>", excerpt(name)),
            Self::Close(name) => format!("</{}>", excerpt(name)),
            Self::End => "the end of the document".to_owned(),
        }
    }
}

/// A tag with what stood before it.
pub(super) struct Token<'a> {
    /// All text since the last tag, comments left out and references resolved.
    pub(super) text: Cow<'a, str>,
    pub(super) tag: Tag<'a>,
    /// Where the tag starts.
    pub(super) offset: u64,
}

impl Token<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.bytes().all(|b| b.is_ascii_whitespace())
    }
}

pub(super) struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
    ascii: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(document: &'a [u8]) -> Result<Self, ReadError> {
        let text = str::from_utf8(document).map_err(|error| ReadError::Encoding {
            offset: error.valid_up_to() as u64,
            detail: "not UTF-8".to_owned(),
        })?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self {
            reader,
            ascii: text.is_ascii(),
        })
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.reader.buffer_position()
    }

    /// The next tag, and the text before it.
    pub(super) fn next(&mut self) -> Result<Token<'a>, ReadError> {
        let mut text = Cow::Borrowed("");
        loop {
            let offset = self.reader.buffer_position();
            let event = self
                .reader
                .read_event()
                .map_err(|error| ReadError::Malformed {
                    offset: self.reader.error_position(),
                    detail: error.to_string(),
                })?;
            let tag = match event {
                Event::Start(start) => Tag::Open(own(start.local_name().into_inner())),
                Event::End(end) => Tag::Close(own(end.local_name().into_inner())),
                Event::Eof => Tag::End,
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) => continue,
                Event::Text(part) => {
                    append(&mut text, checked(part.xml10_content(), offset)?);
                    continue;
                }
                Event::CData(part) => {
                    append(&mut text, checked(part.xml10_content(), offset)?);
                    continue;
                }
                Event::GeneralRef(reference) => {
                    text.to_mut().push(resolve(&reference, offset)?);
                    continue;
                }
                Event::Decl(decl) => {
                    self.check_declaration(&decl, offset)?;
                    continue;
                }
                Event::DocType(_) => return Err(ReadError::Dtd { offset }),
            };
            return Ok(Token { text, tag, offset });
        }
    }

    /// Old peers declare ISO-8859-1 and send ASCII: the same bytes in UTF-8.
    fn check_declaration(&self, decl: &BytesDecl<'_>, offset: u64) -> Result<(), ReadError> {
        let encoding = match decl.encoding() {
            None => return Ok(()),
            Some(Ok(encoding)) => encoding,
            Some(Err(error)) => {
                return Err(ReadError::Malformed {
                    offset,
                    detail: error.to_string(),
                });
            }
        };
        if self.ascii || encoding.eq_ignore_ascii_case("utf-8") {
            return Ok(());
        }
        Err(ReadError::Encoding {
            offset,
            detail: format!("declared to be in {}", excerpt(&encoding)),
        })
    }
}

/// Names of XML-RPC's elements are short, and borrowing them from an event
/// would tie them to it.
fn own<'a>(name: &str) -> Cow<'a, str> {
    const KNOWN: [&str; 26] = [
        "value",
        "string",
        "int",
        "i4",
        "i8",
        "member",
        "name",
        "struct",
        "array",
        "data",
        "boolean",
        "double",
        "nil",
        "base64",
        "dateTime.iso8601",
        "param",
        "params",
        "methodCall",
        "methodName",
        "methodResponse",
        "fault",
        "i1",
        "i2",
        "float",
        "dateTime",
        "biginteger",
    ];
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

fn append<'a>(text: &mut Cow<'a, str>, part: Cow<'a, str>) {
    if text.is_empty() {
        *text = part;
    } else {
        text.to_mut().push_str(&part);
    }
}

fn checked(text: Cow<'_, str>, offset: u64) -> Result<Cow<'_, str>, ReadError> {
    match text.chars().find(|c| !is_xml_char(*c)) {
        None => Ok(text),
        Some(c) => Err(ReadError::Malformed {
            offset,
            detail: format!("the text from here on holds U+{:04X}", u32::from(c)),
        }),
    }
}

fn resolve(reference: &BytesRef<'_>, offset: u64) -> Result<char, ReadError> {
    let malformed = |detail| ReadError::Malformed { offset, detail };
    let name: &str = reference;
    match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => {}
    }
    match reference.resolve_char_ref() {
        Ok(Some(c)) if is_xml_char(c) => Ok(c),
        Ok(Some(c)) => Err(malformed(format!(
            "a reference to U+{:04X}, which XML cannot carry",
            u32::from(c)
        ))),
        Ok(None) => Err(malformed(format!("unknown entity '&{};'", excerpt(name)))),
        Err(error) => Err(malformed(error.to_string())),
    }
}
