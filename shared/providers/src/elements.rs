//! The elements of a rule's `each`: an event about several things becomes one event for each of them.

use std::collections::BTreeMap;

use mapping::{Captured, Path, Reader, text_of};
use serde_json::value::RawValue;

use crate::view::ElementVariables;

/// The variables of each element of the first of these lists that has any; with `also_whole`, those of the event itself come first.
pub(crate) fn elements(lists: &[Path], also_whole: bool, event: &str) -> Vec<ElementVariables> {
    let mut found = lists.iter().map(|path| elements_at(path, event)).find(|all| !all.is_empty()).unwrap_or_default();
    for (nth, element) in found.iter_mut().enumerate() {
        element.push(("nth".to_owned(), nth.to_string()));
    }
    if also_whole {
        found.insert(0, vec![("whole".to_owned(), "true".to_owned())]);
    }
    found
}

fn elements_at(path: &Path, event: &str) -> Vec<ElementVariables> {
    let Ok(values) = Reader::new(std::slice::from_ref(path)).json(event.as_bytes()) else { return Vec::new() };
    match values.first() {
        Some(Captured::List(list)) => {
            let list: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
            list.into_iter().map(|element| variables(element.get())).collect()
        }
        Some(Captured::Object(one)) => vec![variables(one)],
        Some(one) => text_of(one).map(|text| vec![("each".to_owned(), text.to_owned())]).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The members of an object, or the text of anything else.
fn variables(element: &str) -> ElementVariables {
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(element) {
        Ok(members) => {
            members.into_iter().filter_map(|(name, value)| Some((format!("each.{name}"), scalar(value.get())?))).collect()
        }
        Err(_) => scalar(element).map(|text| ("each".to_owned(), text)).into_iter().collect(),
    }
}

fn scalar(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}
