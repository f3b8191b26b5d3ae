//! The other providers of the day: what each folder's `demo.toml` sends, and what must come of it. Leaving a folder out leaves out
//! its part, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use providers::{Overrides, Registry};
use serde::Deserialize;
use serde_json::{Map, Value};
use sync::config::Hub;

use super::send::Delivery;
use crate::out::{CommandError, read, root, shown};

/// Rows of CRM records by connection and object.
pub type Rows = BTreeMap<String, BTreeMap<String, Vec<Map<String, Value>>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    connection: toml::Table,
    /// Text in the fixtures → what stands there in the demo: each provider has people of its own.
    #[serde(default)]
    replace: BTreeMap<String, String>,
    send: Vec<SendRow>,
    #[serde(default)]
    record: Vec<RecordRow>,
    #[serde(default)]
    parked: Vec<ParkedRow>,
    #[serde(default)]
    expect: Rows,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRow {
    fixture: String,
    outcomes: BTreeMap<String, u64>,
    #[serde(default)]
    again: bool,
    version: Option<String>,
    /// For this fixture, instead of the file's own.
    #[serde(default)]
    replace: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordRow {
    path: String,
    fixture: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkedRow {
    code: String,
    count: usize,
}

/// One webhook and what its events come to.
#[derive(Debug, Clone)]
pub struct Send {
    /// What is sent.
    pub delivery: Delivery,
    /// Sent twice.
    pub again: bool,
    /// Events, of both when it is sent twice.
    pub events: u64,
}

/// A provider's part of the day.
#[derive(Debug, Clone)]
pub struct Part {
    /// The connection.
    pub connection: String,
    /// What it sends, in order: each when the one before has come to its end.
    pub sends: Vec<Send>,
    /// What its API answers, by path.
    pub records: BTreeMap<String, String>,
    /// Outcomes by name.
    pub outcomes: BTreeMap<String, u64>,
    /// Dead letters by code.
    pub parked: BTreeMap<String, usize>,
    /// Rows that must be in the CRMs.
    pub expect: Rows,
    /// The connection's section of the configuration.
    pub section: String,
}

/// The parts of all providers that the configuration's own sources do not cover.
///
/// # Errors
/// A `demo.toml` is missing or has mistakes.
pub fn parts(registry: &Registry, hub: &Hub) -> Result<Vec<Part>, CommandError> {
    let covered = |name: &&&str| hub.connections.values().any(|c| c.source && c.provider == **name);
    registry.names().iter().filter(|name| !covered(name)).map(|name| part(registry, hub, name)).collect()
}

fn part(registry: &Registry, hub: &Hub, provider: &str) -> Result<Part, CommandError> {
    let folder = root().join("shared/providers").join(provider);
    let path = folder.join("demo.toml");
    let wrong = |text: String| CommandError::Usage(format!("`{}`: {text}", shown(&path)));
    let text = String::from_utf8(read(&path)?).map_err(|e| wrong(e.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let taken = hub.connections.contains_key(provider);
    let connection = if taken { format!("{provider}-events") } else { provider.to_owned() };
    let mut outcomes = BTreeMap::new();
    let mut sends = Vec::new();
    for row in &file.send {
        let replace = if row.replace.is_empty() { &file.replace } else { &row.replace };
        let fixture = fixture(&folder, &row.fixture, replace)?;
        row.outcomes.iter().for_each(|(name, count)| *outcomes.entry(name.clone()).or_default() += count);
        let delivery = delivery(&connection, row, &fixture);
        sends.push(Send { delivery, again: row.again, events: row.outcomes.values().sum() });
    }
    let mut records = BTreeMap::new();
    for row in &file.record {
        let record = fixture(&folder, &row.fixture, &file.replace)?;
        records.insert(row.path.clone(), record["record"].to_string());
    }
    let mut parked = BTreeMap::new();
    file.parked.into_iter().for_each(|row| *parked.entry(row.code).or_default() += row.count);
    let section = section(registry, provider, &connection, file.connection).map_err(wrong)?;
    Ok(Part { connection, sends, records, outcomes, parked, expect: file.expect, section })
}

fn fixture(folder: &Path, name: &str, replace: &BTreeMap<String, String>) -> Result<Value, CommandError> {
    let path: PathBuf = folder.join("fixtures").join(format!("{name}.json"));
    let mut text = String::from_utf8_lossy(&read(&path)?).into_owned();
    for (old, new) in replace {
        text = text.replace(old, new);
    }
    serde_json::from_str(&text).map_err(|e| CommandError::Usage(format!("`{}` is no JSON: {e}", shown(&path))))
}

fn delivery(connection: &str, row: &SendRow, fixture: &Value) -> Delivery {
    let headers = fixture["headers"].as_object().into_iter().flatten();
    let mut headers: Vec<(String, String)> =
        headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))).collect();
    let body = match (&fixture["text"], &fixture["body"]) {
        (Value::String(text), _) => text.clone(),
        (_, Value::Null) => String::new(),
        (_, body) => body.to_string(),
    };
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), media(&body)));
    }
    let query = fixture["target"].as_str().and_then(|target| target.split_once('?')).map(|(_, query)| query.to_owned());
    let key = format!("demo_{connection}_{}", row.fixture);
    Delivery { connection: connection.to_owned(), key, headers, query, body: body.into_bytes(), version: row.version.clone() }
}

/// The media type that a body has by its looks.
fn media(body: &str) -> String {
    match body.trim_start().chars().next() {
        None | Some('{' | '[') => "application/json".to_owned(),
        Some('<') => "text/xml".to_owned(),
        Some('-') => {
            format!("multipart/form-data; boundary={}", body.lines().next().unwrap_or_default().trim_start_matches("--"))
        }
        Some(_) => "application/x-www-form-urlencoded".to_owned(),
    }
}

/// The connection as `hub.toml` has it.
fn section(registry: &Registry, provider: &str, connection: &str, own: toml::Table) -> Result<String, String> {
    let built = registry.open(provider, &Overrides::default()).map_err(|e| e.to_string())?;
    let manifest = built.manifest();
    let text = |value: &str| toml::Value::String(value.to_owned());
    let lane = match manifest.provider.lane {
        canonical::Lane::Urgent => "urgent",
        canonical::Lane::Bulk => "bulk",
    };
    let mut table = toml::Table::new();
    table.insert("provider".into(), text(provider));
    table.insert("roles".into(), toml::Value::Array(vec![text("source")]));
    table.insert("lane".into(), text(lane));
    table.insert("owner".into(), text("demo"));
    table.insert("sla".into(), text("1h"));
    table.insert("signing_secret".into(), text(&format!("{connection}/signing")));
    if !manifest.api.fetch.is_empty() {
        table.insert("api_secret".into(), text(&format!("{connection}/api")));
    }
    table.extend(own);
    let connections = toml::Table::from_iter([(connection.to_owned(), toml::Value::Table(table))]);
    let all = toml::Table::from_iter([("connections".to_owned(), toml::Value::Table(connections))]);
    toml::to_string(&all).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Changes, Loaded};

    #[test]
    fn each_provider_can_be_left_out_alone() {
        let default = Loaded::read(None).unwrap();
        let hub = &default.sound().unwrap().hub;
        let all = Registry::default();
        let parts_of = |registry: &Registry| parts(registry, hub).unwrap();
        let everything: Vec<String> = parts_of(&all).into_iter().map(|part| part.connection).collect();
        for name in all.names() {
            let rest = all.clone().without(&[name]).unwrap();
            let found = parts_of(&rest);
            let names: Vec<&String> = found.iter().map(|part| &part.connection).collect();
            let events = format!("{name}-events");
            assert!(everything.iter().filter(|c| c.as_str() != *name && **c != events).eq(names), "{name}");
            let uses = hub.connections.values().any(|c| c.provider == *name);
            let text: String = found.iter().map(|part| part.section.as_str()).collect();
            let loaded = Loaded::with(&rest, "hub.toml", format!("{}\n{text}", default.source.text), None);
            assert_eq!(loaded.pack(&Changes::default()).is_ok(), !uses, "{name}: {}", loaded.report(false));
        }
    }
}
