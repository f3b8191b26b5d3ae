//! One event while it is read: the values that its manifest names, and its variables.

use std::collections::BTreeMap;

use mapping::{Captured, Slots, text_of};

use crate::paths::{ValueCondition, ValueRef, matches};

/// The variables of an element of a rule's `each`, by name: `each` or `each.<member>`, and `nth`; `whole` for the event itself.
pub(crate) type ElementVariables = Vec<(String, String)>;

/// The values of one event.
pub(crate) struct EventView<'a> {
    /// By the number of [`ValueRef::Event`].
    pub event: Slots<'a>,
    /// By the number of [`ValueRef::Outer`].
    pub outer: Slots<'a>,
    /// The headers that the envelope carries.
    pub headers: &'a BTreeMap<String, String>,
    /// `$type`; empty when the event has none.
    pub event_type: String,
    /// `$keyword`; empty when the event has none.
    pub keyword: &'a str,
    /// `$sequence`; empty when the body does not number its events.
    pub sequence: String,
    /// The element that the event is about, if its rule has `each`.
    pub element: ElementVariables,
}

impl<'a> EventView<'a> {
    /// The value as a text; `None` when it is absent, empty, or neither a text nor a number nor a boolean.
    pub fn text<'v>(&'v self, value: &'v ValueRef) -> Option<&'v str> {
        let text = match value {
            ValueRef::Variable(name) => self.variable(name)?,
            value => text_of(self.captured(value)?)?,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// The first of these values that is there.
    pub fn first<'v>(&'v self, values: &'v [ValueRef]) -> Option<&'v str> {
        values.iter().find_map(|value| self.text(value))
    }

    /// Whether each value matches its pattern.
    pub fn satisfies(&self, conditions: &[ValueCondition]) -> bool {
        conditions.iter().all(|condition| self.text(&condition.value).is_some_and(|text| matches(&condition.pattern, text)))
    }

    /// What the event, or what surrounds it, holds at a path; `None` for a variable.
    pub fn captured(&self, value: &ValueRef) -> Option<&Captured<'a>> {
        match value {
            ValueRef::Event(slot) => self.event.get(*slot),
            ValueRef::Outer(slot) => self.outer.get(*slot),
            ValueRef::Variable(_) => None,
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        if let Some(header) = name.strip_prefix("header.") {
            return self.headers.get(header).map(String::as_str);
        }
        match name {
            "type" => Some(&self.event_type),
            "prefix" => self.event_type.split('.').next(),
            "sequence" => Some(&self.sequence),
            "keyword" => Some(self.keyword),
            _ => self.element.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_str()),
        }
    }
}
