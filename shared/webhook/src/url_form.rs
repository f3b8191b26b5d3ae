//! base64 HMAC-SHA1 over the URL and the sorted form parameters.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use ring::hmac;

use crate::encoding;
use crate::proof::{same, sha256_hex};
use crate::rejection::Rejection;
use crate::request::{Evidence, RawRequest};
use crate::scheme::UrlForm;
use crate::signed::single_header;

/// What older senders escape when they encode a query again: everything but letters, digits and these.
const ESCAPED_IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

pub(crate) fn verify(form: &UrlForm, request: &RawRequest<'_>, secrets: &[&str]) -> Result<Evidence, Rejection> {
    let value = single_header(request, &form.header)?;
    if value.contains(',') {
        return Err(Rejection::DoubledHeader(form.header.clone()));
    }
    let tag = encoding::base64(value).ok_or(Rejection::MalformedSignature)?;
    let hashed = form.body_hash.as_deref().map(|name| body_hash(request, name)).transpose()?.flatten();
    if hashed.is_none() && !request.body.is_empty() && !is_form(request) {
        return Err(Rejection::BodyNotCovered);
    }
    let tail = if hashed.is_some() { Vec::new() } else { sorted_parameters(request.body) };
    let urls = if form.spellings { spellings(request.url) } else { BTreeSet::from([request.url.to_owned()]) };
    let usable = secrets.iter().enumerate().filter(|(_, secret)| !secret.is_empty());
    let mut reason = Rejection::UnusableSecret;
    for (position, secret) in usable {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        if urls.iter().any(|url| hmac::verify(&key, &[url.as_bytes(), &tail].concat(), &tag).is_ok()) {
            return match hashed {
                Some(false) => Err(Rejection::BodyHash),
                _ => Ok(Evidence { version: None, secret: position, signed_at_ms: None }),
            };
        }
        reason = Rejection::Mismatch;
    }
    Err(reason)
}

/// What a sender puts into the signature header, before base64.
pub(crate) fn tag(form: &UrlForm, url: &str, body: &[u8], secret: &str) -> Vec<u8> {
    let hashed = form.body_hash.as_deref().is_some_and(|name| !named_hashes(url, name).is_empty());
    let tail = if hashed { Vec::new() } else { sorted_parameters(body) };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    hmac::sign(&key, &[url.as_bytes(), &tail].concat()).as_ref().to_vec()
}

fn named_hashes(url: &str, name: &str) -> Vec<Vec<u8>> {
    let pairs = encoding::form_pairs(encoding::query(url).unwrap_or_default().as_bytes());
    pairs.into_iter().filter(|(key, _)| key == name.as_bytes()).map(|(_, hash)| hash).collect()
}

/// Whether the hash that the URL names is the body's; `None` if it names none.
fn body_hash(request: &RawRequest<'_>, name: &str) -> Result<Option<bool>, Rejection> {
    match named_hashes(request.url, name).as_slice() {
        [] => Ok(None),
        [hash] => Ok(Some(same(sha256_hex(request.body).as_bytes(), hash))),
        _ => Err(Rejection::BodyHash),
    }
}

/// A body without a type counts as a form, so that everything in it must be covered by the signature.
fn is_form(request: &RawRequest<'_>) -> bool {
    let essence = |value: &str| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    request.headers.first("content-type").is_none_or(|value| essence(value) == "application/x-www-form-urlencoded")
}

/// Names and values run together: sorted by name, the values of one name sorted and without repetition.
fn sorted_parameters(body: &[u8]) -> Vec<u8> {
    let mut sorted: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (name, value) in encoding::form_pairs(body) {
        sorted.entry(name).or_default().insert(value);
    }
    let mut out = Vec::with_capacity(body.len());
    for (name, values) in &sorted {
        for value in values {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
    }
    out
}

/// The spellings of one URL that senders sign: as called, without port, with the usual port, each also with its query
/// encoded in the two older ways.
fn spellings(url: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::from([url.to_owned()]);
    out.extend(with_other_port(url));
    for spelled in out.clone() {
        let Some((base, query)) = spelled.split_once('?') else { continue };
        out.insert(format!("{base}?{}", query.replace('\'', "%27")));
        let component = |text: &str| percent_again(text);
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) => format!("{}={}", component(name), component(value)),
            None => format!("{}=", component(part)),
        };
        out.insert(format!("{base}?{}", query.split('&').map(pair).collect::<Vec<_>>().join("&")));
        if query.split('&').any(|part| !part.contains('=')) {
            out.insert(format!("{base}?{}", query.split('&').map(component).collect::<Vec<_>>().join("&")));
        }
    }
    out
}

fn percent_again(text: &str) -> String {
    percent_encode(&encoding::percent_decode(text.as_bytes(), true), ESCAPED_IN_QUERY).to_string()
}

/// The URL without its port, or with the default port if it has none. User name and password stay.
pub(crate) fn with_other_port(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(cut);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = authority.split_at(host_at);
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            vec![format!("{scheme}://{user}{name}{path}")]
        }
        _ => {
            let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
            vec![format!("{scheme}://{user}{host}:{port}{path}")]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_tried_with_and_without_port() {
        assert_eq!(with_other_port("https://u:p@h.example/x?a=1"), ["https://u:p@h.example:443/x?a=1"]);
        assert_eq!(with_other_port("http://h.example?a=1"), ["http://h.example:80?a=1"]);
        assert_eq!(with_other_port("https://u@h.example:8443/x:1"), ["https://u@h.example/x:1"]);
        assert_eq!(with_other_port("https://[::1]/x"), ["https://[::1]:443/x"]);
        assert_eq!(with_other_port("nothing"), [""; 0]);
    }

    #[test]
    fn a_query_is_tried_in_older_encodings() {
        let all = spellings("https://h.example/x?a=it%27s&b='");
        assert!(all.contains("https://h.example/x?a=it's&b='"), "{all:?}");
        assert!(all.contains("https://h.example:443/x?a=it%27s&b=%27"), "{all:?}");
    }
}
