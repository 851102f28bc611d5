//! Documents that are no XML, or too much of it.

use std::io::{self, BufReader, Read};

use proptest::prelude::*;

use super::*;

/// What ends the reading of a document, after what was read before it.
fn end(document: &[u8], limits: Limits) -> (usize, String) {
    let read: Vec<_> = Reader::with_limits(document, limits).collect();
    let (last, before) = read.split_last().unwrap();
    let error = last.as_ref().unwrap_err();
    assert!(error.ends_the_document(), "{error}");
    (before.len(), error.to_string())
}

#[test]
fn what_is_not_well_formed_is_told_with_line_and_column() {
    for (text, said) in [
        (
            "",
            "line 1, column 1: not well-formed XML: there is no element",
        ),
        (
            "  \n x",
            "line 1, column 1: not well-formed XML: 'x' stands outside of the root element",
        ),
        ("<a>\n<b>\n</a>", "line 3, column 1: not well-formed XML: "),
        (
            "<a/>\n<b/>",
            "line 2, column 1: not well-formed XML: there is a second root element",
        ),
        (
            "<a>\n ",
            "line 2, column 2: not well-formed XML: the document ends before all",
        ),
        (
            "<a>\n<b",
            "line 2, column 1: not well-formed XML: syntax error: tag not",
        ),
        (
            "<a>\n &b;</a>",
            "line 2, column 2: not well-formed XML: unknown entity '&b;'",
        ),
        (
            "<a>\n &#1;</a>",
            "line 2, column 2: not well-formed XML: it holds U+0001",
        ),
        (
            "<a>ä\u{1}</a>",
            "line 1, column 4: not well-formed XML: it holds U+0001",
        ),
        (
            "<a>]]></a>",
            "line 1, column 4: not well-formed XML: ']]>' stands in a text",
        ),
        (
            "<a><!-- -- --></a>",
            "line 1, column 4: not well-formed XML: ",
        ),
        (
            "<a>\n<p:b/></a>",
            "line 2, column 1: not well-formed XML: the prefix 'p' stands for no",
        ),
        (
            "<a p:b=''/>",
            "line 1, column 1: not well-formed XML: the prefix 'p' stands for no",
        ),
        (
            "<a xmlns:p=''/>",
            "line 1, column 1: not well-formed XML: prefix p stands for nothing",
        ),
        (
            "<a b='' b=''/>",
            "line 1, column 1: not well-formed XML: attribute b is given twice",
        ),
        (
            "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
            "line 1, column 1: not well-formed XML: attribute q:b is given twice",
        ),
        (
            "<a xmlns:p='u' xmlns:q='&#117;' p:b='' p:c='' q:c=''/>",
            "line 1, column 1: not well-formed XML: attribute q:c is given twice",
        ),
        (
            "<a b='<'/>",
            "line 1, column 1: not well-formed XML: attribute b holds a '<'",
        ),
        (
            "<a b='&x;'/>",
            "line 1, column 1: not well-formed XML: attribute b: ",
        ),
        (
            "<1a/>",
            "line 1, column 1: not well-formed XML: '1a' is no name",
        ),
        (
            "<a:b:c/>",
            "line 1, column 1: not well-formed XML: 'a:b:c' is no name",
        ),
        (
            "<a/>\n<?xml version='1.0'?>",
            "line 2, column 1: not well-formed XML: an XML declaration stands at the very",
        ),
    ] {
        let (_, error) = end(text.as_bytes(), Limits::default());
        assert!(error.starts_with(said), "{text:?}: {error}");
    }
}

#[test]
fn half_a_document_is_no_document() {
    let whole = document("<property name='x' value='1'/>");
    for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        end(&whole.as_bytes()[..cut], Limits::default());
    }
}

#[test]
fn a_document_type_definition_and_its_entities_are_refused() {
    for dtd in [
        "<!DOCTYPE a>",
        "<!DOCTYPE a [<!ENTITY x 'xxxxxxxx'><!ENTITY y '&x;&x;'>]>",
        "<!DOCTYPE a SYSTEM 'file:///etc/hostname'>",
    ] {
        let (_, error) = end(format!("{dtd}<a/>").as_bytes(), Limits::default());
        assert_eq!(
            error,
            "line 1, column 1: a document type definition (<!DOCTYPE>) is not accepted: leave it out"
        );
    }
}

#[test]
fn only_utf_8_is_read() {
    let declared =
        |name: &str| format!("<?xml version='1.0' encoding='{name}'?>\n{}", document(""));
    for name in ["UTF-8", "utf-8", "US-ASCII"] {
        assert_eq!(outcome(&declared(name)), ["e1"]);
    }
    assert_eq!(outcome(&format!("\u{FEFF}{}", declared("UTF-8"))), ["e1"]);
    let (_, error) = end(declared("ISO-8859-1").as_bytes(), Limits::default());
    assert_eq!(
        error,
        "line 1, column 1: the encoding is declared to be 'ISO-8859-1': write it in UTF-8"
    );
    let (_, error) = end(b"<a>\n\xFF</a>", Limits::default());
    assert_eq!(
        error,
        "line 1, column 4: what follows is not UTF-8: write it in UTF-8"
    );
}

#[test]
fn nesting_is_limited_in_descriptions_around_them_and_in_literals() {
    let limits = Limits {
        depth: 8,
        ..Limits::default()
    };
    let deep = |n: usize| format!("{}{}", "<d>".repeat(n), "</d>".repeat(n));
    let (_, error) = end(deep(9).as_bytes(), limits.clone());
    assert_eq!(
        error,
        "line 1, column 25: nested deeper than the limit of 8 elements"
    );
    let literal = |n| {
        document(&format!(
            "<property name='p'><xml>{}</xml></property>",
            deep(n)
        ))
    };
    let (_, error) = end(literal(5).as_bytes(), limits.clone());
    assert!(
        error.contains("nested deeper than the limit of 8"),
        "{error}"
    );
    let read: Vec<_> = Reader::with_limits(literal(4).as_bytes(), limits).collect();
    assert!(read[0].is_ok(), "{read:?}");
    // Whatever the setting, the namespaces of so many levels are not kept.
    let limits = Limits {
        depth: usize::MAX,
        ..Limits::default()
    };
    let (_, error) = end(deep(1001).as_bytes(), limits);
    assert!(error.contains("the limit of 1000 elements"), "{error}");
}

#[test]
fn a_description_is_limited_in_size_and_a_document_is_not() {
    let limits = || Limits {
        description: 1000,
        ..Limits::default()
    };
    let one = document("");
    let many = format!("<d>{}</d>", one.repeat(100));
    assert!(many.len() > 10 * limits().description);
    assert_eq!(
        Reader::with_limits(many.as_bytes(), limits())
            .flatten()
            .count(),
        100
    );
    let large = document(&"<property name='x' value='1'/>".repeat(40));
    let tag = format!("<d a='{}'/>", "x".repeat(1000));
    let text = format!("<d>{}</d>", "x".repeat(1001));
    for too_large in [large, tag, text] {
        let (_, error) = end(too_large.as_bytes(), limits());
        assert!(
            error.contains("larger than the limit of 1000 bytes for one description"),
            "{error}"
        );
    }
}

/// What is read once and copied for each literal is bounded as well.
#[test]
fn what_literals_inherit_counts_as_often_as_it_is_copied() {
    let limits = || Limits {
        description: 10_000,
        ..Limits::default()
    };
    let inheriting = |declared: &str, literals: usize| {
        let items = "<value><xml><x xmlns=''/></xml></value>".repeat(literals);
        document(&format!(
            "<property name='p' {declared}><list>{items}</list></property>"
        ))
    };
    let namespace = format!("xmlns:a='{}'", "n".repeat(1000));
    let prefix = format!("xmlns:{}='n'", "a".repeat(1000));
    for declared in [namespace, prefix] {
        let few = inheriting(&declared, 5);
        let read: Vec<_> = Reader::with_limits(few.as_bytes(), limits()).collect();
        let text = read[0].as_ref().unwrap().properties().get("p").unwrap();
        assert_eq!(text.to_string().matches("xmlns:a").count(), 5);
        let many = inheriting(&declared, 20);
        assert!(many.len() < limits().description);
        let (_, error) = end(many.as_bytes(), limits());
        assert!(
            error.contains("larger than the limit of 10000 bytes for one description"),
            "{error}"
        );
    }
}

#[test]
fn the_name_of_a_namespace_is_limited() {
    let declaring = |length| {
        let namespace = "n".repeat(length);
        document(&format!(
            "<x:e xmlns:x='{namespace}' x:a='' x:b=''><x:f x:a=''/></x:e>"
        ))
    };
    assert_eq!(outcome(&declaring(1024)), ["e1"]);
    let (_, error) = end(declaring(1025).as_bytes(), Limits::default());
    assert_eq!(
        error,
        "line 4, column 1: the name of a namespace is longer than the limit of 1024 bytes: \
         shorten it"
    );
}

/// A document without an end, and without a place to keep it.
struct Endless {
    beginning: io::Cursor<String>,
    description: io::Cursor<String>,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.beginning.read(into)?;
        if read > 0 {
            return Ok(read);
        }
        if self.description.position() == self.description.get_ref().len() as u64 {
            self.description.set_position(0);
        }
        self.description.read(into)
    }
}

#[test]
fn descriptions_come_one_at_a_time_from_a_source_without_an_end() {
    let whole = document("");
    let at = whole.find("<endpoint-description>").unwrap();
    let (beginning, rest) = whole.split_at(at);
    let source = Endless {
        beginning: io::Cursor::new(beginning.to_owned()),
        description: io::Cursor::new(rest.trim_end_matches("</endpoint-descriptions>").to_owned()),
    };
    let reader = Reader::new(BufReader::new(source));
    assert_eq!(reader.take(10_000).flatten().count(), 10_000);
}

#[test]
fn a_source_that_fails_is_told_and_ends_the_document() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let source = document("").into_bytes();
    let source = BufReader::new((&source[..200]).chain(Failing));
    let mut reader = Reader::new(source);
    let error = reader.next().unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("cannot be read: the disk is gone"),
        "{error}"
    );
    assert!(reader.next().is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        Reader::new(&bytes[..]).for_each(drop);
    }

    #[test]
    fn no_damage_makes_the_reader_panic_or_go_on_for_ever(
        at in any::<prop::sample::Index>(),
        with in "[<>/&;\"'=a!\\[\\]?-]{0,4}",
        length in 0..9_usize,
    ) {
        let whole = document("<property name='p'><xml><x a='b'>c</x></xml></property><!--c-->");
        let at = at.index(whole.len());
        let damaged = format!("{}{with}{}", &whole[..at], &whole[(at + length).min(whole.len())..]);
        let limit = damaged.len();
        prop_assert!(Reader::new(damaged.as_bytes()).take(limit + 1).count() <= limit);
    }
}
