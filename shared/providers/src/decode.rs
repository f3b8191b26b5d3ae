use std::borrow::Cow;

use mapping::{Captured, Path, Reader, Segment, text_of};
use serde_json::value::RawValue;
use serde_json::{Map as JsonMap, Value};

use crate::manifest::Events;
use crate::model::Malformed;

/// One event of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'t> {
    /// Its JSON.
    pub event: &'t str,
    /// The JSON of what is around it: the nearest list element that holds its list, else the body.
    pub outer: &'t str,
}

/// How deep the brackets of a form parameter's name may go.
const DEEPEST: usize = 16;

fn malformed(reason: &str) -> Malformed {
    Malformed { reason: reason.to_owned(), at: None }
}

/// The body as JSON text: a form as an object, an event inside a text taken out.
pub(crate) fn json_text<'b>(body: &'b [u8], events: Option<&Events>) -> Result<Cow<'b, str>, Malformed> {
    let text =
        std::str::from_utf8(body).map_err(|e| Malformed { reason: "the body is not UTF-8".into(), at: Some(e.valid_up_to()) })?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        let from_headers = events.is_some_and(|e| e.bodyless);
        return if from_headers { Ok(Cow::Borrowed("{}")) } else { Err(malformed("the body is empty")) };
    }
    let Some(events) = events else { return Ok(Cow::Borrowed(text)) };
    let is_json = text.trim_start().starts_with(['{', '[']);
    let text = if events.form && !is_json { Cow::Owned(form(text)?) } else { Cow::Borrowed(text) };
    match inside(&text, events)? {
        Some(event) => Ok(Cow::Owned(event)),
        None => Ok(text),
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

/// The events of a body.
pub(crate) fn parts<'t>(text: &'t str, events: Option<&Events>) -> Result<Vec<Part<'t>>, Malformed> {
    let wrong = |e: serde_json::Error| {
        let reason = if e.is_eof() { "the JSON ends too early" } else { "the body is not JSON" };
        let before: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        Malformed { reason: reason.into(), at: Some(before + e.column().saturating_sub(1)) }
    };
    if events.is_some_and(|e| e.list) && text.trim_start().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
        return Ok(list.into_iter().map(|event| Part { event: event.get(), outer: event.get() }).collect());
    }
    let body: &RawValue = serde_json::from_str(text).map_err(wrong)?;
    if !body.get().starts_with('{') {
        return Err(Malformed { reason: "the body is no JSON object".into(), at: Some(0) });
    }
    if let Some(path) = events.and_then(|e| e.at.as_ref()).and_then(|path| path.parse::<Path>().ok()) {
        let mut found = Vec::new();
        if descend(body.get(), path.segments(), body.get(), &mut found) {
            return Ok(found);
        }
    }
    Ok(vec![Part { event: body.get(), outer: body.get() }])
}

/// Follows a path to the events; false when the body does not have it.
fn descend<'t>(raw: &'t str, path: &[Segment], outer: &'t str, found: &mut Vec<Part<'t>>) -> bool {
    let Some((step, rest)) = path.split_first() else {
        found.push(Part { event: raw, outer });
        return true;
    };
    match step {
        Segment::Each => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return false };
            for element in elements {
                descend(element.get(), rest, if rest.is_empty() { outer } else { element.get() }, found);
            }
            true
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
        descend(text, path.segments(), text, &mut parts).then(|| parts.iter().map(|p| (p.event, p.outer)).collect())
    }

    #[test]
    fn events_at_a_path_and_what_is_around_them() {
        let body = r#"{"v":[{"a":1},{"a":2}]}"#;
        assert_eq!(found("v[*]", body), Some(vec![(r#"{"a":1}"#, body), (r#"{"a":2}"#, body)]));
        let nested = r#"{"n":[{"r":1,"e":{"l":[3]}},{"r":2,"e":{"l":[]}}]}"#;
        assert_eq!(found("n[*].e.l[*]", nested), Some(vec![("3", r#"{"r":1,"e":{"l":[3]}}"#)]));
        assert_eq!(found("v[*]", r#"{"w":1}"#), None);
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
