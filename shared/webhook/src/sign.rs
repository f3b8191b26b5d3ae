//! The sender's side of the declared forms, for the sandbox, demonstrations and tests.

use std::borrow::Cow;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, hmac};
use serde_json::Value;
use thiserror::Error;

use crate::encoding;
use crate::proof::{P256_SPKI, sha256_hex};
use crate::scheme::{
    Algorithm, Compare, Encoding, KeyForm, Layout, Location, Proof, Scheme, Shared, SharedLocation, Signed, Timestamp, Unit, When,
};
use crate::shared::xml_element;
use crate::signed::{Filling, parse_json, reads_form, reads_json, signed_url};
use crate::{form, sns, url_form};

/// A request before it is signed.
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

/// Why a request could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// The scheme has no accepted version, or the body cannot hold the proof.
    #[error("this scheme cannot be signed from outside")]
    Unsupported,
    /// The secret does not have the form that the scheme needs.
    #[error("the secret does not have the form that this signature needs")]
    UnusableSecret,
    /// The clock cannot be written in the declared unit.
    #[error("the time cannot be written in the declared unit")]
    Time,
}

/// The query parameter that the URL must have for a body that is not a form: its name and the body's hash. `None` where the scheme
/// covers every body by itself.
pub fn body_parameter(scheme: &Scheme, body: &[u8]) -> Option<(String, String)> {
    match scheme {
        Scheme::UrlForm(form) => Some((form.body_hash.clone()?, sha256_hex(body))),
        _ => None,
    }
}

/// A request with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The headers that prove it; none where the proof is in the body.
    pub headers: Vec<(String, String)>,
    /// The body, with the proof where the scheme has it there.
    pub body: Vec<u8>,
}

/// Proves `draft` under `scheme`. Of several versions, the first accepted one. The secret is what the sender holds: with public
/// keys the private one, `whsk_…` for Ed25519, else PKCS #8 in base64 (ECDSA; RSA of 2048 bits and more for SNS, in signature
/// version 2).
///
/// # Errors
/// The secret does not fit, or the body cannot hold the proof.
pub fn sign(scheme: &Scheme, draft: &Draft<'_>, secret: &str) -> Result<SignedRequest, SignError> {
    let in_header = |headers| Ok(SignedRequest { headers, body: draft.body.to_vec() });
    match scheme {
        Scheme::Versions(versions) => {
            let accepted = versions.versions.iter().filter(|v| versions.accept.contains(&v.name));
            let mut failed = SignError::Unsupported;
            for version in accepted {
                let proven = match (&version.signed, &version.shared) {
                    (Some(signed), _) => sign_template(signed, draft, secret),
                    (None, Some(shared)) => sign_shared(shared, draft, secret),
                    (None, None) => continue,
                };
                match proven {
                    Ok(mut proven) => {
                        if let Some(When { header, equals: Some(value), .. }) = &version.when {
                            proven.headers.push((header.clone(), value.clone()));
                        }
                        return Ok(proven);
                    }
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
        Scheme::Signed(signed) => sign_template(signed, draft, secret),
        Scheme::UrlForm(form) => {
            let tag = url_form::tag(form, draft.url, draft.body, secret);
            in_header(vec![(form.header.clone(), encoding::to_base64(&tag))])
        }
        Scheme::Basic(_) => {
            in_header(vec![("authorization".to_owned(), format!("Basic {}", encoding::to_base64(secret.as_bytes())))])
        }
        Scheme::Shared(shared) => sign_shared(shared, draft, secret),
        Scheme::Sns(_) => sign_sns(draft, secret),
    }
}

fn json_of(body: &[u8]) -> Result<Value, SignError> {
    parse_json(body).map_err(|_| SignError::Unsupported)
}

/// Puts a text at a pointer, whose last member may be new.
fn put(json: &mut Value, pointer: &str, text: &str) -> Result<(), SignError> {
    let (parent, member) = pointer.rsplit_once('/').ok_or(SignError::Unsupported)?;
    let parent = json.pointer_mut(parent).and_then(Value::as_object_mut).ok_or(SignError::Unsupported)?;
    parent.insert(member.to_owned(), Value::from(text));
    Ok(())
}

fn sign_shared(shared: &Shared, draft: &Draft<'_>, secret: &str) -> Result<SignedRequest, SignError> {
    let mut headers = Vec::new();
    let body = match &shared.at {
        SharedLocation::Header(name) => {
            headers.push((name.clone(), secret.to_owned()));
            draft.body.to_vec()
        }
        SharedLocation::Json(pointer) => {
            let mut json = json_of(draft.body)?;
            put(&mut json, pointer, secret)?;
            json.to_string().into_bytes()
        }
        SharedLocation::JsonEach { items, field } => {
            let mut json = json_of(draft.body)?;
            let list = json.pointer_mut(items).and_then(Value::as_array_mut).ok_or(SignError::Unsupported)?;
            list.iter_mut().try_for_each(|item| put(item, field, secret))?;
            json.to_string().into_bytes()
        }
        SharedLocation::Xml(path) => {
            let (_, position) = xml_element(draft.body, path).map_err(|_| SignError::Unsupported)?;
            [&draft.body[..position.start], secret.as_bytes(), &draft.body[position.end..]].concat()
        }
    };
    Ok(SignedRequest { headers, body })
}

fn sign_sns(draft: &Draft<'_>, secret: &str) -> Result<SignedRequest, SignError> {
    let key = encoding::base64(secret).ok_or(SignError::UnusableSecret)?;
    let key = RsaKeyPair::from_pkcs8(&key).map_err(|_| SignError::UnusableSecret)?;
    let mut json = json_of(draft.body)?;
    put(&mut json, "/SignatureVersion", "2")?;
    let text = sns::signed_text(&json).map_err(|_| SignError::Unsupported)?;
    let mut tag = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut tag).map_err(|_| SignError::UnusableSecret)?;
    put(&mut json, "/Signature", &encoding::to_base64(&tag))?;
    Ok(SignedRequest { headers: Vec::new(), body: json.to_string().into_bytes() })
}

fn sign_template(signed: &Signed, draft: &Draft<'_>, secret: &str) -> Result<SignedRequest, SignError> {
    let timestamp = signed.timestamp.as_ref().map(|t| write_time(t.unit, draft.at_ms)).transpose()?;
    let mut json = if reads_json(signed) { Some(json_of(draft.body)?) } else { None };
    let mut form = draft.body.to_vec();
    match (&mut json, &signed.timestamp, &timestamp) {
        (Some(json), Some(Timestamp { at: Location::Json(pointer), .. }), Some(text)) => put(json, pointer, text)?,
        (_, Some(Timestamp { at: Location::Form(name), .. }), Some(text)) => {
            form = form::with_field(&form, name, text).ok_or(SignError::Unsupported)?;
        }
        _ => {}
    }
    let fields = if reads_form(signed) { form::fields(&form) } else { None };
    let filling = Filling {
        method: draft.method,
        url: signed_url(signed, draft.url),
        body: draft.body,
        timestamp: timestamp.as_deref().map(Cow::Borrowed),
        id: Some(Cow::Borrowed(draft.id)),
        json: json.as_ref(),
        form: fields.as_deref(),
    };
    let message = filling.fill(&signed.content, secret).map_err(|_| SignError::Unsupported)?;
    let (proof, tag) = first_tag(&signed.proofs, &message, secret)?;
    let mut headers = proof_headers(signed, draft, timestamp.as_deref())?;
    let value = signature_value(signed, proof, tag, timestamp.as_deref());
    let body = match (&signed.signature.at, json) {
        (Location::Header(names), _) => {
            headers.push((first(names)?, value));
            draft.body.to_vec()
        }
        (Location::Json(pointer), Some(mut json)) => {
            put(&mut json, pointer, &value)?;
            json.to_string().into_bytes()
        }
        (Location::Form(name), _) => form::with_field(&form, name, &value).ok_or(SignError::Unsupported)?,
        _ => return Err(SignError::Unsupported),
    };
    Ok(SignedRequest { headers, body })
}

/// The headers that carry the timestamp and the message id.
fn proof_headers(signed: &Signed, draft: &Draft<'_>, timestamp: Option<&str>) -> Result<Vec<(String, String)>, SignError> {
    let mut headers = Vec::new();
    if let (Some(Timestamp { at: Location::Header(names), .. }), Some(text)) = (&signed.timestamp, timestamp) {
        headers.push((first(names)?, text.to_owned()));
    }
    match &signed.id {
        Some(Location::Header(names)) => headers.push((first(names)?, draft.id.to_owned())),
        Some(_) => return Err(SignError::Unsupported),
        None => {}
    }
    Ok(headers)
}

/// The signature as its layout writes it, with the timestamp where that is part of the same value.
fn signature_value(signed: &Signed, proof: &Proof, tag: Vec<u8>, timestamp: Option<&str>) -> String {
    let text = match signed.signature.encoding {
        Encoding::Hex => hex::encode(tag),
        Encoding::Base64 => encoding::to_base64(&tag),
    };
    let label = proof.label.as_deref().unwrap_or_default();
    match (&signed.signature.layout, &signed.timestamp) {
        (Layout::Plain, _) => text,
        (Layout::Prefixed(prefix), _) => format!("{prefix}{text}"),
        (Layout::Pairs, Some(Timestamp { at: Location::Pair(key), .. })) => {
            format!("{key}={},{label}={text}", timestamp.unwrap_or_default())
        }
        (Layout::Pairs, _) => format!("{label}={text}"),
        (Layout::List, _) => format!("{label},{text}"),
    }
}

/// The sender's key and the hub's secret in the form that the scheme needs, made of a random text of at least 15 hexadecimal
/// digits. Their number is a multiple of four, so that the text is base64 as well.
///
/// # Errors
/// [`SignError::Unsupported`] for SNS, whose keys are Amazon's; or the operating system returns no random bytes.
pub fn key_pair(scheme: &Scheme, random: &str) -> Result<(String, String), SignError> {
    let same = |value: String| Ok((value.clone(), value));
    match scheme {
        Scheme::Sns(_) => Err(SignError::Unsupported),
        Scheme::Signed(signed) if signed.proofs.iter().all(|proof| proof.key == KeyForm::Spki) => ecdsa_pair(),
        Scheme::Basic(_) => same(format!("hub:{random}")),
        scheme if compares_ids(scheme) => same(format!("00D{}", random.get(..15).ok_or(SignError::UnusableSecret)?)),
        _ => same(random.to_owned()),
    }
}

fn compares_ids(scheme: &Scheme) -> bool {
    let ids = |shared: &Shared| shared.compare == Compare::Id15Or18;
    match scheme {
        Scheme::Shared(shared) => ids(shared),
        Scheme::Versions(versions) => versions.versions.iter().filter_map(|v| v.shared.as_ref()).any(ids),
        _ => false,
    }
}

/// A new ECDSA key pair: the sender's private key and the public key for the hub.
///
/// # Errors
/// The operating system returns no random bytes.
pub fn ecdsa_pair() -> Result<(String, String), SignError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let document = document.map_err(|_| SignError::UnusableSecret)?;
    let pair = ecdsa(document.as_ref()).ok_or(SignError::UnusableSecret)?;
    let public = [&P256_SPKI[..], pair.public_key().as_ref()].concat();
    Ok((encoding::to_base64(document.as_ref()), encoding::to_base64(&public)))
}

fn ecdsa(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new()).ok()
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
        KeyForm::Spki => encoding::base64(secret)?,
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
        Algorithm::EcdsaP256 => Some(ecdsa(&key)?.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
    }
}

fn write_time(unit: Unit, at_ms: i64) -> Result<String, SignError> {
    match unit {
        Unit::S => Ok(at_ms.div_euclid(1000).to_string()),
        Unit::Ms => Ok(at_ms.to_string()),
        Unit::Iso8601 => {
            let at = jiff::Timestamp::from_second(at_ms.div_euclid(1000)).map_err(|_| SignError::Time)?;
            Ok(at.to_string())
        }
    }
}
