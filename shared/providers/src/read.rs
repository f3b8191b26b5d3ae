//! From a verified body to inbound events: splits the body, finds the rule of each event, and maps what the event holds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ChangeKind, ObjectType, RemoteId, Stamp};
use mapping::{Captured, Context, Reader, text_of};
use serde_json::{Map as JsonMap, Value};

use crate::body::{self, RawEvent};
use crate::manifest::EventAction;
use crate::model::{EventBody, Inbound, InboundEvent, Malformed, Sequence, WriteHint};
use crate::names::plain_name;
use crate::provider::Provider;
use crate::rules::{CompiledRule, EventReader};
use crate::view::EventView;

impl Provider {
    /// Splits a verified body into events and maps them.
    ///
    /// # Errors
    /// The body as a whole is malformed.
    pub fn events(&self, inbound: &Inbound<'_>) -> Result<Vec<InboundEvent>, Malformed> {
        let declared = self.manifest().events.as_ref();
        let text = body::json_text(inbound.body, declared)?;
        let first = self.sequence_in(&text).map(|sequence| sequence.first);
        let mut events = Vec::new();
        for (position, raw) in (0..).zip(&body::raw_events(&text, declared)?) {
            let number = first.map(|first| first.saturating_add(position));
            events.extend(self.inbound_events(raw, number, inbound));
        }
        (0..).zip(&mut events).for_each(|(index, event)| event.index = index);
        Ok(events)
    }

    /// The numbers of a body's events, where the provider gives them. A gap between two bodies shows that events were lost.
    pub fn sequence(&self, body: &[u8]) -> Option<Sequence> {
        self.sequence_in(&body::json_text(body, self.manifest().events.as_ref()).ok()?)
    }

    fn sequence_in(&self, text: &str) -> Option<Sequence> {
        let declared = self.manifest().events.as_ref()?.sequence.as_ref()?;
        let paths = [declared.first.parse().ok()?, declared.last.parse().ok()?];
        let values = Reader::new(&paths).json(text.as_bytes()).ok()?;
        let number = |value: &Captured<'_>| text_of(value)?.parse().ok();
        Some(Sequence { first: number(&values[0])?, last: number(&values[1])? })
    }

    /// One event, or one for each of the elements that it is about.
    fn inbound_events(&self, raw: &RawEvent<'_>, number: Option<u64>, inbound: &Inbound<'_>) -> Vec<InboundEvent> {
        let bare_or = |otherwise: EventBody| vec![without_type(self.bare_record(&raw.json, inbound).unwrap_or(otherwise))];
        if self.manifest().events.is_none() {
            return bare_or(ignored("the provider sends no events"));
        }
        let Some(reader) = self.event_reader() else {
            return vec![without_type(malformed("the manifest has a path that cannot be read"))];
        };
        let view = match reader.view(raw, number, inbound.headers) {
            Ok(view) => view,
            Err(reason) => return vec![without_type(malformed(reason))],
        };
        if view.event_type.is_empty() {
            return bare_or(malformed("the event has no type"));
        }
        let (elements, then_fetch) = match reader.rule_for(&view) {
            Some(rule) => (rule.elements(&raw.json), rule.declared.then_fetch),
            None => (Vec::new(), false),
        };
        let mut event = EventContext { provider: self, reader, view, json: &raw.json, inbound };
        if elements.is_empty() {
            return with_fetch(event.inbound_event(), then_fetch);
        }
        let about = |element| {
            event.view.element = element;
            with_fetch(event.inbound_event(), then_fetch)
        };
        elements.into_iter().flat_map(about).collect()
    }

    /// The changes of a body that is not an event but a record that names its own object type, as a replay from the API has it.
    fn bare_record(&self, json: &str, inbound: &Inbound<'_>) -> Option<EventBody> {
        let object = self.object_in(json.as_bytes())?;
        match self.record(inbound.connection, &object, json.as_bytes()) {
            Ok(changes) if changes.is_empty() => None,
            Ok(changes) => Some(EventBody::Changes(changes)),
            Err(e) => Some(malformed(e.reason)),
        }
    }
}

fn without_type(body: EventBody) -> InboundEvent {
    InboundEvent {
        index: 0,
        event_type: String::new(),
        key: String::new(),
        single_use_token: None,
        stamp: None,
        version: None,
        body,
        write_hint: None,
    }
}

fn ignored(reason: impl Into<String>) -> EventBody {
    EventBody::Ignored { reason: reason.into() }
}

fn malformed(reason: impl Into<String>) -> EventBody {
    EventBody::Malformed { reason: reason.into() }
}

/// The event and, where its rule wants it, another one that reads the record that remains.
fn with_fetch(event: InboundEvent, then_fetch: bool) -> Vec<InboundEvent> {
    let EventBody::Changes(changes) = &event.body else { return vec![event] };
    let Some(change) = changes.first().filter(|_| then_fetch) else { return vec![event] };
    let mut remaining = change.source.clone();
    if let ChangeKind::MergedInto { id } = &change.kind {
        remaining.id.clone_from(id);
    }
    let fetch = InboundEvent {
        key: format!("{}5:fetch", event.key),
        body: EventBody::Fetch(vec![remaining]),
        write_hint: None,
        ..event.clone()
    };
    vec![event, fetch]
}

/// One event, or one element of it, with everything that is needed to map it.
struct EventContext<'a> {
    provider: &'a Provider,
    reader: &'a EventReader,
    view: EventView<'a>,
    json: &'a str,
    inbound: &'a Inbound<'a>,
}

impl EventContext<'_> {
    fn inbound_event(&self) -> InboundEvent {
        let (reader, view) = (self.reader, &self.view);
        let rule = reader.rule_for(view);
        let stamp = reader.stamp(view);
        let mut body = self.body(rule, stamp);
        let mut write_hint = None;
        match &mut body {
            EventBody::Changes(changes) if reader.is_test(view) => changes.iter_mut().for_each(|change| change.test = true),
            EventBody::Fetch(sources) => {
                write_hint = rule.zip(sources.first()).and_then(|(rule, source)| self.write_hint(rule, &source.object));
            }
            _ => {}
        }
        InboundEvent {
            index: 0,
            event_type: view.event_type.clone(),
            key: reader.key(rule, view),
            single_use_token: reader.single_use_token(view),
            stamp,
            version: reader.version(view),
            body,
            write_hint,
        }
    }

    fn write_hint(&self, rule: &CompiledRule, object: &str) -> Option<WriteHint> {
        if rule.declared.created {
            return Some(WriteHint::Created);
        }
        let name = self.view.text(rule.property.as_ref()?)?;
        let value = self.view.text(rule.value.as_ref()?).unwrap_or_default();
        if self.provider.destination(object).is_some_and(|destination| destination.id_property == name) {
            return Some(WriteHint::HubId(value.to_owned()));
        }
        let property = JsonMap::from_iter([(name.to_owned(), Value::from(value))]);
        Some(WriteHint::Fields(self.provider.canonical(object, &property)))
    }

    fn body(&self, rule: Option<&CompiledRule>, stamp: Option<Stamp>) -> EventBody {
        let event_type = plain_name(&self.view.event_type);
        let Some(rule) = rule else {
            let bare = self.provider.bare_record(self.json, self.inbound);
            return bare.unwrap_or_else(|| ignored(format!("nothing is mapped for `{event_type}`")));
        };
        let object = self.reader.object(rule, &self.view);
        let why = || rule.declared.why.clone();
        match rule.declared.action {
            EventAction::Ignore => ignored(why().unwrap_or_else(|| format!("`{event_type}` holds nothing that the hub stores"))),
            EventAction::Retain => EventBody::Retained { reason: why().unwrap_or_default(), event: self.json.to_owned() },
            EventAction::Sweep => EventBody::Sweep {
                objects: object.map(str::to_owned).into_iter().collect(),
                reason: why().unwrap_or_else(|| format!("`{event_type}` reports that events were lost")),
            },
            EventAction::Map => match rule.declared.map.as_deref().or(object) {
                Some(map) => self.mapped(rule, map, stamp),
                None => ignored(format!("nothing is mapped for the object of `{event_type}`")),
            },
            _ => match object {
                Some(object) => self.about_one(rule, object, stamp),
                None => ignored(format!("nothing is mapped for the object of `{event_type}`")),
            },
        }
    }

    /// Maps the record by the mapping file of that name. The file reads the id that the event itself names as `$object_id`.
    fn mapped(&self, rule: &CompiledRule, name: &str, stamp: Option<Stamp>) -> EventBody {
        let Some(compiled) = self.provider.map(name) else {
            return ignored(format!("nothing is mapped for the object `{}`", plain_name(name)));
        };
        let record = match self.reader.record(rule) {
            None => self.json,
            Some(path) => match self.view.captured(path) {
                Some(Captured::Object(record)) => record,
                _ => return malformed("the event holds no record"),
            },
        };
        let context = self.mapping_context(rule, &compiled.request_vars, stamp);
        match compiled.map.run(&compiled.reader, record.as_bytes(), &context) {
            Ok(changes) if changes.is_empty() => ignored("no mapping applies to this record"),
            Ok(mut changes) => {
                if rule.declared.partial {
                    changes.iter_mut().for_each(|change| make_partial(change, stamp));
                }
                EventBody::Changes(changes)
            }
            Err(e) => malformed(e.reason),
        }
    }

    /// The variables of a mapping file: those of the event, and the headers and query parameters that its rules read.
    fn mapping_context<'c>(&'c self, rule: &'c CompiledRule, wanted: &'c [String], stamp: Option<Stamp>) -> Context<'c> {
        let (view, inbound) = (&self.view, self.inbound);
        let own_id = rule.id.as_ref().and_then(|id| view.text(id));
        let parts = self.reader.key_parts(Some(rule));
        let key_id = parts.iter().find_map(|part| view.first(part).filter(|text| *text != view.event_type));
        let text = |text: &'c str| Captured::Text(Cow::Borrowed(text));
        let mut vars = vec![("type", text(&view.event_type))];
        vars.extend(Some(view.keyword).filter(|keyword| !keyword.is_empty()).map(|keyword| ("keyword", text(keyword))));
        vars.extend(key_id.map(|id| ("id", text(id))));
        vars.extend(view.element.iter().map(|(name, value)| (name.as_str(), text(value))));
        vars.extend(own_id.map(|id| ("object_id", text(id))));
        for name in wanted {
            let value = match name.split_once('.') {
                Some(("header", header)) => inbound.headers.get(header).map(|value| Cow::Borrowed(value.as_str())),
                Some(("query", parameter)) => mapping::query_parameter(inbound.target, parameter),
                _ => None,
            };
            vars.extend(value.map(|value| (name.as_str(), Captured::Text(value))));
        }
        Context { connection: inbound.connection, stamp, vars }
    }

    /// A rule that concerns one object by its id: reads, deletes, merges or restores it.
    fn about_one(&self, rule: &CompiledRule, object: &str, stamp: Option<Stamp>) -> EventBody {
        let fetches = rule.declared.action == EventAction::Fetch;
        let canonical = self.provider.object_of(object);
        // A read may return a list of other objects. Only a rule that names its object itself is written for that.
        if canonical.is_none() && !(fetches && rule.declared.object.is_some()) {
            return ignored(format!("nothing is mapped for the object `{}`", plain_name(object)));
        }
        let Some(id) = rule.id.as_ref().and_then(|id| self.view.text(id)) else {
            return malformed("the event does not name its object's id");
        };
        let source = RemoteId { connection: self.inbound.connection.into(), object: object.to_owned(), id: id.to_owned() };
        match canonical {
            Some(canonical) if !fetches => self.lifecycle(rule, canonical, source, stamp),
            _ => EventBody::Fetch(vec![source]),
        }
    }

    /// The changes of an event that holds no record but reports what happened to one.
    fn lifecycle(&self, rule: &CompiledRule, object: ObjectType, source: RemoteId, stamp: Option<Stamp>) -> EventBody {
        let change = |source, kind| Change {
            object,
            source,
            kind,
            stamp,
            fields: BTreeMap::new(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
            id_of_event: false,
        };
        let kind = match rule.declared.action {
            EventAction::Delete => ChangeKind::Delete { privacy: false },
            EventAction::PrivacyDelete => ChangeKind::Delete { privacy: true },
            EventAction::Restore => ChangeKind::Restored,
            _ => {
                let Some(survivor) = self.view.first(&rule.survivor) else {
                    return malformed("the event does not name the surviving object");
                };
                let merged = self.merged_ids(rule, &source.id, survivor).into_iter();
                let into = |id| change(RemoteId { id, ..source.clone() }, ChangeKind::MergedInto { id: survivor.to_owned() });
                return EventBody::Changes(merged.map(into).collect());
            }
        };
        EventBody::Changes(vec![change(source, kind)])
    }

    /// The ids of a merge without that of the survivor, in order.
    fn merged_ids(&self, rule: &CompiledRule, id: &str, survivor: &str) -> BTreeSet<String> {
        let also = rule.also_merged.as_ref().and_then(|list| self.view.captured(list)).map(texts).unwrap_or_default();
        also.into_iter().chain([id.to_owned()]).filter(|id| id != survivor).collect()
    }
}

/// Marks a change as one of some fields only, as of the event's own time.
fn make_partial(change: &mut Change, stamp: Option<Stamp>) {
    if change.kind == ChangeKind::Snapshot {
        change.kind = ChangeKind::Partial;
    }
    change.stamp = stamp.or(change.stamp);
}

/// The texts and numbers of a list, or a single one.
fn texts(captured: &Captured<'_>) -> Vec<String> {
    match captured {
        Captured::List(json) => {
            let ids: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
            let text = |id: &Value| id.as_str().map(str::to_owned).or_else(|| id.is_number().then(|| id.to_string()));
            ids.iter().filter_map(text).collect()
        }
        captured => text_of(captured).map(str::to_owned).into_iter().collect(),
    }
}
