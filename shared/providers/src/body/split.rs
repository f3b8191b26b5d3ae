//! Finds the events in a body's JSON text.

use std::borrow::Cow;

use mapping::{Captured, Path, Reader, Segment};
use serde_json::value::RawValue;

use crate::manifest::{Events, OneOrMore};
use crate::model::Malformed;

/// One event of a body, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEvent<'t> {
    /// Its JSON.
    pub json: Cow<'t, str>,
    /// The JSON around it: the nearest list element that holds the event's list, or else the body.
    pub outer: &'t str,
}

impl<'t> RawEvent<'t> {
    fn new(json: &'t str, outer: &'t str) -> RawEvent<'t> {
        RawEvent { json: Cow::Borrowed(json), outer }
    }
}

/// The events of a body: its elements, what it holds at the declared paths, or else the body itself.
pub(crate) fn split<'t>(text: &'t str, events: Option<&Events>) -> Result<Vec<RawEvent<'t>>, Malformed> {
    let not_json = |e: serde_json::Error| {
        let reason = if e.is_eof() { "the JSON ends too early" } else { "the body is not JSON" };
        let lines_before: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        Malformed::at(reason, lines_before + e.column().saturating_sub(1))
    };
    if events.is_some_and(|e| e.list) && text.trim_start().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
        return Ok(list.into_iter().map(|event| RawEvent::new(event.get(), event.get())).collect());
    }
    let body: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    if !body.get().starts_with('{') {
        return Err(Malformed::at("the body is not a JSON object", 0));
    }
    for path in declared_paths(events) {
        let mut found = Vec::new();
        if descend(body.get(), path.segments(), body.get(), &mut found) {
            return Ok(found);
        }
    }
    Ok(vec![RawEvent::new(body.get(), body.get())])
}

/// The declared path at which this body holds its events; `None` when the body itself is the event.
pub(crate) fn events_path(text: &str, events: Option<&Events>) -> Option<Path> {
    declared_paths(events).find(|path| descend(text, path.segments(), text, &mut Vec::new()))
}

fn declared_paths(events: Option<&Events>) -> impl Iterator<Item = Path> {
    let paths = events.and_then(|e| e.at.as_ref()).map_or(&[][..], OneOrMore::as_slice);
    paths.iter().filter_map(|path| path.parse().ok())
}

/// Follows a path to the events; false when the body does not have it.
fn descend<'t>(json: &'t str, path: &[Segment], outer: &'t str, found: &mut Vec<RawEvent<'t>>) -> bool {
    let Some((step, rest)) = path.split_first() else {
        found.push(RawEvent::new(json, outer));
        return true;
    };
    match step {
        Segment::Each => {
            let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return false };
            let before = found.len();
            let mut any = elements.is_empty();
            for element in elements {
                let around = if rest.is_empty() { outer } else { element.get() };
                if descend(element.get(), rest, around, found) {
                    any = true;
                } else {
                    // An element without the rest of the path becomes an event that cannot be read, so that it is not lost unnoticed.
                    found.push(RawEvent::new(element.get(), element.get()));
                }
            }
            if !any {
                found.truncate(before);
            }
            any
        }
        step => {
            let one = [step.clone()].into_iter().collect();
            let Ok(values) = Reader::new(&[one]).json(json.as_bytes()) else { return false };
            match values.into_iter().next() {
                Some(Captured::Object(json) | Captured::List(json)) => descend(json, rest, outer, found),
                _ => false,
            }
        }
    }
}

/// The path of what surrounds an event: the steps up to the last list element that holds the event's list.
pub(crate) fn outer_path(at: &Path) -> Path {
    let steps = at.segments();
    let inner = steps.split_last().map_or(steps, |(_, rest)| rest);
    let count = inner.iter().rposition(|step| *step == Segment::Each).map_or(0, |i| i + 1);
    steps[..count].iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(at: &str, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
        let mut events = Vec::new();
        let path: Path = at.parse().unwrap();
        let there = descend(text, path.segments(), text, &mut events);
        let borrowed = |event: RawEvent<'t>| match event.json {
            Cow::Borrowed(json) => (json, event.outer),
            Cow::Owned(_) => ("", event.outer),
        };
        there.then(|| events.into_iter().map(borrowed).collect())
    }

    #[test]
    fn events_at_a_path_and_what_surrounds_them() {
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
}
