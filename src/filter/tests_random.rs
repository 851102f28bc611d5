//! Random filters, checked against a second implementation: a tree that
//! writes itself, with white space and escapes wherever they are allowed, and
//! that matches by the plainest means, reading each value anew.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::properties::Value;

/// Pieces of values and names: what the grammar treats specially, what
/// compares specially, and what is neither.
const SPECIAL: &[&str] = &[
    "(", ")", "*", "\\", "=", "<", ">", "~", "!", "&", "|", " ", "\t", "\n", "a", "A", "b", "ab",
    "1", "2", "1.5", "-", "true", "FALSE", "é", "ß", "😀", "\u{0}", "NaN",
];

#[derive(Clone, Debug)]
enum Tree {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Present(String),
    Compare(String, Operator, String),
    /// At least one gap, so at least two pieces.
    Substring(String, Vec<String>),
}

fn value_text() -> impl Strategy<Value = String> {
    let plain = vec(prop::sample::select(SPECIAL), 0..5).prop_map(|pieces| pieces.concat());
    // A small number often enough that comparisons come out true.
    prop_oneof![4 => plain, 2 => (-3..4_i8).prop_map(|n| n.to_string()), 1 => ".{0,4}"]
}

fn odd_name() -> impl Strategy<Value = String> {
    value_text()
        .prop_map(|text| text.replace(is_reserved, "").trim().to_owned())
        .prop_filter("names are not empty", |name| !name.is_empty())
}

/// Mostly a name that the properties have.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[pqrPQR]", 1 => odd_name()]
}

fn operator() -> impl Strategy<Value = Operator> {
    use Operator::{Approx, AtLeast, AtMost, Equal};
    prop::sample::select(vec![Equal, Equal, Approx, AtLeast, AtMost])
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => name().prop_map(Tree::Present),
        5 => (name(), operator(), value_text()).prop_map(|(n, o, v)| Tree::Compare(n, o, v)),
        2 => (name(), vec(value_text(), 2..5)).prop_map(|(name, pieces)| {
            // A single star is presence, which is another leaf.
            if pieces.len() == 2 && pieces.concat().is_empty() {
                Tree::Present(name)
            } else {
                Tree::Substring(name, pieces)
            }
        }),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Tree::And),
            vec(inner.clone(), 1..4).prop_map(Tree::Or),
            inner.prop_map(|tree| Tree::Not(Box::new(tree))),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let small = -3..4_i8;
    let scalar = prop_oneof![
        5 => value_text().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => small.clone().prop_map(Value::from),
        1 => small.clone().prop_map(|n| Value::from(i16::from(n))),
        1 => small.clone().prop_map(|n| Value::from(i32::from(n))),
        1 => small.clone().prop_map(|n| Value::from(i64::from(n))),
        1 => small.clone().prop_map(|n| Value::from(f32::from(n) / 2.0)),
        1 => small.prop_map(|n| Value::from(f64::from(n) / 2.0)),
        1 => Just(Value::from(f64::NAN)),
        1 => prop::sample::select(vec!['a', 'A', 'é', ' ', '1', '*']).prop_map(Value::from),
        1 => vec(prop::sample::select(vec![0_u8, 1, 2, 254, 255]), 0..3).prop_map(Value::from),
    ];
    scalar.prop_recursive(2, 6, 3, |inner| {
        let items = vec(inner, 0..3);
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.prop_map(Value::Set),
            vec(value_text(), 0..3).prop_map(Value::from),
        ]
    })
}

fn properties() -> impl Strategy<Value = Properties> {
    vec(("[pqrPQR]", value()), 0..4).prop_map(|entries| entries.into_iter().collect())
}

impl Tree {
    /// Writes the tree, taking white space where it may stand from `spaces`.
    fn write(&self, spaces: &mut dyn FnMut() -> &'static str) -> String {
        let join = |operator: char, trees: &[Self], spaces: &mut dyn FnMut() -> &'static str| {
            let operands: String = trees.iter().map(|tree| tree.write(spaces)).collect();
            format!("({}{operator}{}{operands}{})", spaces(), spaces(), spaces())
        };
        let inner = match self {
            Self::And(trees) => join('&', trees, spaces),
            Self::Or(trees) => join('|', trees, spaces),
            Self::Not(tree) => join('!', std::slice::from_ref(&**tree), spaces),
            Self::Present(name) => format!("({}{name}{}=*)", spaces(), spaces()),
            Self::Compare(name, operator, value) => {
                let (symbol, value) = (operator.symbol(), escape(value));
                format!("({}{name}{}{symbol}{value})", spaces(), spaces())
            }
            Self::Substring(name, pieces) => {
                let pieces: Vec<String> = pieces.iter().map(|piece| escape(piece)).collect();
                format!("({}{name}{}={})", spaces(), spaces(), pieces.join("*"))
            }
        };
        format!("{}{inner}{}", spaces(), spaces())
    }

    fn build(&self) -> Result<Filter, FilterError> {
        let all = |trees: &[Self]| trees.iter().map(Self::build).collect::<Result<Vec<_>, _>>();
        match self {
            Self::And(trees) => Filter::and(all(trees)?),
            Self::Or(trees) => Filter::or(all(trees)?),
            Self::Not(tree) => Filter::not(tree.build()?),
            Self::Present(name) => Filter::present(name),
            Self::Compare(name, Operator::Equal, value) => Filter::equals(name, value),
            Self::Compare(name, Operator::Approx, value) => Filter::approx(name, value),
            Self::Compare(name, Operator::AtLeast, value) => Filter::at_least(name, value),
            Self::Compare(name, Operator::AtMost, value) => Filter::at_most(name, value),
            Self::Substring(name, pieces) => {
                let last = pieces.len() - 1;
                Filter::substring(name, &pieces[0], &pieces[1..last], &pieces[last])
            }
        }
    }

    fn matches(&self, properties: &Properties) -> bool {
        let get = |name: &str| {
            let name = name.to_lowercase();
            let mut entries = properties.iter();
            entries
                .find(|(key, _)| key.to_lowercase() == name)
                .map(|(_, v)| v)
        };
        match self {
            Self::And(trees) => !trees.iter().any(|tree| !tree.matches(properties)),
            Self::Or(trees) => !trees.iter().all(|tree| !tree.matches(properties)),
            Self::Not(tree) => !tree.matches(properties),
            Self::Present(name) => get(name).is_some(),
            Self::Compare(name, operator, text) => {
                get(name).is_some_and(|v| flatten(v).iter().any(|v| compares(v, *operator, text)))
            }
            Self::Substring(name, pieces) => get(name).is_some_and(|v| {
                flatten(v)
                    .iter()
                    .any(|v| v.as_str().is_some_and(|s| has_form(s, pieces)))
            }),
        }
    }
}

fn escape(text: &str) -> String {
    let special = |c| matches!(c, '(' | ')' | '*' | '\\');
    text.chars()
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// The scalars in a value.
fn flatten(value: &Value) -> Vec<Value> {
    match value {
        Value::Bytes(bytes) => {
            let signed = |b: &u8| Value::from(i8::from_be_bytes([*b]));
            bytes.iter().map(signed).collect()
        }
        _ => match value.items() {
            Some(items) => items.iter().flat_map(flatten).collect(),
            None => vec![value.clone()],
        },
    }
}

fn compares(value: &Value, operator: Operator, text: &str) -> bool {
    fn by<T: PartialOrd>(operator: Operator, value: T, wanted: T) -> bool {
        match operator {
            Operator::Equal | Operator::Approx => value == wanted,
            Operator::AtLeast => value >= wanted,
            Operator::AtMost => value <= wanted,
        }
    }
    let approx = operator == Operator::Approx;
    let squeeze = |text: &str| {
        let text: String = text.split_whitespace().collect();
        text.to_uppercase()
    };
    let shown = value.to_string();
    match value {
        Value::String(_) | Value::Character(_) if approx => squeeze(&shown) == squeeze(text),
        Value::String(_) => by(operator, shown.as_str(), text),
        Value::Character(c) => {
            text.chars().count() == 1 && by(operator, *c, text.chars().next().unwrap())
        }
        Value::Boolean(_) => {
            (approx || operator == Operator::Equal) && text.trim().to_lowercase() == shown
        }
        Value::Float(_) | Value::Double(_) => {
            let (value, wanted) = (shown.parse::<f64>().unwrap(), text.trim().parse::<f64>());
            // The numbers made here are the same as Float and as Double.
            wanted.is_ok_and(|w| by(operator, value, w) || (value.is_nan() && w.is_nan()))
        }
        _ => {
            let wanted = text.trim().parse::<i64>();
            wanted.is_ok_and(|w| by(operator, shown.parse().unwrap(), w))
        }
    }
}

/// Whether a text has these pieces with gaps between, trying every gap.
fn has_form(text: &str, pieces: &[String]) -> bool {
    let Some(rest) = text.strip_prefix(pieces[0].as_str()) else {
        return false;
    };
    if pieces.len() == 1 {
        return rest.is_empty();
    }
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| has_form(&rest[at..], &pieces[1..]))
}

fn compact(tree: &Tree) -> Filter {
    Filter::parse(&tree.write(&mut || "")).unwrap()
}

proptest! {
    #[test]
    fn printing_and_parsing_give_the_same_filter(
        tree in tree(),
        blanks in vec(prop::sample::select(vec!["", " ", "\n\t", "\u{a0}"]), 1..50),
    ) {
        let built = tree.build().unwrap();
        let mut blanks = blanks.iter().cycle();
        let spaced = tree.write(&mut || blanks.next().unwrap());
        for text in [tree.write(&mut || ""), spaced, built.to_string()] {
            let parsed = Filter::parse(&text).unwrap();
            prop_assert_eq!(&parsed, &built, "{}", text);
            prop_assert_eq!(parsed.to_string(), built.to_string());
            prop_assert_eq!(built.to_string().len(), parsed.0.length);
        }
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_that_points_into_it(
        text in prop_oneof![
            vec(prop::sample::select(SPECIAL), 0..12).prop_map(|pieces| pieces.concat()),
            ".{0,20}",
            // A good filter with one character cut out.
            (tree(), any::<prop::sample::Index>()).prop_map(|(tree, index)| {
                let mut chars: Vec<char> = tree.write(&mut || "").chars().collect();
                chars.remove(index.index(chars.len()));
                chars.into_iter().collect()
            }),
        ],
    ) {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
            Err(FilterError::Syntax(error)) => {
                prop_assert_eq!(text.chars().nth(error.column - 1), error.found);
                prop_assert_eq!(text[error.offset..].chars().next(), error.found);
                prop_assert_eq!(format!("{error:#}").lines().count(), 3);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn matching_agrees_with_the_plain_implementation(
        tree in tree(),
        maps in vec(properties(), 1..8),
    ) {
        let filter = compact(&tree);
        for properties in &maps {
            prop_assert_eq!(filter.matches(properties), tree.matches(properties), "{:?}", properties);
        }
    }

    /// The random trees rarely compare with what is there; this always does.
    #[test]
    fn comparing_agrees_with_the_plain_implementation(
        value in value(), operator in operator(), text in value_text(), own in any::<bool>(),
    ) {
        let text = if own { flatten(&value).last().map_or(text, Value::to_string) } else { text };
        let tree = Tree::Compare("p".into(), operator, text);
        let properties = Properties::new().with("P", value);
        prop_assert_eq!(compact(&tree).matches(&properties), tree.matches(&properties));
    }

    #[test]
    fn substrings_agree_with_trying_every_gap(
        text in "[ab]{0,8}", pieces in vec("[ab]{0,3}", 2..5),
    ) {
        let last = pieces.len() - 1;
        let filter = Filter::substring("p", &pieces[0], &pieces[1..last], &pieces[last]).unwrap();
        let found = filter.matches(&Properties::new().with("p", text.as_str()));
        prop_assert_eq!(found, has_form(&text, &pieces));
    }

    #[test]
    fn the_laws_of_logic_hold(a in tree(), b in tree(), properties in properties()) {
        let (a, b) = (compact(&a), compact(&b));
        let matches = |filter: Result<Filter, FilterError>| filter.unwrap().matches(&properties);
        let not = |filter: &Filter| Filter::not(filter.clone()).unwrap();
        let both = || [a.clone(), b.clone()];
        prop_assert_eq!(matches(Filter::not(not(&a))), a.matches(&properties));
        prop_assert_eq!(
            matches(Filter::not(Filter::and(both()).unwrap())),
            matches(Filter::or([not(&a), not(&b)]))
        );
        prop_assert_eq!(
            matches(Filter::not(Filter::or(both()).unwrap())),
            matches(Filter::and([not(&a), not(&b)]))
        );
        prop_assert!(matches(Filter::or([a.clone(), not(&a)])));
    }

    /// What an index relies on: without a required value there is no match.
    #[test]
    fn properties_without_a_required_value_never_match(
        tree in tree(),
        present in vec(value_text(), 0..3),
        rest in properties(),
    ) {
        let filter = compact(&tree);
        if let Some(required) = filter.required("p") {
            prop_assert!(!required.is_empty());
            let has_one = present.iter().any(|value| required.contains(&value.as_str()));
            let properties = rest.with("p", present);
            prop_assert!(has_one || !filter.matches(&properties), "{} {:?}", filter, properties);
        }
    }
}
