//! Strict decoders: one accepted spelling per value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Lower-case hexadecimal only: senders write it so, and a second spelling of one signature helps nobody but a forger.
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
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while let Some(&byte) = text.get(i) {
        match (byte, escaped(text, i)) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                i += 3;
                continue;
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(byte),
        }
        i += 1;
    }
    out
}

/// The byte that the three bytes at `i` stand for, if they are an escape.
fn escaped(text: &[u8], i: usize) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    match text.get(i) {
        Some(b'%') => u8::try_from(digit(i + 1)? * 16 + digit(i + 2)?).ok(),
        _ => None,
    }
}

/// Decodes the escapes of the given characters and leaves every other escape alone.
pub(crate) fn unescape_only(text: &str, characters: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        match escaped(bytes, i) {
            Some(decoded) if decoded.is_ascii() && characters.contains(char::from(decoded)) => {
                out.push(decoded);
                i += 3;
            }
            _ => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Names and values of a form or query, decoded, in order.
pub(crate) fn form_pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |part: &[u8]| {
        let cut = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let value = part.get(cut + 1..).unwrap_or_default();
        (percent_decode(&part[..cut], true), percent_decode(value, true))
    };
    text.split(|b| *b == b'&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Escapes everything but letters, digits and `keep`.
pub(crate) fn percent_encode(bytes: &[u8], keep: &str) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        let c = char::from(*byte);
        if c.is_ascii_alphanumeric() || (c.is_ascii() && keep.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The query of a URL: what stands between the first `?` and a `#`.
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
