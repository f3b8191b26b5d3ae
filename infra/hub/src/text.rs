//! Tables, times and headers as people read and write them.

/// Lays rows out in columns; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| align(cell, *width)).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Aligns numbers to the right and words to the left.
fn align(cell: &str, width: usize) -> String {
    let number = !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
    if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
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
    fn instants_are_utc() {
        assert_eq!(instant(1_769_851_800_000), "2026-01-31T09:30:00Z");
    }
}
