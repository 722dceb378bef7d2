//! Tables without lines: columns that can be read, searched and cut.

use comfy_table::{ContentArrangement, presets};

use super::{Style, strip};

/// A table with its header.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
    rows: usize,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        inner.set_header(header.iter().map(|title| title.to_uppercase()));
        Self { inner, rows: 0 }
    }

    /// Adds a row. What the cells hold may come from anyone.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { strip(cell) });
        self.inner.add_row(cells.collect::<Vec<_>>());
        self.rows += 1;
    }

    /// The table as text; `empty` where there is no row.
    pub(crate) fn text(self, empty: &str) -> String {
        if self.rows == 0 {
            return format!("{empty}\n");
        }
        let style = Style::of_stdout();
        let mut text = String::new();
        for (number, line) in self.inner.lines().enumerate() {
            // The preset pads on both sides; lines begin at the margin and end with their last character.
            let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
            text.push_str(&if number == 0 { style.faint(line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }
}
