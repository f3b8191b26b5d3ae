//! The one way from a raw request to a verified one.

use crate::rejection::Rejection;
use crate::request::{Evidence, RawRequest, VerifiedRequest};
use crate::scheme::{Scheme, Versions, When};
use crate::{shared, signed, sns, url_form};

/// Checks a request against the declared scheme and every active secret.
///
/// `secrets` holds every active secret as the provider shows it: during a rotation the current one and the previous or the
/// next one. For some schemes they are public keys, for SNS they are PEM certificates. `now_ms` is the receiver's clock in
/// milliseconds since 1970. The answer to a [`Rejection`] is 401 without a hint.
pub fn verify<'a>(
    scheme: &Scheme,
    request: RawRequest<'a>,
    secrets: &[&str],
    now_ms: i64,
) -> Result<VerifiedRequest<'a>, Rejection> {
    if secrets.is_empty() {
        return Err(Rejection::NoSecret);
    }
    let evidence = match scheme {
        Scheme::Versions(versions) => verify_version(versions, &request, secrets, now_ms)?,
        Scheme::Signed(form) => signed::verify(form, &request, secrets, now_ms)?,
        Scheme::UrlForm(form) => url_form::verify(form, &request, secrets)?,
        Scheme::Shared(form) => shared::verify(form, &request, secrets)?,
        Scheme::Basic(_) => shared::verify_basic(&request, secrets)?,
        Scheme::Sns(form) => sns::verify(form, &request, secrets, now_ms)?,
    };
    Ok(VerifiedRequest::new(request, evidence))
}

/// Only the strongest accepted version that the request claims is checked, so that a forger cannot fall back to a weaker one. A
/// request may also carry versions that are not accepted: some providers send older proofs beside newer ones.
fn verify_version(versions: &Versions, request: &RawRequest<'_>, secrets: &[&str], now_ms: i64) -> Result<Evidence, Rejection> {
    let claimed = || versions.versions.iter().filter(|version| version.when.as_ref().is_none_or(|when| claims(when, request)));
    let accepted = claimed().find(|version| versions.accept.contains(&version.name));
    let Some(version) = accepted.or_else(|| claimed().next()) else {
        let accepted = versions.versions.iter().find(|v| versions.accept.contains(&v.name));
        let missing = accepted.and_then(|v| v.when.as_ref()).map(|when| when.header.clone());
        return Err(missing.map_or(Rejection::NoAcceptedVersion, Rejection::MissingHeader));
    };
    if !versions.accept.contains(&version.name) {
        return Err(Rejection::VersionNotAccepted(version.name.clone()));
    }
    let evidence = match (&version.signed, &version.shared) {
        (Some(form), _) => signed::verify(form, request, secrets, now_ms)?,
        (None, Some(form)) => shared::verify(form, request, secrets)?,
        (None, None) => return Err(Rejection::NoAcceptedVersion),
    };
    Ok(Evidence { version: Some(version.name.clone()), ..evidence })
}

fn claims(when: &When, request: &RawRequest<'_>) -> bool {
    let begins = |given: &str| {
        let starts = |start: &String| given.get(..start.len()).is_some_and(|given| given.eq_ignore_ascii_case(start));
        when.begins.is_empty() || when.begins.iter().any(starts)
    };
    let equals = |given: &str| when.equals.as_ref().is_none_or(|value| given == value);
    request.headers.all(&when.header).any(|given| equals(given) && begins(given))
}
