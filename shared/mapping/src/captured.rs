//! Values as a body holds them, before anything is made of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::path::ElementFilter;

/// What a body holds at a path.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Captured<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// The list is there, but the element is not. In a snapshot this means null; in a partial body it means absent.
    Unmatched,
    /// True or false.
    Bool(bool),
    /// A number, with its digits as the body writes them.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// An object; the raw JSON.
    Object(&'a str),
    /// A list; the raw JSON.
    List(&'a str),
    /// What a path with `[*]` found.
    Many(Vec<Captured<'a>>),
}

impl Captured<'_> {
    /// The class of the value, for messages that must not show it.
    pub fn class(&self) -> &'static str {
        match self {
            Captured::Absent | Captured::Unmatched => "nothing",
            Captured::Null => "null",
            Captured::Bool(_) => "a boolean",
            Captured::Number(_) => "a number",
            Captured::Text(text) if text.is_empty() => "an empty text",
            Captured::Text(_) => "a text",
            Captured::Object(_) => "an object",
            Captured::List(_) | Captured::Many(_) => "a list",
        }
    }
}

/// The text of a scalar; a number or boolean as the body writes it.
pub fn text_of<'c>(captured: &'c Captured<'_>) -> Option<&'c str> {
    match captured {
        Captured::Text(text) => Some(text),
        Captured::Number(digits) => Some(digits),
        Captured::Bool(true) => Some("true"),
        Captured::Bool(false) => Some("false"),
        _ => None,
    }
}

/// Reads one JSON value, of which the parser has only found the end.
pub(crate) fn capture(raw: &str) -> Result<Captured<'_>, serde_json::Error> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') => {
            let inside = raw.get(1..raw.len() - 1).unwrap_or_default();
            if inside.as_bytes().contains(&b'\\') {
                Captured::Text(Cow::Owned(serde_json::from_str(raw)?))
            } else {
                Captured::Text(Cow::Borrowed(inside))
            }
        }
        Some(b'{') => Captured::Object(raw),
        Some(b'[') => Captured::List(raw),
        Some(b't') => Captured::Bool(true),
        Some(b'f') => Captured::Bool(false),
        Some(b'n') | None => Captured::Null,
        Some(_) => Captured::Number(raw),
    })
}

/// Whether an element of a list fits a filter.
pub(crate) fn fits(filter: &ElementFilter, raw: &str) -> bool {
    filter.members.iter().all(|wanted| member(raw, &wanted.path).is_some_and(|text| wanted.fits(&text)))
}

/// The text of a member of an object.
fn member<'a>(raw: &'a str, path: &[String]) -> Option<Cow<'a, str>> {
    let (name, rest) = path.split_first()?;
    let members: BTreeMap<Cow<'_, str>, &'a RawValue> = serde_json::from_str(raw).ok()?;
    let value = members.get(name.as_str())?.get();
    if !rest.is_empty() {
        return member(value, rest);
    }
    match capture(value).ok()? {
        Captured::Text(text) => Some(text),
        other => text_of(&other).map(|text| Cow::Owned(text.to_owned())),
    }
}

/// The elements of a captured list.
pub(crate) fn elements(raw: &str) -> Vec<Captured<'_>> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    list.into_iter().filter_map(|element| capture(element.get()).ok()).collect()
}
