//! JSON as Python reads it, since whatever else it refuses stops iPOPO.
//!
//! Python's reader takes more than the standard: `NaN`, numbers beyond all floats, halves of
//! surrogate pairs, a member twice. All of it is kept here, so that each peer can be judged.

/// How deep values may be nested. Python gives up at about a thousand, less what its callers use.
const DEEPEST: usize = 900;

/// Python refuses to read longer integers.
const MOST_DIGITS: usize = 4300;

/// A value. Half a surrogate pair is kept as U+FFFD: no name that anybody looks for has either.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Int(String),
    Float(f64),
    Text(String),
    Array(Vec<Json>),
    /// In order, and with members that are there twice.
    Object(Vec<(String, Json)>),
}

/// Why a text is no JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NotJson {
    line: usize,
    column: usize,
    problem: &'static str,
}

impl std::fmt::Display for NotJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            column,
            problem,
        } = self;
        write!(f, "line {line}, column {column}: {problem}")
    }
}

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self, NotJson> {
        let mut reader = Reader { text, at: 0 };
        reader.document().map_err(|problem| {
            let before = text.get(..reader.at).unwrap_or(text);
            let line = before.rsplit('\n').next().unwrap_or(before);
            NotJson {
                line: 1 + before.matches('\n').count(),
                column: 1 + line.chars().count(),
                problem,
            }
        })
    }

    /// A member; of several the last, as Python and Rust have it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let found = members.iter().rev().find(|(n, _)| n == name);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// What it is, with an article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The name of a member that is in one object twice, with its path; objects below as well.
    pub(super) fn repeated(&self) -> Option<String> {
        match self {
            Self::Object(members) => members.iter().enumerate().find_map(|(at, (name, value))| {
                if members[..at].iter().any(|(before, _)| before == name) {
                    return Some(name.clone());
                }
                value.repeated().map(|below| format!("{name}.{below}"))
            }),
            Self::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(at, item)| item.repeated().map(|below| format!("[{at}].{below}"))),
            _ => None,
        }
    }
}

/// What is open around the place that is read.
enum Open {
    Array(Vec<Json>),
    /// With the name of the member that comes.
    Object(Vec<(String, Json)>, String),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    fn document(&mut self) -> Read<Json> {
        // A stack of our own: depth is bounded by a number, and not by that of the thread.
        let mut open: Vec<Open> = Vec::new();
        self.skip_space();
        loop {
            let Some(mut value) = self.begin(&mut open)? else {
                continue;
            };
            loop {
                self.skip_space();
                match open.pop() {
                    None if self.at == self.text.len() => return Ok(value),
                    None => return Err("there is more behind the end of the value"),
                    Some(Open::Array(mut items)) => {
                        items.push(value);
                        if self.take(",") {
                            self.skip_space();
                            open.push(Open::Array(items));
                            break;
                        }
                        if !self.take("]") {
                            return Err("a ',' or ']' is missing");
                        }
                        value = Json::Array(items);
                    }
                    Some(Open::Object(mut members, name)) => {
                        members.push((name, value));
                        if self.take(",") {
                            self.skip_space();
                            let name = self.name()?;
                            open.push(Open::Object(members, name));
                            break;
                        }
                        if !self.take("}") {
                            return Err("a ',' or '}' is missing");
                        }
                        value = Json::Object(members);
                    }
                }
            }
        }
    }

    /// Reads a whole value, or goes into one that has items.
    fn begin(&mut self, open: &mut Vec<Open>) -> Read<Option<Json>> {
        let goes_in = matches!(self.peek(), Some(b'[' | b'{'));
        if goes_in && open.len() >= DEEPEST {
            return Err("values are nested too deep");
        }
        if self.take("[") {
            self.skip_space();
            if self.take("]") {
                return Ok(Some(Json::Array(Vec::new())));
            }
            open.push(Open::Array(Vec::new()));
            return Ok(None);
        }
        if self.take("{") {
            self.skip_space();
            if self.take("}") {
                return Ok(Some(Json::Object(Vec::new())));
            }
            let name = self.name()?;
            open.push(Open::Object(Vec::new(), name));
            return Ok(None);
        }
        self.scalar().map(Some)
    }

    /// The name of a member, up to its value.
    fn name(&mut self) -> Read<String> {
        if self.peek() != Some(b'"') {
            return Err("the name of a member is missing");
        }
        let name = self.string()?;
        self.skip_space();
        if !self.take(":") {
            return Err("a ':' is missing");
        }
        self.skip_space();
        Ok(name)
    }

    fn scalar(&mut self) -> Read<Json> {
        let words = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.take(word) {
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err("a value is missing"),
        }
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Read<Json> {
        let from = self.at;
        self.take("-");
        let digits = if self.take("0") { 1 } else { self.digits() };
        if digits == 0 {
            return Err("a value is missing");
        }
        let mut is_float = false;
        // A point or an `e` without digits behind it ends the number.
        let mark = self.at;
        if self.take(".") {
            is_float = self.digits() > 0;
            if !is_float {
                self.at = mark;
            }
        }
        let mark = self.at;
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            if self.digits() > 0 {
                is_float = true;
            } else {
                self.at = mark;
            }
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        if is_float {
            return text.parse().map(Json::Float).map_err(|_| "not a number");
        }
        if digits > MOST_DIGITS {
            return Err("a whole number has too many digits");
        }
        Ok(Json::Int(text.to_owned()))
    }

    fn string(&mut self) -> Read<String> {
        self.take("\"");
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err("a string has no end");
            };
            if u32::from(c) < 0x20 {
                return Err("a string holds a control character");
            }
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        const WRONG: &str = "a '\\' is followed by what is no escape";
        let Some(c) = self.rest().chars().next() else {
            return Err("a string has no end");
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit().ok_or(WRONG)?;
                let mark = self.at;
                if (0xD800..0xDC00).contains(&unit) && self.take("\\u") {
                    match self.unit() {
                        Some(low) if (0xDC00..0xE000).contains(&low) => {
                            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                        _ => self.at = mark,
                    }
                }
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(WRONG),
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let hex = self.rest().get(..4)?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let unit = u32::from_str_radix(hex, 16).ok()?;
        self.at += 4;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    #[test]
    fn what_the_standard_knows_is_read() {
        let read =
            Json::parse(" {\"a\": [1, -2.5e3, \"x\\n\\u00fc\\ud83d\\ude00\", null], \"b\": {}} ");
        let items = [
            Json::Int("1".to_owned()),
            Json::Float(-2500.0),
            text("x\nü\u{1f600}"),
            Json::Null,
        ];
        let expected = [
            ("a".to_owned(), Json::Array(items.into())),
            ("b".to_owned(), Json::Object(Vec::new())),
        ];
        assert_eq!(read, Ok(Json::Object(expected.into())));
    }

    #[test]
    fn what_only_python_reads_is_read() {
        for odd in [
            "NaN",
            "-Infinity",
            "1e999",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
        ] {
            assert!(Json::parse(odd).is_ok(), "{odd}");
        }
        let twice = Json::parse("[{\"a\": 1, \"a\": 2}]").unwrap();
        assert_eq!(twice.repeated().as_deref(), Some("[0].a"));
        let Json::Array(items) = twice else { panic!() };
        assert_eq!(items[0].get("a"), Some(&Json::Int("2".to_owned())));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let told = |text: &str| Json::parse(text).unwrap_err().to_string();
        assert_eq!(told("{\n  \"a\" 1}"), "line 2, column 7: a ':' is missing");
        assert_eq!(
            told("[1] x"),
            "line 1, column 5: there is more behind the end of the value"
        );
        for bad in [
            "",
            " ",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "-",
            "+1",
            "nul",
            "'a'",
            "\"a\tb\"",
            "\"a",
            "[",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\u{feff}{}",
            "1e",
            "{a:1}",
            "[1 2]",
            "\"\\u+123\"",
        ] {
            assert!(Json::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn depth_and_length_have_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(DEEPEST)).is_ok());
        assert!(Json::parse(&nested(DEEPEST + 1)).is_err());
        assert!(Json::parse(&"9".repeat(MOST_DIGITS)).is_ok());
        assert!(Json::parse(&"9".repeat(MOST_DIGITS + 1)).is_err());
    }
}
