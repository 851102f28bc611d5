//! A source of bytes that knows its line and column, and how much may be read.

use std::io::{self, BufRead, Read};

use super::error::Position;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Counts what is read, and stops where a budget is used up: an XML reader
/// keeps a whole tag or text in memory, however long it is.
pub(super) struct Source<R> {
    inner: R,
    position: Position,
    begun: bool,
    left: usize,
    exceeded: bool,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(inner: R, budget: usize) -> Self {
        Self {
            inner,
            position: Position { line: 1, column: 1 },
            begun: false,
            left: budget,
            exceeded: false,
        }
    }

    /// The place of the next byte.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Allows this many bytes from here on.
    pub(super) fn allow(&mut self, budget: usize) {
        self.left = budget;
    }

    /// Takes bytes from the budget that were not read here: copies of what was
    /// read before. False if they are more than is left.
    pub(super) fn charge(&mut self, amount: usize) -> bool {
        self.exceeded |= amount > self.left;
        self.left = self.left.saturating_sub(amount);
        !self.exceeded
    }

    /// Whether more would have been read than is allowed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

fn count(position: &mut Position, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'\n' => {
                position.line += 1;
                position.column = 1;
            }
            // The rest of a character that was counted.
            0x80..=0xBF => {}
            _ => position.column += 1,
        }
    }
}

impl<R: BufRead> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.inner.fill_buf()?;
        if self.left == 0 && !available.is_empty() {
            self.exceeded = true;
            return Err(io::Error::other("more than is allowed"));
        }
        let allowed = available.len().min(self.left);
        Ok(&available[..allowed])
    }

    fn consume(&mut self, amount: usize) {
        // What is buffered is given again and without reading: that is what
        // `BufRead` promises between `fill_buf` and `consume`.
        if let Ok(buffered) = self.inner.fill_buf() {
            let consumed = &buffered[..amount.min(buffered.len())];
            let bom = !self.begun && consumed.starts_with(BOM);
            let shown = if bom {
                &consumed[BOM.len()..]
            } else {
                consumed
            };
            count(&mut self.position, shown);
        }
        self.begun |= amount > 0;
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

/// Asked for by `BufRead`; the XML reader uses that alone.
impl<R: BufRead> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(into.len());
        into[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_are_counted_without_the_byte_order_mark() {
        let mut source = Source::new(&b"\xEF\xBB\xBF\xC3\xA4b\ncd"[..], 100);
        source.consume(3);
        assert_eq!(source.position(), Position { line: 1, column: 1 });
        source.consume(3);
        assert_eq!(source.position(), Position { line: 1, column: 3 });
        source.consume(2);
        assert_eq!(source.position(), Position { line: 2, column: 2 });
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let mut source = Source::new(&b"abcdef"[..], 4);
        let mut into = [0; 6];
        assert_eq!(source.read(&mut into).unwrap(), 4);
        assert!(source.read(&mut into).is_err());
        assert!(source.is_exceeded());
        source.allow(2);
        assert_eq!(source.read(&mut into).unwrap(), 2);
        // The end is the end, whatever is allowed.
        assert_eq!(source.read(&mut into).unwrap(), 0);
    }
}
