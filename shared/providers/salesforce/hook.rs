//! Salesforce's change events: which fields of an event changed. An event lists them by name or, through the Pub/Sub API, as bitmaps
//! over its schema. No declaration can express this, because the names and the bits are data.
//!
//! After the hook, an update holds exactly what changed: cleared fields are `null`, and fields that are there for another reason (those
//! that the org's admin adds to every event, and all other fields in Avro) are under `unchanged`. Bitmaps that cannot be decoded stay as
//! they are, and the event is marked `undecoded`. An event about all records of an object is marked `wildcard`. The manifest decides what
//! follows from the marks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::Malformed;

type Members = BTreeMap<String, Box<RawValue>>;

const HEADER: &str = "ChangeEventHeader";
const LISTS: [&str; 3] = ["changedFields", "nulledFields", "diffFields"];

/// The event with field names in its header's lists, and with its fields separated into changed and unchanged ones.
pub fn rewrite(event: &str, around: &str) -> Result<Option<String>, Malformed> {
    let Ok(mut fields) = serde_json::from_str::<Members>(event) else { return Ok(None) };
    let Some(mut header) = fields.remove(HEADER).and_then(|raw| serde_json::from_str::<Members>(raw.get()).ok()) else {
        return Ok(None);
    };
    let lists = LISTS.map(|name| names(&header, name, around));
    for (name, list) in LISTS.iter().zip(&lists) {
        if let Some(list) = list.as_ref().filter(|_| header.contains_key(*name)) {
            header.insert((*name).to_owned(), raw(&Value::from(list.clone())));
        }
    }
    if lists.contains(&None) {
        header.insert("undecoded".to_owned(), raw(&Value::Bool(true)));
    }
    if texts(&header, "recordIds").iter().any(|id| id.ends_with('*')) {
        header.insert("wildcard".to_owned(), raw(&Value::Bool(true)));
    }
    match (text(&header, "changeType").as_deref(), lists) {
        (Some("CREATE"), _) => fields = fields.into_iter().filter_map(|(name, value)| Some((name, without_nulls(value)?))).collect(),
        (Some("UPDATE"), [Some(changed), Some(nulled), Some(diff)]) => {
            let all: BTreeSet<&str> = changed.iter().chain(&nulled).chain(&diff).map(String::as_str).collect();
            if !changed.is_empty() {
                fields = separate(fields, &all);
            }
            nulled.iter().for_each(|name| clear(&mut fields, name));
        }
        _ => {}
    }
    fields.insert(HEADER.to_owned(), joined(&header));
    Ok(serde_json::to_string(&fields).ok())
}

/// The names of the fields in bitmaps, in the order of the schema (Avro, as JSON). An entry is a hexadecimal number whose lowest bit is
/// the first field, or `<position>-<number>` for the record at that position of the schema. `None` when an entry is neither, or has a
/// bit without a field.
fn fields_of_bitmaps(schema: &Value, bitmaps: &[String]) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let fields = record(schema)?;
    for entry in bitmaps {
        match entry.split_once('-') {
            None => {
                for bit in bits(entry)? {
                    all.push(name(fields.get(bit)?)?.to_owned());
                }
            }
            Some((position, bitmap)) => {
                let parent = fields.get(position.parse::<usize>().ok()?)?;
                let children = record(parent.get("type")?)?;
                for bit in bits(bitmap)? {
                    all.push(format!("{}.{}", name(parent)?, name(children.get(bit)?)?));
                }
            }
        }
    }
    Some(all)
}

fn name(field: &Value) -> Option<&str> {
    field.get("name")?.as_str()
}

/// The fields of a record, or of the record in a union.
fn record(schema: &Value) -> Option<&Vec<Value>> {
    match schema {
        Value::Array(union) => union.iter().find_map(record),
        schema => schema.get("fields")?.as_array(),
    }
}

/// The positions of the bits that are set, the lowest first.
fn bits(hexadecimal: &str) -> Option<Vec<usize>> {
    let digits = hexadecimal.strip_prefix("0x").or_else(|| hexadecimal.strip_prefix("0X"))?;
    let mut set = Vec::new();
    for (position, digit) in digits.chars().rev().enumerate() {
        let nibble = digit.to_digit(16)?;
        set.extend((0..4).filter(|bit| nibble >> bit & 1 == 1).map(|bit| position * 4 + bit));
    }
    (!digits.is_empty()).then_some(set)
}

/// A list of the header as field names; empty when the header lacks it, `None` when it has bitmaps that cannot be decoded.
fn names(header: &Members, list: &str, around: &str) -> Option<Vec<String>> {
    let entries = texts(header, list);
    let is_bits = |entry: &String| entry.starts_with("0x") || entry.contains("-0x");
    if !entries.iter().any(is_bits) {
        return Some(entries);
    }
    fields_of_bitmaps(&schema(around)?, &entries)
}

/// The schema beside the event: as JSON, or as the text that `GetSchema` returns.
fn schema(around: &str) -> Option<Value> {
    let around: Value = serde_json::from_str(around).ok()?;
    let found = ["schema", "schemaJson", "schema_json"].iter().filter_map(|name| around.get(*name));
    found.filter_map(|schema| match schema {
        Value::String(text) => serde_json::from_str(text).ok(),
        schema => Some(schema.clone()),
    })
    .find(Value::is_object)
}

/// The changed fields, and all others under `unchanged`.
fn separate(fields: Members, changed: &BTreeSet<&str>) -> Members {
    let (mut result, mut unchanged) = (Members::new(), Members::new());
    for (name, value) in fields {
        let parts = || changed.iter().filter_map(|path| path.strip_prefix(name.as_str())?.strip_prefix('.'));
        if changed.contains(name.as_str()) {
            result.insert(name, value);
        } else if let (Some(_), Ok(members)) = (parts().next(), serde_json::from_str::<Members>(value.get())) {
            let parts: BTreeSet<&str> = parts().collect();
            let (changed, others): (Members, Members) = members.into_iter().partition(|(member, _)| parts.contains(member.as_str()));
            result.insert(name.clone(), joined(&changed));
            unchanged.extend(without_nulls(joined(&others)).map(|others| (name, others)));
        } else if let Some(value) = without_nulls(value) {
            unchanged.insert(name, value);
        }
    }
    if !unchanged.is_empty() {
        result.insert("unchanged".to_owned(), joined(&unchanged));
    }
    result
}

/// Sets a field, or a part of a compound one, to null.
fn clear(fields: &mut Members, path: &str) {
    let Some((name, part)) = path.split_once('.') else {
        fields.insert(path.to_owned(), raw(&Value::Null));
        return;
    };
    let inside = fields.get(name).and_then(|value| serde_json::from_str::<Members>(value.get()).ok());
    let mut members = inside.unwrap_or_default();
    members.insert(part.to_owned(), raw(&Value::Null));
    fields.insert(name.to_owned(), joined(&members));
}

/// The value without nulls; `None` for null and for a compound field that holds nothing else.
fn without_nulls(value: Box<RawValue>) -> Option<Box<RawValue>> {
    if value.get() == "null" {
        return None;
    }
    match serde_json::from_str::<Members>(value.get()) {
        Ok(members) => {
            let left: Members = members.into_iter().filter(|(_, member)| member.get() != "null").collect();
            (!left.is_empty()).then(|| joined(&left))
        }
        Err(_) => Some(value),
    }
}

fn texts(header: &Members, list: &str) -> Vec<String> {
    header.get(list).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn text(header: &Members, member: &str) -> Option<String> {
    serde_json::from_str(header.get(member)?.get()).ok()
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

fn joined(members: &Members) -> Box<RawValue> {
    serde_json::value::to_raw_value(members).unwrap_or_default()
}

#[cfg(test)]
#[path = "hook_test.rs"]
mod tests;
