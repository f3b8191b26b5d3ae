//! Decimal numbers, without loss of a digit.

use super::Fault;

/// A decimal number as text: no plus, no leading zeros, no zeros at the end of the fraction, no exponent.
///
/// # Errors
/// It is not a decimal number, or it has more than 60 digits.
pub fn decimal(text: &str) -> Result<String, Fault> {
    let number = Number::parse(text.trim()).ok_or(Fault("not a number"))?;
    Ok(number.print())
}

/// A fraction of one as percent: `0.25` is `25`. To four digits after the point, half up: some senders give a binary fraction in full.
///
/// # Errors
/// See [`decimal`].
pub fn percent(text: &str) -> Result<String, Fault> {
    let number = Number::parse(text.trim()).ok_or(Fault("not a number"))?;
    let mut scale = number.scale;
    let mut digits = format!("{:0>width$}", format!("{}00", number.digits), width = scale + 1);
    let cut = scale.saturating_sub(4);
    let dropped = digits.split_off(digits.len() - cut);
    scale -= cut;
    let up = dropped.starts_with(|c: char| c >= '5');
    let whole: u128 = digits.parse().map_err(|_| Fault("not a number"))?;
    let rounded = (whole + u128::from(up)).to_string();
    let padded = format!("{rounded:0>width$}", width = scale + 1);
    let (before, after) = padded.split_at(padded.len() - scale);
    decimal(&format!("{}{before}.{after}", if number.negative { "-" } else { "" }))
}

/// A decimal number, digit by digit: `digits × 10^-scale`.
pub(super) struct Number {
    pub negative: bool,
    pub digits: String,
    pub scale: usize,
}

const MOST_DIGITS: usize = 60;

impl Number {
    pub(super) fn parse(text: &str) -> Option<Number> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok().filter(|e| e.unsigned_abs() <= 60)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) || mantissa.len() > MOST_DIGITS {
            return None;
        }
        let mut digits = format!("{whole}{fraction}");
        let mut scale = i32::try_from(fraction.len()).ok()? - exponent;
        while scale < 0 {
            digits.push('0');
            scale += 1;
        }
        let mut scale = usize::try_from(scale).ok()?;
        while scale > 0 && digits.ends_with('0') {
            digits.pop();
            scale -= 1;
        }
        let digits = digits.trim_start_matches('0');
        let negative = negative && !digits.is_empty();
        Some(Number { negative, digits: digits.to_owned(), scale })
    }

    /// The number without the noise that a binary fraction leaves at its end: six nines or zeros in a row, and few digits behind
    /// them, among the last of at least fifteen significant digits. `239.98999999999998` is 239.99.
    pub(super) fn without_noise(self) -> Number {
        let whole = self.digits.len().saturating_sub(self.scale);
        let padded = format!("{:0>width$}", self.digits, width = self.scale);
        let fraction = &padded[padded.len() - self.scale..];
        let run = ["999999", "000000"].iter().filter_map(|run| fraction.find(run)).min();
        let Some(start) = run.filter(|_| self.digits.len() >= 15) else { return self };
        let repeated = fraction.as_bytes()[start];
        let end = start + fraction[start..].bytes().take_while(|b| *b == repeated).count();
        if fraction.len() - end > 3 {
            return self;
        }
        let digits = format!("{}{}", &self.digits[..whole], &fraction[..start]);
        let Ok(value) = (if digits.is_empty() { "0" } else { &digits }).parse::<u128>() else { return self };
        let rounded = (value + u128::from(repeated == b'9')).to_string();
        Number { negative: self.negative, digits: rounded.trim_start_matches('0').to_owned(), scale: start }
    }

    pub(super) fn print(&self) -> String {
        let padded = format!("{:0>width$}", self.digits, width = self.scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - self.scale);
        let sign = if self.negative { "-" } else { "" };
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{dot}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_percent() {
        for (text, canonical) in [
            ("0.2", "20"),
            ("1", "100"),
            ("1.0", "100"),
            ("0", "0"),
            ("0.0", "0"),
            ("0.125", "12.5"),
            ("0.90", "90"),
            ("0.200000000000000011102230246251565404236316680908203125", "20"),
            ("0.3333333", "33.3333"),
            ("0.99999996", "100"),
            ("-0.05", "-5"),
            ("5e-2", "5"),
        ] {
            assert_eq!(percent(text).as_deref(), Ok(canonical), "{text}");
        }
        assert!(percent("").is_err() && percent("20 %").is_err());
    }

    #[test]
    fn decimals_lose_no_digit() {
        for (text, canonical) in [
            ("1.50", "1.5"),
            ("-0.0", "0"),
            ("007", "7"),
            ("1e3", "1000"),
            ("1.25e-3", "0.00125"),
            (".5", "0.5"),
            ("-12.340", "-12.34"),
        ] {
            assert_eq!(decimal(text).as_deref(), Ok(canonical));
        }
        for text in ["", ".", "1,5", "1.2.3", "--1", "0x1", "1e999"] {
            assert!(decimal(text).is_err(), "{text}");
        }
    }
}
