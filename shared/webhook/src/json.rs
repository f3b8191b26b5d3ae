//! JSON bodies as other languages write them.

use std::borrow::Cow;

/// Half of a character outside of the Basic Multilingual Plane.
#[derive(PartialEq)]
enum Half {
    High,
    Low,
}

/// The JSON text with U+FFFD in place of each half of a character that stands alone: languages with UTF-16 strings escape what they
/// cut apart (`\ud83d`). Nothing else changes, and every other byte stays at its position.
pub fn whole_characters(json: &[u8]) -> Cow<'_, [u8]> {
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(backslash) = json.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'\\')) {
        at += backslash;
        match half(json, at) {
            Some(Half::High) if half(json, at + 6) == Some(Half::Low) => at += 12,
            Some(_) => {
                repaired.get_or_insert_with(|| json.to_vec())[at..at + 6].copy_from_slice(b"\\ufffd");
                at += 6;
            }
            // Another escape: the character after the backslash is not itself a backslash that escapes.
            None => at += 2,
        }
    }
    repaired.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The half that the escape at this position stands for.
fn half(json: &[u8], at: usize) -> Option<Half> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let code = std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok())?;
    match code {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

/// [`whole_characters`] of a text.
pub fn whole_text(json: &str) -> Cow<'_, str> {
    match whole_characters(json.as_bytes()) {
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(json), Cow::Owned),
        Cow::Borrowed(_) => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_that_stand_alone_become_one_character() {
        for (json, repaired) in [
            (r#"{"a":"x\ud83d"}"#, r#"{"a":"x\ufffd"}"#),
            (r#"{"a\udE00":"\ud83d\ud83d\ude00"}"#, r#"{"a\ufffd":"\ufffd\ud83d\ude00"}"#),
            (r#"["\\ud83d","\ud83d\\ude00"]"#, r#"["\\ud83d","\ufffd\\ude00"]"#),
            (r#"["\ud83d\n\udc00"]"#, r#"["\ufffd\n\ufffd"]"#),
            (r#"["\u00e9\u+83d\ud83"]"#, r#"["\u00e9\u+83d\ud83"]"#),
            (r#"["\"#, r#"["\"#),
        ] {
            assert_eq!(String::from_utf8_lossy(&whole_characters(json.as_bytes())), repaired, "{json}");
        }
        assert!(matches!(whole_characters(br#"{"a":"\ud83d\ude00 \\"}"#), Cow::Borrowed(_)));
    }
}
