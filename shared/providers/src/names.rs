//! Names from a payload or a response that are shown in messages: only what looks like a name, so that no value slips into one.

const MAX_LENGTH: usize = 100;

/// A code or property name of a response, if it looks like one.
pub(crate) fn plain_code(text: &str) -> Option<String> {
    is_plain(text, b"_-.").then(|| text.to_owned())
}

/// The name of an event type or object type, or a placeholder if it does not look like one.
pub(crate) fn plain_name(text: &str) -> &str {
    if text.is_empty() || is_plain(text, b"._-:/") { text } else { "an unusual name" }
}

fn is_plain(text: &str, punctuation: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || punctuation.contains(&byte);
    !text.is_empty() && text.len() <= MAX_LENGTH && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_a_name() {
        assert_eq!(plain_name("zen:event-type:ticket.created"), "zen:event-type:ticket.created");
        assert_eq!(plain_name("julia@example.com"), "an unusual name");
        assert_eq!(plain_code("UNABLE_TO_LOCK_ROW").as_deref(), Some("UNABLE_TO_LOCK_ROW"));
        for value in ["", "julia@example.com", "two words", "a:b"] {
            assert_eq!(plain_code(value), None, "{value}");
        }
    }
}
