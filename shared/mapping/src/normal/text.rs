//! Texts, names and industries.

use std::borrow::Cow;

use super::visible::{composed, printable, visible};

/// A text without white space at its ends and without control characters.
pub fn tidy(text: &str) -> Cow<'_, str> {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    match printable(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(blank)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(blank).to_owned()),
    }
}

/// A name: composed letters, no invisible characters, white space at the ends gone, inside folded to one blank.
pub fn name(text: &str) -> Cow<'_, str> {
    let plain = |text: &str| !text.contains("  ") && !text.contains(|c: char| c.is_whitespace() && c != ' ');
    match composed(visible(text)) {
        Cow::Borrowed(text) if plain(text.trim()) => Cow::Borrowed(text.trim()),
        text => Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
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
        assert_eq!(name("\u{feff}Jose\u{301}\u{0}\u{200b} \u{202b}Ruiz\u{202c}"), "José Ruiz");
    }

    #[test]
    fn free_text_keeps_its_lines() {
        assert_eq!(tidy(" one\r\n\ttwo\u{0} \u{feff}"), "one\r\n\ttwo");
    }

    #[test]
    fn industries() {
        assert_eq!(industry("COMPUTER_SOFTWARE"), industry(" Computer  Software"));
    }
}
