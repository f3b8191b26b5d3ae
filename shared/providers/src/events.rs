use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use canonical::{Change, ChangeKind, ObjectType, RemoteId, Stamp};
use mapping::normal;
use mapping::{Captured, Context, Path, PathError, Reader, Slots, text_of};
use serde_json::{Map as JsonMap, Value};

use crate::decode::Part;
use crate::each::{self, Element};
use crate::manifest::{Action, EventStamp, Events, On, OneOrMore, UntypedBodies};
use crate::model::{EventBody, Inbound, InboundEvent, Told};
use crate::provider::Provider;

/// A place in an event.
#[derive(Debug)]
enum Place {
    Slot(usize),
    Outer(usize),
    Var(String),
}

/// The `[events]` of a manifest, its paths compiled.
#[derive(Debug)]
pub(crate) struct EventReader {
    reader: Reader,
    pub(crate) paths: Vec<Path>,
    outer: Reader,
    pub(crate) outer_paths: Vec<Path>,
    event_type: Vec<Place>,
    untyped: Vec<Vec<Place>>,
    words: Vec<Place>,
    key: Vec<Vec<Place>>,
    once: Vec<Place>,
    stamp: Vec<Place>,
    sequence: Vec<Place>,
    version: Option<Place>,
    object: Vec<Place>,
    record: Option<Place>,
    test: Vec<(Place, String)>,
    on: Vec<OnPlaces>,
}

#[derive(Debug)]
struct OnPlaces {
    key: Vec<Vec<Place>>,
    when: Vec<(Place, String)>,
    id: Option<Place>,
    property: Option<Place>,
    value: Option<Place>,
    also: Option<Place>,
    survivor: Vec<Place>,
}

impl EventReader {
    pub(crate) fn new(events: &Events) -> Result<EventReader, PathError> {
        let (mut paths, mut outer_paths) = (Vec::new(), Vec::new());
        let mut place = |text: &String| -> Result<Place, PathError> {
            if let Some(path) = text.strip_prefix("$outer.") {
                return Ok(Place::Outer(slot(&mut outer_paths, path.parse()?)));
            }
            Ok(match text.strip_prefix('$') {
                Some(var) => Place::Var(var.to_owned()),
                None => Place::Slot(slot(&mut paths, text.parse()?)),
            })
        };
        let lists = events.at.iter().chain(events.on.iter().filter_map(|on| on.each.as_ref())).flat_map(|paths| paths.as_slice());
        lists.chain(&events.json_in).try_for_each(|path| path.parse::<Path>().map(|_| ()))?;
        let mut places = |texts: Option<&OneOrMore>| -> Result<Vec<Place>, PathError> {
            texts.map_or(&[][..], OneOrMore::as_slice).iter().map(&mut place).collect()
        };
        let event_type = places(Some(&events.event_type))?;
        let key = events.key.iter().map(|part| places(Some(part))).collect::<Result<_, _>>()?;
        let once = places(events.once.as_ref())?;
        let stamp = places(events.stamp.as_ref().map(|s| &s.from))?;
        let object = places(events.object.as_ref())?;
        let untyped = events.untyped.as_ref().map_or(&[][..], UntypedBodies::as_slice);
        let untyped = untyped.iter().map(|u| places(Some(&u.when))).collect::<Result<_, _>>()?;
        let words = places(events.words.as_ref().map(|w| &w.from))?;
        let sequence = places(events.stamp.as_ref().and_then(|s| s.sequence.as_ref()))?;
        let mut keys = Vec::new();
        for on in &events.on {
            keys.push(on.key.iter().map(|part| places(Some(part))).collect::<Result<Vec<_>, _>>()?);
        }
        let mut keys = keys.into_iter();
        let mut survivors = events.on.iter().map(|on| places(on.survivor.as_ref())).collect::<Result<Vec<_>, _>>()?.into_iter();
        let record = events.record.as_ref().map(&mut place).transpose()?;
        let version = events.version.as_ref().map(&mut place).transpose()?;
        let mut guards = |when: &BTreeMap<String, String>| -> Result<Vec<(Place, String)>, PathError> {
            when.iter().map(|(path, value)| Ok((place(path)?, value.clone()))).collect()
        };
        let test = guards(&events.test)?;
        let mut when = events.on.iter().map(|rule| guards(&rule.when)).collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut on = Vec::new();
        for rule in &events.on {
            let id = rule.id.as_ref().map(&mut place).transpose()?;
            let property = rule.property.as_ref().map(&mut place).transpose()?;
            let value = rule.value.as_ref().map(&mut place).transpose()?;
            let also = rule.also.as_ref().map(&mut place).transpose()?;
            on.push(OnPlaces {
                key: keys.next().unwrap_or_default(),
                when: when.next().unwrap_or_default(),
                id,
                property,
                value,
                also,
                survivor: survivors.next().unwrap_or_default(),
            });
        }
        Ok(EventReader {
            reader: Reader::new(&paths),
            paths,
            outer: Reader::new(&outer_paths),
            outer_paths,
            event_type,
            untyped,
            words,
            key,
            once,
            stamp,
            sequence,
            version,
            object,
            record,
            test,
            on,
        })
    }
}

fn slot(paths: &mut Vec<Path>, path: Path) -> usize {
    paths.iter().position(|p| *p == path).unwrap_or_else(|| {
        paths.push(path);
        paths.len() - 1
    })
}

/// One event while it is looked at.
struct Seen<'a> {
    slots: Slots<'a>,
    outer: Slots<'a>,
    sequence: String,
    word: &'a str,
    each: Element,
    event_type: String,
    headers: &'a BTreeMap<String, String>,
}

impl<'a> Seen<'a> {
    fn text<'s>(&'s self, place: &'s Place) -> Option<&'s str> {
        let text = match place {
            Place::Slot(slot) => text_of(self.slots.get(*slot)?)?,
            Place::Outer(slot) => text_of(self.outer.get(*slot)?)?,
            Place::Var(name) => match name.strip_prefix("header.") {
                Some(header) => self.headers.get(header)?,
                None if name == "type" => &self.event_type,
                None if name == "sequence" => &self.sequence,
                None if name == "word" => self.word,
                None if name == "prefix" => self.event_type.split('.').next()?,
                None => self.each.iter().find(|(var, _)| var == name).map(|(_, value)| value)?,
            },
        };
        Some(text).filter(|text| !text.is_empty())
    }

    fn first<'s>(&'s self, places: &'s [Place]) -> Option<&'s str> {
        places.iter().find_map(|place| self.text(place))
    }

    fn context<'c>(&'c self, connection: &'c str, stamp: Option<Stamp>, id: Option<&'c str>) -> Context<'c> {
        let text = |t: &'c str| Captured::Text(Cow::Borrowed(t));
        let mut vars = vec![("type", text(&self.event_type))];
        vars.extend((!self.word.is_empty()).then(|| ("word", text(self.word))));
        vars.extend(id.map(|id| ("id", text(id))));
        vars.extend(self.each.iter().map(|(name, value)| (name.as_str(), text(value))));
        Context { connection, stamp, vars }
    }
}

fn ignored(reason: impl Into<String>) -> EventBody {
    EventBody::Ignored { reason: reason.into() }
}

fn malformed(reason: impl Into<String>) -> EventBody {
    EventBody::Malformed { reason: reason.into() }
}

impl Provider {
    /// Reads one event, or one for each of the elements that it is about; `first` is the number of the body's first event, where
    /// the provider gives one.
    pub(crate) fn event(&self, index: u32, part: &Part<'_>, first: Option<u64>, inbound: &Inbound<'_>) -> Vec<InboundEvent> {
        let raw = &*part.event;
        let mut event = InboundEvent {
            index,
            event_type: String::new(),
            key: String::new(),
            once: None,
            stamp: None,
            version: None,
            body: ignored("the provider sends no events"),
            told: None,
        };
        let (Some(events), reader) = (&self.manifest().events, self.event_reader()) else {
            event.body = self.bare_record(raw, inbound).unwrap_or(event.body);
            return vec![event];
        };
        let Some(reader) = reader else {
            event.body = malformed("the manifest has a place that cannot be read");
            return vec![event];
        };
        let slots = match reader.reader.json(raw.as_bytes()) {
            Ok(slots) => slots,
            Err(e) => {
                event.body = malformed(e.reason);
                return vec![event];
            }
        };
        if !raw.trim_start().starts_with('{') {
            event.body = malformed("an event is an object");
            return vec![event];
        }
        let outer = if reader.outer_paths.is_empty() { Ok(Slots::new()) } else { reader.outer.json(part.outer.as_bytes()) };
        let sequence = first.map(|first| first.saturating_add(u64::from(index)).to_string()).unwrap_or_default();
        let mut seen = Seen {
            slots,
            outer: outer.unwrap_or_default(),
            sequence,
            word: "",
            each: Element::new(),
            event_type: String::new(),
            headers: inbound.headers,
        };
        seen.word = word_in(events, reader, &seen);
        match type_of(events, reader, &seen) {
            Some(name) => seen.event_type = name,
            None => {
                event.body = self.bare_record(raw, inbound).unwrap_or_else(|| malformed("the event has no type"));
                return vec![event];
            }
        }
        event.event_type.clone_from(&seen.event_type);
        let rule = rule_for(events, reader, &seen).map(|(on, _)| (each::elements(on, raw), on.then_fetch));
        let (elements, then_fetch) = rule.unwrap_or_default();
        if elements.is_empty() {
            return with_fetch(self.read(event, (events, reader), &seen, raw, inbound), then_fetch);
        }
        let mut about = |element| {
            seen.each = element;
            with_fetch(self.read(event.clone(), (events, reader), &seen, raw, inbound), then_fetch)
        };
        elements.into_iter().flat_map(&mut about).collect()
    }

    /// Fills in what the event says, about the element in `seen` if there is one.
    fn read(
        &self,
        mut event: InboundEvent,
        (events, reader): (&Events, &EventReader),
        seen: &Seen<'_>,
        raw: &str,
        inbound: &Inbound<'_>,
    ) -> InboundEvent {
        event.key = key(key_parts(events, reader, seen), seen);
        event.once = seen.first(&reader.once).map(str::to_owned);
        event.stamp = stamp(events, reader, seen);
        event.version = reader.version.as_ref().and_then(|place| seen.text(place)).map(str::to_owned);
        event.body = self.event_body(events, reader, seen, raw, inbound, event.stamp);
        if let EventBody::Changes(changes) = &mut event.body
            && !reader.test.is_empty()
            && holds(&reader.test, seen)
        {
            changes.iter_mut().for_each(|change| change.test = true);
        }
        if let EventBody::Fetch(sources) = &event.body
            && let Some(source) = sources.first()
        {
            event.told = self.told(events, reader, seen, &source.object);
        }
        event
    }

    /// What a thin event tells all the same of the object's record.
    fn told(&self, events: &Events, reader: &EventReader, seen: &Seen<'_>, object: &str) -> Option<Told> {
        let (on, places) = rule_for(events, reader, seen)?;
        if on.created {
            return Some(Told::Created);
        }
        let name = seen.text(places.property.as_ref()?)?;
        let value = seen.text(places.value.as_ref()?).unwrap_or_default();
        if self.destination(object).is_some_and(|destination| destination.id_property == name) {
            return Some(Told::HubId(value.to_owned()));
        }
        let property = JsonMap::from_iter([(name.to_owned(), Value::from(value))]);
        Some(Told::Fields(self.canonical(object, &property)))
    }

    /// The body is no event but a record that names its own object, as a replay from the API has it.
    fn bare_record(&self, raw: &str, inbound: &Inbound<'_>) -> Option<EventBody> {
        let object = self.object_in(raw.as_bytes())?;
        match self.record(inbound.connection, &object, raw.as_bytes()) {
            Ok(changes) if changes.is_empty() => None,
            Ok(changes) => Some(EventBody::Changes(changes)),
            Err(e) => Some(malformed(e.reason)),
        }
    }

    fn event_body(
        &self,
        events: &Events,
        reader: &EventReader,
        seen: &Seen<'_>,
        raw: &str,
        inbound: &Inbound<'_>,
        stamp: Option<Stamp>,
    ) -> EventBody {
        let Some((on, places)) = rule_for(events, reader, seen) else {
            if let Some(body) = self.bare_record(raw, inbound) {
                return body;
            }
            return ignored(format!("nothing is mapped for `{}`", word(&seen.event_type)));
        };
        if on.action == Action::Ignore {
            return ignored(
                on.why.clone().unwrap_or_else(|| format!("`{}` says nothing that the hub keeps", word(&seen.event_type))),
            );
        }
        if on.action == Action::Keep {
            return EventBody::Kept { reason: on.why.clone().unwrap_or_default(), event: raw.to_owned() };
        }
        if on.action == Action::Reconcile {
            let object = on.object.as_deref().or_else(|| object_of(events, reader, seen));
            let objects = object.map(str::to_owned).into_iter().collect();
            let reason = on.why.clone().unwrap_or_else(|| format!("`{}` says that events were lost", word(&seen.event_type)));
            return EventBody::Reconcile { objects, reason };
        }
        let object = match on.object.as_deref().or_else(|| object_of(events, reader, seen)) {
            Some(object) => object,
            None if on.map.is_some() => "",
            None => return ignored(format!("nothing is mapped for the object of `{}`", word(&seen.event_type))),
        };
        if on.action == Action::Map {
            let named = places.id.as_ref().and_then(|place| seen.text(place));
            let mut body = self.map_event((on.map.as_deref().unwrap_or(object), named), reader, seen, raw, inbound, stamp);
            if let EventBody::Changes(changes) = &mut body
                && on.part
            {
                changes.iter_mut().for_each(|change| in_part(change, stamp));
            }
            return body;
        }
        let canonical = self.object_of(object);
        // What is read may be a list of other objects: a rule that names its object knows.
        if canonical.is_none() && !(on.action == Action::Fetch && on.object.is_some()) {
            return ignored(format!("nothing is mapped for the object `{}`", word(object)));
        }
        let Some(id) = places.id.as_ref().and_then(|place| seen.text(place)) else {
            return malformed("the event does not name its object's id");
        };
        let source = RemoteId { connection: inbound.connection.into(), object: object.to_owned(), id: id.to_owned() };
        match canonical {
            Some(canonical) if on.action != Action::Fetch => ended(on.action, places, seen, canonical, source, stamp),
            _ => EventBody::Fetch(vec![source]),
        }
    }

    /// Maps by the file of that name; the event's own word about the object's id is `$object_id` there.
    fn map_event(
        &self,
        (name, object_id): (&str, Option<&str>),
        reader: &EventReader,
        seen: &Seen<'_>,
        raw: &str,
        inbound: &Inbound<'_>,
        stamp: Option<Stamp>,
    ) -> EventBody {
        let Some(compiled) = self.map(name) else {
            return ignored(format!("nothing is mapped for the object `{}`", word(name)));
        };
        let record = match &reader.record {
            None => raw,
            Some(Place::Slot(slot)) => match &seen.slots[*slot] {
                Captured::Object(record) => record,
                _ => return malformed("the event holds no record"),
            },
            Some(Place::Var(_) | Place::Outer(_)) => return malformed("the event holds no record"),
        };
        let parts = self.manifest().events.as_ref().map_or(&reader.key[..], |events| key_parts(events, reader, seen));
        let id = parts.iter().find_map(|part| seen.first(part).filter(|text| *text != seen.event_type));
        let mut context = seen.context(inbound.connection, stamp, id);
        context.vars.extend(object_id.map(|id| ("object_id", Captured::Text(Cow::Borrowed(id)))));
        for var in &compiled.vars {
            let value = match var.split_once('.') {
                Some(("header", name)) => inbound.headers.get(name).map(|value| Cow::Borrowed(value.as_str())),
                Some(("query", name)) => mapping::parameter(inbound.target, name),
                _ => None,
            };
            context.vars.extend(value.map(|value| (var.as_str(), Captured::Text(value))));
        }
        match compiled.map.run(&compiled.reader, record.as_bytes(), &context) {
            Ok(changes) if changes.is_empty() => ignored("no mapping wants a record like this"),
            Ok(changes) => EventBody::Changes(changes),
            Err(e) => malformed(e.reason),
        }
    }

    /// The mapping file that an event's record goes to, with the record's place.
    pub(crate) fn map_of_event(&self, raw: &str) -> Option<(String, Option<Path>)> {
        let (events, reader) = (self.manifest().events.as_ref()?, self.event_reader()?);
        let headers = BTreeMap::new();
        let slots = reader.reader.json(raw.as_bytes()).ok()?;
        let (sequence, event_type) = (String::new(), String::new());
        let mut seen =
            Seen { slots, outer: Slots::new(), sequence, word: "", each: Element::new(), event_type, headers: &headers };
        seen.word = word_in(events, reader, &seen);
        seen.event_type = type_of(events, reader, &seen)?;
        let (on, _) = rule_for(events, reader, &seen)?;
        let name = match (&on.map, on.action) {
            (Some(map), _) => map.clone(),
            (None, Action::Map) => on.object.as_deref().or_else(|| object_of(events, reader, &seen))?.to_owned(),
            _ => return None,
        };
        Some((name, events.record.as_ref().and_then(|record| record.parse().ok())))
    }
}

/// The event, and behind it, where its rule asks for that, another that reads the record that it leaves.
fn with_fetch(event: InboundEvent, then_fetch: bool) -> Vec<InboundEvent> {
    let EventBody::Changes(changes) = &event.body else { return vec![event] };
    let Some(change) = changes.first().filter(|_| then_fetch) else { return vec![event] };
    let mut left = change.source.clone();
    if let ChangeKind::MergedInto { id } = &change.kind {
        left.id.clone_from(id);
    }
    let fetch =
        InboundEvent { key: format!("{}5:fetch", event.key), body: EventBody::Fetch(vec![left]), told: None, ..event.clone() };
    vec![event, fetch]
}

/// A change of which the event holds only some fields, as of its own time.
fn in_part(change: &mut Change, stamp: Option<Stamp>) {
    if change.kind == ChangeKind::Snapshot {
        change.kind = ChangeKind::Partial;
    }
    change.stamp = stamp.or(change.stamp);
}

/// What an event that holds no record says about the one that it names.
fn ended(
    action: Action,
    places: &OnPlaces,
    seen: &Seen<'_>,
    object: ObjectType,
    source: RemoteId,
    stamp: Option<Stamp>,
) -> EventBody {
    let change = |source: RemoteId, kind: ChangeKind| Change {
        object,
        source,
        kind,
        stamp,
        fields: BTreeMap::new(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
    };
    match action {
        Action::Delete => EventBody::Changes(vec![change(source, ChangeKind::Delete { privacy: false })]),
        Action::PrivacyDelete => EventBody::Changes(vec![change(source, ChangeKind::Delete { privacy: true })]),
        // What the object holds now is not in the event.
        Action::Restore => EventBody::Changes(vec![change(source, ChangeKind::Restored)]),
        _ => {
            let Some(survivor) = seen.first(&places.survivor) else {
                return malformed("the event does not name the object that is left");
            };
            let mut gone = vec![source.id.clone()];
            if let Some(Place::Slot(slot)) = &places.also {
                gone.extend(list(&seen.slots[*slot]));
            }
            gone.retain(|id| id != survivor);
            gone.sort();
            gone.dedup();
            let merged = |id| change(RemoteId { id, ..source.clone() }, ChangeKind::MergedInto { id: survivor.to_owned() });
            EventBody::Changes(gone.into_iter().map(merged).collect())
        }
    }
}

/// The first rule that fits the event.
fn rule_for<'e>(events: &'e Events, reader: &'e EventReader, seen: &Seen<'_>) -> Option<(&'e On, &'e OnPlaces)> {
    events.on.iter().zip(&reader.on).find(|(on, places)| {
        on.types.as_slice().iter().any(|pattern| matches(pattern, &seen.event_type)) && holds(&places.when, seen)
    })
}

fn type_of(events: &Events, reader: &EventReader, seen: &Seen<'_>) -> Option<String> {
    let untyped = || {
        let bodies = events.untyped.as_ref()?.as_slice().iter().zip(&reader.untyped);
        bodies.into_iter().find(|(_, when)| seen.first(when).is_some()).map(|(body, _)| body.event_type.clone())
    };
    seen.first(&reader.event_type).map(str::to_owned).or_else(untyped)
}

/// The order that a text of the event gives, empty for none.
fn word_in<'e>(events: &'e Events, reader: &EventReader, seen: &Seen<'_>) -> &'e str {
    let Some(words) = &events.words else { return "" };
    let plain = |text: &str| {
        let text = text.trim_matches(|c: char| !c.is_alphanumeric());
        text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase()
    };
    let order = |place| {
        let said = plain(seen.text(place)?);
        words.mean.iter().find(|(_, all)| all.iter().any(|one| plain(one) == said)).map(|(order, _)| order.as_str())
    };
    reader.words.iter().find_map(order).unwrap_or_default()
}

/// The provider's name of the object: the first that is known.
fn object_of<'e>(events: &'e Events, reader: &'e EventReader, seen: &'e Seen<'_>) -> Option<&'e str> {
    reader
        .object
        .iter()
        .filter_map(|place| seen.text(place))
        .find_map(|name| if events.objects.is_empty() { Some(name) } else { named(&events.objects, name) })
}

/// The object of a name: the exact name before patterns, the longest pattern first.
fn named<'e>(objects: &'e BTreeMap<String, String>, name: &str) -> Option<&'e str> {
    let patterns = || objects.iter().filter(|(pattern, _)| pattern.contains('*') && matches(pattern, name));
    let pattern = || patterns().max_by_key(|(pattern, _)| pattern.len()).map(|(_, object)| object);
    objects.get(name).or_else(pattern).map(String::as_str)
}

/// The parts of the key that the event's rule asks for, else those of all events.
fn key_parts<'e>(events: &'e Events, reader: &'e EventReader, seen: &Seen<'_>) -> &'e [Vec<Place>] {
    rule_for(events, reader, seen).map(|(_, places)| &places.key[..]).filter(|parts| !parts.is_empty()).unwrap_or(&reader.key)
}

/// The parts with their lengths in front; `-` for a part without a value.
fn key(parts: &[Vec<Place>], seen: &Seen<'_>) -> String {
    let mut key = String::new();
    for part in parts {
        let _ = match seen.first(part) {
            Some(text) => write!(key, "{}:{text}", text.len()),
            None => write!(key, "-"),
        };
    }
    key
}

fn stamp(events: &Events, reader: &EventReader, seen: &Seen<'_>) -> Option<Stamp> {
    let EventStamp { unit, order, .. } = events.stamp.as_ref()?;
    let canonical = normal::instant(seen.first(&reader.stamp)?, *unit, Some(&normal::Zone::UTC)).ok()?;
    let number = |text: &str| text.parse().ok().or_else(|| order.get(text).copied());
    let sequence = seen.first(&reader.sequence).and_then(number);
    Some(Stamp { at_ms: normal::instant_ms(&canonical)?, sequence })
}

fn list(captured: &Captured<'_>) -> Vec<String> {
    match captured {
        Captured::List(raw) => {
            let ids: Vec<serde_json::Value> = serde_json::from_str(raw).unwrap_or_default();
            ids.iter()
                .filter_map(|id| id.as_str().map(str::to_owned).or_else(|| id.is_number().then(|| id.to_string())))
                .collect()
        }
        captured => text_of(captured).map(str::to_owned).into_iter().collect(),
    }
}

/// Every place has its value; `*` is any text.
fn holds(guards: &[(Place, String)], seen: &Seen<'_>) -> bool {
    guards.iter().all(|(place, want)| seen.text(place).is_some_and(|text| matches(want, text)))
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(tail) = text.strip_prefix(start) else { return false };
            rest.is_empty() || (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }
    }
}

/// A name from a payload as a message may show it.
fn word(text: &str) -> Cow<'_, str> {
    let plain = text.len() <= 80 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/".contains(&b));
    if plain { Cow::Borrowed(text) } else { Cow::Borrowed("an unusual name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("customer.*", "customer.created"));
        assert!(matches("*.creation", "contact.creation"));
        assert!(matches("a.*.c", "a.b.b.c"));
        assert!(!matches("customer.*", "customers.created"));
        assert!(!matches("*.creation", "contact.deletion"));
    }
}
