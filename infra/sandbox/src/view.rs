//! Views of the state, and how it is saved and restored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::schema::Kind;
use crate::state::{Record, State};
use crate::{Refused, TokenEndpoint, time, tokens};

impl Engine {
    pub(crate) fn save(&self) -> Value {
        serde_json::to_value(&self.state).unwrap_or_default()
    }

    /// Webhooks that were in flight are sent again, because the result of their delivery is unknown.
    pub(crate) fn restore(&mut self, saved: &Value) -> Result<(), Refused> {
        self.state = State::deserialize(saved).map_err(|e| Refused(format!("not a saved state: {e}")))?;
        let values = |r: &Record| r.fields.keys().map(|name| (name.clone(), r.get(name).clone())).collect::<Vec<_>>();
        let records = self.state.objects.iter().flat_map(|(object, records)| records.values().map(move |r| (object.clone(), r)));
        let all: Vec<_> = records.map(|(object, r)| (object, r.id.clone(), values(r))).collect();
        for (object, id, values) in all {
            self.remember(&object, &id, &values);
        }
        let open = std::mem::take(&mut self.state.in_flight);
        self.state.outbox.extend(open.into_values().flatten());
        Ok(())
    }

    pub(crate) fn reset(&mut self, tokens: &[String], endpoint: Option<&tokens::Options>) {
        self.state = State {
            tokens: tokens.iter().map(|token| (token.clone(), None)).collect(),
            endpoint: endpoint.cloned().map(TokenEndpoint::new),
            ..State::default()
        };
    }

    pub(crate) fn dump(&self) -> Value {
        let record = |r: &Record| {
            let properties: BTreeMap<&String, &Value> =
                r.fields.keys().map(|n| (n, r.get(n))).filter(|(_, v)| !v.is_null()).collect();
            json!({"id": r.id, "created": time::iso(r.created_ms), "updated": time::iso(r.updated_ms),
                "archived": r.archived_ms.map(time::iso), "merged_into": r.merged_into, "properties": properties})
        };
        let objects: BTreeMap<&String, Vec<Value>> =
            self.state.objects.iter().map(|(name, records)| (name, records.values().map(record).collect())).collect();
        json!({"objects": objects, "links": self.state.links})
    }

    pub(crate) fn comparable(&self, ignore: &[&str]) -> Value {
        let mut objects: BTreeMap<&String, Vec<Value>> = BTreeMap::new();
        for (object, records) in &self.state.objects {
            let mut rows: Vec<Value> =
                records.values().filter(|r| r.live()).map(|r| self.comparable_record(object, r, ignore)).collect();
            rows.sort_by_key(Value::to_string);
            objects.insert(object, rows);
        }
        json!(objects)
    }

    fn comparable_record(&self, object: &str, record: &Record, ignore: &[&str]) -> Value {
        let schema = self.schema.get(object);
        let shown = |name: &String| {
            let kind = schema.and_then(|s| s.properties.get(name)).map(|p| &p.kind);
            match (record.get(name), kind) {
                (Value::String(id), Some(Kind::Reference { object, .. })) => Value::String(self.label(object, id)),
                (value, _) => value.clone(),
            }
        };
        let names = record.fields.keys().filter(|name| !ignore.contains(&name.as_str()));
        let properties: BTreeMap<&String, Value> = names.map(|n| (n, shown(n))).filter(|(_, v)| !v.is_null()).collect();
        let mine = self.state.links.iter().filter(|(a, id, _, _)| a == object && *id == record.id);
        let links: BTreeSet<String> = mine.map(|(_, _, b, id)| format!("{b}: {}", self.label(b, id))).collect();
        let mut out = json!({ "properties": properties });
        if !links.is_empty() {
            out["links"] = json!(links);
        }
        out
    }

    fn label(&self, object: &str, id: &str) -> String {
        let names = self.schema.get(object).map_or(&[][..], |s| s.label.as_slice());
        let record = self.resolve(object, id);
        let first = record.and_then(|r| names.iter().find_map(|name| r.get(name).as_str()));
        first.map_or_else(|| "(none)".to_owned(), str::to_owned)
    }
}
