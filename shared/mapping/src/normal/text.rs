use std::borrow::Cow;

use super::Fault;

/// A text without white space at its ends.
pub fn tidy(text: &str) -> &str {
    text.trim()
}

/// A name: white space at the ends gone, inside folded to one blank.
pub fn name(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let plain = !text.contains("  ") && !text.contains(|c: char| c.is_whitespace() && c != ' ');
    if plain { Cow::Borrowed(text) } else { Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")) }
}

/// A host name in lower case and ASCII; `None` when it is none.
pub(super) fn ascii_host(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut ascii = String::with_capacity(host.len());
    for label in host.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        if !ascii.is_empty() {
            ascii.push('.');
        }
        let start = ascii.len();
        if label.is_ascii() {
            ascii.push_str(label);
            ascii[start..].make_ascii_lowercase();
        } else {
            let lower: String = label.chars().flat_map(char::to_lowercase).collect();
            if !lower.chars().all(|c| c.is_alphanumeric() || c == '-') {
                return None;
            }
            ascii.push_str("xn--");
            punycode(&lower, &mut ascii)?;
        }
        let label = &ascii[start..];
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        if !fits || !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return None;
        }
    }
    (ascii.len() <= 253).then_some(ascii)
}

/// RFC 3492.
fn punycode(label: &str, out: &mut String) -> Option<()> {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    let digit =
        |d: u32| char::from(u8::try_from(if d < 26 { u32::from(b'a') + d } else { u32::from(b'0') + d - 26 }).unwrap_or(b'0'));
    let basic = label.chars().filter(char::is_ascii).inspect(|c| out.push(*c)).count();
    let total = u32::try_from(label.chars().count()).ok()?;
    let mut handled = u32::try_from(basic).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias) = (128_u32, 0_u32, 72_u32);
    let first_time = handled;
    while handled < total {
        let next = label.chars().map(u32::from).filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in label.chars().map(u32::from) {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c != n {
                continue;
            }
            let (mut q, mut k) = (delta, BASE);
            loop {
                let t = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                if q < t {
                    break;
                }
                out.push(digit(t + (q - t) % (BASE - t)));
                q = (q - t) / (BASE - t);
                k += BASE;
            }
            out.push(digit(q));
            let mut d = if handled == first_time { delta / 700 } else { delta / 2 };
            d += d / (handled + 1);
            let mut steps = 0;
            while d > ((BASE - T_MIN) * T_MAX) / 2 {
                d /= BASE - T_MIN;
                steps += BASE;
            }
            bias = steps + (BASE - T_MIN + 1) * d / (d + 38);
            delta = 0;
            handled += 1;
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(())
}

/// A web domain from a domain or a URL: lower case, ASCII, without `www.`.
///
/// # Errors
/// It holds no host name with a dot.
pub fn domain(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default();
    let mut host = ascii_host(host).ok_or(Fault("not a domain"))?;
    while let Some(bare) = host.strip_prefix("www.").filter(|bare| bare.contains('.')) {
        host = bare.to_owned();
    }
    if host.contains('.') && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        Ok(host)
    } else {
        Err(Fault("not a domain"))
    }
}

/// An absolute http(s) URL: scheme and host in lower case, the rest as it is. Without a scheme, `https` is meant.
///
/// # Errors
/// Another scheme, no host, or white space.
pub fn url(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Fault("not a URL: it holds white space"));
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(Fault("not a web address"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let (host, port) = host.split_once(':').map_or((host, ""), |(host, port)| (host, port));
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault("not a URL: the port"));
    }
    let host = ascii_host(host).filter(|h| h.contains('.') || h == "localhost").ok_or(Fault("not a URL: the host"))?;
    let at = if user.is_empty() { "" } else { "@" };
    let colon = if port.is_empty() { "" } else { ":" };
    Ok(format!("{scheme}://{user}{at}{host}{colon}{port}{tail}"))
}

/// An industry as a lower-case name: `COMPUTER_SOFTWARE` and `Computer Software` are both `computer software`.
pub fn industry(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c == '_' { ' ' } else { c }).flat_map(char::to_lowercase).collect();
    name(&spaced).into_owned()
}

/// A decimal number as text: no plus, no leading zeros, no zeros at the end of the fraction, no exponent.
///
/// # Errors
/// It is no decimal number, or one with more than 60 digits.
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
    fn names_are_folded_and_nothing_else() {
        assert_eq!(name("  Ana\u{a0} María  de\tla Cruz "), "Ana María de la Cruz");
        assert_eq!(name("McDonald"), "McDonald");
    }

    #[test]
    fn domains() {
        for (text, canonical) in [
            ("HTTPS://www.Example.com/path?x", "example.com"),
            ("example.com.", "example.com"),
            ("www.example.co.uk", "example.co.uk"),
            ("faß.example", "xn--fa-hia.example"),
            ("user@host.example:8080", "host.example"),
        ] {
            assert_eq!(domain(text).as_deref(), Ok(canonical));
        }
        for text in ["", "localhost", "a b.example", "192.0.2.1", "-a.example"] {
            assert!(domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls() {
        assert_eq!(url("Example.com").as_deref(), Ok("https://example.com"));
        assert_eq!(url("HTTP://Example.COM:8080/Path?Q=1#F").as_deref(), Ok("http://example.com:8080/Path?Q=1#F"));
        for text in ["", "ftp://example.com", "javascript://example.com/%0a", "not a url", "https://"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

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

    #[test]
    fn industries() {
        assert_eq!(industry("COMPUTER_SOFTWARE"), industry(" Computer  Software"));
    }
}
