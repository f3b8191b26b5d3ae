//! The state of a stand-in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TokenEndpoint;
use crate::fault::Fault;

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Api,
    Person,
    Import,
}

/// A value, when it was set, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at_ms: i64,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) archived_ms: Option<i64>,
    pub(crate) merged_into: Option<String>,
    /// The history of each property, oldest first.
    pub(crate) fields: BTreeMap<String, Vec<Entry>>,
}

/// How many values of a property's history are stored.
const HISTORY: usize = 45;

impl Record {
    pub(crate) fn live(&self) -> bool {
        self.archived_ms.is_none()
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.fields.get(name).and_then(|h| h.last()).map_or(&Value::Null, |entry| &entry.value)
    }

    /// The value at that time.
    pub(crate) fn get_at(&self, name: &str, ms: i64) -> &Value {
        let history = self.fields.get(name).map_or(&[][..], Vec::as_slice);
        history.iter().rev().find(|entry| entry.at_ms <= ms).map_or(&Value::Null, |entry| &entry.value)
    }

    /// When it last changed, as of that time.
    pub(crate) fn updated_at(&self, ms: i64) -> i64 {
        let stamps = self.fields.values().flatten().map(|entry| entry.at_ms);
        stamps.filter(|at| *at <= ms).max().unwrap_or(self.created_ms).max(self.created_ms)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value, origin: Origin, now_ms: i64) -> bool {
        if *self.get(name) == value {
            return false;
        }
        let history = self.fields.entry(name.to_owned()).or_default();
        history.push(Entry { at_ms: now_ms, value, origin });
        if history.len() > HISTORY {
            history.remove(0);
        }
        true
    }
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) created: bool,
    pub(crate) changed: Vec<(String, Value)>,
}

/// A webhook event that is not due yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) due_ms: i64,
    pub(crate) attempt: u32,
    pub(crate) event: Value,
}

/// The result of a query that has further pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) object: String,
    pub(crate) fields: Vec<String>,
    pub(crate) ids: Vec<String>,
}

/// From object and id to object and id.
pub(crate) type Link = (String, String, String, String);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) issued: u64,
    pub(crate) requests: u64,
    pub(crate) objects: BTreeMap<String, BTreeMap<String, Record>>,
    /// Stored in both directions.
    pub(crate) links: BTreeSet<Link>,
    /// The primary company of an object, by `type/id` of the object.
    #[serde(default)]
    pub(crate) primary: BTreeMap<String, String>,
    pub(crate) tokens: BTreeMap<String, Option<i64>>,
    pub(crate) endpoint: Option<TokenEndpoint>,
    pub(crate) locks: BTreeMap<String, i64>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) outbox: Vec<Pending>,
    pub(crate) in_flight: BTreeMap<u64, Vec<Pending>>,
    /// The times of recent calls, by the name of the limit.
    pub(crate) recent: BTreeMap<String, VecDeque<i64>>,
    /// The day (since the epoch) and its calls.
    pub(crate) daily: (i64, u64),
    pub(crate) cursors: BTreeMap<String, Cursor>,
    /// By `object/property` of unique properties: the values ever held, in lower case, with the ids of their records. Entries may
    /// be out of date, so a reader must check the record.
    #[serde(skip)]
    pub(crate) held: BTreeMap<String, BTreeSet<(String, String)>>,
}
