//! E-mail addresses.

use super::Fault;
use super::host::ascii_host;
use super::visible::{compatible, composed, half_width, plain, visible};

/// Longest address that SMTP carries (RFC 5321 §4.5.3.1.3).
const LONGEST: usize = 254;

/// An e-mail address in lower case, its domain in ASCII (UTS 46). A display name around it (`Jo <jo@a.example>`) is removed.
///
/// # Errors
/// It has no local part or no domain with a dot, holds white space or a second address, or is longer than SMTP allows.
pub fn email(text: &str) -> Result<String, Fault> {
    let seen: String = visible(text).chars().map(half_width).collect();
    let text = without_name(seen.trim())?;
    let text = text.get(..7).filter(|start| start.eq_ignore_ascii_case("mailto:")).map_or(text, |_| &text[7..]);
    let (local, host) = text.rsplit_once('@').ok_or(Fault("not an e-mail address: no `@`"))?;
    let local = local_part(local)?;
    let host = ascii_host(host).filter(|host| host.contains('.')).ok_or(Fault("not an e-mail address: the domain"))?;
    let address = format!("{local}@{host}");
    if address.len() > LONGEST {
        return Err(Fault("not an e-mail address: too long"));
    }
    Ok(address)
}

/// What is in the angle brackets, where a display name stands before them.
fn without_name(text: &str) -> Result<&str, Fault> {
    let Some((name, address)) = text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) else { return Ok(text) };
    // A name may be the address itself, but a list of addresses is not a name.
    if name.contains(['<', '>']) || (name.contains('@') && name.contains([',', ';'])) {
        return Err(Fault("more than one e-mail address"));
    }
    Ok(address.trim())
}

/// The part before the `@`, in lower case and composed letters.
fn local_part(local: &str) -> Result<String, Fault> {
    let local = composed(plain(local));
    if local.is_empty() || local.len() > 64 || local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(Fault("not an e-mail address: the part before the `@`"));
    }
    if local.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"@".contains(c)) {
        return Err(Fault("not an e-mail address: a character before the `@`"));
    }
    // Letters that only look like others (`①`, `ﬁ`) might name another mailbox.
    if compatible(local.clone()) != local {
        return Err(Fault("not an e-mail address: a letter before the `@` that has another spelling"));
    }
    Ok(composed(local.to_lowercase().into()).into_owned())
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
            ("pat@ｅｘａｍｐｌｅ.com", "pat@example.com"),
            ("ｐａｔ＠example.com", "pat@example.com"),
            ("\u{feff}pat\u{200b}@exam\u{200b}ple.com\u{202c}", "pat@example.com"),
            ("rene\u{301}@example.com", "rené@example.com"),
            ("RENÉ@EXAMPLE.COM", "rené@example.com"),
            ("pat@தளம்.இந்தியா", "pat@xn--rlcuo9h.xn--xkc2dl3a5ee0h"),
            ("pat@example.com <pat@example.com>", "pat@example.com"),
            ("\"Example, Pat\" <pat@example.com>", "pat@example.com"),
            ("MAILTO:pat@example.com", "pat@example.com"),
        ] {
            assert_eq!(email(text).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn what_is_not_an_address() {
        for text in [
            "",
            "pat",
            "@example.com",
            "pat@",
            "pat@example",
            "p at@example.com",
            "a@b@",
            "a@-b.com",
            "a@b..com",
            ".a@b.com",
            "Pat <pat@example.com>, Jo <jo@example.com>",
            "pat@example.com, Jo <jo@example.com>",
            "pat@example.com; jo@example.com",
            "pat①@example.com",
            "/O=ORG/CN=PAT",
        ] {
            assert!(email(text).is_err(), "{text}");
        }
    }
}
