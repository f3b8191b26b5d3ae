//! E-mail addresses.

use super::Fault;
use super::host::ascii_host;

/// Longest address that SMTP carries (RFC 5321 §4.5.3.1.3).
const LONGEST: usize = 254;

/// An e-mail address in lower case, its domain in ASCII (RFC 3492). A display name around it (`Jo <jo@a.example>`) is removed.
///
/// # Errors
/// It has no local part or no domain with a dot, holds white space, or is longer than SMTP allows.
pub fn email(text: &str) -> Result<String, Fault> {
    let mut text = text.trim();
    if let (Some(open), true) = (text.rfind('<'), text.ends_with('>')) {
        text = text[open + 1..text.len() - 1].trim();
    }
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let (local, host) = text.rsplit_once('@').ok_or(Fault("not an e-mail address: no `@`"))?;
    if local.is_empty() || local.len() > 64 || local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(Fault("not an e-mail address: the part before the `@`"));
    }
    if local.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"@".contains(c)) {
        return Err(Fault("not an e-mail address: a character before the `@`"));
    }
    let host = ascii_host(host).filter(|host| host.contains('.')).ok_or(Fault("not an e-mail address: the domain"))?;
    let mut address = String::with_capacity(local.len() + host.len() + 1);
    if local.is_ascii() {
        address.push_str(local);
        address.make_ascii_lowercase();
    } else {
        address.extend(local.chars().flat_map(char::to_lowercase));
    }
    address.push('@');
    address.push_str(&host);
    if address.len() > LONGEST {
        return Err(Fault("not an e-mail address: too long"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, canonical) in [
            (" Pat.Example@Example.COM ", "pat.example@example.com"),
            ("Pat <pat@example.com>", "pat@example.com"),
            ("pat@bücher.example", "pat@xn--bcher-kva.example"),
            ("PAT+crm@a-b.example", "pat+crm@a-b.example"),
        ] {
            assert_eq!(email(text).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn what_is_not_an_address() {
        for text in
            ["", "pat", "@example.com", "pat@", "pat@example", "p at@example.com", "a@b@", "a@-b.com", "a@b..com", ".a@b.com"]
        {
            assert!(email(text).is_err(), "{text}");
        }
    }
}
