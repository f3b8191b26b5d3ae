//! What people read: lines of 80 columns, tables, times and headers. Values come from strangers, so what could move the cursor or
//! reorder a line is written out.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns of a line.
pub const WIDTH: usize = 80;
/// The fewest columns to which a column of a table is narrowed.
const NARROWEST: usize = 8;
/// The columns between two columns of a table.
const GAP: usize = 2;

/// A text with its control characters, and those that change the direction of a line, written out.
pub fn visible(text: &str) -> String {
    let moves = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().flat_map(|c| if moves(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// A text of at most `width` columns, on one line. A longer one ends with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    let text = visible(text);
    if text.width() <= width {
        return text;
    }
    let mut shown = String::new();
    let mut columns = 1;
    for c in text.chars() {
        columns += c.width().unwrap_or(0);
        if columns > width {
            break;
        }
        shown.push(c);
    }
    shown + "…"
}

/// A text in lines of at most [`WIDTH`] columns. Lines after the first begin with `indent` spaces. A word that is longer than a line
/// is cut.
pub fn wrapped(text: &str, indent: usize) -> String {
    let text = visible(text);
    let lead = text.len() - text.trim_start_matches(' ').len();
    let (mut lines, mut line, mut empty, mut gap) = (String::new(), " ".repeat(lead), true, 0);
    for word in text.trim_start_matches(' ').split(' ') {
        gap += 1;
        if word.is_empty() {
            continue;
        }
        let word = cut(word, WIDTH - indent.max(lead));
        if !empty && line.width() + gap + word.width() > WIDTH {
            lines += &(line + "\n");
            (line, empty) = (" ".repeat(indent), true);
        }
        line += &(if empty { String::new() } else { " ".repeat(gap) } + &word);
        (empty, gap) = (false, 0);
    }
    lines + line.trim_end() + "\n"
}

/// Lays rows out in columns, however wide; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    laid_out(rows, &widths(rows))
}

/// Lays rows out in columns within [`WIDTH`]: the widest columns of words are narrowed, and their cells cut.
pub fn narrow_table(rows: &[Vec<String>]) -> String {
    let mut widths = widths(rows);
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        match widths.iter_mut().max().filter(|width| **width > NARROWEST) {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
    laid_out(rows, &widths)
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| visible(cell).width()).max().unwrap_or(0);
    (0..columns).map(width).collect()
}

fn laid_out(rows: &[Vec<String>], widths: &[usize]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| align(&cut(cell, *width), *width)).collect();
        text += cells.join(&" ".repeat(GAP)).trim_end();
        text.push('\n');
    }
    text
}

/// Aligns numbers to the right and words to the left.
fn align(cell: &str, width: usize) -> String {
    let number = !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
    let space = " ".repeat(width.saturating_sub(cell.width()));
    if number { space + cell } else { cell.to_owned() + &space }
}

/// Milliseconds since 1970 as an instant in UTC.
pub fn instant(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |t| t.to_string())
}

/// The name and the value of a header: `name=value` or `name: value`.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (colon, equals) = (text.find(": "), text.find('='));
    let (at, length) = match (colon, equals) {
        (Some(colon), Some(equals)) if equals < colon => (equals, 1),
        (Some(colon), _) => (colon, 2),
        (None, Some(equals)) => (equals, 1),
        (None, None) => return Err("write name=value".to_owned()),
    };
    Ok((text[..at].trim().to_ascii_lowercase(), text[at + length..].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_written_either_way() {
        assert_eq!(header("A: b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(header("stripe-signature=t=1: 2"), Ok(("stripe-signature".to_owned(), "t=1: 2".to_owned())));
        assert!(header("nothing").is_err());
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "count".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        assert_eq!(table(&rows), "a     count\nlong      7\n");
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[31mb\r\nc\u{202e}d"), "a\\u{1b}[31mb\\r\\nc\\u{202e}d");
        assert_eq!(visible("Zoë 東京 👋"), "Zoë 東京 👋");
    }

    #[test]
    fn long_values_are_cut_by_columns_and_not_by_bytes() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("東京都", 5), "東京…", "a wide character takes two columns");
        assert_eq!(cut(&"é".repeat(9), 3), "éé…");
        assert_eq!(cut("", 0), "");
        for width in 1..8 {
            assert!(cut("a東b京c", width).width() <= width);
        }
    }

    #[test]
    fn lines_end_before_the_margin() {
        let text = wrapped(&format!("  {} {}", "word ".repeat(40), "x".repeat(200)), 4);
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert!(
            text.starts_with("  word word") && text.lines().nth(1).is_some_and(|line| line.starts_with("    word")),
            "{text}"
        );
        let rows = vec![vec!["a".to_owned(), "x".repeat(300), "7".to_owned(), "y".repeat(50)]; 2];
        let table = narrow_table(&rows);
        assert!(table.lines().all(|line| line.width() <= WIDTH && line.contains("  7  ")), "{table}");
        assert_eq!(wrapped("", 2), "\n");
    }

    #[test]
    fn instants_are_utc() {
        assert_eq!(instant(1_769_851_800_000), "2026-01-31T09:30:00Z");
    }
}
