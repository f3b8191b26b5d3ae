//! The other providers of the day: each folder's `demo.toml` has the webhooks that it sends and their expected results. Leaving a
//! folder out leaves out its script, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use providers::{Overrides, Registry};
use serde::Deserialize;
use serde_json::{Map, Value};
use sync::config::Hub;

use super::send::Delivery;
use crate::files::{invalid, read_text, root};
use crate::fixture::Webhook;
use crate::out::CommandError;

/// Rows of CRM records by connection and object.
pub type Rows = BTreeMap<String, BTreeMap<String, Vec<Map<String, Value>>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    connection: toml::Table,
    /// Text in the fixtures → its replacement in the demo, so that each provider has people of its own.
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
    /// Used for this fixture instead of the file's `replace`.
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

/// One webhook of a script.
#[derive(Debug, Clone)]
pub struct ScriptedWebhook {
    /// The webhook.
    pub delivery: Delivery,
    /// Whether it is sent twice.
    pub again: bool,
    /// The number of its events, of both deliveries if it is sent twice.
    pub events: u64,
}

/// What a provider does in the demo.
#[derive(Debug, Clone)]
pub struct Script {
    /// The connection.
    pub connection: String,
    /// Its webhooks. Each is sent when the events of the one before have their outcomes.
    pub webhooks: Vec<ScriptedWebhook>,
    /// The answers of its API by path.
    pub records: BTreeMap<String, String>,
    /// The expected number of events by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The expected number of dead letters by code.
    pub parked: BTreeMap<String, usize>,
    /// The expected rows in the CRMs.
    pub expect: Rows,
    /// The connection's section of the configuration.
    pub section: String,
}

/// The scripts of the providers that are not sources in the configuration.
///
/// # Errors
/// A `demo.toml` is missing or has mistakes.
pub fn scripts(registry: &Registry, hub: &Hub) -> Result<Vec<Script>, CommandError> {
    let is_source = |name: &&&str| hub.connections.values().any(|c| c.source && c.provider == **name);
    registry.names().iter().filter(|name| !is_source(name)).map(|name| script(registry, hub, name)).collect()
}

fn script(registry: &Registry, hub: &Hub, provider: &str) -> Result<Script, CommandError> {
    let folder = root().join("shared/providers").join(provider);
    let path = folder.join("demo.toml");
    let file: File = toml::from_str(&read_text(&path)?).map_err(|e| invalid(&path, e))?;
    let taken = hub.connections.contains_key(provider);
    let connection = if taken { format!("{provider}-events") } else { provider.to_owned() };
    let mut outcomes = BTreeMap::new();
    let mut webhooks = Vec::new();
    for row in &file.send {
        let replace = if row.replace.is_empty() { &file.replace } else { &row.replace };
        let fixture = fixture(&folder, &row.fixture, replace)?;
        row.outcomes.iter().for_each(|(name, count)| *outcomes.entry(name.clone()).or_default() += count);
        let delivery = delivery(&connection, row, &fixture);
        webhooks.push(ScriptedWebhook { delivery, again: row.again, events: row.outcomes.values().sum() });
    }
    let mut records = BTreeMap::new();
    for row in &file.record {
        let record = fixture(&folder, &row.fixture, &file.replace)?;
        records.insert(row.path.clone(), record["record"].to_string());
    }
    let mut parked = BTreeMap::new();
    file.parked.into_iter().for_each(|row| *parked.entry(row.code).or_default() += row.count);
    let section = section(registry, provider, &connection, file.connection).map_err(|e| invalid(&path, e))?;
    Ok(Script { connection, webhooks, records, outcomes, parked, expect: file.expect, section })
}

fn fixture(folder: &Path, name: &str, replace: &BTreeMap<String, String>) -> Result<Value, CommandError> {
    let path: PathBuf = folder.join("fixtures").join(format!("{name}.json"));
    let mut text = read_text(&path)?;
    for (old, new) in replace {
        text = text.replace(old, new);
    }
    serde_json::from_str(&text).map_err(|e| invalid(&path, e))
}

fn delivery(connection: &str, row: &SendRow, fixture: &Value) -> Delivery {
    let Webhook { headers, query, body } = Webhook::of_fixture(fixture);
    let key = format!("demo_{connection}_{}", row.fixture);
    Delivery { connection: connection.to_owned(), key, headers, query, body, version: row.version.clone() }
}

/// The connection's section of `hub.toml`.
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
        let scripts_of = |registry: &Registry| scripts(registry, hub).unwrap();
        let everything: Vec<String> = scripts_of(&all).into_iter().map(|script| script.connection).collect();
        for name in all.names() {
            let rest = all.clone().without(&[name]).unwrap();
            let found = scripts_of(&rest);
            let names: Vec<&String> = found.iter().map(|script| &script.connection).collect();
            let events = format!("{name}-events");
            assert!(everything.iter().filter(|c| c.as_str() != *name && **c != events).eq(names), "{name}");
            let uses = hub.connections.values().any(|c| c.provider == *name);
            let text: String = found.iter().map(|script| script.section.as_str()).collect();
            let loaded = Loaded::with(&rest, "hub.toml", format!("{}\n{text}", default.source.text), None);
            assert_eq!(loaded.pack(&Changes::default()).is_ok(), !uses, "{name}: {}", loaded.report(false));
        }
    }
}
