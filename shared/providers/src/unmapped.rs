//! What a body holds that the hub does not read, for people who write mapping files.

use std::collections::BTreeSet;

use mapping::{Path, Segment};
use serde_json::Value;
use webhook::json::whole_characters;

use crate::body;
use crate::manifest::EventAction;
use crate::model::Malformed;
use crate::paths::ValueRef;
use crate::provider::Provider;
use crate::rules::EventReader;

impl Provider {
    /// The paths of a body that hold something and that nothing reads: neither the manifest nor a mapping rule. Each path is listed
    /// once, with `[*]` for list elements. Of a thin event only the manifest reads.
    ///
    /// # Errors
    /// The body is malformed.
    pub fn unmapped(&self, body: &[u8]) -> Result<Vec<String>, Malformed> {
        let declared = self.manifest().events.as_ref();
        let text = body::json_text(body, declared)?;
        let mut found = match body::events_path(&text, declared) {
            Some(at) => self.unread_around(&text, at),
            None => Vec::new(),
        };
        for event in body::raw_events(&text, declared)? {
            let value: Value = serde_json::from_str(&event.json).map_err(|e| Malformed::at("not JSON", e.column()))?;
            found.extend(mapping::unmapped(&self.paths_read(&event), &value));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The paths of a record of the provider's API that hold something and that no mapping rule reads; `object` is the provider's
    /// name of its type.
    ///
    /// # Errors
    /// The body is malformed.
    pub fn unmapped_record(&self, object: &str, body: &[u8]) -> Result<Vec<String>, Malformed> {
        let body = whole_characters(body);
        let mut read = self.map(object).map(|compiled| compiled.map.read_paths()).unwrap_or_default();
        read.extend(self.manifest().records.object.iter().filter_map(|path| path.parse().ok()));
        let mut found = BTreeSet::new();
        for record in self.records(object, &body)? {
            let value: Value = serde_json::from_slice(record).map_err(|e| Malformed::at("not JSON", e.column()))?;
            found.extend(mapping::unmapped(&read, &value));
        }
        Ok(found.into_iter().collect())
    }

    /// What surrounds the events of a body and is not read; `at` is the path of the events.
    fn unread_around(&self, text: &str, at: Path) -> Vec<String> {
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
        let outer = body::outer_path(&at);
        let around = self.event_reader().map_or(&[][..], |reader| reader.paths().outer()).iter().map(|path| outer.join(path));
        let numbers = self.manifest().events.iter().filter_map(|e| e.sequence.as_ref()).flat_map(|s| [&s.first, &s.last]);
        let numbers = numbers.filter_map(|path| path.parse().ok());
        let read: Vec<Path> = around.chain(numbers).chain([at]).collect();
        mapping::unmapped(&read, &value)
    }

    /// The paths of an event that the manifest or the event's mapping file reads.
    fn paths_read(&self, event: &body::RawEvent<'_>) -> Vec<Path> {
        let reader = self.event_reader();
        let mut read = reader.map(|reader| reader.paths().event().to_vec()).unwrap_or_default();
        let (name, record) = match reader.and_then(|reader| self.map_of_event(reader, event)) {
            Some(found) => found,
            None => (self.object_in(event.json.as_bytes()).unwrap_or_default(), None),
        };
        let mut variables = BTreeSet::new();
        if let Some(compiled) = self.map(&name) {
            // The manifest names the record, but the mapping file reads only parts of it.
            read.retain(|path| record.as_ref() != Some(path));
            let in_event = |path: &Path| record.as_ref().map_or(path.clone(), |record| record.join(path));
            read.extend(compiled.map.read_paths().iter().map(in_event));
            variables = compiled.map.vars();
        }
        read.extend(reader.into_iter().flat_map(|reader| paths_of_elements(reader, &variables)));
        read
    }

    /// The mapping file that an event goes to, and the path of its record.
    fn map_of_event(&self, reader: &EventReader, event: &body::RawEvent<'_>) -> Option<(String, Option<Path>)> {
        let headers = Default::default();
        let view = reader.view(event, None, &headers).ok()?;
        let rule = reader.rule_for(&view)?;
        let name = match (&rule.declared.map, rule.declared.action) {
            (Some(map), _) => map.clone(),
            (None, EventAction::Map) => reader.object(rule, &view)?.to_owned(),
            _ => return None,
        };
        let record = match reader.record(rule) {
            Some(ValueRef::Event(slot)) => reader.paths().event().get(*slot).cloned(),
            _ => None,
        };
        Some((name, record))
    }
}

/// The paths that are read through `$each`, by the manifest or by these variables of a mapping file.
fn paths_of_elements(reader: &EventReader, variables: &BTreeSet<&str>) -> Vec<Path> {
    let declared = reader.paths().variables().iter().map(String::as_str);
    let member = |variable: &str| variable.strip_prefix("each.")?.parse::<Path>().ok();
    let members: Vec<Path> = declared.chain(variables.iter().copied()).filter_map(member).collect();
    let each = Path::from_iter([Segment::Each]);
    let lists = reader.lists().map(|list| list.join(&each));
    lists.flat_map(|list| members.iter().map(|member| list.join(member)).chain([list.clone()]).collect::<Vec<_>>()).collect()
}
