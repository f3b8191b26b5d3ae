//! Finds the comments of a folder's files. They are the reasons of rules that have no `why` of their own.

/// A TOML file by lines.
pub struct Comments<'t> {
    lines: Vec<&'t str>,
}

impl<'t> Comments<'t> {
    /// The comments of this text.
    pub fn new(text: &'t str) -> Comments<'t> {
        Comments { lines: text.lines().collect() }
    }

    /// The comment about the file itself: its first lines.
    pub fn heading(&self) -> String {
        joined(self.lines.iter().map_while(|line| whole(line)))
    }

    /// The comments about the statement of a line (from 1): above it, and behind its lines until it ends.
    pub fn of_line(&self, line: u32) -> String {
        let at = usize::try_from(line).unwrap_or(0).saturating_sub(1);
        self.of_index(at)
    }

    /// The comments about the header `[header]` or `[[header]]` at its `nth` occurrence (from 0).
    pub fn of_header(&self, header: &str, nth: usize) -> String {
        let found = self.lines.iter().enumerate().filter(|(_, line)| line.split('#').next().unwrap_or("").trim_end() == header);
        found.map(|(at, _)| at).nth(nth).map(|at| self.of_index(at)).unwrap_or_default()
    }

    /// The comment behind the first line that sets this key.
    pub fn of_key(&self, key: &str) -> String {
        let sets = |line: &&&str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        joined(self.lines.iter().find(sets).and_then(|line| behind(line)).into_iter())
    }

    fn of_index(&self, at: usize) -> String {
        let first = (0..at).rev().take_while(|i| whole(self.lines[*i]).is_some()).last().unwrap_or(at);
        // The first lines of a file are about the file.
        let above = if first == 0 { 0..0 } else { first..at };
        let mut text = joined(self.lines[above].iter().filter_map(|line| whole(line)));
        let statement = self.lines.get(at..self.end_of(at)).unwrap_or_default();
        for comment in statement.iter().filter_map(|line| behind(line)) {
            if !text.is_empty() {
                text.push_str(if text.ends_with('.') { " " } else { "; " });
            }
            text.push_str(comment);
        }
        text
    }

    /// The line after a statement: after its brackets are closed, or, for a header, after the lines of its table.
    fn end_of(&self, at: usize) -> usize {
        let is_header = |line: &str| line.starts_with('[');
        let mut open = 0_i64;
        for (i, line) in self.lines.iter().enumerate().skip(at) {
            if is_header(self.lines[at]) {
                if i > at && (line.is_empty() || is_header(line) || whole(line).is_some()) {
                    return i;
                }
                continue;
            }
            open += bare(line).map(|c| i64::from(matches!(c, '[' | '{')) - i64::from(matches!(c, ']' | '}'))).sum::<i64>();
            if open <= 0 {
                return i + 1;
            }
        }
        self.lines.len()
    }
}

/// The comment, if a line has nothing else.
fn whole(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('#').map(str::trim)
}

/// The comment behind a statement.
fn behind(line: &str) -> Option<&str> {
    if whole(line).is_some() {
        return None;
    }
    let length = bare_length(line);
    line.get(length..)?.strip_prefix('#').map(str::trim)
}

/// The characters outside of quotes, up to the comment.
fn bare(line: &str) -> impl Iterator<Item = char> {
    let mut quote = None;
    line[..bare_length(line)].chars().filter(move |c| match quote {
        None if matches!(c, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        None => true,
        Some(open) => {
            if *c == open {
                quote = None;
            }
            false
        }
    })
}

/// The length of a line without its comment, in bytes.
fn bare_length(line: &str) -> usize {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match quote {
            None if c == '#' => return at,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    line.len()
}

/// The lines of one comment as one text.
fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# About the file.\n# Second line.\n\n[contact]\nid = \"id\"\n[contact.fields]\n# Two lines\n# above.\n\
                        a = { from = \"x#y\" } # behind\nb = [\n  { const = true }, # inner\n]\nc = { from = \"c\" }\n\n\
                        # On the event.\n[[events.on]]\ntypes = \"*\" # all\n\n[[events.on]]\n";

    #[test]
    fn comments_belong_to_the_statements_beside_them() {
        let comments = Comments::new(TEXT);
        assert_eq!(comments.heading(), "About the file. Second line.");
        assert_eq!(comments.of_line(9), "Two lines above. behind");
        assert_eq!(comments.of_line(10), "inner");
        assert_eq!(comments.of_line(13), "");
        assert_eq!(comments.of_header("[[events.on]]", 0), "On the event. all");
        assert_eq!(comments.of_header("[[events.on]]", 1), "");
        assert_eq!(comments.of_key("a"), "behind");
        assert_eq!(comments.of_line(4), "", "the first lines are about the file");
    }
}
