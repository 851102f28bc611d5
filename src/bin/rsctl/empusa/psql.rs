//! Tables as `psql` draws them, with the columns of Python's `tabulate`: those of numbers are
//! aligned by the decimal point, and numbers are written anew.

use super::python;
use crate::output::printable;

/// The least space that a column has beyond its heading.
const BESIDE_HEADING: usize = 2;

/// A table of these rows. What others wrote does not steer the terminal.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[Option<String>; N]>) -> String {
    let columns: Vec<Column> = header
        .iter()
        .enumerate()
        .map(|(number, heading)| {
            let cell = |row: &[Option<String>; N]| row[number].as_deref().map(printable);
            Column::new(heading, rows.iter().map(cell).collect())
        })
        .collect();
    let line = |edge: &str| {
        let dashes = columns.iter().map(|column| "-".repeat(column.width + 2));
        format!("{edge}{}{edge}", dashes.collect::<Vec<_>>().join("+"))
    };
    let row = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![
        line("+"),
        row(columns.iter().map(|c| c.heading.as_str()).collect()),
        line("|"),
    ];
    for number in 0..rows.len() {
        lines.push(row(columns
            .iter()
            .map(|c| c.cells[number].as_str())
            .collect()));
    }
    lines.push(line("+"));
    lines.join("\n")
}

/// A column with all cells as wide as it is.
struct Column {
    width: usize,
    heading: String,
    cells: Vec<String>,
}

impl Column {
    fn new(heading: &str, cells: Vec<Option<String>>) -> Self {
        let kind = cells.iter().map(|cell| Kind::of(cell.as_deref())).max();
        let kind = kind.unwrap_or(Kind::Nothing);
        let cells = cells.into_iter().map(Option::unwrap_or_default);
        let cells: Vec<String> = match kind {
            Kind::Nothing | Kind::Text => cells.map(|c| python::strip(&c).to_owned()).collect(),
            Kind::Whole => by_point(cells.collect()),
            Kind::Decimal => by_point(cells.map(written_anew).collect()),
        };
        let widths = cells.iter().map(|cell| width(cell));
        let width = widths.fold(width(heading) + BESIDE_HEADING, usize::max);
        let right = matches!(kind, Kind::Whole | Kind::Decimal);
        let pad = |text: &str| {
            if right {
                format!("{text:>width$}")
            } else {
                format!("{text:<width$}")
            }
        };
        Self {
            width,
            heading: pad(heading),
            cells: cells.iter().map(|cell| pad(cell)).collect(),
        }
    }
}

/// In characters, as `tabulate` counts where nothing tells it the width of wide ones.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// What a column is taken for, from the special to the general: what its most general cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Empty cells, and `True` and `False`, which are aligned as text.
    Nothing,
    Whole,
    Decimal,
    Text,
}

impl Kind {
    fn of(cell: Option<&str>) -> Self {
        match cell {
            None | Some("" | "True" | "False") => Self::Nothing,
            Some(text) if python::int(text).is_some() => Self::Whole,
            Some(text) if has_thousands(text) && !text.contains('.') => Self::Whole,
            Some(text) if is_number(text) || has_thousands(text) => Self::Decimal,
            Some(_) => Self::Text,
        }
    }
}

/// What overflows is no number, nor are other ways to write infinity.
fn is_number(text: &str) -> bool {
    let named = || matches!(text.to_lowercase().as_str(), "inf" | "-inf" | "nan");
    python::float(text).is_some_and(|number| number.is_finite() || named())
}

/// `1,234,567`, `-12.5`, `.5`: one to three digits, then groups of three.
fn has_thousands(text: &str) -> bool {
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (text, None),
    };
    if whole.is_empty() {
        return decimals.is_some_and(|d| !d.is_empty() && all_digits(d));
    }
    let mut groups = whole.strip_prefix(['+', '-']).unwrap_or(whole).split(',');
    let first = groups
        .next()
        .is_some_and(|group| (1..=3).contains(&group.len()) && all_digits(group));
    first
        && groups.all(|group| group.len() == 3 && all_digits(group))
        && decimals.is_none_or(all_digits)
}

fn written_anew(cell: String) -> String {
    if cell.is_empty() {
        return cell;
    }
    let number = python::float(&cell.replace(',', ""));
    number.map_or(cell, python::general)
}

/// Puts spaces behind what has fewer decimals than others.
fn by_point(cells: Vec<String>) -> Vec<String> {
    let behind: Vec<usize> = cells.iter().map(|cell| behind_point(cell)).collect();
    let most = behind.iter().copied().max().unwrap_or_default();
    let spaced = cells.into_iter().zip(behind);
    spaced
        .map(|(cell, behind)| cell + &" ".repeat(most - behind))
        .collect()
}

/// The characters from the point on, or from an exponent if there is no point.
fn behind_point(text: &str) -> usize {
    if !(is_number(text) || has_thousands(text)) || python::int(text).is_some() {
        return 0;
    }
    let point = text.rfind('.').or_else(|| text.to_lowercase().rfind('e'));
    point.map_or(0, |at| text.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(values: &[&str]) -> Vec<String> {
        let cells = values.iter().map(|value| Some((*value).to_owned()));
        Column::new("V", cells.collect()).cells
    }

    #[test]
    fn a_table_without_rows_has_its_headings() {
        let expected = "\
+-----+-------+
| A   | TTL   |
|-----+-------|
+-----+-------+";
        assert_eq!(table(["A", "TTL"], Vec::new()), expected);
    }

    #[test]
    fn headings_are_aligned_as_their_columns() {
        let rows = vec![
            [Some("x".to_owned()), Some("60".to_owned())],
            [Some("long one".to_owned()), None],
        ];
        let expected = "\
+----------+-------+
| A        |   TTL |
|----------+-------|
| x        |    60 |
| long one |       |
+----------+-------+";
        assert_eq!(table(["A", "TTL"], rows), expected);
    }

    /// The cells are those of tabulate 0.10.0.
    #[test]
    fn columns_of_numbers_are_aligned_by_the_point_and_written_anew() {
        assert_eq!(cells(&["1", "22", "-333"]), ["   1", "  22", "-333"]);
        assert_eq!(cells(&["1.50", "22", ""]), [" 1.5", "22  ", "    "]);
        assert_eq!(cells(&["1e23", "2.25"]), ["1e+23", "2.25 "]);
        assert_eq!(cells(&["1,000", "5"]), ["1,000", "    5"]);
        assert_eq!(cells(&["1,000.5", "5"]), ["1000.5", "   5  "]);
        assert_eq!(cells(&["nan", "1.5"]), ["nan  ", "  1.5"]);
        assert_eq!(cells(&["inf"]), ["inf"]);
    }

    #[test]
    fn other_columns_are_texts() {
        assert_eq!(cells(&["1", "yes"]), ["1  ", "yes"]);
        assert_eq!(cells(&["+inf", "12"]), ["+inf", "12  "]);
        assert_eq!(cells(&["True", " x "]), ["True", "x   "]);
        assert_eq!(cells(&["True", "1"]), ["True", "   1"]);
        assert_eq!(cells(&["a\u{1b}[1m"]), ["a\u{1b}[1m"]);
    }

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        let text = table(["A"], vec![[Some("a\u{1b}[1m\n".to_owned())]]);
        assert!(text.contains("| a\\u{1b}[1m\\n |"), "{text}");
    }
}
