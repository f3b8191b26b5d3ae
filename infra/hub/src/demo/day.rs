//! The day that the demo plays: what `infra/hub/demo/day.toml` says, with every body filled in.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::send::Delivery;
use crate::out::{CommandError, read, shown};

/// Values of a body's places.
type Vars = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DayFile {
    people: BTreeMap<String, Vars>,
    before: Vec<Before>,
    step: Vec<Step>,
}

/// A record that a CRM held before.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Connection and object: `hubspot/contacts`.
    #[serde(rename = "in")]
    pub place: String,
    /// Its properties.
    pub set: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
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
    seconds: Option<u32>,
}

fn once() -> u32 {
    1
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// The second of the day.
    pub at: i64,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A provider sends a webhook.
    Send(Delivery),
    /// A provider sends a signed body that cannot be read.
    Broken(Delivery),
    /// Somebody sends what has to be refused, once of each kind.
    Refused {
        /// The connection.
        connection: String,
    },
    /// Somebody who works in a CRM changes a record.
    Edit {
        /// The connection.
        connection: String,
        /// Its object.
        object: String,
        /// Properties that tell the record.
        of: Map<String, Value>,
        /// What changes.
        set: Map<String, Value>,
    },
    /// Somebody who works in a CRM makes a record.
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
    /// A CRM answers nothing but 503.
    Outage {
        /// The connection.
        connection: String,
        /// For how long, in real seconds.
        seconds: u32,
    },
}

/// The day.
pub struct Day {
    /// What the CRMs held before.
    pub before: Vec<Before>,
    /// What happens, in order.
    pub acts: Vec<Act>,
}

impl Day {
    /// Reads the day of a folder. `begin_s` is its first second, in seconds since 1970.
    pub fn read(folder: &Path, begin_s: i64) -> Result<Day, CommandError> {
        let path = folder.join("day.toml");
        let wrong = |text: String| CommandError::Usage(format!("`{}`: {text}", shown(&path)));
        let text = String::from_utf8(read(&path)?).map_err(|e| wrong(e.to_string()))?;
        let file: DayFile = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let mut templates = BTreeMap::new();
        let mut acts = Vec::new();
        for (number, step) in file.step.iter().enumerate() {
            for n in 1..=step.repeat {
                let vars = vars(&file.people, step, number, n, begin_s);
                let what = what(folder, &mut templates, step, &vars)?
                    .ok_or_else(|| wrong(format!("the step at {} says nothing that can be done", step.at)))?;
                acts.push(Act { at: step.at, what });
            }
        }
        acts.sort_by_key(|act| act.at);
        Ok(Day { before: file.before, acts })
    }
}

/// The values for a step: those of the person, then its own, which may name others, and what the clock and the counter say.
fn vars(people: &BTreeMap<String, Vars>, step: &Step, number: usize, n: u32, begin_s: i64) -> Vars {
    let at_s = begin_s + step.at;
    let own = [
        ("n", Value::from(n)),
        ("key", Value::from(format!("demo_{number:03}_{n:03}"))),
        ("at_s", Value::from(at_s)),
        ("at", Value::from(crate::operate::text::instant(at_s * 1000))),
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

fn what(folder: &Path, templates: &mut BTreeMap<String, Value>, step: &Step, vars: &Vars) -> Result<Option<What>, CommandError> {
    let split = |place: &String| place.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned()));
    if let Some((connection, name)) = step.send.as_ref().and_then(split) {
        if !templates.contains_key(&name) {
            let path = folder.join(format!("bodies/{name}.json"));
            let body = serde_json::from_slice(&read(&path)?)
                .map_err(|e| CommandError::Usage(format!("`{}` is no JSON: {e}", shown(&path))))?;
            templates.insert(name.clone(), body);
        }
        let body = templates.get(&name).and_then(|template| fill(template, vars)).unwrap_or_default().to_string();
        let key = vars.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        return Ok(Some(What::Send(Delivery::plain(&connection, &key, &body))));
    }
    if let Some((connection, object)) = step.edit.as_ref().and_then(split) {
        return Ok(Some(What::Edit { connection, object, of: step.of.clone(), set: step.set.clone() }));
    }
    if let Some((connection, object)) = step.create.as_ref().and_then(split) {
        return Ok(Some(What::Create { connection, object, set: step.set.clone() }));
    }
    if let (Some(connection), Some(body)) = (&step.broken, &step.body) {
        return Ok(Some(What::Broken(Delivery::plain(connection, "msg_broken", body))));
    }
    if let (Some(connection), Some(seconds)) = (&step.outage, step.seconds) {
        return Ok(Some(What::Outage { connection: connection.clone(), seconds }));
    }
    if let Some(connection) = &step.refused {
        return Ok(Some(What::Refused { connection: connection.clone() }));
    }
    Ok(step.rotate.as_ref().map(|connection| What::Rotate { connection: connection.clone() }))
}

/// Fills the places of a template. A text that is one place takes the value as it is; without a value the member is left out.
pub fn fill(template: &Value, vars: &Vars) -> Option<Value> {
    match template {
        Value::String(text) => match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).filter(|t| !t.contains('{')) {
            Some(place) => vars.get(place).cloned(),
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

    #[test]
    fn places_take_values_or_go() {
        let vars: Vars = [("n".to_owned(), json!(7)), ("first".to_owned(), json!("Ada"))].into();
        let template =
            json!({"n": "{n}", "name": "{first} no. {n}", "none": "{last}", "mixed": "{first} {last}", "fixed": [1, "x"]});
        assert_eq!(fill(&template, &vars), Some(json!({"n": 7, "name": "Ada no. 7", "fixed": [1, "x"]})));
    }

    #[test]
    fn the_day_can_be_read() {
        let day = Day::read(&crate::out::root().join("infra/hub/demo"), 0).unwrap();
        let sent = day.acts.iter().filter(|act| matches!(act.what, What::Send(_))).count();
        assert!(sent > 200, "several hundred webhooks, not {sent}");
        let bodies = day.acts.iter().filter_map(|act| match &act.what {
            What::Send(delivery) => Some(String::from_utf8_lossy(&delivery.body)),
            _ => None,
        });
        assert!(bodies.clone().any(|body| body.contains("\"email\":\"ada@engines.example\"")));
        assert_eq!(bodies.filter(|body| body.contains("{n}") || body.contains("{who}")).count(), 0, "every place is filled");
    }
}
