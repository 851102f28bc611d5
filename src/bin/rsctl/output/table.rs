//! Tables that fit the terminal.

use std::fmt;

use comfy_table::{ContentArrangement, presets};

/// Columns under headings in capitals, without lines, as kubectl prints them.
#[derive(Debug)]
pub(crate) struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
    /// What is said in place of a table without rows.
    empty: &'static str,
}

impl Table {
    /// A table, and what is said if it has no rows, such as "no endpoints".
    pub(crate) fn new(header: &'static [&'static str], empty: &'static str) -> Self {
        let rows = Vec::new();
        Self {
            header,
            rows,
            empty,
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells = cells
            .into_iter()
            .map(|cell| printable(&cell.into()))
            .collect();
        self.rows.push(cells);
    }

    fn print(&self, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return self.empty.to_owned();
        }
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(self.header)
            .add_rows(&self.rows);
        match width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.join("\n")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(super::width()))
    }
}

/// What others wrote must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let escaped = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "COLOUR"], "nothing");
        table.row(["1", "red"]);
        table.row(["22", "a long way of saying blue"]);
        table
    }

    #[test]
    fn columns_stand_below_each_other_and_lines_have_no_spaces_at_their_ends() {
        let expected = "ID  COLOUR\n1   red\n22  a long way of saying blue";
        assert_eq!(table().print(None), expected);
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let text = table().print(Some(20));
        assert!(
            text.lines().all(|line| line.chars().count() <= 20),
            "{text}"
        );
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(Table::new(&["ID"], "nothing").print(None), "nothing");
    }

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
    }
}
