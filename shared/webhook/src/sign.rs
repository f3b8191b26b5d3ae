//! The sender's side of the declared forms, for the sandbox, demonstrations and tests.

use std::borrow::Cow;

use ring::signature::Ed25519KeyPair;
use ring::{digest, hmac};
use thiserror::Error;

use crate::encoding;
use crate::scheme::{Algorithm, Encoding, KeyForm, Layout, Place, Proof, Scheme, Shared, SharedPlace, Signed, Unit, When};
use crate::signed::{Filling, signed_url};
use crate::url_form;

/// What is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Method in upper case.
    pub method: &'a str,
    /// Absolute URL.
    pub url: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
    /// The sender's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Message id, for schemes that sign one.
    pub id: &'a str,
}

/// Why nothing could be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// The scheme puts its proof into the body, or needs a key that only its provider has.
    #[error("this scheme cannot be signed from outside")]
    Unsupported,
    /// The secret does not have the form that the scheme needs.
    #[error("the secret does not have the form that this signature needs")]
    UnusableSecret,
    /// The clock cannot be written in the declared unit.
    #[error("the time cannot be written in the declared unit")]
    Time,
}

/// The headers that prove `draft` under `scheme`: HMAC and hash forms, Ed25519 with a `whsk_` key, URL forms, Basic and
/// shared headers. Of several versions, the first accepted one.
pub fn sign(scheme: &Scheme, draft: &Draft<'_>, secret: &str) -> Result<Vec<(String, String)>, SignError> {
    match scheme {
        Scheme::Versions(versions) => {
            let version = versions.versions.iter().find(|v| versions.accept.contains(&v.name)).ok_or(SignError::Unsupported)?;
            let mut headers = match (&version.signed, &version.shared) {
                (Some(signed), _) => sign_template(signed, draft, secret)?,
                (None, Some(shared)) => return sign(&Scheme::Shared(shared.clone()), draft, secret),
                (None, None) => return Err(SignError::Unsupported),
            };
            if let Some(When { header, equals: Some(value), .. }) = &version.when {
                headers.push((header.clone(), value.clone()));
            }
            Ok(headers)
        }
        Scheme::Signed(signed) => sign_template(signed, draft, secret),
        Scheme::UrlForm(form) => {
            let tag = url_form::tag(form, draft.url, draft.body, secret);
            Ok(vec![(form.header.clone(), encoding::to_base64(&tag))])
        }
        Scheme::Basic(_) => Ok(vec![("authorization".to_owned(), format!("Basic {}", encoding::to_base64(secret.as_bytes())))]),
        Scheme::Shared(Shared { at: SharedPlace::Header(name), .. }) => Ok(vec![(name.clone(), secret.to_owned())]),
        Scheme::Shared(_) | Scheme::Sns(_) => Err(SignError::Unsupported),
    }
}

fn sign_template(signed: &Signed, draft: &Draft<'_>, secret: &str) -> Result<Vec<(String, String)>, SignError> {
    let timestamp = signed.timestamp.as_ref().map(|t| written(t.unit, draft.at_ms)).transpose()?;
    let filling = Filling {
        method: draft.method,
        url: signed_url(signed, draft.url),
        body: draft.body,
        timestamp: timestamp.as_deref().map(Cow::Borrowed),
        id: Some(Cow::Borrowed(draft.id)),
        json: None,
        form: None,
    };
    let message = filling.fill(&signed.content, secret).map_err(|_| SignError::Unsupported)?;
    let (proof, tag) = first_tag(&signed.proofs, &message, secret)?;
    let text = match signed.signature.encoding {
        Encoding::Hex => hex::encode(tag),
        Encoding::Base64 => encoding::to_base64(&tag),
    };
    let label = proof.label.as_deref().unwrap_or_default();
    let mut headers = Vec::new();
    let mut prefix = String::new();
    if let (Some(declared), Some(text)) = (&signed.timestamp, &timestamp) {
        match &declared.at {
            Place::Header(names) => headers.push((first(names)?, text.clone())),
            Place::Pair(key) => prefix = format!("{key}={text},"),
            Place::Json(_) | Place::Form(_) => return Err(SignError::Unsupported),
        }
    }
    match &signed.id {
        Some(Place::Header(names)) => headers.push((first(names)?, draft.id.to_owned())),
        Some(_) => return Err(SignError::Unsupported),
        None => {}
    }
    let Place::Header(names) = &signed.signature.at else { return Err(SignError::Unsupported) };
    let value = match &signed.signature.layout {
        Layout::Plain => text,
        Layout::Prefixed(prefix) => format!("{prefix}{text}"),
        Layout::Pairs => format!("{prefix}{label}={text}"),
        Layout::List => format!("{label},{text}"),
    };
    headers.push((first(names)?, value));
    Ok(headers)
}

fn first(names: &[String]) -> Result<String, SignError> {
    names.first().cloned().ok_or(SignError::Unsupported)
}

fn first_tag<'p>(proofs: &'p [Proof], message: &[u8], secret: &str) -> Result<(&'p Proof, Vec<u8>), SignError> {
    proofs.iter().find_map(|proof| tag(proof, message, secret).map(|tag| (proof, tag))).ok_or(SignError::UnusableSecret)
}

fn tag(proof: &Proof, message: &[u8], secret: &str) -> Option<Vec<u8>> {
    let key = match proof.key {
        KeyForm::Text => secret.as_bytes().to_vec(),
        KeyForm::Whsec => encoding::base64(secret.strip_prefix("whsec_").unwrap_or(secret))?,
        KeyForm::Whpk => encoding::base64(secret.strip_prefix("whsk_")?)?,
        KeyForm::Spki => return None,
    };
    let mac = |algorithm| hmac::sign(&hmac::Key::new(algorithm, &key), message).as_ref().to_vec();
    match proof.algorithm {
        _ if key.is_empty() => None,
        Algorithm::HmacSha1 => Some(mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
        Algorithm::HmacSha256 => Some(mac(hmac::HMAC_SHA256)),
        Algorithm::Sha256 => Some(digest::digest(&digest::SHA256, message).as_ref().to_vec()),
        Algorithm::Ed25519 => {
            let (seed, public) = key.split_at_checked(32)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
            Some(pair.sign(message).as_ref().to_vec())
        }
        Algorithm::EcdsaP256 => None,
    }
}

fn written(unit: Unit, at_ms: i64) -> Result<String, SignError> {
    match unit {
        Unit::S => Ok(at_ms.div_euclid(1000).to_string()),
        Unit::Ms => Ok(at_ms.to_string()),
        Unit::Iso8601 => {
            let at = jiff::Timestamp::from_second(at_ms.div_euclid(1000)).map_err(|_| SignError::Time)?;
            Ok(at.to_string())
        }
    }
}
