//! Rows on standard output: aligned under headings for a person at a terminal, separated by tabs for a
//! program.

use super::{Failure, output};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

pub(super) fn print(headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    // Names and the like are others' words.
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| output::shown(cell)).collect()).collect();
    let mut out = io::stdout().lock();
    let text = if out.is_terminal() { aligned(headings, &rows) } else { separated(&rows) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)
}

fn separated(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
}

fn aligned(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in [&headings].into_iter().chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A field of an object as a cell; a dash for null.
pub(super) fn cell(object: &Value, field: &str) -> String {
    match &object[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["long".to_owned(), "1".to_owned()], vec!["é".to_owned(), "22".to_owned()]];
        assert_eq!(aligned(&["a", "n"], &rows), "a     n\nlong  1\né     22\n");
    }
}
