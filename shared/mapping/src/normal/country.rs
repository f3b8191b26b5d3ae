//! Countries by code and by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Fault;
use super::countries::{COUNTRIES, Country};

static NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut names = HashMap::with_capacity(2 * COUNTRIES.len());
    for country in COUNTRIES {
        names.insert(country.alpha3.to_ascii_lowercase(), country.alpha2);
        for name in country.names {
            names.insert(fold(name), country.alpha2);
        }
    }
    names
});

/// Lower case, words joined by one blank, without full stops and a leading article.
fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().filter(|c| *c != '.').map(|c| if c == '’' { '\'' } else { c }).flat_map(char::to_lowercase));
    }
    match folded.strip_prefix("the ") {
        Some(rest) => rest.to_owned(),
        None => folded,
    }
}

pub(super) fn by_alpha2(code: &str) -> Option<&'static Country> {
    COUNTRIES.binary_search_by(|c| c.alpha2.cmp(code)).ok().map(|i| &COUNTRIES[i])
}

/// An ISO 3166-1 alpha-2 code from an alpha-2 code, an alpha-3 code or a name (English, and the country's own where common).
///
/// # Errors
/// No country is called that.
pub fn country(text: &str) -> Result<&'static str, Fault> {
    let text = text.trim();
    if text.len() == 2 {
        let mut code = [0_u8; 2];
        code.copy_from_slice(text.as_bytes());
        code.make_ascii_uppercase();
        if let Some(found) = std::str::from_utf8(&code).ok().and_then(by_alpha2) {
            return Ok(found.alpha2);
        }
    }
    NAMES.get(&fold(text)).copied().ok_or(Fault("no country has this name or code"))
}

/// The country that a text names: as a whole, or behind the last comma of an address.
pub fn country_in(text: &str) -> Option<&'static str> {
    country(text).ok().or_else(|| country(text.rsplit_once(',')?.1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names() {
        for (text, code) in [
            ("de", "DE"),
            ("DEU", "DE"),
            ("Germany", "DE"),
            ("the  Netherlands", "NL"),
            ("U.S.A.", "US"),
            ("uk", "GB"),
            ("KOR", "KR"),
        ] {
            assert_eq!(country(text), Ok(code), "{text}");
        }
        assert!(country("Atlantis").is_err());
        assert!(country("ZZ").is_err());
        assert!(country("").is_err());
    }

    #[test]
    fn the_table_is_sorted_and_has_every_code_once() {
        assert!(COUNTRIES.windows(2).all(|pair| pair[0].alpha2 < pair[1].alpha2));
        for c in COUNTRIES {
            for name in c.names.iter().chain([&c.alpha3]) {
                assert_eq!(country(name), Ok(c.alpha2), "two countries are called {name}");
            }
        }
    }

    #[test]
    fn an_address_may_name_the_country() {
        assert_eq!(country_in("1 Main St, Springfield, IL 62704, USA"), Some("US"));
        assert_eq!(country_in("somewhere"), None);
    }
}
