//! Parameters of forms and URLs.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The first parameter of that name in the query of a URL.
pub fn query_parameter<'u>(url: &'u str, name: &str) -> Option<Cow<'u, str>> {
    let query = url.split_once('?')?.1.split('#').next()?;
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(given, _)| decode_parameter(given).is_some_and(|given| given == name))?;
    decode_parameter(value)
}

/// Decodes the name or value of a form parameter: percent escapes, and `+` as a blank. A broken escape stays as it is. `None` when
/// the result is not UTF-8.
pub fn decode_parameter(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_stay() {
        for (text, decoded) in [
            ("a%2Bb+c", Some("a+b c")),
            ("%C3%BC", Some("ü")),
            ("100%", Some("100%")),
            ("%zz%2", Some("%zz%2")),
            ("%+41", Some("% 41")),
            ("plain", Some("plain")),
            ("%FF", None),
        ] {
            assert_eq!(decode_parameter(text).as_deref(), decoded, "{text}");
        }
        assert!(matches!(decode_parameter("plain"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        let url = "https://a.example/x?b=1&a%5B%5D=two+words&b=3#b=4";
        assert_eq!(query_parameter(url, "b").as_deref(), Some("1"));
        assert_eq!(query_parameter(url, "a[]").as_deref(), Some("two words"));
        assert_eq!(query_parameter(url, "c"), None);
        assert_eq!(query_parameter("https://a.example/x", "b"), None);
    }
}
