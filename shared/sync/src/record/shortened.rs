//! Long values in histories. What a history only has to recognise again is stored as its beginning and a hash: a text of 60,000
//! characters that changes every day must not fill the item of its record. Only the current value of a field is stored whole.

use canonical::Value;
use ring::digest::{SHA256, digest};

/// Values up to so many bytes are stored whole.
const WHOLE_BYTES: usize = 256;

/// So many bytes of a longer value stay, or a few less.
const HEAD_BYTES: usize = 128;

/// Stands between the beginning and the hash. No text that a person writes has it.
const MARK: char = '\u{1}';

/// A value as a history stores it. A value that is shortened stays as it is.
pub fn shorten(value: &Value) -> Value {
    shorten_above(value, WHOLE_BYTES)
}

/// The same for values of more bytes than that.
pub fn shorten_above(value: &Value, most: usize) -> Value {
    match value {
        Value::Text(text) if text.len() > most => Value::Text(shortened(text)),
        Value::List(_) if serde_json::to_string(value).is_ok_and(|text| text.len() > most) => {
            Value::Text(shortened(&serde_json::to_string(value).unwrap_or_default()))
        }
        whole => whole.clone(),
    }
}

/// A native value as a history stores it.
pub fn shorten_native(value: &serde_json::Value, most: usize) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) if text.len() > most => serde_json::Value::String(shortened(text)),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) if value.to_string().len() > most => {
            serde_json::Value::String(shortened(&value.to_string()))
        }
        whole => whole.clone(),
    }
}

/// A native value as a link stores it.
pub fn shorten_pushed(value: &serde_json::Value) -> serde_json::Value {
    shorten_native(value, WHOLE_BYTES)
}

/// True when both are the same value; each may be whole or shortened.
pub fn same(one: &Value, other: &Value) -> bool {
    one == other || shorten(one) == shorten(other)
}

/// The beginning of a text that is shortened, or the whole text.
pub fn head(text: &str) -> &str {
    text.split_once(MARK).map_or(text, |(head, _)| head)
}

/// True when only the beginning of a text is known.
pub fn is_shortened(text: &str) -> bool {
    text.contains(MARK)
}

fn shortened(text: &str) -> String {
    let mut end = HEAD_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}{}", &text[..end], hex::encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_recognised_whole_or_shortened() {
        let long = |end: &str| Value::text(format!("{}{end}", "ä".repeat(40_000)));
        let once = shorten(&long("a"));
        assert!(once.as_text().is_some_and(|text| text.len() <= WHOLE_BYTES && is_shortened(text)));
        assert_eq!(shorten(&once), once);
        assert!(same(&once, &long("a")) && same(&long("a"), &once) && !same(&once, &long("b")));
        let short = Value::text("ä".repeat(100));
        assert_eq!(shorten(&short), short);
    }

    #[test]
    fn a_long_list_is_shortened_as_a_whole() {
        let list = |n: usize| Value::List((0..n).map(|n| Value::text(format!("entry {n}"))).collect());
        assert_eq!(shorten(&list(3)), list(3));
        assert!(same(&shorten(&list(300)), &list(300)) && !same(&shorten(&list(300)), &list(301)));
    }
}
