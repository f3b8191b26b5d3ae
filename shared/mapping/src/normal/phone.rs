//! Telephone numbers.

use std::sync::LazyLock;

use super::Fault;
use super::countries::COUNTRIES;
use super::country::by_alpha2;

/// A telephone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// ITU-T E.164, with `+`.
    pub e164: String,
    /// True when the text also held an extension, which E.164 cannot hold.
    pub extension: bool,
}

/// Calling code → fewest and most digits of a national number; 0 for a code that is not assigned to a country.
static LENGTHS: LazyLock<Vec<(u8, u8)>> = LazyLock::new(|| {
    let mut lengths = vec![(0, 0); 1000];
    for country in COUNTRIES {
        let (min, max) = &mut lengths[usize::from(country.code)];
        *min = if *min == 0 { country.min } else { country.min.min(*min) };
        *max = country.max.max(*max);
    }
    for code in [800, 808, 870, 878, 881, 882, 883, 888, 979] {
        lengths[code] = (5, 12);
    }
    lengths
});

/// What an address may put before a number.
const SCHEMES: &[&str] = &["tel:", "sms:", "whatsapp:", "rcs:"];

const NUMBER: Fault = Fault("not a telephone number");

/// A telephone number in E.164. A national number needs the region (ISO 3166-1 alpha-2) that it is dialled in.
///
/// The rules are the outline of the numbering plans: calling codes, trunk prefixes and lengths. They do not show whether a number
/// is in service.
///
/// # Errors
/// Letters or too many digits, an unknown calling code, a length that its country does not have, or no region.
pub fn phone(text: &str, region: Option<&str>) -> Result<Phone, Fault> {
    let (text, extension) = cut_extension(text.trim());
    let text = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let mut digits = String::with_capacity(18);
    let mut plus = false;
    let mut optional_trunk = None;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => digits.push(c),
            '+' | '\u{ff0b}' if digits.is_empty() && !plus => plus = true,
            // `+44 (0)20 …`: the trunk prefix, which is not dialled from abroad.
            '(' if plus && !digits.is_empty() && text[at..].starts_with("(0)") => optional_trunk = Some(digits.len()),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2010}'..='\u{2013}' | '\t' => {}
            _ => return Err(NUMBER),
        }
    }
    if let Some(at) = optional_trunk {
        digits.remove(at);
    }
    if digits.len() < 3 || digits.len() > 20 {
        return Err(NUMBER);
    }
    let country = region.and_then(by_alpha2);
    let e164 = if plus {
        international(&digits)?
    } else {
        let country = country.ok_or(Fault("a national number, and no country tells where"))?;
        let abroad = if country.code == 1 { "011" } else { "00" };
        match digits.strip_prefix(abroad) {
            Some(rest) if rest.len() > 6 => international(rest)?,
            _ => national(&digits, country)?,
        }
    };
    Ok(Phone { e164, extension })
}

/// A region (ISO 3166-1 alpha-2) that has this calling code, as a number is dialled there: `44`, `+44` and `0044` are GB's.
///
/// # Errors
/// No country has the code.
pub fn region_of_code(code: &str) -> Result<&'static str, Fault> {
    let digits = code.trim().trim_start_matches(['+', '0']);
    let country = COUNTRIES.iter().find(|country| country.code.to_string() == digits);
    country.map(|country| country.alpha2).ok_or(Fault("an unknown calling code"))
}

/// `x12`, `ext. 12`, `#12`, `;ext=12` at the end.
fn cut_extension(text: &str) -> (&str, bool) {
    let end = text.trim_end_matches(|c: char| c.is_ascii_digit());
    if end.len() == text.len() {
        return (text, false);
    }
    let lower = end.trim_end().trim_end_matches(['.', ':', '=']).to_ascii_lowercase();
    for mark in ["extension", "ext", "x", "#"] {
        if let Some(before) = lower.strip_suffix(mark) {
            let number = text[..before.len()].trim_end_matches([' ', ',', ';']);
            if number.bytes().filter(u8::is_ascii_digit).count() >= 3 {
                return (number, true);
            }
        }
    }
    (text, false)
}

fn code_length(digits: &str) -> Option<usize> {
    let code = |n: usize| digits.get(..n).and_then(|c| c.parse::<usize>().ok()).filter(|c| LENGTHS[*c].1 > 0);
    (1..=3).find(|n| code(*n).is_some())
}

fn international(digits: &str) -> Result<String, Fault> {
    let length = code_length(digits).ok_or(Fault("an unknown calling code"))?;
    let (code, national) = digits.split_at(length);
    let (min, max) = code.parse::<usize>().ok().map_or((0, 0), |c| LENGTHS[c]);
    check(code, national, min, max, 1)?;
    Ok(format!("+{digits}"))
}

fn national(digits: &str, country: &super::countries::Country) -> Result<String, Fault> {
    let code = country.code.to_string();
    let fits = |national: &str| (usize::from(country.min)..=usize::from(country.max)).contains(&national.len());
    let bare = digits.strip_prefix(country.trunk).filter(|rest| !country.trunk.is_empty() && fits(rest));
    let without_code = digits.strip_prefix(&code).filter(|rest| fits(rest));
    let number = match bare {
        Some(rest) => rest,
        None if fits(digits) => digits,
        None => without_code.unwrap_or(digits),
    };
    check(&code, number, country.min, country.max, 2)?;
    Ok(format!("+{code}{number}"))
}

/// `parts`: of a North American number, how many of area code and exchange must be possible. A number with its calling code may have
/// an impossible exchange: examples and withheld numbers do.
fn check(code: &str, national: &str, min: u8, max: u8, parts: usize) -> Result<(), Fault> {
    if !(usize::from(min)..=usize::from(max)).contains(&national.len()) || code.len() + national.len() > 15 {
        return Err(Fault("a telephone number of the wrong length for its country"));
    }
    let bytes = national.as_bytes();
    // North America: neither an area code nor an exchange begins with 0 or 1.
    if code == "1" && [0, 3][..parts].iter().any(|at| bytes[*at] < b'2') {
        return Err(Fault("no North American number begins like this"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, region, e164) in [
            ("+16505550123", None, "+16505550123"),
            ("(281) 332-2575", Some("US"), "+12813322575"),
            ("1-281-332-2575", Some("US"), "+12813322575"),
            ("020 7946 0958", Some("GB"), "+442079460958"),
            ("+44 (0)20 7946 0958", None, "+442079460958"),
            ("030 123456", Some("DE"), "+4930123456"),
            ("0049 30 123456", Some("FR"), "+4930123456"),
            ("06 12 34 56 78", Some("FR"), "+33612345678"),
            ("011 44 20 7946 0958", Some("US"), "+442079460958"),
            ("02 1234 5678", Some("IT"), "+390212345678"),
            ("tel:+33-6-12-34-56-78", Some("US"), "+33612345678"),
            ("whatsapp:+4915112345678", None, "+4915112345678"),
            ("+1 305 141 6799", None, "+13051416799"),
        ] {
            assert_eq!(phone(text, region).map(|p| p.e164).as_deref(), Ok(e164), "{text}");
        }
    }

    #[test]
    fn a_separate_calling_code_shows_how_to_read_the_rest() {
        for (code, text, e164) in [
            ("64", "04 1111111", "+6441111111"),
            ("61", "02 9876 5432", "+61298765432"),
            ("+49", "030 1234567", "+49301234567"),
            ("0044", "020 7946 0958", "+442079460958"),
            ("44", "7700 900123", "+447700900123"),
            ("39", "02 1234 5678", "+390212345678"),
            ("1", "(650) 555-0123", "+16505550123"),
            ("33", "+44 20 7946 0958", "+442079460958"),
        ] {
            assert_eq!(phone(text, Some(region_of_code(code).unwrap())).map(|p| p.e164).as_deref(), Ok(e164), "{code} {text}");
        }
        assert!(region_of_code("").is_err() && region_of_code("999").is_err() && region_of_code("UK").is_err());
    }

    #[test]
    fn an_extension_is_flagged() {
        let found = phone("+1 650 555 0123 ext. 45", None).unwrap();
        assert_eq!((found.e164.as_str(), found.extension), ("+16505550123", true));
        assert!(phone("+1 650 555 0123x45", None).unwrap().extension);
        assert!(!phone("+1 650 555 0123", None).unwrap().extension);
    }

    #[test]
    fn what_is_not_a_number() {
        for (text, region) in [
            ("", None),
            ("12", Some("US")),
            ("(281) 332-2575", None),
            ("555-0123", Some("US")),
            ("+1 050 555 0123", None),
            ("305 141 6799", Some("US")),
            ("+999 123456", None),
            ("1-800-FLOWERS", Some("US")),
            ("+1650555012345", None),
            ("n/a", Some("US")),
        ] {
            assert!(phone(text, region).is_err(), "{text}");
        }
    }
}
