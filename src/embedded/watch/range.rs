//! The keys that a watch is about.

/// Keys from a first one on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    start: Vec<u8>,
    end: End,
}

/// Where a range ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It is the one key.
    One,
    /// Before this key.
    Before(Vec<u8>),
    /// Nowhere.
    Open,
}

/// What the index can look a range up by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape<'a> {
    /// One key.
    Key(&'a [u8]),
    /// All keys that begin so; all keys at all if it is empty.
    Prefix(&'a [u8]),
    /// Anything else.
    Other,
}

impl Range {
    /// The range of a watch request: no key is the lowest one, no end is the one key, an end of a
    /// single zero byte is no end. `None` if no key can be in it.
    pub(crate) fn requested(key: Vec<u8>, range_end: Vec<u8>) -> Option<Self> {
        let start = if key.is_empty() { vec![0] } else { key };
        let end = match range_end.as_slice() {
            [] => End::One,
            [0] => End::Open,
            end if end <= start.as_slice() => return None,
            _ => End::Before(range_end),
        };
        Some(Self { start, end })
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::One => key == self.start,
            End::Before(end) => self.start.as_slice() <= key && key < end.as_slice(),
            End::Open => self.start.as_slice() <= key,
        }
    }

    pub(crate) fn start(&self) -> &[u8] {
        &self.start
    }

    pub(crate) fn shape(&self) -> Shape<'_> {
        match &self.end {
            End::One => Shape::Key(&self.start),
            // No key is empty, so that all keys are here.
            End::Open if self.start == [0] => Shape::Prefix(&[]),
            End::Before(end) if is_next_prefix(&self.start, end) => Shape::Prefix(&self.start),
            End::Open if self.start.iter().all(|byte| *byte == 0xff) => Shape::Prefix(&self.start),
            _ => Shape::Other,
        }
    }
}

/// Whether `end` is the first key after all that begin with `start`.
fn is_next_prefix(start: &[u8], end: &[u8]) -> bool {
    let kept = start.iter().rposition(|byte| *byte < 0xff);
    let Some(last) = kept else { return false };
    end.len() == last + 1 && end[..last] == start[..last] && end[last] == start[last] + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn range(key: &[u8], end: &[u8]) -> Range {
        Range::requested(key.to_vec(), end.to_vec()).unwrap()
    }

    #[test]
    fn no_end_is_one_key_and_no_key_is_the_lowest() {
        assert!(range(b"a", b"").contains(b"a"));
        assert!(!range(b"a", b"").contains(b"ab"));
        assert!(range(b"", b"").contains(b"\0"));
        assert!(!range(b"", b"").contains(b"a"));
    }

    #[test]
    fn an_end_of_one_zero_byte_is_no_end() {
        assert!(range(b"b", b"\0").contains(b"\xff\xff"));
        assert!(!range(b"b", b"\0").contains(b"a"));
        assert!(range(b"", b"\0").contains(b"\0"));
    }

    #[test]
    fn an_end_that_is_not_after_the_start_holds_no_key() {
        assert_eq!(Range::requested(b"b".to_vec(), b"b".to_vec()), None);
        assert_eq!(Range::requested(b"b".to_vec(), b"a".to_vec()), None);
        assert!(!range(b"b", b"c").contains(b"c"));
    }

    #[test]
    fn the_shape_says_how_a_range_is_found_by_key() {
        assert_eq!(range(b"a/", b"a0").shape(), Shape::Prefix(b"a/"));
        assert_eq!(range(b"a\xff", b"b").shape(), Shape::Prefix(b"a\xff"));
        assert_eq!(range(b"\xff", b"\0").shape(), Shape::Prefix(b"\xff"));
        assert_eq!(range(b"", b"\0").shape(), Shape::Prefix(b""));
        assert_eq!(range(b"a", b"").shape(), Shape::Key(b"a"));
        assert_eq!(range(b"a", b"a\\0").shape(), Shape::Other);
        assert_eq!(range(b"a", b"\0").shape(), Shape::Other);
        assert_eq!(range(b"a", b"c").shape(), Shape::Other);
    }
}
