//! Pure: what a push must change at a destination, given what is known of it.

use std::collections::BTreeSet;

use canonical::{FieldName, Value};
use serde_json::Map;

use super::render::Rendering;
use crate::record::Link;
use crate::record::link::{Knowledge, PushedField};
use crate::record::shortened::{same, shorten_pushed};

/// What is about to be written.
#[derive(Debug, Clone)]
pub struct Intent {
    /// All of the record.
    pub rendering: Rendering,
    /// The native properties that differ from what is there.
    pub changed: Map<String, serde_json::Value>,
    /// True when the object must be given our id, or be created.
    pub mark: bool,
}

/// Compares a rendering with what is known of the destination. Fields in which the destination holds a value that no source has
/// reported are left alone, and so are properties that it refused.
pub fn plan_push(link: &Link, rendering: &Rendering) -> Intent {
    let known = link.knowledge();
    let mut changed = Map::new();
    for (field, names) in rendering.rendered.by_field.iter().filter(|(field, _)| !known.is_unobserved(field)) {
        let want = rendering.wanted.get(field);
        for name in names {
            let Some(native) = rendering.rendered.properties.get(name) else { continue };
            if differs(known, field, name, native, want) {
                changed.insert(name.clone(), native.clone());
            }
        }
    }
    // A new object gets every value, also those that no field stands for (constants, defaults).
    if link.remote_id().is_none() {
        let empty = |(field, names): (&FieldName, &Vec<String>), name: &String| {
            names.contains(name) && is_empty(rendering.wanted.get(field))
        };
        for (name, native) in rendering.rendered.properties.iter().filter(|(_, native)| !native.is_null()) {
            if !rendering.rendered.by_field.iter().any(|field| empty(field, name)) {
                changed.entry(name.clone()).or_insert_with(|| native.clone());
            }
        }
    }
    leave_out_set_aside(link, rendering, &mut changed);
    Intent { rendering: rendering.clone(), changed, mark: !link.is_marked() }
}

/// Removes the properties that the destination refused, with what belongs to them: an amount does not go without its currency.
pub fn leave_out_set_aside(link: &Link, rendering: &Rendering, changed: &mut Map<String, serde_json::Value>) {
    let refused = |name: &String| link.set_aside().contains_key(name);
    let of_field = rendering.rendered.by_field.values().filter(|names| names.iter().any(refused)).flatten();
    let left_out: BTreeSet<&String> = of_field.chain(link.set_aside().keys()).collect();
    changed.retain(|name, _| !left_out.contains(name));
}

fn differs(known: &Knowledge, field: &FieldName, name: &str, native: &serde_json::Value, want: Option<&Value>) -> bool {
    let seen = known.seen(field).map(|seen| &seen.value);
    // We have no value and know of none there: do not overwrite what somebody may be entering right now. A box that is not ticked
    // counts as no value: an opt-out is not lifted before it is seen.
    if is_empty(want) && is_empty(seen) {
        return false;
    }
    let there = seen.zip(want).is_some_and(|(seen, want)| same(seen, want));
    if known.pushed(name) != Some(&shorten_pushed(native)) {
        return !there;
    }
    // The value was pushed as it is, and confirmed: only a change at the destination since then calls for another push.
    match (seen, known.read_back(field)) {
        (Some(seen), Some(read_back)) => !same(seen, read_back) && !there,
        (Some(_), None) => !there,
        (None, _) => false,
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|v| v.is_null() || v.as_text() == Some("unknown"))
}

impl Intent {
    /// True when nothing is to be written and nothing to be looked up.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && !self.mark
    }

    /// The canonical fields that the push touches.
    pub fn fields(&self) -> Vec<PushedField<'_>> {
        let Rendering { rendered, wanted } = &self.rendering;
        let touched = rendered.by_field.iter().filter(|(_, names)| names.iter().any(|name| self.changed.contains_key(name)));
        touched.map(|(name, properties)| PushedField { name, value: wanted.get(name), properties }).collect()
    }
}
