//! Proof by a secret value that the request carries unencrypted.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::encoding;
use crate::proof::same;
use crate::rejection::Rejection;
use crate::request::{Evidence, RawRequest};
use crate::scheme::{Compare, Shared, SharedLocation};
use crate::signed::{json_text, parse_json, single_header};

pub(crate) fn verify(shared: &Shared, request: &RawRequest<'_>, secrets: &[&str]) -> Result<Evidence, Rejection> {
    let given = match &shared.at {
        SharedLocation::Header(name) => vec![single_header(request, name)?.to_owned()],
        SharedLocation::Json(pointer) => vec![json_text(Some(&parse_json(request.body)?), pointer)?.into_owned()],
        SharedLocation::JsonEach { items, field } => each_item(&parse_json(request.body)?, items, field)?,
        SharedLocation::Xml(path) => vec![xml_text(request.body, path)?],
    };
    // The items of one body may come from subscriptions made before and after a rotation, so they may carry different secrets.
    let mut evidence = None;
    for value in &given {
        let found = first_match(secrets, |secret| equal(shared.compare, value, secret))?;
        evidence.get_or_insert(found);
    }
    evidence.ok_or(Rejection::Mismatch)
}

pub(crate) fn verify_basic(request: &RawRequest<'_>, secrets: &[&str]) -> Result<Evidence, Rejection> {
    let value = single_header(request, "authorization")?;
    let (scheme, credentials) = value.split_once(' ').ok_or(Rejection::MalformedSignature)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Rejection::MalformedSignature);
    }
    let given = encoding::base64(credentials.trim_start_matches(' ')).ok_or(Rejection::MalformedSignature)?;
    first_match(secrets, |secret| secret.contains(':') && same(&given, secret.as_bytes()))
}

fn first_match(secrets: &[&str], matches: impl Fn(&str) -> bool) -> Result<Evidence, Rejection> {
    let found = secrets.iter().position(|secret| !secret.is_empty() && matches(secret));
    found.map(|secret| Evidence { version: None, secret, signed_at_ms: None }).ok_or(Rejection::Mismatch)
}

fn equal(compare: Compare, given: &str, secret: &str) -> bool {
    match compare {
        Compare::Exact => same(given.as_bytes(), secret.as_bytes()),
        Compare::Id15Or18 => {
            let well_formed = |id: &str| matches!(id.len(), 15 | 18) && id.bytes().all(|b| b.is_ascii_alphanumeric());
            let shorter = given.len().min(secret.len());
            well_formed(given) && well_formed(secret) && same(&given.as_bytes()[..shorter], &secret.as_bytes()[..shorter])
        }
    }
}

fn each_item(json: &Value, items: &str, field: &str) -> Result<Vec<String>, Rejection> {
    let list = json.pointer(items).and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| Rejection::MissingValue(items.to_owned()))?;
    list.iter().map(|item| json_text(Some(item), field).map(|text| text.into_owned())).collect()
}

/// The text of the one element at `path`. Two of them, markup inside it, or a document type make the body unreadable.
fn xml_text(body: &[u8], path: &str) -> Result<String, Rejection> {
    let (value, _) = xml_element(body, path)?;
    let value = value.trim().to_owned();
    if value.is_empty() { Err(Rejection::MissingValue(path.to_owned())) } else { Ok(value) }
}

/// The text of that element, and its position in the body.
pub(crate) fn xml_element(body: &[u8], path: &str) -> Result<(String, Range<usize>), Rejection> {
    let unreadable = || Rejection::BodyUnreadable("XML");
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    let wanted: Vec<&str> = path.split('/').collect();
    let mut reader = Reader::from_str(text);
    let mut open: Vec<String> = Vec::new();
    let mut found: Option<(String, Range<usize>)> = None;
    let mut inside = false;
    loop {
        let event = reader.read_event().map_err(|_| unreadable())?;
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        match event {
            Event::Start(element) => {
                if inside {
                    return Err(unreadable());
                }
                open.push(element.local_name().as_ref().to_owned());
                inside = open == wanted;
                if inside && found.replace((String::new(), at..at)).is_some() {
                    return Err(unreadable());
                }
            }
            Event::End(_) => {
                open.pop();
                inside = false;
            }
            Event::Text(piece) if inside => match &mut found {
                Some((value, position)) => {
                    value.push_str(piece.as_ref());
                    position.end = at;
                }
                None => return Err(unreadable()),
            },
            Event::DocType(_) => return Err(unreadable()),
            Event::Eof if open.is_empty() => break,
            Event::Eof => return Err(unreadable()),
            _ if inside => return Err(unreadable()),
            _ => {}
        }
    }
    found.ok_or_else(|| Rejection::MissingValue(path.to_owned()))
}
