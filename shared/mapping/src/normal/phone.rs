//! Telephone numbers, by libphonenumber's numbering plans.

/// A telephone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// ITU-T E.164, with `+`.
    pub e164: String,
    /// True when the text also held an extension, which E.164 cannot hold. Several people share such a number.
    pub extension: bool,
}

#[cfg(feature = "phone")]
pub use plan::{phone, region_of_code};
#[cfg(not(feature = "phone"))]
pub use without_plans::{phone, region_of_code};

/// Programs that map no records link no numbering plans.
#[cfg(not(feature = "phone"))]
mod without_plans {
    use super::super::Fault;
    use super::Phone;

    const UNREAD: Fault = Fault("this program reads no telephone numbers");

    /// Without the feature `phone`, no number is read.
    ///
    /// # Errors
    /// Always.
    pub fn phone(_text: &str, _region: Option<&str>) -> Result<Phone, Fault> {
        Err(UNREAD)
    }

    /// Without the feature `phone`, no calling code is known.
    ///
    /// # Errors
    /// Always.
    pub fn region_of_code(_code: &str) -> Result<&'static str, Fault> {
        Err(UNREAD)
    }
}

#[cfg(feature = "phone")]
mod plan {
    use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, Region};

    use super::super::Fault;
    use super::super::country::by_alpha2;
    use super::super::visible::{composed, half_width, plain};
    use super::Phone;

    /// What an address may put before a number.
    const SCHEMES: &[&str] = &["tel:", "sms:", "whatsapp:", "rcs:", "callto:"];
    /// More characters than a number and an extension have.
    const LONGEST: usize = 80;

    const NUMBER: Fault = Fault("not a telephone number");

    /// A telephone number in E.164. A national number needs the region (ISO 3166-1 alpha-2) that it is dialled in. One subscriber
    /// has one spelling: Mexico's former `1` is dropped, and a Brazilian mobile number gets its ninth digit.
    ///
    /// # Errors
    /// Letters, two numbers in one text, no region for a national number, or no number of its country's numbering plan.
    pub fn phone(text: &str, region: Option<&str>) -> Result<Phone, Fault> {
        let seen = composed(plain(text));
        let text: String = seen.trim().chars().map(half_width).collect();
        let text = SCHEMES.iter().find_map(|scheme| without_scheme(&text, scheme)).unwrap_or(&text);
        if text.chars().count() > LONGEST || !text.contains(char::is_numeric) {
            return Err(NUMBER);
        }
        let region = region.and_then(|code| Region::from_code(code).ok());
        if region.is_none() && !text.trim_start_matches(|c: char| c == '(' || c.is_whitespace()).starts_with('+') {
            return Err(Fault("a national number, and no country tells where"));
        }
        let number = PHONE_NUMBER_UTIL.parse(text, region).map_err(|_| NUMBER)?;
        let extension = !number.extension().is_empty();
        // An extension has one mark of letters; all other letters are something else.
        let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).count();
        if words > usize::from(extension) {
            return Err(NUMBER);
        }
        let e164 = valid(number).ok_or(Fault("no number of its country's numbering plan"))?;
        Ok(Phone { e164, extension })
    }

    fn without_scheme<'t>(text: &'t str, scheme: &str) -> Option<&'t str> {
        text.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &text[scheme.len()..])
    }

    /// The number, in the spelling that its plan knows.
    fn valid(number: PhoneNumber) -> Option<String> {
        let number = if PHONE_NUMBER_UTIL.is_valid_number(&number) { number } else { respelled(number)? };
        Some(number.format_as(PhoneNumberFormat::E164).into_owned())
    }

    /// The present spelling of a number that its country has renumbered, where exactly one is possible.
    fn respelled(mut number: PhoneNumber) -> Option<PhoneNumber> {
        let national = number.national_number;
        number.national_number = match (number.country_code, national) {
            // Mexico: mobile numbers had a 1 behind the calling code until 2019.
            (52, 10_000_000_000..=19_999_999_999) => national - 10_000_000_000,
            // Brazil: mobile numbers of eight digits got a 9 in front until 2016; those that begin with 6, 8 or 9 were mobile.
            (55, 1_000_000_000..=9_999_999_999) if matches!(national / 10_000_000 % 10, 6 | 8 | 9) => {
                let (area, subscriber) = (national / 100_000_000, national % 100_000_000);
                (area * 10 + 9) * 100_000_000 + subscriber
            }
            _ => return None,
        };
        PHONE_NUMBER_UTIL.is_valid_number(&number).then_some(number)
    }

    /// A region (ISO 3166-1 alpha-2) that has this calling code, as a number is dialled there: `44`, `+44` and `0044` are GB's.
    ///
    /// # Errors
    /// No country has the code.
    pub fn region_of_code(code: &str) -> Result<&'static str, Fault> {
        let seen = plain(code);
        let digits = seen.trim().trim_start_matches(['+', '0']);
        let region = digits.parse().ok().and_then(|code| PHONE_NUMBER_UTIL.get_region_for_country_code(code));
        let country = region.and_then(|region| by_alpha2(region.as_region_str().as_str()));
        country.map(|country| country.alpha2).ok_or(Fault("an unknown calling code"))
    }
}

#[cfg(all(test, feature = "phone"))]
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
        ] {
            assert_eq!(phone(text, region).map(|p| p.e164).as_deref(), Ok(e164), "{text}");
        }
    }

    #[test]
    fn a_national_prefix_behind_the_calling_code_is_dropped() {
        for (text, e164) in [
            ("+49 (040) 7654321", "+49407654321"),
            ("+43 0664 1234567", "+436641234567"),
            ("+62 0813-3456-7890", "+6281334567890"),
            ("+33 07 56 78 90 12", "+33756789012"),
            ("+39 06 1234 5678", "+390612345678"),
        ] {
            assert_eq!(phone(text, None).map(|p| p.e164).as_deref(), Ok(e164), "{text}");
        }
    }

    #[test]
    fn an_international_prefix_is_that_of_the_caller() {
        for (text, region, e164) in [
            ("001 1 650 253 0000", "KR", "+16502530000"),
            ("0011 44 20 7946 0958", "AU", "+442079460958"),
            ("8 10 44 20 7946 0958", "RU", "+442079460958"),
            ("010 1 650 253 0000", "JP", "+16502530000"),
        ] {
            assert_eq!(phone(text, Some(region)).map(|p| p.e164).as_deref(), Ok(e164), "{text}");
        }
    }

    #[test]
    fn one_subscriber_has_one_spelling() {
        for (text, region, e164) in [
            ("+52 1 33 1234 5678", None, "+523312345678"),
            ("+52 33 1234 5678", None, "+523312345678"),
            ("+55 21 8765 4321", None, "+5521987654321"),
            ("(21) 98765-4321", Some("BR"), "+5521987654321"),
            ("011 15 2345-6789", Some("AR"), "+5491123456789"),
            ("+54 11 15 2345-6789", None, "+5491123456789"),
            ("+54 9 11 2345-6789", None, "+5491123456789"),
        ] {
            assert_eq!(phone(text, region).map(|p| p.e164).as_deref(), Ok(e164), "{text}");
        }
        assert_eq!(phone("+55 21 3456 7890", None).map(|p| p.e164).as_deref(), Ok("+552134567890"), "a landline stays");
    }

    #[test]
    fn digits_are_what_they_look_like() {
        for text in [
            "\u{202a}+1 650 253 0000\u{202c}",
            "＋１ ６５０ ２５３ ００００",
            "+١ ٦٥٠ ٢٥٣ ٠٠٠٠",
            "\u{feff}+1\u{200b}650\u{a0}253\u{2011}0000",
        ] {
            assert_eq!(phone(text, None).map(|p| p.e164).as_deref(), Ok("+16502530000"), "{text}");
        }
    }

    #[test]
    fn a_separate_calling_code_shows_how_to_read_the_rest() {
        for (code, text, e164) in [
            ("64", "04 4111111", "+6444111111"),
            ("61", "02 9876 5432", "+61298765432"),
            ("+49", "030 1234567", "+49301234567"),
            ("0044", "020 7946 0958", "+442079460958"),
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
        for text in
            ["+1 650 555 0123 ext. 45", "+1 650 555 0123x45", "+1 650 555 0123 Extension 45", "tel:+1-650-555-0123;ext=45"]
        {
            let found = phone(text, None).unwrap();
            assert_eq!((found.e164.as_str(), found.extension), ("+16505550123", true), "{text}");
        }
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
            ("999 999 9999", Some("US")),
            ("123 456 7890", Some("US")),
            ("+999 123456", None),
            ("1-800-FLOWERS", Some("US")),
            ("call Bob 650 253 0000", Some("US")),
            ("650 253 0000 or 650 253 0001", Some("US")),
            ("+1650555012345", None),
            ("+490301", None),
            ("n/a", Some("US")),
        ] {
            assert!(phone(text, region).is_err(), "{text}");
        }
    }
}
