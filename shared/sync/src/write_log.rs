//! Writes that are noted instead of made, for a rehearsal: which objects would be created or changed at each destination, and how.

use std::cell::RefCell;
use std::collections::BTreeMap;

use canonical::Stamp;
use providers::api::{RemoteRecord, Row, RowResult};
use serde_json::{Map, Value};

/// A property before and after.
pub type PropertyChange = (Value, Value);

/// An object as a rehearsal leaves it at a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedObject {
    /// The golden record's id.
    pub record: String,
    /// True when the object would be created.
    pub created: bool,
    /// True when the object exists and would get the hub's id for the first time.
    pub adopted: bool,
    /// The properties that would change. For a created object, all of them.
    pub changes: BTreeMap<String, PropertyChange>,
}

/// The connection, the native object and the id of an object. An object that would be created has an id of our own.
pub type ObjectKey = (String, String, String);

/// What to look for in what a rehearsal has written.
#[derive(Debug, Clone, Copy)]
pub enum Sought<'a> {
    /// Objects with these ids.
    Ids(&'a [String]),
    /// Objects with one of these values in a property.
    Values(&'a str, &'a [String]),
}

#[derive(Debug, Default)]
struct Noted {
    /// The API calls by connection, made and planned.
    calls: BTreeMap<String, u64>,
    /// Objects as they were read, with what was written since.
    known: BTreeMap<ObjectKey, RemoteRecord>,
    /// The ids of the objects that carry the hub's ids.
    ours: BTreeMap<ObjectKey, String>,
    planned: BTreeMap<ObjectKey, PlannedObject>,
    merges: BTreeMap<String, u64>,
}

/// The log.
#[derive(Debug, Default)]
pub struct WriteLog {
    noted: RefCell<Noted>,
}

impl WriteLog {
    /// Notes a call.
    pub fn note_call(&self, connection: &str) {
        *self.noted.borrow_mut().calls.entry(connection.to_owned()).or_default() += 1;
    }

    /// The calls by connection.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.noted.borrow().calls.clone()
    }

    /// The objects that would change.
    pub fn planned(&self) -> BTreeMap<ObjectKey, PlannedObject> {
        self.noted.borrow().planned.clone()
    }

    /// Objects that would be merged, by connection.
    pub fn merges(&self) -> BTreeMap<String, u64> {
        self.noted.borrow().merges.clone()
    }

    /// Notes a merge of two objects.
    pub fn note_merge(&self, connection: &str) {
        self.note_call(connection);
        *self.noted.borrow_mut().merges.entry(connection.to_owned()).or_default() += 1;
    }

    /// True for the id of an object that exists only here.
    pub fn is_planned_id(id: &str) -> bool {
        id.starts_with(PLANNED)
    }

    /// What a provider's answer would hold after the noted writes.
    pub fn after_writes(&self, connection: &str, native: &str, sought: Sought<'_>, read: Vec<RemoteRecord>) -> Vec<RemoteRecord> {
        let mut noted = self.noted.borrow_mut();
        let mut records: Vec<RemoteRecord> = Vec::new();
        for record in read {
            let key = key(connection, native, &record.id);
            let current = if noted.planned.contains_key(&key) { noted.known.get(&key).cloned() } else { None };
            if current.is_none() {
                if let Some(hub_id) = &record.hub_id {
                    noted.ours.insert((key.0.clone(), key.1.clone(), hub_id.clone()), record.id.clone());
                }
                noted.known.insert(key, record.clone());
            }
            records.push(current.unwrap_or(record));
        }
        let fits = |record: &RemoteRecord| match sought {
            Sought::Ids(ids) => ids.contains(&record.id),
            Sought::Values(property, values) => {
                let value = record.properties.get(property).and_then(Value::as_str);
                let ours = record.hub_id.as_deref();
                values.iter().any(|v| ours == Some(v) || value.is_some_and(|value| v.eq_ignore_ascii_case(value)))
            }
        };
        let written = noted.planned.keys().filter(|(c, n, _)| c == connection && n == native);
        let added: Vec<RemoteRecord> = written
            .filter_map(|key| noted.known.get(key))
            .filter(|record| fits(record) && !records.iter().any(|r| r.id == record.id))
            .cloned()
            .collect();
        records.extend(added);
        records
    }

    /// Notes rows as written. Each result is that of a destination that takes the row as it is.
    pub fn write(&self, connection: &str, native: &str, id_property: &str, rows: &[Row], now_ms: i64) -> Vec<RowResult> {
        self.note_call(connection);
        rows.iter().map(|row| self.noted.borrow_mut().write(connection, native, id_property, row, now_ms)).collect()
    }
}

/// How the id of an object that exists only here begins.
const PLANNED: &str = "planned-";

fn key(connection: &str, native: &str, id: &str) -> ObjectKey {
    (connection.to_owned(), native.to_owned(), id.to_owned())
}

impl Noted {
    fn write(&mut self, connection: &str, native: &str, id_property: &str, row: &Row, now_ms: i64) -> RowResult {
        let own_key = key(connection, native, &row.hub_id);
        let existing = row.remote_id.clone().or_else(|| self.ours.get(&own_key).cloned());
        let created = existing.is_none();
        let id = existing.unwrap_or_else(|| format!("{PLANNED}{}", row.hub_id));
        self.ours.insert(own_key, id.clone());
        let key = key(connection, native, &id);
        let record = self.known.entry(key.clone()).or_insert_with(|| RemoteRecord {
            id: id.clone(),
            hub_id: None,
            properties: Map::new(),
            stamp: None,
            archived: false,
            raw: Value::Null,
        });
        let planned = self.planned.entry(key).or_insert_with(|| PlannedObject {
            record: row.hub_id.clone(),
            created,
            adopted: !created && record.hub_id.is_none(),
            changes: BTreeMap::new(),
        });
        for (name, value) in row.properties.iter().filter(|(name, _)| *name != id_property) {
            let before = record.properties.insert(name.clone(), value.clone()).unwrap_or_default();
            let change = planned.changes.entry(name.clone()).or_insert((before, Value::Null));
            change.1 = value.clone();
        }
        planned.changes.retain(|_, (before, after)| text(before) != text(after));
        record.hub_id = Some(row.hub_id.clone());
        record.stamp = Some(Stamp::at(now_ms));
        let properties = Some(record.properties.clone());
        RowResult::Done { remote_id: id, created, properties, stamp: record.stamp }
    }
}

/// A property as people see it: an empty text and no value are the same.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
