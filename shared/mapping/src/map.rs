//! A compiled mapping file: what it reads from a body, and one plan for each canonical object that it makes.

use std::collections::{BTreeMap, BTreeSet};

use canonical::ObjectType;
use serde::{Deserialize, Serialize};

use crate::input::{Condition, Input, inputs, is_false};
use crate::normal::ACCOUNT_ZONE;
use crate::path::{Path, Segment};
use crate::rule::{Conversion, FieldRule, TimeUnit};

/// A compiled mapping file: the paths that it reads, each once, and the plans that share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The file's name, for messages.
    pub file: String,
    /// The provider's name of the object that it maps.
    pub remote: String,
    /// The container of native properties; `None` when they are at the top of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Path>,
    /// Every path that some rule reads; a slot is an index into this list.
    pub paths: Vec<Path>,
    /// One plan for each canonical object, in the order of the file.
    pub plans: Vec<Plan>,
}

/// How much of its object a change holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// The whole object.
    #[default]
    Snapshot,
    /// Some of its fields.
    Partial,
}

/// How one canonical object is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The canonical object.
    pub object: ObjectType,
    /// The provider's name of the object, as part of remote ids.
    pub remote: String,
    /// Whether a body holds the whole object or some of its fields.
    #[serde(default)]
    pub coverage: Coverage,
    /// Where the object's id is: the first that has a value.
    pub id: Vec<Input>,
    /// Joins all of `id` with this between them; those without a value are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_join: Option<String>,
    /// Appended to the id, for objects that a body only implies.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id_suffix: String,
    /// True when the id is not the object's own, but that of the event that mentions it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub id_of_event: bool,
    /// When the object last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<ObjectStamp>,
    /// Conditions that must all hold; otherwise the plan makes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Conditions that mark the record as a test when all of them hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<Condition>,
    /// How a body shows that the record is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deletion>,
    /// Other ids of the same record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalId>,
    /// Decimals of the currencies that this provider does not count in ISO 4217 minor units.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exponents: BTreeMap<String, u32>,
    /// True when an empty text means that the source cleared the field.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_is_null: bool,
    /// True when numbers and booleans are written as such, not as texts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub typed: bool,
    /// The rules of its fields.
    pub rules: Vec<FieldRule>,
}

/// Where a body holds the time at which its object last changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStamp {
    /// The inputs of the time; the first that has a value.
    pub from: Vec<Input>,
    /// How the time is written.
    pub unit: TimeUnit,
    /// The provider's sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Input>,
}

/// How a body shows that its record is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Conditions that must all hold.
    pub when: Vec<Condition>,
    /// The id of the record that it was merged into, where the body holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Input>,
}

/// Another id of the same record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalId {
    /// The namespace: a provider's name, or `hub`.
    pub namespace: String,
    /// Where the id is.
    pub from: Input,
}

impl Map {
    /// Sets the zone of the account, which rules name by [`crate::normal::ACCOUNT_ZONE`].
    pub fn set_account_zone(&mut self, zone: &str) {
        for rule in self.plans.iter_mut().flat_map(|plan| &mut plan.rules) {
            let named = match &mut rule.conversion {
                Conversion::Date(date) => &mut date.zone.fixed,
                Conversion::Instant(instant) => &mut instant.zone.fixed,
                _ => continue,
            };
            if named.as_deref() == Some(ACCOUNT_ZONE) {
                *named = Some(zone.to_owned());
            }
        }
    }

    /// Where a rule is: `file:line:column`.
    pub fn position(&self, rule: &FieldRule) -> String {
        format!("{}:{}:{}", rule.file.as_ref().unwrap_or(&self.file), rule.line, rule.column)
    }

    /// What a rule reads, for messages.
    pub fn inputs_of(&self, rule: &FieldRule) -> String {
        rule.from.iter().map(|input| self.input_name(input)).collect::<Vec<_>>().join(" or ")
    }

    /// An input as a mapping file writes it: a path, or a variable with its `$`.
    pub fn input_name(&self, input: &Input) -> String {
        match input {
            Input::Slot(slot) => self.paths.get(usize::from(*slot)).map(Path::to_string).unwrap_or_default(),
            Input::Var(name) => format!("${name}"),
        }
    }

    /// The names of all variables that the map reads.
    pub fn vars(&self) -> BTreeSet<&str> {
        let inputs = self.plans.iter().flat_map(|plan| plan.own_inputs().chain(plan.rules.iter().flat_map(FieldRule::inputs)));
        let names = inputs.filter_map(|input| match input {
            Input::Var(name) => Some(name.as_str()),
            Input::Slot(_) => None,
        });
        names.collect()
    }

    /// Every path that some rule reads, also those inside the elements of a list.
    pub fn read_paths(&self) -> Vec<Path> {
        let mut paths = self.paths.clone();
        paths.extend(self.paths.iter().flat_map(Path::compared));
        let each = Path::from_iter([Segment::Each]);
        for pairs in self.plans.iter().flat_map(|plan| &plan.rules).filter_map(|rule| rule.pairs.as_ref()) {
            let Input::Slot(slot) = pairs.list else { continue };
            let Some(list) = self.paths.get(usize::from(slot)) else { continue };
            let element = list.join(&each);
            paths.extend(pairs.name.iter().chain(&pairs.value).map(|path| element.join(path)));
        }
        paths
    }
}

impl Plan {
    /// What the plan itself reads, its rules aside.
    fn own_inputs(&self) -> impl Iterator<Item = &Input> {
        let stamp = self.stamp.iter().flat_map(|stamp| stamp.from.iter().chain(&stamp.sequence));
        let deleted = self.deleted.iter().flat_map(|deleted| inputs(&deleted.when).chain(&deleted.merged_into));
        let external = self.external.iter().map(|external| &external.from);
        self.id.iter().chain(stamp).chain(inputs(&self.when)).chain(inputs(&self.test)).chain(deleted).chain(external)
    }
}
