//! Decoders of what a proof is made of. Hexadecimal and base64 accept one spelling per value, and escapes are decoded to bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Lower-case hexadecimal only: senders use it, and a second spelling of a signature would only help a forger.
pub(crate) fn hex_lower(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    hex::decode(text).ok()
}

/// Canonical padded base64 without anything before, between or after.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes `%XX`; an incomplete escape stays as it is. `plus` also turns `+` into a space, as forms do.
pub(crate) fn percent_decode(text: &[u8], plus: bool) -> Vec<u8> {
    if plus && text.contains(&b'+') {
        // Spaces first: a plus sign that was escaped is a plus sign.
        let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        return percent_encoding::percent_decode(&spaced).collect();
    }
    percent_encoding::percent_decode(text).collect()
}

/// Decodes the escapes of the given ASCII characters and leaves every other escape as it is.
pub(crate) fn unescape_only(text: &str, characters: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let decoded = piece.get(..2).and_then(|digits| hex::decode(digits).ok()).map(|byte| char::from(byte[0]));
        match decoded {
            Some(c) if c.is_ascii() && characters.contains(c) => out.extend([c].into_iter().chain(piece[2..].chars())),
            _ => out.extend(["%", piece]),
        }
    }
    out
}

/// Names and values of a form or query, decoded, in order. They stay bytes: a proof covers bytes, and a form may use any
/// character set, so `form_urlencoded::parse`, which replaces what is not UTF-8, does not serve here.
pub(crate) fn form_pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |part: &[u8]| {
        let cut = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let value = part.get(cut + 1..).unwrap_or_default();
        (percent_decode(&part[..cut], true), percent_decode(value, true))
    };
    text.split(|b| *b == b'&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// A name or value as senders of forms write it: everything but letters and digits is escaped.
pub(crate) fn form_text(text: &str) -> impl std::fmt::Display {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// The query of a URL: what is between the first `?` and a `#`.
pub(crate) fn query(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once('?')?;
    Some(rest.split_once('#').map_or(rest, |(query, _)| query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_accept_one_spelling_only() {
        assert_eq!(hex_lower("00ff"), Some(vec![0, 255]));
        for bad in ["00FF", "0", "0x00", "00 ", "zz"] {
            assert_eq!(hex_lower(bad), None, "{bad}");
        }
        assert_eq!(base64("AQI="), Some(vec![1, 2]));
        for bad in ["AQI", "AQI=x", "AQI= ", "AQJ=", "A-I=", "AQI=,AQI=", "AQI=\n"] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_named_escapes_are_decoded() {
        assert_eq!(unescape_only("a%3Fb%20c%2fd%253A%", "?/:"), "a?b%20c/d%253A%");
    }

    #[test]
    fn a_broken_escape_stays() {
        assert_eq!(percent_decode(b"%4%zz%41+%", true), b"%4%zzA %");
        assert_eq!(
            form_pairs(b"a=1&&b&=c&d=x%3Dy=z"),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"".to_vec()),
                (b"".to_vec(), b"c".to_vec()),
                (b"d".to_vec(), b"x=y=z".to_vec()),
            ]
        );
    }
}
