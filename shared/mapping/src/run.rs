use std::borrow::Cow;
use std::collections::btree_map::Entry;

use canonical::{Change, ChangeKind, FieldValue, Fields, Problem, RemoteId, Stamp, Value};
use serde_json::Map as JsonMap;

use crate::capture::{Captured, text_of};
use crate::normal;
use crate::path::{Path, Segment};
use crate::plan::{Input, Map, Plan, Rule, Speak, Unit};
use crate::read::{Reader, Unreadable};
use crate::transform::{Found, Scope};

/// What the caller knows besides the body: the connection, the event's stamp and variables (`$id`, `$header.webhook-id`).
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// The event's stamp; a plan's own `stamp` goes before it.
    pub stamp: Option<Stamp>,
    /// Variables by name, without the `$`.
    pub vars: Vec<(&'a str, Captured<'a>)>,
}

impl<'a> Context<'a> {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Captured<'a>> {
        self.vars.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

impl Map {
    /// Reads a body and runs every plan over it.
    ///
    /// # Errors
    /// The body cannot be read, or it lacks the id of an object that it speaks about.
    pub fn run(&self, reader: &Reader, body: &[u8], context: &Context<'_>) -> Result<Vec<Change>, Unreadable> {
        let slots = reader.json(body)?;
        self.changes(&slots, context)
    }

    /// Runs every plan over what a reader found.
    ///
    /// # Errors
    /// The id of an object that the body speaks about is missing.
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
        let id = match &plan.id_join {
            None => scope.first(&plan.id).map(Cow::Borrowed),
            Some(between) => {
                let parts: Vec<&str> = plan.id.iter().filter_map(|input| scope.first(std::slice::from_ref(input))).collect();
                Some(Cow::Owned(parts.join(between))).filter(|_| !parts.is_empty())
            }
        };
        let id = id.ok_or(Unreadable { reason: "the object's id is missing", at: None })?;
        let source = RemoteId {
            connection: scope.context.connection.into(),
            object: plan.remote.clone(),
            id: format!("{id}{}", plan.id_suffix),
        };
        let deleted = plan.deleted.as_ref().filter(|d| scope.holds(&d.when));
        let kind = match deleted {
            Some(deletion) => match deletion.merged_into.as_ref().and_then(|input| text_of(scope.look(input))) {
                Some(id) if !id.is_empty() => ChangeKind::MergedInto { id: id.to_owned() },
                _ => ChangeKind::Delete { privacy: false },
            },
            None if plan.kind == Speak::Snapshot => ChangeKind::Snapshot,
            None => ChangeKind::Partial,
        };
        let mut change = Change {
            object: plan.object,
            source,
            kind,
            stamp: stamp(plan, scope).or(scope.context.stamp),
            fields: Default::default(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: !plan.test.is_empty() && scope.holds(&plan.test),
        };
        for external in &plan.external {
            if let Some(id) = scope.first(std::slice::from_ref(&external.from)) {
                change.external_ids.push((external.namespace.clone(), id.to_owned()));
            }
        }
        if deleted.is_none() {
            for rule in plan.rules.iter().filter(|r| r.direction.reads()) {
                self.field(rule, scope, &mut change);
            }
        }
        Ok(change)
    }

    fn field(&self, rule: &Rule, scope: Scope<'_, '_>, change: &mut Change) {
        match scope.apply(rule) {
            Ok(Found::Absent) => {}
            Ok(Found::Value(value, flagged)) => {
                let stamp = rule.stamp.as_ref().and_then(|s| instant(text_of(&scope.slots[usize::from(s.slot)])?, s.unit));
                let field = FieldValue { value, stamp, flagged };
                match change.fields.entry(rule.field.clone()) {
                    Entry::Vacant(open) => {
                        open.insert(field);
                    }
                    // A later rule for the same field fills in only what earlier ones left open.
                    Entry::Occupied(mut earlier) if earlier.get().value.is_null() => {
                        earlier.insert(field);
                    }
                    Entry::Occupied(_) => {}
                }
            }
            Err(fault) => change.problems.push(Problem {
                field: rule.field.to_string(),
                path: self.place(rule),
                reason: format!("{fault} (met {}; {})", scope.class(rule), self.position(rule)),
            }),
        }
    }

    /// Where a rule reads, for messages.
    pub fn place(&self, rule: &Rule) -> String {
        let name = |input: &Input| match input {
            Input::Slot(slot) => self.paths.get(usize::from(*slot)).map(Path::to_string).unwrap_or_default(),
            Input::Var(name) => format!("${name}"),
        };
        rule.from.iter().map(name).collect::<Vec<_>>().join(" or ")
    }

    /// Native properties as canonical values, by the reading side of the rules. What has no canonical form is left out.
    pub fn canonical(&self, reader: &Reader, properties: &JsonMap<String, serde_json::Value>) -> Fields {
        let mut text = serde_json::to_string(properties).unwrap_or_default();
        for segment in self.properties.iter().flat_map(|p| p.segments().iter().rev()) {
            if let Segment::Key(key) = segment {
                text = format!("{{{}:{text}}}", serde_json::Value::from(key.as_str()));
            }
        }
        let Ok(slots) = reader.json(text.as_bytes()) else { return Fields::new() };
        let context = Context::default();
        let mut fields = Fields::new();
        for plan in &self.plans {
            let scope = Scope { plan, slots: &slots, context: &context };
            for rule in plan.rules.iter().filter(|r| r.direction.reads() && r.constant.is_none()) {
                if scope.class(rule) == "nothing" {
                    continue;
                }
                if let Ok(Found::Value(value, _)) = scope.apply(rule) {
                    let open = fields.get(&rule.field).is_none_or(Value::is_null);
                    if open {
                        fields.insert(rule.field.clone(), value);
                    }
                }
            }
        }
        fields
    }
}

fn stamp(plan: &Plan, scope: Scope<'_, '_>) -> Option<Stamp> {
    let rule = plan.stamp.as_ref()?;
    let at = instant(scope.first(&rule.from)?, rule.unit)?;
    let sequence = rule.sequence.as_ref().and_then(|input| text_of(scope.look(input))?.parse().ok());
    Some(Stamp { at_ms: at.at_ms, sequence })
}

fn instant(text: &str, unit: Unit) -> Option<Stamp> {
    let canonical = normal::instant(text, unit, Some(&normal::Zone::UTC)).ok()?;
    normal::instant_ms(&canonical).map(Stamp::at)
}
