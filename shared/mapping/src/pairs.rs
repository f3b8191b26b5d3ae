//! Sets of `name=value` out of lists of objects.

use std::collections::BTreeMap;

use canonical::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::captured::{Captured, capture, elements, text_of};
use crate::input::Input;
use crate::path::Path;
use crate::reader::Reader;

/// A list of objects that each hold a name and a value: answers of a form, custom fields, attributes. Without `name` and `value`,
/// an object whose own members are the pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// Where the list is.
    pub list: Input,
    /// Where an element has its name: the first that has a value.
    pub name: Vec<Path>,
    /// Where an element has its value: the first that has one. A value that is a list gives a pair for each of its elements.
    pub value: Vec<Path>,
    /// True when an element without a value counts by its name alone.
    #[serde(default)]
    pub bare: bool,
    /// True when every path of `value` that has a value counts.
    #[serde(default)]
    pub all: bool,
}

impl Pairs {
    /// The sorted set of `name=value`, values byte for byte; `None` when there is no pair.
    pub(crate) fn set(&self, captured: &Captured<'_>) -> Option<Value> {
        let raw = match captured {
            Captured::List(raw) => raw,
            Captured::Object(raw) if self.name.is_empty() => return members(raw),
            _ => return None,
        };
        let paths: Vec<Path> = self.name.iter().chain(&self.value).cloned().collect();
        let reader = Reader::new(&paths);
        let mut set = Vec::new();
        for element in elements(raw) {
            let Captured::Object(raw) = element else { continue };
            let Ok(slots) = reader.json(raw.as_bytes()) else { continue };
            let (names, values) = slots.split_at(self.name.len());
            let Some(name) = names.iter().find_map(|c| text_of(c).filter(|text| !text.is_empty())) else { continue };
            let mut found = values.iter().map(texts).filter(|texts| !texts.is_empty());
            let texts = if self.all { found.flatten().collect() } else { found.next().unwrap_or_default() };
            if texts.is_empty() && self.bare {
                set.push(name.to_owned());
            }
            set.extend(texts.into_iter().map(|text| format!("{name}={text}")));
        }
        list_of(set)
    }
}

/// An object's own members as `name=value`.
fn members(raw: &str) -> Option<Value> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
    let pairs = members.into_iter().flat_map(|(name, value)| {
        let texts = capture(value.get()).map(|value| texts(&value)).unwrap_or_default();
        texts.into_iter().map(move |text| format!("{name}={text}"))
    });
    list_of(pairs.collect())
}

fn list_of(pairs: Vec<String>) -> Option<Value> {
    let set = sorted_set(pairs.into_iter());
    (!set.is_empty()).then_some(Value::List(set))
}

/// Texts in order, each once.
pub(crate) fn sorted_set<T: Into<String>>(texts: impl Iterator<Item = T>) -> Vec<Value> {
    let mut values: Vec<Value> = texts.map(Value::text).collect();
    values.sort();
    values.dedup();
    values
}

/// The texts that are not empty.
fn texts(captured: &Captured<'_>) -> Vec<String> {
    let all = match captured {
        Captured::Many(list) => list.iter().filter_map(|c| text_of(c).map(str::to_owned)).collect(),
        Captured::List(raw) => elements(raw).iter().filter_map(|c| text_of(c).map(str::to_owned)).collect(),
        scalar => text_of(scalar).map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    all.into_iter().filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_of_any_shape() {
        let path = |text: &str| text.parse::<Path>().unwrap();
        let pairs = Pairs {
            list: Input::Slot(0),
            name: vec![path("field.ref"), path("field.id")],
            value: vec![path("text"), path("n"), path("many")],
            bare: false,
            all: false,
        };
        let raw = r#"[{"field":{"ref":"b","id":"1"},"text":" x "},{"field":{"id":"a"},"n":true},{"field":{"id":"c"},"many":["p","q"]},
            {"field":{"id":"d"}},{"text":"nameless"},3]"#;
        let set = pairs.set(&Captured::List(raw)).unwrap();
        assert_eq!(set, Value::List(["a=true", "b= x ", "c=p", "c=q"].map(Value::text).to_vec()));
        assert_eq!(pairs.set(&Captured::List("[]")), None);
        let bare = Pairs { bare: true, ..pairs.clone() };
        let set = bare.set(&Captured::List(raw)).unwrap();
        assert_eq!(set, Value::List(["a=true", "b= x ", "c=p", "c=q", "d"].map(Value::text).to_vec()));
        let own = Pairs { list: Input::Slot(0), name: vec![], value: vec![], bare: false, all: false };
        let set = own.set(&Captured::Object(r#"{"b":["x","y"],"a":1,"n":null,"o":{}}"#)).unwrap();
        assert_eq!(set, Value::List(["a=1", "b=x", "b=y"].map(Value::text).to_vec()));
        assert_eq!(pairs.set(&Captured::Null), None);
    }

    #[test]
    fn what_was_typed_counts_beside_what_was_ticked() {
        let path = |text: &str| text.parse::<Path>().unwrap();
        let value = vec![path("picked"), path("other")];
        let pairs = Pairs { list: Input::Slot(0), name: vec![path("q")], value, bare: false, all: true };
        let set = pairs.set(&Captured::List(r#"[{"q":"a","picked":["x","y"],"other":"z"},{"q":"b","other":"w"}]"#)).unwrap();
        assert_eq!(set, Value::List(["a=x", "a=y", "a=z", "b=w"].map(Value::text).to_vec()));
    }
}
