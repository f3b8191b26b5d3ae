//! `[events]` of a manifest, compiled: which rule matches an event, and what its key, stamp and object are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use canonical::Stamp;
use mapping::{Path, PathError, Reader, Slots, TimeUnit, normal};

use crate::body::RawEvent;
use crate::elements;
use crate::manifest::{EventRule, EventStamp, Events, Keywords, OneOrMore, UntypedBody};
use crate::paths::{FirstOf, PathTable, ValueCondition, ValueRef, matches};
use crate::view::{ElementVariables, EventView};

/// Reads single events as a manifest declares it.
#[derive(Debug)]
pub(crate) struct EventReader {
    paths: PathTable,
    event: Reader,
    outer: Reader,
    event_type: FirstOf,
    untyped: Vec<(FirstOf, String)>,
    keywords: Option<CompiledKeywords>,
    key: Vec<FirstOf>,
    single_use_token: FirstOf,
    stamp: Option<CompiledStamp>,
    version: Option<ValueRef>,
    object: FirstOf,
    objects: BTreeMap<String, String>,
    record: Option<ValueRef>,
    test: Vec<ValueCondition>,
    rules: Vec<CompiledRule>,
}

#[derive(Debug)]
struct CompiledKeywords {
    from: FirstOf,
    /// Keyword → the texts that count as it, normalised.
    spellings: Vec<(String, Vec<String>)>,
}

#[derive(Debug)]
struct CompiledStamp {
    from: FirstOf,
    unit: TimeUnit,
    sequence: FirstOf,
    order: BTreeMap<String, u64>,
}

/// A rule of `[[events.on]]`.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    /// The rule as the manifest writes it.
    pub declared: EventRule,
    /// Its paths of lists.
    pub each: Vec<Path>,
    /// The path of the record, where it is not that of all events.
    record: Option<ValueRef>,
    /// The object's id.
    pub id: Option<ValueRef>,
    /// The name of the property that changed.
    pub property: Option<ValueRef>,
    /// The value of that property.
    pub value: Option<ValueRef>,
    /// Further ids that were merged.
    pub also_merged: Option<ValueRef>,
    /// The id of the surviving object.
    pub survivor: FirstOf,
    key: Vec<FirstOf>,
    when: Vec<ValueCondition>,
}

impl CompiledRule {
    fn new(declared: &EventRule, paths: &mut PathTable) -> Result<CompiledRule, PathError> {
        let lists = declared.each.as_ref().map_or(&[][..], OneOrMore::as_slice);
        Ok(CompiledRule {
            each: lists.iter().map(|path| path.parse()).collect::<Result<_, _>>()?,
            record: paths.optional(declared.record.as_ref())?,
            id: paths.optional(declared.id.as_ref())?,
            property: paths.optional(declared.property.as_ref())?,
            value: paths.optional(declared.value.as_ref())?,
            also_merged: paths.optional(declared.also_merged.as_ref())?,
            survivor: paths.first_of(declared.survivor.as_ref())?,
            key: paths.key(&declared.key)?,
            when: paths.conditions(&declared.when)?,
            declared: declared.clone(),
        })
    }

    /// The elements that an event is about; none without `each`.
    pub fn elements(&self, event: &str) -> Vec<ElementVariables> {
        elements::elements(&self.each, self.declared.also_whole, event)
    }
}

impl EventReader {
    /// Compiles `[events]`.
    ///
    /// # Errors
    /// One of its paths is not a path.
    pub fn new(events: &Events) -> Result<EventReader, PathError> {
        let texts = events.at.iter().flat_map(OneOrMore::as_slice).chain(&events.json_in);
        texts.into_iter().try_for_each(|path| path.parse::<Path>().map(|_| ()))?;
        let mut paths = PathTable::default();
        let untyped = events.untyped.as_ref().map_or(&[][..], OneOrMore::as_slice);
        let typed = |body: &UntypedBody| Ok((paths.first_of(Some(&body.when))?, body.event_type.clone()));
        let untyped = untyped.iter().map(typed).collect::<Result<_, _>>()?;
        let event_type = paths.first_of(Some(&events.event_type))?;
        let keywords = events.keywords.as_ref().map(|keywords| CompiledKeywords::new(keywords, &mut paths)).transpose()?;
        let key = paths.key(&events.key)?;
        let single_use_token = paths.first_of(events.single_use_token.as_ref())?;
        let stamp = events.stamp.as_ref().map(|stamp| CompiledStamp::new(stamp, &mut paths)).transpose()?;
        let version = paths.optional(events.version.as_ref())?;
        let object = paths.first_of(events.object.as_ref())?;
        let record = paths.optional(events.record.as_ref())?;
        let test = paths.conditions(&events.test)?;
        let rules = events.on.iter().map(|rule| CompiledRule::new(rule, &mut paths)).collect::<Result<_, _>>()?;
        Ok(EventReader {
            event: paths.event_reader(),
            outer: paths.outer_reader(),
            paths,
            event_type,
            untyped,
            keywords,
            key,
            single_use_token,
            stamp,
            version,
            object,
            objects: events.objects.clone(),
            record,
            test,
            rules,
        })
    }

    /// Reads the values of an event; `number` is its number, where the body gives one.
    ///
    /// # Errors
    /// What is wrong with the event.
    pub fn view<'a>(
        &'a self,
        raw: &'a RawEvent<'_>,
        number: Option<u64>,
        headers: &'a BTreeMap<String, String>,
    ) -> Result<EventView<'a>, &'static str> {
        let event = self.event.json(raw.json.as_bytes()).map_err(|unreadable| unreadable.reason)?;
        if !raw.json.trim_start().starts_with('{') {
            return Err("an event is a JSON object");
        }
        let outer = if self.paths.outer().is_empty() { Ok(Slots::new()) } else { self.outer.json(raw.outer.as_bytes()) };
        let mut view = EventView {
            event,
            outer: outer.unwrap_or_default(),
            headers,
            event_type: String::new(),
            keyword: "",
            sequence: number.map(|number| number.to_string()).unwrap_or_default(),
            element: ElementVariables::new(),
        };
        view.keyword = self.keywords.as_ref().and_then(|keywords| keywords.find(&view)).unwrap_or_default();
        view.event_type = self.event_type(&view).unwrap_or_default().to_owned();
        Ok(view)
    }

    fn event_type<'v>(&'v self, view: &'v EventView<'_>) -> Option<&'v str> {
        let untyped = || self.untyped.iter().find(|(when, _)| view.first(when).is_some()).map(|(_, name)| name.as_str());
        view.first(&self.event_type).or_else(untyped)
    }

    /// The first rule that matches the event.
    pub fn rule_for(&self, view: &EventView<'_>) -> Option<&CompiledRule> {
        self.rules.iter().find(|rule| {
            let types = rule.declared.types.as_slice();
            types.iter().any(|pattern| matches(pattern, &view.event_type)) && view.satisfies(&rule.when)
        })
    }

    /// The provider's name of the object type: the rule's own, or the first in the event that is known.
    pub fn object<'v>(&'v self, rule: &'v CompiledRule, view: &'v EventView<'_>) -> Option<&'v str> {
        let in_event = || {
            let names = self.object.iter().filter_map(|value| view.text(value));
            names.into_iter().find_map(|name| if self.objects.is_empty() { Some(name) } else { self.object_named(name) })
        };
        rule.declared.object.as_deref().or_else(in_event)
    }

    /// The object type of a name in an event: an exact name counts before patterns, and a long pattern before a short one.
    fn object_named(&self, name: &str) -> Option<&str> {
        let patterns = || self.objects.iter().filter(|(pattern, _)| pattern.contains('*') && matches(pattern, name));
        let pattern = || patterns().max_by_key(|(pattern, _)| pattern.len()).map(|(_, object)| object);
        self.objects.get(name).or_else(pattern).map(String::as_str)
    }

    /// The path of the record of a rule's events; `None` when the event is the record.
    pub fn record<'r>(&'r self, rule: &'r CompiledRule) -> Option<&'r ValueRef> {
        rule.record.as_ref().or(self.record.as_ref())
    }

    /// The parts of the event's key: those of its rule, or those of all events.
    pub fn key_parts<'r>(&'r self, rule: Option<&'r CompiledRule>) -> &'r [FirstOf] {
        rule.map(|rule| &rule.key[..]).filter(|parts| !parts.is_empty()).unwrap_or(&self.key)
    }

    /// The idempotency key: each part with its length in front, `-` for a part without a value.
    pub fn key(&self, rule: Option<&CompiledRule>, view: &EventView<'_>) -> String {
        let mut key = String::new();
        for part in self.key_parts(rule) {
            let _ = match view.first(part) {
                Some(text) => write!(key, "{}:{text}", text.len()),
                None => write!(key, "-"),
            };
        }
        key
    }

    /// The token by which the event's signature is valid only once.
    pub fn single_use_token(&self, view: &EventView<'_>) -> Option<String> {
        view.first(&self.single_use_token).map(str::to_owned)
    }

    /// When the event happened.
    pub fn stamp(&self, view: &EventView<'_>) -> Option<Stamp> {
        self.stamp.as_ref()?.read(view)
    }

    /// The version of the API that the event is written in.
    pub fn version(&self, view: &EventView<'_>) -> Option<String> {
        view.text(self.version.as_ref()?).map(str::to_owned)
    }

    /// Whether the event is about a test record.
    pub fn is_test(&self, view: &EventView<'_>) -> bool {
        !self.test.is_empty() && view.satisfies(&self.test)
    }

    /// The paths and variables that the manifest names.
    pub fn paths(&self) -> &PathTable {
        &self.paths
    }

    /// The paths of lists whose elements make events of their own.
    pub fn lists(&self) -> impl Iterator<Item = &Path> {
        self.rules.iter().flat_map(|rule| &rule.each)
    }
}

impl CompiledKeywords {
    fn new(declared: &Keywords, paths: &mut PathTable) -> Result<CompiledKeywords, PathError> {
        let plain = |texts: &Vec<String>| texts.iter().map(|text| without_decoration(text)).collect();
        let spellings = declared.spellings.iter().map(|(keyword, texts)| (keyword.clone(), plain(texts))).collect();
        Ok(CompiledKeywords { from: paths.first_of(Some(&declared.from))?, spellings })
    }

    fn find(&self, view: &EventView<'_>) -> Option<&str> {
        let keyword = |value| {
            let text = without_decoration(view.text(value)?);
            self.spellings.iter().find(|(_, spellings)| spellings.contains(&text)).map(|(keyword, _)| keyword.as_str())
        };
        self.from.iter().find_map(keyword)
    }
}

/// The text in upper case, without surrounding punctuation and with single blanks.
fn without_decoration(text: &str) -> String {
    let text = text.trim_matches(|c: char| !c.is_alphanumeric());
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase()
}

impl CompiledStamp {
    fn new(declared: &EventStamp, paths: &mut PathTable) -> Result<CompiledStamp, PathError> {
        Ok(CompiledStamp {
            from: paths.first_of(Some(&declared.from))?,
            unit: declared.unit,
            sequence: paths.first_of(declared.sequence.as_ref())?,
            order: declared.order.clone(),
        })
    }

    fn read(&self, view: &EventView<'_>) -> Option<Stamp> {
        let instant = normal::instant(view.first(&self.from)?, self.unit, Some(&normal::Zone::UTC)).ok()?;
        let number = |text: &str| text.parse().ok().or_else(|| self.order.get(text).copied());
        let sequence = view.first(&self.sequence).and_then(number);
        Some(Stamp { at_ms: normal::instant_ms(&instant)?, sequence })
    }
}
