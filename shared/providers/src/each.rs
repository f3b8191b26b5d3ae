use std::collections::BTreeMap;

use mapping::{Captured, Path, Reader, Segment, text_of};
use serde_json::value::RawValue;

use crate::manifest::{Events, On, OneOrMore};

/// What an element of a rule's `each` gives: `each` or `each.<member>`, and `nth` (from 0), or `whole` for the event itself; names and
/// values.
pub(crate) type Element = Vec<(String, String)>;

/// The elements of the first list that has any; with `also_whole`, the event itself before them. Empty for a rule without `each`
/// and for an event without elements.
pub(crate) fn elements(on: &On, event: &str) -> Vec<Element> {
    let mut found: Vec<Element> =
        paths(on).find_map(|path| Some(of(&path, event)).filter(|all| !all.is_empty())).unwrap_or_default();
    for (nth, element) in found.iter_mut().enumerate() {
        element.push(("nth".to_owned(), nth.to_string()));
    }
    if on.also_whole {
        found.insert(0, vec![("whole".to_owned(), "true".to_owned())]);
    }
    found
}

fn paths(on: &On) -> impl Iterator<Item = Path> {
    on.each.as_ref().map_or(&[][..], OneOrMore::as_slice).iter().filter_map(|path| path.parse().ok())
}

fn of(path: &Path, event: &str) -> Vec<Element> {
    let Ok(slots) = Reader::new(std::slice::from_ref(path)).json(event.as_bytes()) else { return Vec::new() };
    match slots.first() {
        Some(Captured::List(list)) => {
            let list: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
            list.into_iter().map(|element| variables(element.get())).collect()
        }
        Some(Captured::Object(one)) => vec![variables(one)],
        Some(one) => text_of(one).map(|text| vec![("each".to_owned(), text.to_owned())]).into_iter().collect(),
        None => Vec::new(),
    }
}

fn variables(element: &str) -> Element {
    let scalar = |raw: &str| -> Option<String> {
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(raw.to_owned()),
        }
    };
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(element) {
        Ok(members) => {
            members.into_iter().filter_map(|(name, value)| Some((format!("each.{name}"), scalar(value.get())?))).collect()
        }
        Err(_) => scalar(element).map(|text| ("each".to_owned(), text)).into_iter().collect(),
    }
}

/// The paths that are read by way of `$each`, with these variables of mapping rules.
pub(crate) fn read<'v>(events: &'v Events, vars: impl Iterator<Item = &'v str>) -> Vec<Path> {
    let keys = events.key.iter().chain(events.on.iter().flat_map(|on| &on.key)).flat_map(OneOrMore::as_slice);
    let ids = events.on.iter().filter_map(|on| on.id.as_ref());
    let stamps = events.stamp.iter().flat_map(|stamp| stamp.from.as_slice());
    let declared = keys.chain(ids).chain(stamps).filter_map(|text| text.strip_prefix('$'));
    let members: Vec<Path> = vars.chain(declared).filter_map(|var| var.strip_prefix("each.")?.parse().ok()).collect();
    let each = Path::from_iter([Segment::Each]);
    let lists = events.on.iter().flat_map(paths).map(|list| list.join(&each));
    lists.flat_map(|list| members.iter().map(|member| list.join(member)).chain([list.clone()]).collect::<Vec<_>>()).collect()
}
