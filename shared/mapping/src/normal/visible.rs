//! What a text looks like: characters without a form of their own are taken out, and one look has one spelling.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Control characters, marks of direction, zero-width blanks and byte order marks. Joiners are not among them: scripts and emoji
/// need them.
fn is_invisible(c: char) -> bool {
    let mark = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    mark || (c.is_control() && !c.is_whitespace())
}

/// The text without invisible characters; joiners stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    without(text, is_invisible)
}

/// The text without invisible characters and joiners, for values in which nothing joins: numbers, codes, addresses.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    without(text, |c| is_invisible(c) || matches!(c, '\u{200c}' | '\u{200d}'))
}

/// Whether a text shows nothing.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// The text without those control characters that are not white space, for free text.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    without(text, |c| c.is_control() && !c.is_whitespace())
}

fn without(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) { Cow::Owned(text.chars().filter(|c| !unwanted(*c)).collect()) } else { Cow::Borrowed(text) }
}

/// Composed letters (NFC): an `é` in two characters becomes the one.
pub(super) fn composed(text: Cow<'_, str>) -> Cow<'_, str> {
    changed(text, |text| ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned())
}

/// Compatible letters (NFKC): full-width letters become plain ones.
pub(super) fn compatible(text: Cow<'_, str>) -> Cow<'_, str> {
    changed(text, |text| ComposingNormalizerBorrowed::new_nfkc().normalize(text).into_owned())
}

fn changed<'t>(text: Cow<'t, str>, normalise: impl Fn(&str) -> String) -> Cow<'t, str> {
    if text.is_ascii() { text } else { Cow::Owned(normalise(&text)) }
}

/// Full-width forms of ASCII (`ａ`, `＠`) as ASCII.
pub(super) fn half_width(c: char) -> char {
    match u32::from(c) {
        code @ 0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_taken_out() {
        assert_eq!(visible("\u{feff}A\u{200b}\u{0}b\u{202c}\n"), "Ab\n");
        assert_eq!(visible("क्\u{200d}ष"), "क्\u{200d}ष");
        assert_eq!(plain("a\u{200d}b"), "ab");
        assert_eq!(printable("a\u{0}\u{200e}\tb"), "a\u{200e}\tb");
        assert!(matches!(visible("plain"), Cow::Borrowed(_)));
        assert_eq!(composed("e\u{301}".into()), "é");
        assert_eq!("Ａ＠".chars().map(half_width).collect::<String>(), "A@");
    }
}
