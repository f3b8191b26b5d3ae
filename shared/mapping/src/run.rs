//! Runs the plans of a map over a body: one change for each canonical object that the body holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use canonical::{Change, ChangeKind, FieldName, FieldValue, Fields, Problem, RemoteId, Stamp, Value};
use serde_json::Map as JsonMap;

use crate::apply::{Found, Scope};
use crate::captured::{Captured, text_of};
use crate::context::Context;
use crate::input::Input;
use crate::map::{Coverage, Map, Plan};
use crate::normal::{self, Fault};
use crate::path::Segment;
use crate::reader::{Reader, Unreadable};
use crate::rule::{Conversion, FieldRule, SetRule, TimeUnit};

impl Map {
    /// Reads a body and runs every plan over it.
    ///
    /// # Errors
    /// The body cannot be read, or it lacks the id of an object that it holds.
    pub fn run(&self, reader: &Reader, body: &[u8], context: &Context<'_>) -> Result<Vec<Change>, Unreadable> {
        let slots = reader.json(body)?;
        self.changes(&slots, context)
    }

    /// Runs every plan over what a reader found.
    ///
    /// # Errors
    /// The id of an object that the body holds is missing.
    pub fn changes(&self, slots: &[Captured<'_>], context: &Context<'_>) -> Result<Vec<Change>, Unreadable> {
        let mut changes = Vec::with_capacity(self.plans.len());
        for plan in &self.plans {
            let scope = Scope { plan, slots, context };
            if scope.holds(&plan.when) {
                changes.push(self.change(plan, scope)?);
            }
        }
        Ok(changes)
    }

    fn change(&self, plan: &Plan, scope: Scope<'_, '_>) -> Result<Change, Unreadable> {
        let kind = change_kind(plan, scope);
        let mut change = Change {
            object: plan.object,
            source: source(plan, scope)?,
            stamp: stamp(plan, scope).or(scope.context.stamp),
            fields: Default::default(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: !plan.test.is_empty() && scope.holds(&plan.test),
            id_of_event: plan.id_of_event || is_id_of_event(plan, scope),
            kind,
        };
        for external in &plan.external {
            if let Some(id) = scope.first(std::slice::from_ref(&external.from)) {
                change.external_ids.push((external.namespace.clone(), id.to_owned()));
            }
        }
        if matches!(change.kind, ChangeKind::Snapshot | ChangeKind::Partial) {
            for rule in plan.rules.iter().filter(|r| r.direction.reads()) {
                self.add_field(rule, scope, &mut change);
            }
            for (field, other) in sets_without(plan) {
                leave_out(&mut change.fields, field, other);
            }
        }
        Ok(change)
    }

    fn add_field(&self, rule: &FieldRule, scope: Scope<'_, '_>, change: &mut Change) {
        match scope.apply(rule) {
            Ok(Found::Absent) => {}
            Ok(Found::Value { value, flagged, fault }) => {
                change.problems.extend(fault.map(|fault| self.problem(rule, scope, fault)));
                let stamp = rule.stamp.as_ref().and_then(|s| instant(text_of(&scope.slots[usize::from(s.slot)])?, s.unit));
                let field = FieldValue { value, stamp, flagged };
                match change.fields.entry(rule.field.clone()) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(field);
                    }
                    // A later rule for the same field only fills in what earlier ones found to be null.
                    Entry::Occupied(mut earlier) if earlier.get().value.is_null() => {
                        earlier.insert(field);
                    }
                    Entry::Occupied(_) => {}
                }
            }
            Err(fault) => change.problems.push(self.problem(rule, scope, fault)),
        }
    }

    fn problem(&self, rule: &FieldRule, scope: Scope<'_, '_>, fault: Fault) -> Problem {
        Problem {
            field: rule.field.to_string(),
            path: self.inputs_of(rule),
            reason: format!("{fault} (met {}; {})", scope.class(rule), self.position(rule)),
        }
    }

    /// Native properties as canonical values, by the reading side of the rules. What has no canonical form is left out.
    pub fn canonical(&self, reader: &Reader, properties: &JsonMap<String, serde_json::Value>) -> Fields {
        let body = self.in_container(properties);
        let Ok(slots) = reader.json(body.as_bytes()) else { return Fields::new() };
        let context = Context::default();
        let mut fields = Fields::new();
        for plan in &self.plans {
            let scope = Scope { plan, slots: &slots, context: &context };
            for rule in plan.rules.iter().filter(|r| r.direction.reads() && r.constant.is_none()) {
                if scope.class(rule) == "nothing" {
                    continue;
                }
                if let Ok(Found::Value { value, .. }) = scope.apply(rule)
                    && fields.get(&rule.field).is_none_or(Value::is_null)
                {
                    fields.insert(rule.field.clone(), value);
                }
            }
        }
        fields
    }

    /// A body that holds these native properties in their container.
    fn in_container(&self, properties: &JsonMap<String, serde_json::Value>) -> String {
        let mut body = serde_json::to_string(properties).unwrap_or_default();
        for segment in self.properties.iter().flat_map(|path| path.segments().iter().rev()) {
            if let Segment::Key(key) = segment {
                body = format!("{{{}:{body}}}", serde_json::Value::from(key.as_str()));
            }
        }
        body
    }
}

/// The sets of a plan that leave out the value of another field, with that field.
fn sets_without(plan: &Plan) -> impl Iterator<Item = (&FieldName, &FieldName)> {
    plan.rules.iter().filter_map(|rule| match &rule.conversion {
        Conversion::Set(SetRule { without: Some(other), .. }) => Some((&rule.field, other)),
        _ => None,
    })
}

fn leave_out(fields: &mut BTreeMap<FieldName, FieldValue>, field: &FieldName, other: &FieldName) {
    let Some(value) = fields.get(other).map(|other| other.value.clone()) else { return };
    if let Some(FieldValue { value: Value::List(members), .. }) = fields.get_mut(field) {
        members.retain(|member| *member != value);
    }
}

/// The object that a plan's change is about.
fn source(plan: &Plan, scope: Scope<'_, '_>) -> Result<RemoteId, Unreadable> {
    let id = match &plan.id_join {
        None => scope.first(&plan.id).map(Cow::Borrowed),
        Some(between) => Some(scope.all(&plan.id)).filter(|parts| !parts.is_empty()).map(|parts| Cow::Owned(parts.join(between))),
    };
    let id = id.ok_or(Unreadable { reason: "the object's id is missing", at: None })?;
    Ok(RemoteId {
        connection: scope.context.connection.into(),
        object: plan.remote.clone(),
        id: format!("{id}{}", plan.id_suffix),
    })
}

/// True when the object's id is taken from the variable `$id`: the body holds no id of the object itself.
fn is_id_of_event(plan: &Plan, scope: Scope<'_, '_>) -> bool {
    let input = plan.id.iter().find(|input| scope.first(std::slice::from_ref(input)).is_some());
    plan.id_join.is_none() && matches!(input, Some(Input::Var(name)) if name == "id")
}

fn change_kind(plan: &Plan, scope: Scope<'_, '_>) -> ChangeKind {
    let deleted = plan.deleted.as_ref().filter(|deleted| scope.holds(&deleted.when));
    match (deleted, plan.coverage) {
        (Some(deleted), _) => match deleted.merged_into.as_ref().and_then(|input| text_of(scope.captured(input))) {
            Some(id) if !id.is_empty() => ChangeKind::MergedInto { id: id.to_owned() },
            _ => ChangeKind::Delete { privacy: false },
        },
        (None, Coverage::Snapshot) => ChangeKind::Snapshot,
        (None, Coverage::Partial) => ChangeKind::Partial,
    }
}

/// When the object last changed; `None` when the body does not hold a readable time.
fn stamp(plan: &Plan, scope: Scope<'_, '_>) -> Option<Stamp> {
    let rule = plan.stamp.as_ref()?;
    let at = instant(scope.first(&rule.from)?, rule.unit)?;
    let sequence = rule.sequence.as_ref().and_then(|input| text_of(scope.captured(input))?.parse().ok());
    Some(Stamp { at_ms: at.at_ms, sequence })
}

fn instant(text: &str, unit: TimeUnit) -> Option<Stamp> {
    let canonical = normal::instant(text, unit, Some(&normal::Zone::UTC)).ok().filter(|at| !normal::means_none(at))?;
    normal::instant_ms(&canonical).map(Stamp::at)
}
