use super::*;
use crate::properties::{Array, ScalarType, Value};
use crate::props;

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

fn syntax_error(text: &str) -> SyntaxError {
    match Filter::parse(text) {
        Err(FilterError::Syntax(error)) => *error,
        other => panic!("{text}: {other:?}"),
    }
}

fn error_of(text: &str) -> FilterError {
    Filter::parse(text).unwrap_err()
}

/// Whether `(v` + `condition` + `)` matches this value.
fn holds(condition: &str, value: impl Into<Value>) -> bool {
    filter(&format!("(v{condition})")).matches(&props! { "V" => value.into() })
}

#[test]
fn good_filters_print_in_their_normal_form() {
    for (text, normal) in [
        ("(a=b)", "(a=b)"),
        (" \t\n( a =b)\r\n", "(a=b)"),
        ("(a= b )", "(a= b )"),
        ("(a=)", "(a=)"),
        ("(a>=)", "(a>=)"),
        ("(a=*)", "(a=*)"),
        ("(a=* )", "(a=* )"),
        ("(a=**)", "(a=**)"),
        ("(a=****)", "(a=**)"),
        ("(a=x*)", "(a=x*)"),
        ("(a=*x)", "(a=*x)"),
        ("(a=x***y**z)", "(a=x*y*z)"),
        ("(a=*x*)", "(a=*x*)"),
        (r"(a=\*)", r"(a=\*)"),
        (r"(a=x\*y*\(\)\\)", r"(a=x\*y*\(\)\\)"),
        (r"(a=\b\=)", "(a=b=)"),
        ("(a~=x*y)", r"(a~=x\*y)"),
        ("(a>=*)", r"(a>=\*)"),
        ("(a==b<c>~d)", "(a==b<c>~d)"),
        ("(max Record Time <=140)", "(max Record Time<=140)"),
        ("(*=x)", "(*=x)"),
        (
            " ( & ( a=1 ) ( | (b=2)(c~=3 ) ) ( ! (d=4)) ) ",
            "(&(a=1 )(|(b=2)(c~=3 ))(!(d=4)))",
        ),
        ("(&(a=1))", "(&(a=1))"),
        // An operator that no parenthesis follows belongs to the name.
        ("(!a=b)", "(!a=b)"),
        ("(! a=b)", "(! a=b)"),
        ("(&=b)", "(&=b)"),
        ("(|=*)", "(|=*)"),
        ("(größe=ü€😀)", "(größe=ü€😀)"),
    ] {
        let parsed = filter(text);
        assert_eq!(parsed.to_string(), normal, "{text}");
        assert_eq!(filter(normal), parsed, "{text}");
    }
}

#[test]
fn bad_filters_are_refused_with_place_and_reason() {
    let operators = "'=', '~=', '>=' or '<='";
    let name = "an attribute name, or '&', '|' or '!' with its operands";
    let end = "')' to end the filter";
    let escape = "'\\' before a parenthesis that belongs to the value";
    let begin = "'(' to begin a filter";
    let operand = "an operand in parentheses";
    let trailing = "nothing after the filter's last ')'";
    for (text, column, found, expected) in [
        ("", 1, None, begin),
        ("  ", 3, None, begin),
        ("a=b", 1, Some('a'), begin),
        ("(", 2, None, name),
        ("()", 2, Some(')'), name),
        ("( )", 3, Some(')'), name),
        ("(=foo)", 2, Some('='), name),
        ("((a=b))", 2, Some('('), name),
        ("(a", 3, None, operators),
        ("(a)", 3, Some(')'), operators),
        ("(a (b=c))", 4, Some('('), operators),
        ("(a<b)", 4, Some('b'), "'=' after '<'"),
        ("(a> =b)", 4, Some(' '), "'=' after '>'"),
        ("(a~", 4, None, "'=' after '~'"),
        ("(xx=foo", 8, None, end),
        ("(a>=1", 6, None, end),
        ("(a=b\\", 6, None, "a character after '\\'"),
        ("(a=b\\)", 7, None, end),
        ("(a=b(c)", 5, Some('('), escape),
        ("(a~=(c)", 5, Some('('), escape),
        ("(a=b))", 6, Some(')'), trailing),
        ("(a=b)(c=d)", 6, Some('('), trailing),
        ("(a=b) x", 7, Some('x'), trailing),
        ("(&)", 3, Some(')'), operand),
        ("( | )", 5, Some(')'), operand),
        ("(!)", 3, Some(')'), operand),
        ("(&a)", 4, Some(')'), operand),
        ("(&(a=1)", 8, None, "')', or '(' for one more operand"),
        (
            "(&(a=1)b=2)",
            8,
            Some('b'),
            "')', or '(' for one more operand",
        ),
        (
            "(!(a=1)(b=2))",
            8,
            Some('('),
            "')', since '!' has one operand",
        ),
        ("(& (abc = xyz) (& (345))", 23, Some(')'), operators),
        ("(ä=ö)ü", 6, Some('ü'), trailing),
    ] {
        let error = syntax_error(text);
        assert_eq!(
            (error.column, error.found, error.expected),
            (column, found, expected),
            "{text}"
        );
        assert_eq!(error.text, text);
        assert_eq!(error.text[error.offset..].chars().next(), found, "{text}");
    }
}

#[test]
fn an_error_counts_bytes_and_characters_apart() {
    let error = syntax_error("(größe=x");
    assert_eq!((error.offset, error.column), (10, 9));
}

#[test]
fn an_error_shows_the_neighbourhood_of_a_long_text_and_no_control_characters() {
    let text = format!("(&(a={})\n(b)(c={}))", "x".repeat(500), "y".repeat(500));
    let error = error_of(&text);
    let shown = error.to_string();
    let excerpt = format!("…{})\u{fffd}(b)(c={}…", "x".repeat(36), "y".repeat(36));
    assert_eq!(
        shown,
        format!(
            "bad filter at column 510: found ')', expected '=', '~=', '>=' or '<=' in: {excerpt}"
        )
    );
    let lines: Vec<String> = format!("{error:#}").lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    let under = lines[2].chars().count() - 1;
    assert_eq!(
        lines[1].chars().skip(under - 2).take(3).collect::<String>(),
        "(b)"
    );
}

#[test]
fn a_filter_is_bounded_in_depth_however_it_is_made() {
    let nested = |levels: usize| format!("{}(a=1){}", "(!".repeat(levels), ")".repeat(levels));
    let deepest = filter(&nested(MAX_DEPTH - 1));
    let too_deep = Err(FilterError::TooDeep { limit: MAX_DEPTH });
    assert_eq!(Filter::parse(&nested(MAX_DEPTH)), too_deep);
    assert_eq!(Filter::not(deepest.clone()), too_deep);
    assert_eq!(Filter::and([deepest.clone()]), too_deep);
    assert_eq!(filter(&deepest.to_string()), deepest);
    assert!(!deepest.matches(&props! { "a" => "1" }));
    // Only parentheses and never a filter: a parser that went on would
    // exhaust the stack.
    assert_eq!(Filter::parse(&"(&".repeat(MAX_LENGTH / 2)), too_deep);
}

#[test]
fn a_filter_is_bounded_in_length_however_it_is_made() {
    let value = "x".repeat(MAX_LENGTH - "(a=)".len());
    let longest = Filter::equals("a", &value).unwrap();
    assert_eq!(filter(&longest.to_string()), longest);
    let too_long = |length| {
        Err(FilterError::TooLong {
            length,
            limit: MAX_LENGTH,
        })
    };
    assert_eq!(
        Filter::parse(&format!("(a={value}y)")),
        too_long(MAX_LENGTH + 1)
    );
    assert_eq!(
        Filter::equals("a", format!("{value}y")),
        too_long(MAX_LENGTH + 1)
    );
    assert_eq!(Filter::not(longest), too_long(MAX_LENGTH + 3));
    // Short as text, too long in the normal form.
    let stars = format!("(a~={})", "*".repeat(40_000));
    assert_eq!(Filter::parse(&stars), too_long(80_005));
}

#[test]
fn shared_operands_count_as_often_as_they_are_matched() {
    let mut doubled = filter("(a=1)");
    let error = loop {
        match Filter::and([doubled.clone(), doubled]) {
            Ok(next) => doubled = next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FilterError::TooLong { .. }), "{error}");
}

#[test]
fn constructors_escape_values_and_refuse_bad_names() {
    let value = r"a*(b)\ =<>~&|!";
    for (made, text) in [
        (Filter::equals("n", value), r"(n=a\*\(b\)\\ =<>~&|!)"),
        (Filter::approx("n", value), r"(n~=a\*\(b\)\\ =<>~&|!)"),
        (Filter::at_least("n", 1.5), "(n>=1.5)"),
        (Filter::at_most("n", -3), "(n<=-3)"),
        (
            Filter::substring("n", "*", ["(", "", ")"], "\\"),
            r"(n=\**\(*\)*\\)",
        ),
        (Filter::substring("n", "", [""; 0], ""), "(n=**)"),
        (Filter::present("n"), "(n=*)"),
        (
            Filter::or([filter("(a=1)"), filter("(b=2)")]),
            "(|(a=1)(b=2))",
        ),
    ] {
        let made = made.unwrap();
        assert_eq!(made.to_string(), text);
        assert_eq!(filter(text), made);
    }
    for name in ["", "a=b", "a>", "<a", "a~b", "a(", ")a", " a", "a\t"] {
        let error = Filter::present(name).unwrap_err();
        assert!(
            matches!(&error, FilterError::Name { name: n, .. } if n == name),
            "{error}"
        );
    }
    assert_eq!(
        Filter::and([]),
        Err(FilterError::NoOperands { operator: '&' })
    );
    assert_eq!(
        Filter::or([]),
        Err(FilterError::NoOperands { operator: '|' })
    );
}

#[test]
fn names_ignore_case_and_keep_it_when_printed() {
    use std::hash::BuildHasher;
    let state = std::hash::RandomState::new();
    for (a, b) in [
        ("(objectClass=X)", "(OBJECTCLASS=X)"),
        ("(Äö=1)", "(äÖ=1)"),
        ("(\u{212a}=1)", "(k=1)"),
    ] {
        let (a, b) = (filter(a), filter(b));
        assert_eq!(a, b);
        assert_eq!(state.hash_one(&a), state.hash_one(&b));
        assert_ne!(a.to_string(), b.to_string());
    }
    assert_ne!(filter("(a=x)"), filter("(a=X)"));
    assert_ne!(filter("(a=x)"), filter("(a~=x)"));
    assert_ne!(filter("(a=*)"), filter(r"(a=\*)"));
    assert!(filter("(ENDPOINT.id=id2)").matches(&props! { "endpoint.ID" => "id2" }));
}

#[test]
fn strings_compare_exactly_and_by_code_point() {
    for (condition, value, expected) in [
        ("=b", "b", true),
        ("=b", "B", false),
        ("= b", "b", false),
        ("= b", " b", true),
        ("=", "", true),
        ("=", "x", false),
        ("=1", "1", true),
        ("=1", "1.0", false),
        (">=aaaa", "bedroom", true),
        ("<=aaaa", "bedroom", false),
        (">=b", "b", true),
        ("<=b", "b", true),
        (">=10", "9", true),
        ("<=10", "1", true),
        (">=a", "Z", false),
        ("~=A b", "ab", true),
        ("~=ab", " A\tB ", true),
        ("~=ab", "abc", false),
        ("~=", "  ", true),
        ("~=ΣΊΣΥΦΟΣ", "σίσυφος", true),
        ("~=STRASSE", "straße", true),
    ] {
        assert_eq!(holds(condition, value), expected, "{condition} {value:?}");
    }
}

#[test]
fn numbers_compare_numerically_and_whole_numbers_with_whole_numbers() {
    for (condition, value, expected) in [
        (">= 80 ", Value::from(80_i64), true),
        ("=080", Value::from(80_i32), true),
        ("=+80", Value::from(80_i32), true),
        ("=abc", Value::from(80_i64), false),
        ("=", Value::from(0_i32), false),
        (">=9", Value::from(10_i32), true),
        ("<=9", Value::from(10_i32), false),
        (">=-5", Value::from(-4_i8), true),
        ("~= 7 ", Value::from(7_i16), true),
        ("=1.5", Value::from(1_i32), false),
        ("=1.0", Value::from(1_i32), false),
        ("<=1.5", Value::from(1_i32), false),
        ("<=300", Value::from(1_i8), true),
        (
            "=9007199254740993",
            Value::from(9_007_199_254_740_993_i64),
            true,
        ),
        (
            "=9007199254740993",
            Value::from(9_007_199_254_740_992_i64),
            false,
        ),
        (
            ">=9007199254740993",
            Value::from(9_007_199_254_740_992_i64),
            false,
        ),
        ("=-9223372036854775808", Value::from(i64::MIN), true),
        ("<=9223372036854775808", Value::from(i64::MAX), false),
        ("=1", Value::from(1.0_f64), true),
        ("= 1.10 ", Value::from(1.1_f32), true),
        ("=1.1", Value::from(1.1_f64), true),
        ("=1.1", Value::from(f64::from(1.1_f32)), false),
        ("<=2.011", Value::from(2.01_f64), true),
        (">=1e3", Value::from(999.0_f32), false),
        ("=0", Value::from(-0.0_f64), true),
        ("=NaN", Value::from(f64::NAN), true),
        (">=1", Value::from(f64::NAN), false),
        ("<=NaN", Value::from(1.0_f64), false),
        ("=x", Value::from(1.0_f64), false),
        ("<=Infinity", Value::from(f32::MAX), true),
    ] {
        assert_eq!(
            holds(condition, value.clone()),
            expected,
            "{condition} {value:?}"
        );
    }
}

#[test]
fn booleans_are_equal_or_not_and_have_no_order() {
    for (condition, value, expected) in [
        ("=true", true, true),
        ("= TRUE ", true, true),
        ("~=True", true, true),
        ("=false", false, true),
        ("=true", false, false),
        ("=abc", false, false),
        ("=", false, false),
        ("=1", true, false),
        (">=true", true, false),
        ("<=true", true, false),
    ] {
        assert_eq!(holds(condition, value), expected, "{condition} {value}");
    }
}

#[test]
fn characters_compare_as_one_character() {
    for (condition, value, expected) in [
        ("=A", 'A', true),
        ("=a", 'A', false),
        ("~=a", 'A', true),
        ("~= a ", 'A', true),
        ("= ", ' ', true),
        ("=", ' ', false),
        ("=AB", 'A', false),
        ("=A ", 'A', false),
        (">=a", 'b', true),
        ("<=a", 'b', false),
        ("=😀", '😀', true),
    ] {
        assert_eq!(holds(condition, value), expected, "{condition} {value:?}");
    }
}

#[test]
fn one_item_that_matches_is_enough_each_by_its_own_type() {
    let mixed = vec![
        Value::from("100"),
        Value::from(34_i32),
        Value::from(true),
        Value::List(vec![Value::from('x'), Value::from(2.5_f32)]),
    ];
    let ports = vec![Value::from(80_i32), Value::from(443_i32)];
    let boxed = Array::new(ScalarType::Integer, ports.clone()).unwrap();
    let primitive = Array::primitive(ScalarType::Integer, ports).unwrap();
    for collection in [Value::List(mixed.clone()), Value::Set(mixed)] {
        for (condition, expected) in [
            ("=100", true),
            ("=0100", false),
            ("=034", true),
            ("=TRUE", true),
            ("=x", true),
            ("=2.50", true),
            ("=1*", true),
            ("=3*", false),
            ("=35", false),
            // Less as a string and as a number.
            (">=1000", false),
        ] {
            assert_eq!(
                holds(condition, collection.clone()),
                expected,
                "{condition}"
            );
        }
    }
    for array in [boxed, primitive] {
        assert!(holds("= 443 ", array.clone()));
        assert!(holds(">=100", array.clone()));
        assert!(!holds(">=444", array.clone()));
        assert!(!holds("=4*", array));
    }
    assert!(holds("=b", ["a", "b"]));
    assert!(!holds("=B", ["a", "b"]));
    assert!(holds("=-1", vec![1_u8, 255]));
    assert!(!holds("=255", vec![1_u8, 255]));
}

#[test]
fn presence_asks_for_any_value_also_an_empty_one() {
    let empty_array = Array::new(ScalarType::Long, Vec::new()).unwrap();
    for value in [
        Value::from(""),
        Value::from(0_i32),
        Value::from(false),
        Value::List(Vec::new()),
        Value::from(empty_array),
        Value::from(Vec::<u8>::new()),
    ] {
        assert!(holds("=*", value.clone()), "{value:?}");
    }
    assert!(!filter("(w=*)").matches(&props! { "v" => 1_i32 }));
    assert!(!holds("=", Value::List(Vec::new())));
    assert!(filter("(!(w=1))").matches(&props! {}));
}

#[test]
fn substrings_are_found_in_strings_only() {
    for (condition, value, expected) in [
        ("=bed*room", Value::from("bedroom"), true),
        ("=b*oo*m", Value::from("bedroom"), true),
        ("=*b*oo*m*", Value::from("bedroom"), true),
        ("=b*b*  *m*", Value::from("bedroom"), false),
        ("=*edr*", Value::from("bedroom"), true),
        ("=B*", Value::from("bedroom"), false),
        // Beginning and end may not share a character, nor may two pieces.
        ("=aba*aba", Value::from("ababa"), false),
        ("=aba*aba", Value::from("abaaba"), true),
        ("=*ab*ba*", Value::from("aba"), false),
        ("=a*a", Value::from("a"), false),
        ("=**", Value::from(""), true),
        ("=* ", Value::from("x"), false),
        ("=* ", Value::from("x "), true),
        (r"=\**\*", Value::from("*x*"), true),
        (r"=\**\*", Value::from("xx"), false),
        ("=é*ü", Value::from("éü"), true),
        ("=b*", Value::from(["a", "bc"]), true),
        ("=b*", Value::list_of(["a", "cb"]), false),
        ("=1*", Value::from(100_i32), false),
        ("=1*", Value::from(1.0_f64), false),
        ("=**", Value::from(1_i64), false),
        ("=t*", Value::from(true), false),
        ("=a*", Value::from('a'), false),
        ("=*1", Value::from(vec![1_u8]), false),
    ] {
        assert_eq!(
            holds(condition, value.clone()),
            expected,
            "{condition} {value:?}"
        );
    }
}

#[test]
fn required_values_are_those_without_which_nothing_matches() {
    for (text, expected) in [
        ("(oc=a)", Some(vec!["a"])),
        ("(OC=a)", Some(vec!["a"])),
        (r"(oc=a\*)", Some(vec!["a*"])),
        ("(x=a)", None),
        ("(oc=*)", None),
        ("(oc=a*)", None),
        ("(oc~=a)", None),
        ("(oc>=a)", None),
        ("(!(oc=a))", None),
        ("(&(x=1)(oc=a))", Some(vec!["a"])),
        ("(&(|(oc=a)(oc=b))(oc=c))", Some(vec!["c"])),
        ("(|(oc=b)(&(x=1)(oc=a))(oc=b))", Some(vec!["a", "b"])),
        ("(|(oc=a)(x=1))", None),
        ("(&(oc=*)(|(oc=a)(!(oc=b))))", None),
    ] {
        assert_eq!(filter(text).required("oc"), expected, "{text}");
    }
}

#[test]
fn a_filter_can_be_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&filter("(a=1)"));
    shared(&error_of("("));
}
