//! Compares the records in the CRMs with the expected ones (`infra/hub/demo/expected.toml`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::day::fill;
use super::providers::Rows;
use crate::files::{invalid, read_text};
use crate::out::CommandError;

/// The properties of records by connection and object. Equal records appear as often as they exist.
pub type Records = BTreeMap<(String, String), Vec<Map<String, Value>>>;

/// Reads the expected records. `day` is the date of the script, `today` that of the run.
pub fn expected(folder: &Path, day: &str, today: &str) -> Result<Records, CommandError> {
    let path = folder.join("expected.toml");
    let file: Rows = toml::from_str(&read_text(&path)?).map_err(|e| invalid(&path, e))?;
    let mut records = Records::new();
    add(&file, day, today, &mut records);
    Ok(records)
}

/// Adds rows with their placeholders filled in.
pub fn add(rows: &Rows, day: &str, today: &str, records: &mut Records) {
    for (connection, objects) in rows {
        for (object, rows) in objects {
            let list: &mut Vec<_> = records.entry((connection.clone(), object.clone())).or_default();
            for row in rows {
                let mut row = row.clone();
                let repeat = row.remove("repeat").and_then(|n| n.as_u64()).unwrap_or(1);
                let row = Value::Object(row);
                for n in 1..=repeat {
                    let vars = [("n", Value::from(n)), ("day", day.into()), ("today", today.into())];
                    let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    list.extend(fill(&row, &vars).and_then(|v| v.as_object().cloned()));
                }
            }
        }
    }
}

/// Adds the records of a stand-in's comparable state.
pub fn found(connection: &str, state: &Value, into: &mut Records) {
    for (object, rows) in state.as_object().into_iter().flatten() {
        let rows = rows.as_array().into_iter().flatten().filter_map(|row| row["properties"].as_object().cloned());
        into.entry((connection.to_owned(), object.clone())).or_default().extend(rows);
    }
}

/// Properties by which a message names a record.
const NAMES: &[&str] = &["email", "Email", "domain", "dealname", "subject", "Subject", "Name", "name", "LastName", "lastname"];

fn name(record: &Map<String, Value>) -> String {
    let named = NAMES.iter().find_map(|name| record.get(*name).and_then(Value::as_str));
    named.unwrap_or("a record without a name").to_owned()
}

/// Every difference, a line each. Records are matched by their names, then compared property by property.
pub fn differences(expected: &Records, found: &Records) -> Vec<String> {
    let mut lines = Vec::new();
    let none = Vec::new();
    let objects: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for key in objects {
        let mut left: Vec<&Map<String, Value>> = found.get(key).unwrap_or(&none).iter().collect();
        let mut missing = Vec::new();
        for want in expected.get(key).unwrap_or(&none) {
            match left.iter().position(|record| *record == want) {
                Some(at) => _ = left.swap_remove(at),
                None => missing.push(want),
            }
        }
        let object = format!("{}/{}", key.0, key.1);
        for want in missing {
            match left.iter().position(|record| name(record) == name(want)) {
                Some(at) => lines.extend(properties(&object, want, left.swap_remove(at))),
                None => lines.push(format!("{object}: `{}` is missing", name(want))),
            }
        }
        lines.extend(
            left.iter()
                .map(|record| format!("{object}: `{}` should not be there: {}", name(record), Value::Object((*record).clone()))),
        );
    }
    lines
}

fn properties(object: &str, want: &Map<String, Value>, record: &Map<String, Value>) -> Vec<String> {
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let names: BTreeSet<&String> = want.keys().chain(record.keys()).collect();
    let different = names.into_iter().filter(|name| want.get(*name) != record.get(*name));
    different
        .map(|property| {
            let (wanted, found) = (show(want.get(property)), show(record.get(property)));
            format!("{object}: `{}`: {property} is {found}, expected {wanted}", name(want))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records(rows: Value) -> Records {
        let mut records = Records::new();
        let rows: Vec<Value> = rows.as_array().unwrap().iter().map(|r| json!({ "properties": r })).collect();
        found("crm", &json!({ "things": rows }), &mut records);
        records
    }

    #[test]
    fn every_kind_of_difference_has_a_line() {
        let want = records(json!([{"email": "a", "x": 1}, {"email": "b"}, {"email": "c"}, {"email": "d"}, {"email": "d"}]));
        let have = records(json!([{"email": "a", "x": 2, "y": 3}, {"email": "b"}, {"email": "d"}, {"email": "e"}]));
        let lines = differences(&want, &have);
        assert_eq!(
            lines,
            [
                "crm/things: `a`: x is 2, expected 1",
                "crm/things: `a`: y is 3, expected nothing",
                "crm/things: `c` is missing",
                "crm/things: `d` is missing",
                "crm/things: `e` should not be there: {\"email\":\"e\"}",
            ]
        );
        assert_eq!(differences(&want, &want), Vec::<String>::new());
    }
}
