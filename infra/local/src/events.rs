//! EventBridge: `PutEvents` on the default bus, and the patterns of its rules.
//!
//! Known gaps, by name: no archives, no replays, no other buses, targets are functions only, no input transformers; of the
//! pattern language not `$or`, `cidr` and `wildcard` (a rule with one of these is refused at the start).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::ids::{ACCOUNT, uuid};
use crate::lambda::Host;

/// A rule that is in force.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub function: String,
    pub pattern: Value,
    pub input: Option<String>,
}

/// The default event bus.
#[derive(Debug)]
pub(crate) struct Bus {
    pub host: Arc<Host>,
    pub region: String,
    pub rules: Vec<Rule>,
}

impl Bus {
    /// `PutEvents`: hands each entry to the functions whose rules match it.
    pub(crate) fn put(&self, body: &[u8]) -> Value {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut results = Vec::new();
        let mut failed = 0;
        for entry in request["Entries"].as_array().into_iter().flatten() {
            let detail =
                entry["Detail"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object);
            let (Some(detail), Some(source), Some(kind)) = (detail, entry["Source"].as_str(), entry["DetailType"].as_str())
            else {
                failed += 1;
                results.push(json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." }));
                continue;
            };
            let event = self.event(source, kind, &entry["Resources"], &detail);
            results.push(json!({ "EventId": event["id"] }));
            for rule in self.rules.iter().filter(|rule| matches(&rule.pattern, &event)) {
                let payload = rule.input.clone().unwrap_or_else(|| event.to_string());
                if let Err(error) = self.host.invoke_async(&rule.function, payload.into()) {
                    eprintln!("local: a rule names a function that is not there: {error}");
                }
            }
        }
        json!({ "FailedEntryCount": failed, "Entries": results })
    }

    fn event(&self, source: &str, kind: &str, resources: &Value, detail: &Value) -> Value {
        envelope(&self.region, source, kind, &if resources.is_array() { resources.clone() } else { json!([]) }, detail)
    }
}

/// An event in EventBridge's form, of now.
pub(crate) fn envelope(region: &str, source: &str, kind: &str, resources: &Value, detail: &Value) -> Value {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "version": "0", "id": uuid(), "detail-type": kind, "source": source, "account": ACCOUNT, "time": time,
        "region": region, "resources": resources, "detail": detail,
    })
}

const OPERATORS: [&str; 6] = ["prefix", "suffix", "exists", "anything-but", "equals-ignore-case", "numeric"];

/// Refuses a pattern that [`matches`] does not understand completely.
///
/// # Errors
/// What is not understood.
pub(crate) fn check_pattern(pattern: &Value) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("the event pattern {what}"));
    match pattern {
        Value::Object(map) if map.contains_key("$or") => refuse("$or"),
        Value::Object(map) => map.values().try_for_each(check_pattern),
        Value::Array(alternatives) => alternatives.iter().try_for_each(|alternative| match alternative {
            Value::Object(map) => match map.keys().find(|key| !OPERATORS.contains(&key.as_str())) {
                Some(key) => refuse(key),
                None => Ok(()),
            },
            Value::Array(_) => refuse("with nested lists"),
            _ => Ok(()),
        }),
        _ => refuse("with a bare value"),
    }
}

/// Whether an event matches a pattern.
fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(map) => map.iter().all(|(key, inner)| matches(inner, &event[key])),
        Value::Array(alternatives) => match event {
            Value::Array(values) => values.iter().any(|value| alternatives.iter().any(|a| matches_value(a, value))),
            value => alternatives.iter().any(|a| matches_value(a, value)),
        },
        _ => false,
    }
}

fn matches_value(alternative: &Value, value: &Value) -> bool {
    let Value::Object(operator) = alternative else {
        // An absent field reads as null, and a pattern cannot require that by null.
        return alternative == value;
    };
    let text = value.as_str();
    operator.iter().all(|(name, argument)| match (name.as_str(), argument) {
        ("exists", wanted) => value.is_null() == (wanted == false),
        ("prefix", Value::String(prefix)) => text.is_some_and(|t| t.starts_with(prefix.as_str())),
        ("suffix", Value::String(suffix)) => text.is_some_and(|t| t.ends_with(suffix.as_str())),
        ("equals-ignore-case", Value::String(other)) => text.is_some_and(|t| t.eq_ignore_ascii_case(other)),
        ("anything-but", _) if value.is_null() => false,
        ("anything-but", Value::Array(excluded)) => !excluded.contains(value),
        ("anything-but", excluded @ Value::Object(_)) => !matches_value(excluded, value),
        ("anything-but", excluded) => excluded != value,
        ("numeric", Value::Array(tests)) => value.as_f64().is_some_and(|number| numeric(tests, number)),
        _ => false,
    })
}

fn numeric(tests: &[Value], number: f64) -> bool {
    tests.chunks(2).all(|test| match test {
        [Value::String(comparison), bound] => bound.as_f64().is_some_and(|bound| match comparison.as_str() {
            "<" => number < bound,
            "<=" => number <= bound,
            ">" => number > bound,
            ">=" => number >= bound,
            "=" => (number - bound).abs() < f64::EPSILON,
            _ => false,
        }),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let event = json!({ "source": "crm", "detail": { "kind": "contact", "n": 5, "tags": ["a", "b"] } });
        for (pattern, expected) in [
            (json!({ "source": ["crm"], "detail": { "kind": [{ "prefix": "con" }] } }), true),
            (json!({ "source": ["other"] }), false),
            (json!({ "detail": { "tags": ["b", "c"] } }), true),
            (json!({ "detail": { "n": [{ "numeric": [">", 1, "<=", 5] }] } }), true),
            (json!({ "detail": { "missing": [{ "exists": false }] } }), true),
            (json!({ "detail": { "kind": [{ "anything-but": ["deal"] }] } }), true),
            (json!({ "detail": { "kind": [{ "anything-but": { "prefix": "con" } }] } }), false),
            (json!({ "detail": { "missing": [{ "anything-but": "x" }] } }), false),
        ] {
            check_pattern(&pattern).unwrap();
            assert_eq!(matches(&pattern, &event), expected, "{pattern}");
        }
    }
}
