//! Tables in Markdown.

/// The line at the top of each page.
pub const GENERATED: &str =
    "<!-- Written by `cargo hub docs` from the providers' folders and infra/config/hub.toml. Do not edit. -->\n\n";

/// A table; an empty cell is a dash.
pub struct Table {
    text: String,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: &[&str]) -> Table {
        Table { text: format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len())) }
    }

    /// Adds a row of plain texts, which are escaped.
    pub fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell.as_ref().trim())).collect();
        self.marked(&cells);
    }

    /// Adds a row of Markdown texts.
    pub fn marked(&mut self, cells: &[String]) {
        self.text.push('|');
        for cell in cells {
            self.text.push_str(&format!(" {} |", if cell.is_empty() { "–" } else { cell }));
        }
        self.text.push('\n');
    }

    /// The text of the table, followed by an empty line.
    pub fn end(self) -> String {
        self.text + "\n"
    }
}

/// A text in which Markdown marks are escaped, except in backticks.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut inside = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' => quoted = !quoted,
            '|' => out.push('\\'),
            // Inside a word, an underscore is not a mark.
            '_' if inside && rest.peek().is_some_and(|next| next.is_alphanumeric()) => {}
            '_' if !quoted => out.push('\\'),
            '*' | '<' | '[' if !quoted => out.push('\\'),
            _ => {}
        }
        out.push(if matches!(c, '\n' | '\r') { ' ' } else { c });
        inside = c.is_alphanumeric();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marks_of_markdown_are_escaped() {
        assert_eq!(escape("a_b *c* `*d_|` <e> _f"), "a_b \\*c\\* `*d_\\|` \\<e> \\_f");
        let mut table = Table::new(&["a", "b"]);
        table.row(&["x", ""]);
        assert_eq!(table.end(), "| a | b |\n|---|---|\n| x | – |\n\n");
    }
}
