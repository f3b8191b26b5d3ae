//! Short phrases that several pages use: durations, numbers, lanes, roles.

use canonical::Lane;
use sync::config::Connection;

/// Milliseconds as a duration in words.
pub fn duration(ms: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let fitting = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    match fitting {
        Some((unit, "day")) => format!("{} day{}", ms / unit, if ms == *unit { "" } else { "s" }),
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The name of a lane.
pub const fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Bulk => "bulk",
    }
}

/// The roles of a connection.
pub fn roles(connection: &Connection) -> String {
    let roles = [
        (connection.source, "source"),
        (connection.destination, "destination"),
        (!connection.sweep.is_empty(), "read on a schedule"),
    ];
    roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect::<Vec<_>>().join(", ")
}

/// A text, and a comment in brackets.
pub fn with_comment(text: String, comment: &str) -> String {
    if comment.is_empty() { text } else { format!("{text} ({comment})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_largest_whole_unit() {
        let shown: Vec<String> = [500, 1_000, 90_000, 600_000, 86_400_000, 172_800_000].into_iter().map(duration).collect();
        assert_eq!(shown, ["500 ms", "1 s", "90 s", "10 min", "1 day", "2 days"]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([1, 100, 1_000, 1_234_567].map(grouped), ["1", "100", "1,000", "1,234,567"]);
    }
}
