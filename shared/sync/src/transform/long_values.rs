//! Values that are too long for the store: each is set aside alone, so that a megabyte of form text costs its own field only.

use canonical::{Change, FieldName, FieldValue, Problem, Value};

use crate::failure::Code;

/// Takes the values out of a change that have more bytes than `most`, and reports each as a problem. Of a set, only the members that
/// are too long are taken out, unless the rest of it is too long as well.
pub fn set_long_values_aside(change: &mut Change, most: usize) {
    let is_long = |field: &FieldValue| bytes(&field.value) > most;
    let long: Vec<FieldName> = change.fields.iter().filter(|(_, field)| is_long(field)).map(|(name, _)| name.clone()).collect();
    for name in long {
        let Some(field) = change.fields.remove(&name) else { continue };
        change.problems.push(problem(&name, bytes(&field.value), most));
        if let Value::List(members) = field.value {
            let value = Value::List(members.into_iter().filter(|member| bytes(member) <= most).collect());
            if bytes(&value) <= most {
                change.fields.insert(name, FieldValue { value, ..field });
            }
        }
    }
}

/// Values of fewer bytes fill no item.
const LONG_BYTES: usize = 1_000;

/// Takes the longest value out of a change whose record would not fit its item, and reports it as a problem. Returns false if no
/// value is long.
pub fn set_longest_aside(change: &mut Change) -> bool {
    let longest = change.fields.iter().map(|(name, field)| (bytes(&field.value), name.clone())).max();
    let Some((length, name)) = longest.filter(|(length, _)| *length > LONG_BYTES) else { return false };
    change.fields.remove(&name);
    let reason = format!("{}: with its {length} bytes the record would not fit one item", Code::CapExceeded);
    change.problems.push(Problem { field: name.to_string(), path: "the mapped value".to_owned(), reason });
    true
}

fn problem(name: &FieldName, bytes: usize, most: usize) -> Problem {
    let reason = format!("{}: {bytes} bytes, and `limits.field_bytes` allows {most}", Code::CapExceeded);
    Problem { field: name.to_string(), path: "the mapped value".to_owned(), reason }
}

/// The bytes of a value's texts.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(members) => members.iter().map(bytes).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use canonical::{ChangeKind, ObjectType, RemoteId};

    use super::*;

    #[test]
    fn a_long_value_costs_its_own_field_only() {
        let field = |value| FieldValue { value, stamp: None, flagged: false };
        let members = |texts: &[&str]| Value::List(texts.iter().map(|text| Value::text(*text)).collect());
        let fields = [
            ("message", Value::text("x".repeat(11))),
            ("title", Value::text("fits")),
            ("answers", members(&["a=1", "message=xxxxxxxxxxxx"])),
            ("tags", members(&["aaaaaa", "bbbbbb"])),
        ];
        let mut change = Change {
            object: ObjectType::Lead,
            source: RemoteId { connection: "form".into(), object: "lead".into(), id: "1".into() },
            kind: ChangeKind::Partial,
            stamp: None,
            fields: fields.into_iter().map(|(name, value)| (name.into(), field(value))).collect(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
            id_of_event: false,
        };
        set_long_values_aside(&mut change, 10);
        let left: Vec<(String, Value)> =
            change.fields.iter().map(|(name, field)| (name.to_string(), field.value.clone())).collect();
        assert_eq!(left, [("answers".to_owned(), members(&["a=1"])), ("title".to_owned(), Value::text("fits"))]);
        let reported: Vec<&str> = change.problems.iter().map(|problem| &*problem.field).collect();
        assert_eq!(reported, ["answers", "message", "tags"]);
        assert!(change.problems[1].reason.starts_with("cap-exceeded: 11 bytes"), "{}", change.problems[1].reason);
    }
}
