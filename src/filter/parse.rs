//! Reading a filter's text (OSGi Core 8, section 3.2.7; our rules F01, F02).

use super::compare::{Operand, Operator, Pattern};
use super::{Filter, FilterError, MAX_DEPTH, MAX_LENGTH, Name, Node, SyntaxError, is_reserved};

const NO_PAREN: &str = "'\\' before a parenthesis that belongs to the value";

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::TooLong {
            length: text.len(),
            limit: MAX_LENGTH,
        });
    }
    let mut parser = Parser { text, offset: 0 };
    let filter = parser.filter(1)?;
    parser.skip_white_space();
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.fail("nothing after the filter's last ')'")),
    }
}

/// One pass over the text, without going back.
struct Parser<'a> {
    text: &'a str,
    /// Bytes read so far; always between two characters.
    offset: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, c: char) {
        self.offset += c.len_utf8();
    }

    /// Reads `c` if it comes next.
    fn eat(&mut self, c: char) -> bool {
        let comes = self.peek() == Some(c);
        if comes {
            self.skip(c);
        }
        comes
    }

    fn skip_white_space(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start().len();
    }

    /// The error that something else was expected here.
    fn fail(&self, expected: &'static str) -> FilterError {
        FilterError::Syntax(Box::new(SyntaxError {
            text: self.text.to_owned(),
            offset: self.offset,
            column: self.text[..self.offset].chars().count() + 1,
            found: self.peek(),
            expected,
        }))
    }

    fn filter(&mut self, depth: usize) -> Result<Filter, FilterError> {
        self.skip_white_space();
        if !self.eat('(') {
            return Err(self.fail("'(' to begin a filter"));
        }
        if depth > MAX_DEPTH {
            return Err(FilterError::TooDeep { limit: MAX_DEPTH });
        }
        self.skip_white_space();
        let node = match self.composite_operator() {
            Some('!') => self.negation(depth)?,
            Some(operator) => self.junction(operator, depth)?,
            None => self.item()?,
        };
        Filter::of(node)
    }

    /// Reads `&`, `|` or `!` if filters follow it. If not, it begins an
    /// attribute's name, since names may contain these characters.
    fn composite_operator(&mut self) -> Option<char> {
        let operator = self.peek().filter(|c| matches!(c, '&' | '|' | '!'))?;
        if !self.rest()[1..].trim_start().starts_with('(') {
            return None;
        }
        self.skip(operator);
        Some(operator)
    }

    fn negation(&mut self, depth: usize) -> Result<Node, FilterError> {
        let operand = self.filter(depth + 1)?;
        self.skip_white_space();
        if !self.eat(')') {
            return Err(self.fail("')', since '!' has one operand"));
        }
        Ok(Node::Not(operand))
    }

    fn junction(&mut self, operator: char, depth: usize) -> Result<Node, FilterError> {
        let mut operands = Vec::new();
        loop {
            operands.push(self.filter(depth + 1)?);
            self.skip_white_space();
            if self.eat(')') {
                let operands = operands.into();
                return Ok(match operator {
                    '&' => Node::And(operands),
                    _ => Node::Or(operands),
                });
            }
            if self.peek() != Some('(') {
                return Err(self.fail("')', or '(' for one more operand"));
            }
        }
    }

    fn item(&mut self) -> Result<Node, FilterError> {
        let name = self.name()?;
        let node = match self.operator(name)? {
            Operator::Equal => self.equality(name)?,
            operator => Node::Compare(Name(name.into()), Operand::new(operator, self.plain()?)),
        };
        if !self.eat(')') {
            return Err(self.fail("')' to end the filter"));
        }
        Ok(node)
    }

    fn name(&mut self) -> Result<&'a str, FilterError> {
        let rest = self.rest();
        let name = rest[..rest.find(is_reserved).unwrap_or(rest.len())].trim_end();
        if name.is_empty() {
            return Err(self.fail("an attribute name, or '&', '|' or '!' with its operands"));
        }
        self.offset += name.len();
        Ok(name)
    }

    fn operator(&mut self, name: &str) -> Result<Operator, FilterError> {
        self.skip_white_space();
        let operator = match self.peek() {
            Some('=') => Operator::Equal,
            Some('~') => Operator::Approx,
            Some('>') => Operator::AtLeast,
            Some('<') => Operator::AtMost,
            // `(&)` and `(! a)` are far more often this than an odd name.
            _ if name.starts_with(['&', '|', '!']) => {
                return Err(self.fail("an operand in parentheses"));
            }
            _ => return Err(self.fail("'=', '~=', '>=' or '<='")),
        };
        let (first, expected) = match operator {
            Operator::Equal => (None, "'='"),
            Operator::Approx => (Some('~'), "'=' after '~'"),
            Operator::AtLeast => (Some('>'), "'=' after '>'"),
            Operator::AtMost => (Some('<'), "'=' after '<'"),
        };
        if let Some(first) = first {
            self.skip(first);
        }
        if !self.eat('=') {
            return Err(self.fail(expected));
        }
        Ok(operator)
    }

    /// What follows `=`: presence, a pattern, or a plain value.
    fn equality(&mut self, name: &str) -> Result<Node, FilterError> {
        let name = Name(name.into());
        let first = self.piece(true)?;
        if self.peek() != Some('*') {
            return Ok(Node::Compare(name, Operand::new(Operator::Equal, first)));
        }
        let (mut middle, mut last) = (Vec::new(), String::new());
        let mut stars = 0;
        while self.eat('*') {
            stars += 1;
            middle.push(std::mem::replace(&mut last, self.piece(true)?));
        }
        if stars == 1 && first.is_empty() && last.is_empty() {
            return Ok(Node::Present(name));
        }
        Ok(Node::Substring(name, Pattern::new(&first, middle, &last)))
    }

    /// A value in which a star stands for itself: only `=` has patterns.
    fn plain(&mut self) -> Result<String, FilterError> {
        self.piece(false)
    }

    /// Reads up to the end of the value, or to a star that stands for a gap.
    fn piece(&mut self, gaps: bool) -> Result<String, FilterError> {
        let mut piece = String::new();
        loop {
            match self.peek() {
                Some('(') => return Err(self.fail(NO_PAREN)),
                Some('*') if gaps => return Ok(piece),
                None | Some(')') => return Ok(piece),
                Some('\\') => {
                    self.skip('\\');
                    let Some(c) = self.peek() else {
                        return Err(self.fail("a character after '\\'"));
                    };
                    piece.push(c);
                    self.skip(c);
                }
                Some(c) => {
                    piece.push(c);
                    self.skip(c);
                }
            }
        }
    }
}
