//! What must be in the CRMs in the end (`infra/hub/demo/expected.toml`), against what is there.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::day::fill;
use super::providers::Rows;
use crate::out::{CommandError, read, shown};

/// Records by connection, object, and as often as they are there.
pub type Records = BTreeMap<(String, String), Vec<Map<String, Value>>>;

/// Reads the expected records. `day` and `today` are the days of the script and of the run.
pub fn expected(folder: &Path, day: &str, today: &str) -> Result<Records, CommandError> {
    let path = folder.join("expected.toml");
    let wrong = |text: String| CommandError::Usage(format!("`{}`: {text}", shown(&path)));
    let text = String::from_utf8(read(&path)?).map_err(|e| wrong(e.to_string()))?;
    let file: Rows = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let mut records = Records::new();
    add(&file, day, today, &mut records);
    Ok(records)
}

/// Adds rows with their places filled in.
pub fn add(rows: &Rows, day: &str, today: &str, records: &mut Records) {
    for (connection, objects) in rows {
        for (object, rows) in objects {
            let place: &mut Vec<_> = records.entry((connection.clone(), object.clone())).or_default();
            for row in rows {
                let mut row = row.clone();
                let repeat = row.remove("repeat").and_then(|n| n.as_u64()).unwrap_or(1);
                let row = Value::Object(row);
                for n in 1..=repeat {
                    let vars = [("n", Value::from(n)), ("day", day.into()), ("today", today.into())];
                    let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    place.extend(fill(&row, &vars).and_then(|v| v.as_object().cloned()));
                }
            }
        }
    }
}

/// Takes the records out of a stand-in's comparable state.
pub fn found(connection: &str, state: &Value, into: &mut Records) {
    for (object, rows) in state.as_object().into_iter().flatten() {
        let rows = rows.as_array().into_iter().flatten().filter_map(|row| row["properties"].as_object().cloned());
        into.entry((connection.to_owned(), object.clone())).or_default().extend(rows);
    }
}

/// What tells records apart for a reader.
const NAMES: &[&str] = &["email", "Email", "domain", "dealname", "subject", "Subject", "Name", "name", "LastName", "lastname"];

fn name(record: &Map<String, Value>) -> String {
    let named = NAMES.iter().find_map(|name| record.get(*name).and_then(Value::as_str));
    named.unwrap_or("a record without a name").to_owned()
}

/// Every difference, in words. Records are matched by what names them, then property by property.
pub fn differences(expected: &Records, found: &Records) -> Vec<String> {
    let mut lines = Vec::new();
    let none = Vec::new();
    let places: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for place in places {
        let mut left: Vec<&Map<String, Value>> = found.get(place).unwrap_or(&none).iter().collect();
        let mut missing = Vec::new();
        for want in expected.get(place).unwrap_or(&none) {
            match left.iter().position(|record| *record == want) {
                Some(at) => _ = left.swap_remove(at),
                None => missing.push(want),
            }
        }
        let place = format!("{}/{}", place.0, place.1);
        for want in missing {
            match left.iter().position(|record| name(record) == name(want)) {
                Some(at) => lines.extend(properties(&place, want, left.swap_remove(at))),
                None => lines.push(format!("{place}: `{}` is missing", name(want))),
            }
        }
        lines.extend(
            left.iter()
                .map(|record| format!("{place}: `{}` should not be there: {}", name(record), Value::Object((*record).clone()))),
        );
    }
    lines
}

fn properties(place: &str, want: &Map<String, Value>, record: &Map<String, Value>) -> Vec<String> {
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let names: std::collections::BTreeSet<&String> = want.keys().chain(record.keys()).collect();
    let different = names.into_iter().filter(|name| want.get(*name) != record.get(*name));
    different
        .map(|property| {
            let (wanted, found) = (show(want.get(property)), show(record.get(property)));
            format!("{place}: `{}`: {property} is {found}, expected {wanted}", name(want))
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
    fn every_kind_of_difference_is_told() {
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
