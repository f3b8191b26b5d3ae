//! Countries by code and by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::Fault;
use super::countries::{COUNTRIES, Country};
use super::visible::plain;

/// Alpha-2 code, then the names of the country in the languages of `data/generate.py`.
const CLDR: &str = include_str!("../../data/country_names.tsv");

/// Codes beside ISO 3166-1: the European Union's own for Greece and the United Kingdom.
const OTHER_CODES: &[(&str, &str)] = &[("EL", "GR"), ("UK", "GB")];

static NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut names = HashMap::with_capacity(8_000);
    for country in COUNTRIES {
        for name in country.names {
            names.insert(fold(name), country.alpha2);
        }
    }
    for (country, name) in cldr() {
        names.entry(fold(name)).or_insert(country.alpha2);
    }
    names
});

fn cldr() -> impl Iterator<Item = (&'static Country, &'static str)> {
    let lines = CLDR.lines().filter_map(|line| line.split_once('\t'));
    lines
        .filter_map(|(code, names)| Some((by_alpha2(code)?, names)))
        .flat_map(|(country, names)| names.split('\t').map(move |n| (country, n)))
}

/// The words of a name that tell it apart: lower case, without marks, full stops and words that only join.
fn fold(name: &str) -> String {
    let name = plain(name).replace('.', "").to_lowercase();
    let letters: String = DecomposingNormalizerBorrowed::new_nfkd()
        .normalize(&name)
        .chars()
        .filter(|c| !matches!(c, '\u{300}'..='\u{36f}'))
        .collect();
    let words = letters.split(|c: char| !c.is_alphanumeric()).map(|word| if word == "st" { "saint" } else { word });
    let joining = ["", "the", "and", "und", "et", "y", "e", "og", "och", "en"];
    words.filter(|word| !joining.contains(word)).collect::<Vec<_>>().join(" ")
}

pub(super) fn by_alpha2(code: &str) -> Option<&'static Country> {
    COUNTRIES.binary_search_by(|c| c.alpha2.cmp(code)).ok().map(|i| &COUNTRIES[i])
}

/// An ISO 3166-1 alpha-2 code from an alpha-2 code, an alpha-3 code, the EU's `EL` or `UK`, or a name: as Unicode CLDR, ISO or
/// drop-down lists write it, in English and in some forty other languages.
///
/// # Errors
/// No country is called that.
pub fn country(text: &str) -> Result<&'static str, Fault> {
    let seen = plain(text);
    let text = seen.trim();
    if text.len() == 2 && text.is_ascii() {
        let code = text.to_ascii_uppercase();
        let other = OTHER_CODES.iter().find(|(other, _)| *other == code).map_or(code.as_str(), |(_, iso)| iso);
        if let Some(found) = by_alpha2(other) {
            return Ok(found.alpha2);
        }
    }
    if let Some(found) = COUNTRIES.iter().find(|country| country.alpha3.eq_ignore_ascii_case(text)) {
        return Ok(found.alpha2);
    }
    // `St.Lucia` has its blank at the full stop.
    let named = |text: &str| NAMES.get(&fold(text)).copied();
    named(text).or_else(|| named(&text.replace('.', " "))).ok_or(Fault("no country has this name or code"))
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
            ("U.S. Virgin Islands", "VI"),
            ("uk", "GB"),
            ("El", "GR"),
            ("KOR", "KR"),
            ("Antigua & Barbuda", "AG"),
            ("St. Kitts and Nevis", "KN"),
            ("St.Lucia", "LC"),
            ("Macao SAR China", "MO"),
            ("Côte d’Ivoire", "CI"),
            ("Cote D'Ivoire", "CI"),
            ("Congo - Brazzaville", "CG"),
            ("Congo (DRC)", "CD"),
            ("Iran, Islamic Republic of", "IR"),
            ("Sao Tome & Principe", "ST"),
            ("Deutschland", "DE"),
            ("Österreich", "AT"),
            ("O\u{308}sterreich", "AT"),
            ("ESPAÑA", "ES"),
            ("Vereinigtes Königreich", "GB"),
            ("日本", "JP"),
            ("\u{feff}Czechia\u{200e}", "CZ"),
        ] {
            assert_eq!(country(text), Ok(code), "{text}");
        }
        for text in ["Atlantis", "ZZ", "", "the", "Eu"] {
            assert!(country(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_every_name_has_one_country() {
        assert!(COUNTRIES.windows(2).all(|pair| pair[0].alpha2 < pair[1].alpha2));
        for c in COUNTRIES {
            for name in c.names.iter().chain([&c.alpha3]) {
                assert_eq!(country(name), Ok(c.alpha2), "two countries are called {name}");
            }
        }
        // A name of three letters may be the code of another country (`Nga` is Russia in Vietnamese): the code counts.
        for (c, name) in cldr().filter(|(_, name)| !COUNTRIES.iter().any(|c| c.alpha3.eq_ignore_ascii_case(name))) {
            assert_eq!(country(name), Ok(c.alpha2), "two countries are called {name}");
        }
        assert_eq!(CLDR.lines().filter(|line| !line.starts_with('#')).count(), COUNTRIES.len());
    }

    #[test]
    fn an_address_may_name_the_country() {
        assert_eq!(country_in("1 Main St, Springfield, IL 62704, USA"), Some("US"));
        assert_eq!(country_in("somewhere"), None);
    }
}
