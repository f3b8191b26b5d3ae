//! Texts, names and industries.

use std::borrow::Cow;

/// A text without white space at its ends.
pub fn tidy(text: &str) -> &str {
    text.trim()
}

/// A name: white space at the ends gone, inside folded to one blank.
pub fn name(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let plain = !text.contains("  ") && !text.contains(|c: char| c.is_whitespace() && c != ' ');
    if plain { Cow::Borrowed(text) } else { Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")) }
}

/// An industry as a lower-case name: `COMPUTER_SOFTWARE` and `Computer Software` are both `computer software`.
pub fn industry(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c == '_' { ' ' } else { c }).flat_map(char::to_lowercase).collect();
    name(&spaced).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_nothing_else() {
        assert_eq!(name("  Ana\u{a0} María  de\tla Cruz "), "Ana María de la Cruz");
        assert_eq!(name("McDonald"), "McDonald");
    }

    #[test]
    fn industries() {
        assert_eq!(industry("COMPUTER_SOFTWARE"), industry(" Computer  Software"));
    }
}
