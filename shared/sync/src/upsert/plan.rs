//! Pure: what a push must change at a destination, given what is there.

use canonical::{FieldName, Fields, Value};
use providers::Rendered;
use serde_json::Map;

use crate::record::Link;

/// A golden record as a destination should hold it.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// Native properties and which canonical fields they come from.
    pub rendered: Rendered,
    /// The canonical values as the destination would give them back: truncated, enum-mapped.
    pub wanted: Fields,
}

/// What is about to be written.
#[derive(Debug, Clone)]
pub struct Intent {
    /// All of it.
    pub rendered: Rendering,
    /// The canonical values of [`Rendering::wanted`].
    pub wanted: Fields,
    /// The native properties that differ from what is there.
    pub changed: Map<String, serde_json::Value>,
    /// True when the object must be given our id, or be created.
    pub mark: bool,
}

/// Compares a rendering with what is known of the destination. Fields in which the destination holds something that has not
/// been heard yet ([`Link::unheard`]) are left alone.
pub fn plan_push(link: &Link, rendering: &Rendering) -> Intent {
    let mut changed = Map::new();
    for (field, names) in rendering.rendered.by_field.iter().filter(|(field, _)| !link.unheard.contains_key(*field)) {
        let want = rendering.wanted.get(field);
        let seen = link.seen.get(field).map(|s| &s.value);
        for name in names {
            let Some(native) = rendering.rendered.properties.get(name) else { continue };
            if differs(link, field, name, native, want, seen) {
                changed.insert(name.clone(), native.clone());
            }
        }
    }
    // All there is to say goes along when the object is created: also what no field stands for (constants, defaults).
    if link.remote.is_none() {
        let silent = |(field, names): (&FieldName, &Vec<String>), name: &String| {
            names.contains(name) && says_nothing(rendering.wanted.get(field))
        };
        for (name, native) in rendering.rendered.properties.iter().filter(|(_, native)| !native.is_null()) {
            if !rendering.rendered.by_field.iter().any(|field| silent(field, name)) {
                changed.entry(name.clone()).or_insert_with(|| native.clone());
            }
        }
    }
    Intent { rendered: rendering.clone(), wanted: rendering.wanted.clone(), changed, mark: !link.marked }
}

fn differs(
    link: &Link,
    field: &FieldName,
    name: &str,
    native: &serde_json::Value,
    want: Option<&Value>,
    seen: Option<&Value>,
) -> bool {
    // There is nothing to say, and nothing is known to be there: whatever somebody may be entering there now stays. A box that
    // is not ticked says as little as no value: an opt-out is not lifted before it is seen.
    if says_nothing(want) && says_nothing(seen) {
        return false;
    }
    let there = seen.is_some() && seen == want;
    if link.pushed.get(name) != Some(native) {
        return !there;
    }
    // Pushed as it is, and settled: only a change at the destination since then calls for another push.
    match (seen, link.back.get(field)) {
        (Some(seen), Some(back)) => seen != back && !there,
        (Some(_), None) => !there,
        (None, _) => false,
    }
}

fn says_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(|v| v.is_null() || v.as_text() == Some("unknown"))
}

impl Intent {
    /// True when nothing is to be written and nothing to be looked up.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && !self.mark
    }

    /// True when the destination must be looked at first: an object may be there to adopt, or the last push is not settled.
    pub fn needs_look_up(&self, link: &Link) -> bool {
        link.remote.is_none() || link.dirty
    }

    /// Writes the intent into the link: from here on, its values coming back are echoes.
    pub fn note(&self, link: &mut Link, now_ms: i64) {
        link.open = true;
        for field in self.fields() {
            link.intend(field, self.wanted.get(field).cloned().unwrap_or(Value::Null), now_ms);
        }
    }

    /// The native properties to send.
    pub fn properties(&self) -> Map<String, serde_json::Value> {
        self.changed.clone()
    }

    /// The canonical fields that the push touches.
    pub fn fields(&self) -> impl Iterator<Item = &FieldName> {
        self.rendered
            .rendered
            .by_field
            .iter()
            .filter(|(_, names)| names.iter().any(|name| self.changed.contains_key(name)))
            .map(|(field, _)| field)
    }
}
