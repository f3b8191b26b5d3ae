//! Currencies and exact amounts.

use canonical::Money;

use super::Fault;
use super::currencies::{CODES, decimals};
use super::number::Number;
use super::visible::plain;

/// An ISO 4217 code, upper case.
///
/// # Errors
/// It is not a code in use.
pub fn currency(text: &str) -> Result<&'static str, Fault> {
    let seen = plain(text);
    let code: Option<[u8; 3]> = seen.trim().as_bytes().try_into().ok();
    let code = code.map(|code| code.map(|b| b.to_ascii_uppercase()));
    let found = code.and_then(|code| CODES.binary_search_by(|known| known.as_bytes().cmp(code.as_slice())).ok());
    found.map(|i| CODES[i]).ok_or(Fault("not an ISO 4217 currency code"))
}

/// The decimals of a currency by ISO 4217.
pub fn exponent(currency: &str) -> u32 {
    decimals(currency.as_bytes())
}

/// Money from a decimal number that counts units of `10^-scale` of its currency (0: whole units), times a factor.
///
/// # Errors
/// The text is not a number, does not fit 64 bits, or has more decimals than its currency.
pub fn minor(amount: &str, scale: u32, currency: &'static str, times: Option<&str>) -> Result<Money, Fault> {
    let number = Number::parse(amount.trim()).ok_or(Fault("not a number"))?.without_noise();
    let mut value = signed(&number)?;
    let mut decimals = i64::try_from(number.scale).map_err(|_| RANGE)? + i64::from(scale);
    if let Some(times) = times {
        let factor = Number::parse(times.trim()).ok_or(Fault("the quantity is not a number"))?;
        value = value.checked_mul(signed(&factor)?).ok_or(RANGE)?;
        decimals += i64::try_from(factor.scale).map_err(|_| RANGE)?;
    }
    let target = i64::from(exponent(currency));
    while decimals < target {
        value = value.checked_mul(10).ok_or(RANGE)?;
        decimals += 1;
    }
    while decimals > target {
        if value % 10 != 0 {
            return Err(Fault("more decimals than the currency has"));
        }
        value /= 10;
        decimals -= 1;
    }
    let minor = i64::try_from(value).map_err(|_| RANGE)?;
    Ok(Money { minor, currency: currency.to_owned() })
}

const RANGE: Fault = Fault("an amount beyond 64 bits");

fn signed(number: &Number) -> Result<i128, Fault> {
    let digits = if number.digits.is_empty() { "0" } else { &number.digits };
    let value: i128 = digits.parse().map_err(|_| RANGE)?;
    Ok(if number.negative { -value } else { value })
}

/// An amount in whole units, with all decimals of its currency: `12.50`, `1500`, `1.250`.
pub fn major(money: &Money) -> String {
    let decimals = exponent(&money.currency) as usize;
    let digits = format!("{:0>width$}", money.minor.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let sign = if money.minor < 0 { "-" } else { "" };
    let dot = if decimals == 0 { "" } else { "." };
    format!("{sign}{whole}{dot}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str, scale: u32, code: &'static str) -> Result<i64, Fault> {
        minor(text, scale, code, None).map(|m| m.minor)
    }

    #[test]
    fn codes_are_sorted() {
        assert!(CODES.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(currency(" usd "), Ok("USD"));
        assert!(currency("XXX").is_err());
    }

    #[test]
    fn exponents_decide() {
        assert_eq!(amount("12.5", 0, "USD"), Ok(1250));
        assert_eq!(amount("1500", 0, "JPY"), Ok(1500));
        assert_eq!(amount("1500.00", 0, "JPY"), Ok(1500));
        assert_eq!(amount("1.25", 0, "KWD"), Ok(1250));
        assert_eq!(amount("2000", 2, "USD"), Ok(2000));
        assert_eq!(amount("500", 0, "MGA"), Ok(50_000));
        assert_eq!(amount("1e3", 0, "EUR"), Ok(100_000));
        assert!(amount("1.005", 0, "USD").is_err());
        assert_eq!(amount("239.98999999999998", 0, "USD"), Ok(23_999));
        assert_eq!(amount("0.30000000000000004", 0, "EUR"), Ok(30));
        assert_eq!(amount("-1.0999999999999999", 0, "EUR"), Ok(-110));
        assert_eq!(amount("9999999.9900000002", 0, "EUR"), Ok(999_999_999));
        assert!(amount("0.333333333333333315", 0, "EUR").is_err());
        assert!(amount("1.00500000000000001", 0, "EUR").is_err());
        assert!(amount("1.5", 0, "JPY").is_err());
        assert!(amount("99999999999999999999", 0, "USD").is_err());
        assert!(amount("1,000", 0, "USD").is_err());
    }

    #[test]
    fn quantity_times_unit_price() {
        assert_eq!(minor("19.99", 0, "EUR", Some("3")).map(|m| m.minor), Ok(5997));
        assert_eq!(minor("0.05", 2, "USD", Some("1000")).map(|m| m.minor), Ok(50));
    }

    #[test]
    fn whole_units() {
        for (minor, code, text) in [
            (1250, "USD", "12.50"),
            (1500, "JPY", "1500"),
            (-1250, "KWD", "-1.250"),
            (5, "EUR", "0.05"),
            (i64::MIN, "JPY", "-9223372036854775808"),
        ] {
            assert_eq!(major(&Money { minor, currency: code.into() }), text);
        }
    }
}
