//! Finds the parts of a body that no rule reads.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::path::{ElementFilter, Path, Segment};

/// The paths of a body that hold something and that none of `read` covers, each once, list elements as `[*]`.
pub fn unmapped(read: &[Path], body: &Json) -> Vec<String> {
    let mut left = BTreeSet::new();
    let open: Vec<&[Segment]> = read.iter().map(Path::segments).collect();
    walk(&open, body, String::new(), &mut left);
    left.into_iter().collect()
}

fn walk(open: &[&[Segment]], value: &Json, path: String, left: &mut BTreeSet<String>) {
    // A path that ends here reads the value with everything in it.
    let taken = open.iter().any(|rest| rest.is_empty());
    match value {
        Json::Null => {}
        Json::Object(members) => {
            let deeper = open.iter().any(|rest| !rest.is_empty());
            if taken && !deeper {
                return;
            }
            for (name, member) in members {
                let below: Vec<_> = open.iter().filter_map(|rest| step(rest, |s| *s == Segment::Key(name.clone()))).collect();
                let dot = if path.is_empty() { "" } else { "." };
                walk(&below, member, format!("{path}{dot}{name}"), left);
            }
        }
        Json::Array(elements) => {
            let deeper = open.iter().any(|rest| !rest.is_empty());
            if taken && !deeper {
                return;
            }
            for (index, element) in elements.iter().enumerate() {
                let fits = |s: &Segment| match s {
                    Segment::Where(filter) if filter.every => fits_filter(filter, element),
                    Segment::Where(filter) => elements.iter().position(|e| fits_filter(filter, e)) == Some(index),
                    s => matches!(s, Segment::Each) || *s == Segment::Index(index),
                };
                let below: Vec<_> = open.iter().filter_map(|rest| step(rest, fits)).collect();
                walk(&below, element, format!("{path}[*]"), left);
            }
        }
        _ if taken => {}
        _ => {
            left.insert(path);
        }
    }
}

fn fits_filter(filter: &ElementFilter, element: &Json) -> bool {
    filter.members.iter().all(|wanted| match wanted.path.iter().try_fold(element, |at, name| at.get(name)) {
        Some(Json::String(text)) => wanted.fits(text),
        Some(Json::Null | Json::Object(_) | Json::Array(_)) | None => false,
        Some(Json::Bool(b)) => wanted.fits(if *b { "true" } else { "false" }),
        Some(Json::Number(number)) => wanted.fits(&number.to_string()),
    })
}

fn step<'p>(rest: &&'p [Segment], fits: impl Fn(&Segment) -> bool) -> Option<&'p [Segment]> {
    rest.split_first().filter(|(first, _)| fits(first)).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_reads() {
        let read: Vec<Path> = ["a.b", "list[*].x", "tags"].iter().map(|p| p.parse().unwrap()).collect();
        let body =
            serde_json::json!({"a": {"b": 1, "c": 2}, "list": [{"x": 1, "y": 2}, {"y": 3}], "tags": ["p"], "n": null, "z": ""});
        assert_eq!(unmapped(&read, &body), ["a.c", "list[*].y", "z"]);
    }
}
