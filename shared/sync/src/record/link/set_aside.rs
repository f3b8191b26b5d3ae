//! Properties that a destination refused: they are left out of pushes, and the rest of the record goes on.

use std::collections::BTreeMap;

use canonical::FieldName;
use serde::{Deserialize, Serialize};

use super::Link;

/// A native property that a destination refused in this record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The provider's code.
    pub code: String,
    /// A keyed hash of the native value. Another value is tried.
    pub value: String,
    /// The generation of the configuration under which it was refused. Another generation tries it again.
    pub generation: u64,
    /// Until when it is left out, in milliseconds, where every record is refused the property; `None` where only the value is at
    /// fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

impl Link {
    /// The native properties that pushes leave out.
    pub fn set_aside(&self) -> &BTreeMap<String, SetAside> {
        &self.set_aside
    }

    /// Notes that the destination refused a property. If a push is in flight, the property is not part of it any more: `fields`
    /// are the canonical fields that it belongs to.
    pub fn leave_out(&mut self, property: String, set_aside: SetAside, fields: &[FieldName]) {
        self.assert_allowed(self.has_not_moved(), "leave_out");
        if self.push.is_in_flight() {
            fields.iter().for_each(|field| self.knowledge.forget_intended_field(field));
        }
        self.set_aside.insert(property, set_aside);
    }

    /// Takes back into pushes what `still_refused` does not hold for. Returns true if anything changed.
    pub fn take_back(&mut self, still_refused: impl Fn(&str, &SetAside) -> bool) -> bool {
        self.assert_allowed(self.has_not_moved(), "take_back");
        let before = self.set_aside.len();
        self.set_aside.retain(|property, set_aside| still_refused(property, set_aside));
        self.set_aside.len() != before
    }
}
