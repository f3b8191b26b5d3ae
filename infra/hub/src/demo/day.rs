//! The day that the demo plays: the steps of `infra/hub/demo/day.toml` with their bodies filled in.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::send::Delivery;
use crate::files::{invalid, read_text};
use crate::out::CommandError;
use crate::text::instant;

/// Values of the placeholders in a body, by name.
type Vars = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DayFile {
    people: BTreeMap<String, Vars>,
    before: Vec<ExistingRecord>,
    step: Vec<StepRow>,
}

/// A record that a CRM holds before the day begins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExistingRecord {
    /// Connection and object: `hubspot/contacts`.
    #[serde(rename = "in")]
    pub object: String,
    /// Its properties.
    pub set: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepRow {
    at: i64,
    #[serde(default = "once")]
    repeat: u32,
    who: Option<String>,
    send: Option<String>,
    #[serde(default)]
    with: Vars,
    edit: Option<String>,
    create: Option<String>,
    #[serde(default)]
    of: Map<String, Value>,
    #[serde(default)]
    set: Map<String, Value>,
    broken: Option<String>,
    body: Option<String>,
    refused: Option<String>,
    rotate: Option<String>,
    outage: Option<String>,
    expire: Option<String>,
    revoke: Option<String>,
    seconds: Option<u32>,
}

fn once() -> u32 {
    1
}

/// An action and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The second of the day.
    pub at: i64,
    /// The action.
    pub action: Action,
}

/// Something that a provider or a person does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A provider sends a webhook.
    Send(Delivery),
    /// A provider sends a signed body that cannot be read.
    Broken(Delivery),
    /// Somebody sends one request of each kind that the hub must refuse.
    Refused {
        /// The connection.
        connection: String,
    },
    /// A person edits a record in a CRM.
    Edit {
        /// The connection.
        connection: String,
        /// Its object.
        object: String,
        /// Properties by which the record is found.
        of: Map<String, Value>,
        /// The new properties.
        set: Map<String, Value>,
    },
    /// A person creates a record in a CRM.
    Create {
        /// The connection.
        connection: String,
        /// Its object.
        object: String,
        /// Its properties.
        set: Map<String, Value>,
    },
    /// The connection's signing secret is rotated.
    Rotate {
        /// The connection.
        connection: String,
    },
    /// A CRM answers every request with 503.
    Outage {
        /// The connection.
        connection: String,
        /// How long, in real seconds.
        seconds: u32,
    },
    /// The access tokens of a CRM end at once, and the answer to the next refresh is lost.
    Expire {
        /// The connection.
        connection: String,
    },
    /// A person withdraws what was granted, and connects again after some time.
    Revoke {
        /// The connection.
        connection: String,
        /// After how many real seconds.
        seconds: u32,
    },
}

/// The day.
pub struct Day {
    /// The records that the CRMs hold before it begins.
    pub before: Vec<ExistingRecord>,
    /// The steps by time.
    pub steps: Vec<Step>,
}

impl Day {
    /// Reads the day of a folder. `begin_s` is its first second, in seconds since 1970.
    pub fn read(folder: &Path, begin_s: i64) -> Result<Day, CommandError> {
        let path = folder.join("day.toml");
        let file: DayFile = toml::from_str(&read_text(&path)?).map_err(|e| invalid(&path, e))?;
        let mut templates = BTreeMap::new();
        let mut steps = Vec::new();
        for (number, row) in file.step.iter().enumerate() {
            for n in 1..=row.repeat {
                let vars = vars(&file.people, row, number, n, begin_s);
                let action = action(folder, &mut templates, row, &vars)?
                    .ok_or_else(|| invalid(&path, format!("the step at {} has no action", row.at)))?;
                steps.push(Step { at: row.at, action });
            }
        }
        steps.sort_by_key(|step| step.at);
        Ok(Day { before: file.before, steps })
    }
}

/// The values for a step: of the clock and the counter, of the person, then the step's own, which may contain placeholders.
fn vars(people: &BTreeMap<String, Vars>, step: &StepRow, number: usize, n: u32, begin_s: i64) -> Vars {
    let at_s = begin_s + step.at;
    let own = [
        ("n", Value::from(n)),
        ("key", Value::from(format!("demo_{number:03}_{n:03}"))),
        ("at_s", Value::from(at_s)),
        ("at", Value::from(instant(at_s * 1000))),
        ("day_s", Value::from(begin_s)),
        ("live", Value::from(true)),
    ];
    let mut vars: Vars = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(who) = &step.who {
        let person = people.get(who).cloned().unwrap_or_default();
        vars.insert("who".to_owned(), fill(&Value::from(who.as_str()), &vars).unwrap_or_default());
        vars.extend(person);
    }
    let with: Vars = step.with.iter().filter_map(|(name, value)| Some((name.clone(), fill(value, &vars)?))).collect();
    vars.extend(with);
    vars
}

/// The action of a row, if it has one.
fn action(
    folder: &Path,
    templates: &mut BTreeMap<String, Value>,
    step: &StepRow,
    vars: &Vars,
) -> Result<Option<Action>, CommandError> {
    let split = |name: &String| name.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned()));
    if let Some((connection, name)) = step.send.as_ref().and_then(split) {
        if !templates.contains_key(&name) {
            let path = folder.join(format!("bodies/{name}.json"));
            let body = serde_json::from_str(&read_text(&path)?).map_err(|e| invalid(&path, e))?;
            templates.insert(name.clone(), body);
        }
        let body = templates.get(&name).and_then(|template| fill(template, vars)).unwrap_or_default().to_string();
        let key = vars.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        return Ok(Some(Action::Send(Delivery::plain(&connection, &key, &body))));
    }
    if let Some((connection, object)) = step.edit.as_ref().and_then(split) {
        return Ok(Some(Action::Edit { connection, object, of: step.of.clone(), set: step.set.clone() }));
    }
    if let Some((connection, object)) = step.create.as_ref().and_then(split) {
        return Ok(Some(Action::Create { connection, object, set: step.set.clone() }));
    }
    if let (Some(connection), Some(body)) = (&step.broken, &step.body) {
        return Ok(Some(Action::Broken(Delivery::plain(connection, "msg_broken", body))));
    }
    if let (Some(connection), Some(seconds)) = (&step.outage, step.seconds) {
        return Ok(Some(Action::Outage { connection: connection.clone(), seconds }));
    }
    if let (Some(connection), Some(seconds)) = (&step.revoke, step.seconds) {
        return Ok(Some(Action::Revoke { connection: connection.clone(), seconds }));
    }
    if let Some(connection) = &step.expire {
        return Ok(Some(Action::Expire { connection: connection.clone() }));
    }
    if let Some(connection) = &step.refused {
        return Ok(Some(Action::Refused { connection: connection.clone() }));
    }
    Ok(step.rotate.as_ref().map(|connection| Action::Rotate { connection: connection.clone() }))
}

/// Fills the placeholders of a template. A text that is one placeholder becomes the value with its type. A member or element whose
/// placeholder has no value is left out.
pub fn fill(template: &Value, vars: &Vars) -> Option<Value> {
    match template {
        Value::String(text) => match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).filter(|t| !t.contains('{')) {
            Some(name) => vars.get(name).cloned(),
            None => {
                let mut text = text.clone();
                for (name, value) in vars {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    text = text.replace(&format!("{{{name}}}"), &value);
                }
                (!text.contains('{')).then_some(Value::String(text))
            }
        },
        Value::Array(list) => Some(list.iter().filter_map(|value| fill(value, vars)).collect()),
        Value::Object(members) => {
            Some(members.iter().filter_map(|(name, value)| Some((name.clone(), fill(value, vars)?))).collect())
        }
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::files::root;

    #[test]
    fn placeholders_without_a_value_are_left_out() {
        let vars: Vars = [("n".to_owned(), json!(7)), ("first".to_owned(), json!("Ada"))].into();
        let template =
            json!({"n": "{n}", "name": "{first} no. {n}", "none": "{last}", "mixed": "{first} {last}", "fixed": [1, "x"]});
        assert_eq!(fill(&template, &vars), Some(json!({"n": 7, "name": "Ada no. 7", "fixed": [1, "x"]})));
    }

    #[test]
    fn the_day_can_be_read() {
        let day = Day::read(&root().join("infra/hub/demo"), 0).unwrap();
        let sent = day.steps.iter().filter(|step| matches!(step.action, Action::Send(_))).count();
        assert!(sent > 200, "several hundred webhooks, not {sent}");
        let bodies = day.steps.iter().filter_map(|step| match &step.action {
            Action::Send(delivery) => Some(String::from_utf8_lossy(&delivery.body)),
            _ => None,
        });
        assert!(bodies.clone().any(|body| body.contains("\"email\":\"ada@engines.example\"")));
        assert_eq!(
            bodies.filter(|body| body.contains("{n}") || body.contains("{who}")).count(),
            0,
            "every placeholder is filled"
        );
    }
}
