use std::borrow::Cow;

use mapping::{Captured, Path, Reader, Segment, text_of};
use serde_json::value::RawValue;
use serde_json::{Map as JsonMap, Value};

use crate::fields;
use crate::hook;
use crate::manifest::{Events, OneOrMore};
use crate::model::Malformed;
use crate::texts;
use crate::xml;

/// One event of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part<'t> {
    /// Its JSON.
    pub event: Cow<'t, str>,
    /// The JSON of what is around it: the nearest list element that holds its list, else the body.
    pub outer: &'t str,
}

/// How deep the brackets of a form parameter's name may go.
const DEEPEST: usize = 16;

fn malformed(reason: &str) -> Malformed {
    Malformed { reason: reason.to_owned(), at: None }
}

impl<'t> Part<'t> {
    fn new(event: &'t str, outer: &'t str) -> Part<'t> {
        Part { event: Cow::Borrowed(event), outer }
    }
}

/// The body as JSON text: a form or XML as an object.
pub(crate) fn json_text<'b>(body: &'b [u8], events: Option<&Events>) -> Result<Cow<'b, str>, Malformed> {
    if let Some(events) = events.filter(|events| !body.is_empty() && fields::is_form(body, events)) {
        return Ok(Cow::Owned(fields::json(body, events)?));
    }
    let text =
        std::str::from_utf8(body).map_err(|e| Malformed { reason: "the body is not UTF-8".into(), at: Some(e.valid_up_to()) })?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        let from_headers = events.is_some_and(|e| e.bodyless);
        return if from_headers { Ok(Cow::Borrowed("{}")) } else { Err(malformed("the body is empty")) };
    }
    let Some(events) = events else { return Ok(Cow::Borrowed(text)) };
    let is_json = text.trim_start().starts_with(['{', '[']);
    match &events.xml {
        Some(bodies) if text.trim_start().starts_with('<') => Ok(Cow::Owned(xml::json(text, bodies)?)),
        _ if events.form && !is_json => Ok(Cow::Owned(form(text)?)),
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// The event that stands as JSON text in a member.
fn inside(text: &str, events: &Events) -> Result<Option<String>, Malformed> {
    let paths: Vec<Path> = events.json_in.iter().filter_map(|path| path.parse().ok()).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let Ok(slots) = Reader::new(&paths).json(text.as_bytes()) else { return Ok(None) };
    let found = slots.iter().find_map(|slot| match slot {
        Captured::Text(text) if text.trim_start().starts_with('{') => text_of(slot),
        _ => None,
    });
    let Some(event) = found else { return Ok(None) };
    serde_json::from_str::<&RawValue>(event).map_err(|_| malformed("the JSON inside the body is not JSON"))?;
    Ok(Some(event.to_owned()))
}

/// The events of a body, those inside of texts taken out, as the folder's hook leaves them.
pub(crate) fn parts<'t>(text: &'t str, events: Option<&Events>) -> Result<Vec<Part<'t>>, Malformed> {
    let mut parts = split(text, events)?;
    let Some(events) = events else { return Ok(parts) };
    let hook = events.hook.as_deref().and_then(hook::hook);
    let alone = parts.len() == 1;
    for part in &mut parts {
        match inside(&part.event, events) {
            Ok(Some(event)) => part.event = Cow::Owned(event),
            Err(broken) if alone => return Err(broken),
            Ok(None) | Err(_) => {}
        }
        if let Some(event) = texts::opened(&part.event, events) {
            part.event = Cow::Owned(event);
        }
        if let Some(event) = hook.and_then(|hook| hook(&part.event, part.outer).transpose()).transpose()? {
            part.event = Cow::Owned(event);
        }
    }
    Ok(parts)
}

fn split<'t>(text: &'t str, events: Option<&Events>) -> Result<Vec<Part<'t>>, Malformed> {
    let wrong = |e: serde_json::Error| {
        let reason = if e.is_eof() { "the JSON ends too early" } else { "the body is not JSON" };
        let before: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        Malformed { reason: reason.into(), at: Some(before + e.column().saturating_sub(1)) }
    };
    if events.is_some_and(|e| e.list) && text.trim_start().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
        return Ok(list.into_iter().map(|event| Part::new(event.get(), event.get())).collect());
    }
    let body: &RawValue = serde_json::from_str(text).map_err(wrong)?;
    if !body.get().starts_with('{') {
        return Err(Malformed { reason: "the body is no JSON object".into(), at: Some(0) });
    }
    for path in places(events) {
        let mut found = Vec::new();
        if descend(body.get(), path.segments(), body.get(), &mut found) {
            return Ok(found);
        }
    }
    Ok(vec![Part::new(body.get(), body.get())])
}

/// Where the events of this body are, if not the body is one.
pub(crate) fn place(text: &str, events: Option<&Events>) -> Option<Path> {
    places(events).find(|path| descend(text, path.segments(), text, &mut Vec::new()))
}

fn places(events: Option<&Events>) -> impl Iterator<Item = Path> {
    let paths = events.and_then(|e| e.at.as_ref()).map_or(&[][..], OneOrMore::as_slice);
    paths.iter().filter_map(|path| path.parse().ok())
}

/// Follows a path to the events; false when the body does not have it.
fn descend<'t>(raw: &'t str, path: &[Segment], outer: &'t str, found: &mut Vec<Part<'t>>) -> bool {
    let Some((step, rest)) = path.split_first() else {
        found.push(Part::new(raw, outer));
        return true;
    };
    match step {
        Segment::Each => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return false };
            let before = found.len();
            let mut any = elements.is_empty();
            for element in elements {
                let around = if rest.is_empty() { outer } else { element.get() };
                if descend(element.get(), rest, around, found) {
                    any = true;
                } else {
                    // What lacks the rest of the path is an event that nobody can read; it is not lost among good ones.
                    found.push(Part::new(element.get(), element.get()));
                }
            }
            if !any {
                found.truncate(before);
            }
            any
        }
        step => {
            let one = [step.clone()].into_iter().collect();
            let Ok(slots) = Reader::new(&[one]).json(raw.as_bytes()) else { return false };
            match slots.into_iter().next() {
                Some(Captured::Object(raw) | Captured::List(raw)) => descend(raw, rest, outer, found),
                _ => false,
            }
        }
    }
}

/// The path of what is around an event: the steps up to the last list element that holds the event's list.
pub(crate) fn outer_path(at: &Path) -> Path {
    let steps = at.segments();
    let inner = steps.split_last().map_or(steps, |(_, rest)| rest);
    let upto = inner.iter().rposition(|step| *step == Segment::Each).map_or(0, |i| i + 1);
    steps[..upto].iter().cloned().collect()
}

/// Form parameters (`application/x-www-form-urlencoded`) as a JSON object; brackets in names make objects.
fn form(text: &str) -> Result<String, Malformed> {
    let mut root = JsonMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text| mapping::decode(text).ok_or_else(|| malformed("a form parameter is not UTF-8"));
        let (name, value) = (decode(name)?, decode(value)?);
        let mut steps = name.split('[').map(|step| step.strip_suffix(']').unwrap_or(step));
        let first = steps.next().unwrap_or_default();
        let steps: Vec<&str> = steps.collect();
        if steps.len() > DEEPEST {
            return Err(malformed("a form parameter is nested too deeply"));
        }
        insert(&mut root, first, &steps, value.into_owned());
    }
    Ok(Value::Object(root).to_string())
}

fn insert(object: &mut JsonMap<String, Value>, name: &str, steps: &[&str], value: String) {
    match steps {
        [] => {
            object.insert(name.to_owned(), Value::String(value));
        }
        [""] => match object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => list.push(Value::String(value)),
            other => *other = Value::Array(vec![Value::String(value)]),
        },
        [next, rest @ ..] => {
            let below = object.entry(name).or_insert_with(|| Value::Object(JsonMap::new()));
            if !below.is_object() {
                *below = Value::Object(JsonMap::new());
            }
            if let Value::Object(below) = below {
                insert(below, next, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(at: &str, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
        let mut parts = Vec::new();
        let path: Path = at.parse().unwrap();
        let there = descend(text, path.segments(), text, &mut parts);
        let raw = |part: Part<'t>| match part.event {
            Cow::Borrowed(event) => (event, part.outer),
            Cow::Owned(_) => ("", part.outer),
        };
        there.then(|| parts.into_iter().map(raw).collect())
    }

    #[test]
    fn events_at_a_path_and_what_is_around_them() {
        let body = r#"{"v":[{"a":1},{"a":2}]}"#;
        assert_eq!(found("v[*]", body), Some(vec![(r#"{"a":1}"#, body), (r#"{"a":2}"#, body)]));
        let nested = r#"{"n":[{"r":1,"e":{"l":[3]}},{"r":2,"e":{"l":[]}}]}"#;
        assert_eq!(found("n[*].e.l[*]", nested), Some(vec![("3", r#"{"r":1,"e":{"l":[3]}}"#)]));
        assert_eq!(found("v[*]", r#"{"w":1}"#), None);
        let odd = r#"{"v":[{"e":{"a":1}},{"b":2},{"e":{"a":3}}]}"#;
        let events: Vec<&str> = found("v[*].e", odd).unwrap().into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"a":3}"#], "an element that lacks its event is not lost");
        assert_eq!(found("v[*].x", odd), None);
        assert_eq!(found("v[*]", r#"{"v":[]}"#), Some(vec![]));
        assert_eq!(outer_path(&"n[*].e.l[*]".parse().unwrap()).to_string(), "n[*]");
        assert_eq!(outer_path(&"v[*]".parse().unwrap()).to_string(), "");
    }

    #[test]
    fn forms_become_objects() {
        let json = form("type=a%2Bb&data%5Bmerges%5D%5BEMAIL%5D=x%40y&list[]=1&list[]=2&flag&a=1&a=2").unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "a+b", "data": {"merges": {"EMAIL": "x@y"}}, "list": ["1", "2"], "flag": "", "a": "2"})
        );
        assert!(form(&format!("a{}=1", "[b]".repeat(100))).is_err());
        assert!(form("a=%ff").is_err());
    }
}
