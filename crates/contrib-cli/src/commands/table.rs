//! Tables of a report.

use comfy_table::{CellAlignment, Table, presets};

/// A table of so many columns, those in `numbers` aligned to the right, with a headline.
pub fn table(headline: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headline.iter().copied());
    for &column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The lines of a table without the spaces at their ends, indented.
pub fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(format!(" {line}").trim_end());
        text.push('\n');
    }
    text
}

/// The indices of the largest numbers above 0, with those, the largest first; of equal ones the first.
pub fn largest(numbers: impl Iterator<Item = f64>, top: usize) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = numbers.enumerate().filter(|(_, number)| *number > 0.0).collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1));
    all.truncate(top);
    all
}
