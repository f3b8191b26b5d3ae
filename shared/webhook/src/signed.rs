//! Signatures over a template: where the values are, what was signed, who could have signed it.

use std::borrow::Cow;

use serde_json::Value;

use crate::encoding;
use crate::form::{self, Field};
use crate::json::whole_characters;
use crate::proof::Key;
use crate::rejection::Rejection;
use crate::request::{Evidence, RawRequest};
use crate::scheme::{Encoding, Layout, Location, Proof, Signed, Unit};
use crate::template::{Segment, Template};

/// The most signatures in one header. More of them are an attempt to waste processor time, not a rotation.
const MOST_SIGNATURES: usize = 16;

/// What a template is filled with.
pub(crate) struct Filling<'a> {
    pub method: &'a str,
    pub url: Cow<'a, str>,
    pub body: &'a [u8],
    pub timestamp: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    pub json: Option<&'a Value>,
    pub form: Option<&'a [Field<'a>]>,
}

impl Filling<'_> {
    pub(crate) fn fill(&self, template: &Template, secret: &str) -> Result<Vec<u8>, Rejection> {
        let mut out = Vec::with_capacity(self.body.len() + 256);
        for part in template.parts() {
            match part {
                Segment::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Method => out.extend_from_slice(self.method.as_bytes()),
                Segment::Url => out.extend_from_slice(self.url.as_bytes()),
                Segment::Body => out.extend_from_slice(self.body),
                Segment::Timestamp => out.extend_from_slice(self.timestamp.as_deref().unwrap_or_default().as_bytes()),
                Segment::Id => out.extend_from_slice(self.id.as_deref().unwrap_or_default().as_bytes()),
                Segment::Secret => out.extend_from_slice(secret.as_bytes()),
                Segment::Json(pointer) => out.extend_from_slice(json_text(self.json, pointer)?.as_bytes()),
                Segment::Form(name) => out.extend_from_slice(form_text(self.form, name)?.as_bytes()),
            }
        }
        Ok(out)
    }
}

pub(crate) fn verify(signed: &Signed, request: &RawRequest<'_>, secrets: &[&str], now_ms: i64) -> Result<Evidence, Rejection> {
    let json = if reads_json(signed) { Some(parse_json(request.body)?) } else { None };
    let form = if reads_form(signed) { Some(parse_form(request.body)?) } else { None };
    let reader = RequestReader::new(signed, request, json.as_ref(), form.as_deref())?;
    let candidates = reader.candidates()?;
    let timestamp = signed.timestamp.as_ref().map(|t| reader.value(&t.at)).transpose()?;
    let id = signed.id.as_ref().map(|at| reader.value(at)).transpose()?;
    let filling = Filling {
        method: request.method,
        url: signed_url(signed, request.url),
        body: request.body,
        timestamp: timestamp.clone(),
        id,
        json: json.as_ref(),
        form: form.as_deref(),
    };
    let (version, secret) = matching(signed, &candidates, &filling, secrets)?;
    let signed_at_ms = check_time(signed, timestamp.as_deref(), now_ms)?;
    Ok(Evidence { version, secret, signed_at_ms })
}

/// The URL as the sender spelled it before signing.
pub(crate) fn signed_url<'a>(signed: &Signed, url: &'a str) -> Cow<'a, str> {
    if signed.unescape.is_empty() { Cow::Borrowed(url) } else { Cow::Owned(encoding::unescape_only(url, &signed.unescape)) }
}

/// The label and the position of the secret that match, or the most specific reason why none does.
fn matching(
    signed: &Signed,
    candidates: &[Candidate<'_>],
    filling: &Filling<'_>,
    secrets: &[&str],
) -> Result<(Option<String>, usize), Rejection> {
    let mut reason = Rejection::NoAcceptedVersion;
    for proof in &signed.proofs {
        let tags = decoded(proof, candidates, signed.signature.encoding, &mut reason);
        if tags.is_empty() {
            continue;
        }
        for (position, secret) in secrets.iter().enumerate() {
            let Some(key) = Key::read(proof.algorithm, proof.key, secret) else {
                if reason != Rejection::Mismatch {
                    reason = Rejection::UnusableSecret;
                }
                continue;
            };
            let message = filling.fill(&signed.content, secret)?;
            if tags.iter().any(|tag| key.proves(&message, tag)) {
                return Ok((proof.label.clone(), position));
            }
            reason = Rejection::Mismatch;
        }
    }
    Err(reason)
}

fn decoded(proof: &Proof, candidates: &[Candidate<'_>], written: Encoding, reason: &mut Rejection) -> Vec<Vec<u8>> {
    let mut tags = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.label == proof.label.as_deref()) {
        let bytes = match written {
            Encoding::Hex => encoding::hex_lower(&candidate.text),
            Encoding::Base64 => encoding::base64(&candidate.text),
        };
        match bytes {
            Some(bytes) if !bytes.is_empty() => tags.push(bytes),
            _ if *reason == Rejection::NoAcceptedVersion => *reason = Rejection::MalformedSignature,
            _ => {}
        }
    }
    tags
}

/// One signature of a request, still in its text form.
struct Candidate<'a> {
    label: Option<&'a str>,
    text: Cow<'a, str>,
}

/// Reads the declared values of one request.
struct RequestReader<'a> {
    signed: &'a Signed,
    request: &'a RawRequest<'a>,
    json: Option<&'a Value>,
    form: Option<&'a [Field<'a>]>,
    /// Which of the alternative headers this request uses.
    alternative: usize,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> RequestReader<'a> {
    fn new(
        signed: &'a Signed,
        request: &'a RawRequest<'a>,
        json: Option<&'a Value>,
        form: Option<&'a [Field<'a>]>,
    ) -> Result<RequestReader<'a>, Rejection> {
        let alternative = match &signed.signature.at {
            Location::Header(names) => names.iter().position(|name| request.headers.contains(name)).unwrap_or_default(),
            _ => 0,
        };
        let mut reader = RequestReader { signed, request, json, form, alternative, pairs: Vec::new() };
        if let (Layout::Pairs, Location::Header(names)) = (&signed.signature.layout, &signed.signature.at) {
            let value = reader.header(names)?;
            reader.pairs = value.split(',').filter_map(|pair| pair.split_once('=')).collect();
        }
        Ok(reader)
    }

    /// The signatures of the request with their labels.
    fn candidates(&self) -> Result<Vec<Candidate<'a>>, Rejection> {
        let signature = &self.signed.signature;
        let mut found = self.candidates_of(self.value(&signature.at)?)?;
        for value in signature.also.iter().filter_map(|location| self.value(location).ok()) {
            found.extend(self.candidates_of(value)?);
        }
        if found.len() > MOST_SIGNATURES { Err(Rejection::TooManySignatures) } else { Ok(found) }
    }

    fn candidates_of(&self, value: Cow<'a, str>) -> Result<Vec<Candidate<'a>>, Rejection> {
        Ok(match &self.signed.signature.layout {
            Layout::Plain | Layout::Prefixed(_) if value.contains(',') => return Err(self.doubled()),
            Layout::Plain => vec![Candidate { label: None, text: value }],
            Layout::Prefixed(prefix) => {
                let text = value.strip_prefix(prefix.as_str()).ok_or(Rejection::MalformedSignature)?;
                vec![Candidate { label: None, text: Cow::Owned(text.to_owned()) }]
            }
            Layout::Pairs => {
                self.pairs.iter().map(|(key, text)| Candidate { label: Some(key), text: Cow::Borrowed(text) }).collect()
            }
            Layout::List => {
                let Cow::Borrowed(value) = value else { return Err(Rejection::MalformedSignature) };
                let entries: Vec<_> = value.split(' ').filter_map(|entry| entry.split_once(',')).collect();
                if entries.iter().any(|(_, text)| text.contains(',')) {
                    return Err(self.doubled());
                }
                entries.into_iter().map(|(label, text)| Candidate { label: Some(label), text: Cow::Borrowed(text) }).collect()
            }
        })
    }

    fn doubled(&self) -> Rejection {
        match &self.signed.signature.at {
            Location::Header(names) => Rejection::DoubledHeader(names.get(self.alternative).cloned().unwrap_or_default()),
            Location::Json(_) | Location::Form(_) | Location::Pair(_) => Rejection::MalformedSignature,
        }
    }

    fn value(&self, at: &Location) -> Result<Cow<'a, str>, Rejection> {
        match at {
            Location::Header(names) => self.header(names).map(Cow::Borrowed),
            Location::Json(pointer) => json_text(self.json, pointer),
            Location::Form(name) => form_text(self.form, name),
            Location::Pair(key) => {
                // A proxy may join doubled headers with a comma and a space: the trimmed key shows the double.
                let mut values = self.pairs.iter().filter(|(k, _)| k.trim() == key).map(|(k, v)| if k == key { *v } else { "" });
                match (values.next(), values.next()) {
                    (Some(""), None) | (None, _) => Err(Rejection::MalformedTimestamp),
                    (Some(value), None) => Ok(Cow::Borrowed(value)),
                    (Some(_), Some(_)) => Err(self.doubled()),
                }
            }
        }
    }

    fn header(&self, names: &[String]) -> Result<&'a str, Rejection> {
        let at = if names.len() == 1 { 0 } else { self.alternative };
        let name = names.get(at).map(String::as_str).unwrap_or_default();
        single_header(self.request, name)
    }
}

/// The value of a header that must come exactly once and not empty.
pub(crate) fn single_header<'a>(request: &RawRequest<'a>, name: &str) -> Result<&'a str, Rejection> {
    let mut values = request.headers.all(name);
    match (values.next(), values.next()) {
        (None, _) => Err(Rejection::MissingHeader(name.to_owned())),
        (Some(_), Some(_)) => Err(Rejection::DoubledHeader(name.to_owned())),
        (Some(value), None) if value.trim().is_empty() => Err(Rejection::EmptyHeader(name.to_owned())),
        (Some(value), None) => Ok(value),
    }
}

fn locations(signed: &Signed) -> impl Iterator<Item = &Location> {
    let signatures = std::iter::once(&signed.signature.at).chain(&signed.signature.also);
    signed.timestamp.iter().map(|t| &t.at).chain(&signed.id).chain(signatures)
}

pub(crate) fn reads_json(signed: &Signed) -> bool {
    signed.content.reads_json() || locations(signed).any(|location| matches!(location, Location::Json(_)))
}

pub(crate) fn reads_form(signed: &Signed) -> bool {
    signed.content.reads_form() || locations(signed).any(|location| matches!(location, Location::Form(_)))
}

fn parse_form(body: &[u8]) -> Result<Vec<Field<'_>>, Rejection> {
    form::fields(body).ok_or(Rejection::BodyUnreadable("form"))
}

/// The text of the one field of that name. A second field may come from anybody, because many senders copy values of strangers
/// into their forms.
fn form_text<'v>(form: Option<&'v [Field<'v>]>, name: &str) -> Result<Cow<'v, str>, Rejection> {
    let mut found = form.unwrap_or_default().iter().filter(|field| *field.name == *name.as_bytes());
    match (found.next(), found.next()) {
        (Some(field), None) if field.file.is_none() && !field.value.is_empty() => {
            std::str::from_utf8(&field.value).map(Cow::Borrowed).map_err(|_| Rejection::MissingValue(name.to_owned()))
        }
        _ => Err(Rejection::MissingValue(name.to_owned())),
    }
}

pub(crate) fn parse_json(body: &[u8]) -> Result<Value, Rejection> {
    serde_json::from_slice(&whole_characters(body)).map_err(|_| Rejection::BodyUnreadable("JSON"))
}

/// A text, or a whole number as it is written, at a pointer.
pub(crate) fn json_text<'v>(json: Option<&'v Value>, pointer: &str) -> Result<Cow<'v, str>, Rejection> {
    match json.and_then(|json| json.pointer(pointer)) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Cow::Borrowed(text)),
        Some(Value::Number(number)) if !number.is_f64() => Ok(Cow::Owned(number.to_string())),
        _ => Err(Rejection::MissingValue(pointer.to_owned())),
    }
}

fn check_time(signed: &Signed, text: Option<&str>, now_ms: i64) -> Result<Option<i64>, Rejection> {
    let (Some(declared), Some(text)) = (&signed.timestamp, text) else { return Ok(None) };
    let read = read_time(declared.unit, text);
    let Some(tolerance_s) = signed.tolerance_s else { return Ok(read) };
    let at_ms = read.ok_or(Rejection::MalformedTimestamp)?;
    let age_ms = now_ms.saturating_sub(at_ms);
    let limit_ms = i64::from(tolerance_s) * 1000;
    if age_ms > limit_ms + i64::from(signed.repeats_s) * 1000 {
        Err(Rejection::Stale(age_ms / 1000))
    } else if age_ms < -limit_ms {
        Err(Rejection::Future(age_ms.saturating_neg() / 1000))
    } else {
        Ok(Some(at_ms))
    }
}

fn read_time(unit: Unit, text: &str) -> Option<i64> {
    let whole = || {
        let digits = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<i64>().ok() } else { None }
    };
    match unit {
        Unit::S => whole()?.checked_mul(1000),
        Unit::Ms => whole(),
        Unit::Iso8601 => text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond()),
    }
}
