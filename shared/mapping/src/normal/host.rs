//! Host names, domains and URLs.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::Fault;
use super::visible::visible;

/// A host name in lower case and ASCII by UTS 46; `None` when the text is not one.
pub(super) fn ascii_host(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let ascii = Uts46::new().to_ascii(host.as_bytes(), AsciiDenyList::URL, Hyphens::CheckFirstLast, DnsLength::Verify).ok()?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ascii.bytes().all(allowed).then(|| ascii.into_owned())
}

/// A web domain from a domain or a URL: lower case, ASCII, without `www.`.
///
/// # Errors
/// It holds no host name with a dot.
pub fn domain(text: &str) -> Result<String, Fault> {
    let seen = visible(text);
    let text = seen.trim();
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
    let seen = visible(text);
    let text = seen.trim();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for (text, canonical) in [
            ("HTTPS://www.Example.com/path?x", "example.com"),
            ("example.com.", "example.com"),
            ("www.example.co.uk", "example.co.uk"),
            ("faß.example", "xn--fa-hia.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("ｅｘａｍｐｌｅ。com", "example.com"),
            ("exam\u{ad}ple.com\u{200e}", "example.com"),
            ("col·legi.cat", "xn--collegi-xma.cat"),
            ("https://www.नमस्ते.भारत/x", "xn--h2bhs4b8d8a.xn--h2brj9c"),
            ("my_host.example", "my_host.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("user@host.example:8080", "host.example"),
        ] {
            assert_eq!(domain(text).as_deref(), Ok(canonical));
        }
        for text in ["", "localhost", "a b.example", "192.0.2.1", "-a.example", "xn--a.example", "a..example"] {
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
}
