//! Every fixture `<name>.json` of a provider has its golden file `<name>.golden.json`. `UPDATE_GOLDEN=1 cargo test -p providers
//! --features compile` writes all golden files again, `UPDATE_GOLDEN=stripe` those of one provider. A person then reads the changes.
//!
//! A fixture is `{"headers": {…}, "body": …}` for a webhook (`"text"` instead of `"body"` where the body is not JSON, `"target"` where
//! the URL matters), and `{"object": "contacts", "record": …}` for a record of the API.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use providers::{EventAction, EventBody, Inbound, InboundEvent, Overrides, Provider, WriteHint};
use serde_json::{Value, json};

pub fn folder(provider: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(provider)
}

pub fn fixtures(provider: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(provider).join("fixtures")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|f| !f.to_string_lossy().ends_with(".golden.json"));
    files.sort();
    files
}

pub fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn shown(event: &InboundEvent) -> Value {
    let body = match &event.body {
        EventBody::Changes(changes) => json!({ "changes": changes }),
        EventBody::Fetch(wanted) => json!({ "fetch": wanted }),
        EventBody::Sweep { objects, reason } => json!({ "sweep": objects, "reason": reason }),
        EventBody::Retained { reason, event } => {
            json!({ "retained": serde_json::from_str::<Value>(event).unwrap_or_default(), "reason": reason })
        }
        EventBody::Ignored { reason } => json!({ "ignored": reason }),
        EventBody::Malformed { reason } => json!({ "malformed": reason }),
    };
    let mut shown = json!({"type": event.event_type, "key": event.key, "stamp": event.stamp, "body": body});
    match &event.write_hint {
        Some(WriteHint::Created) => shown["write_hint"] = json!("created"),
        Some(WriteHint::Fields(fields)) => shown["write_hint"] = json!({ "fields": fields }),
        Some(WriteHint::HubId(id)) => shown["write_hint"] = json!({ "hub_id": id }),
        None => {}
    }
    if let Some(version) = &event.version {
        shown["version"] = json!(version);
    }
    shown
}

pub fn mapped(provider: &Provider, fixture: &Value) -> Value {
    if let Some(object) = fixture.get("object").and_then(Value::as_str) {
        let changes = provider.record("here", object, fixture["record"].to_string().as_bytes()).unwrap();
        return json!({ "changes": changes });
    }
    let headers: BTreeMap<String, String> = serde_json::from_value(fixture["headers"].clone()).unwrap_or_default();
    let body = fixture["text"].as_str().map_or_else(|| fixture["body"].to_string(), str::to_owned);
    let target = fixture["target"].as_str().unwrap_or("POST /hooks/here");
    let inbound = Inbound { connection: "here", headers: &headers, target, body: body.as_bytes() };
    match provider.events(&inbound) {
        Ok(events) => Value::Array(events.iter().map(shown).collect()),
        Err(whole) => json!({ "malformed": whole.reason }),
    }
}

#[test]
fn fixtures_map_to_their_golden_records() {
    let wanted = std::env::var("UPDATE_GOLDEN").unwrap_or_default();
    let mut differing = Vec::new();
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        let files = fixtures(name);
        let update = wanted == "1" || wanted.split(',').any(|one| one == *name);
        assert!(files.len() >= 3, "{name} has {} fixtures", files.len());
        for file in files {
            let found = mapped(&provider, &read(&file));
            let golden = file.with_extension("golden.json");
            if update {
                fs::write(&golden, format!("{found:#}\n")).unwrap();
            } else if read(&golden) != found {
                differing.push(format!("{}\n{found:#}", golden.display()));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// One fixture would only show the ideal case: each event needs a complete one, a sparse one and an odd one.
#[test]
fn every_event_has_three_fixtures() {
    let mut missing = Vec::new();
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        let Some(events) = &provider.manifest().events else { continue };
        let named = events.on.iter().filter(|on| on.action != EventAction::Ignore).flat_map(|on| on.types.as_slice());
        let mut counts: BTreeMap<String, usize> = named.filter(|t| !t.contains('*')).map(|t| (t.clone(), 0)).collect();
        for file in fixtures(name) {
            let Value::Array(found) = mapped(&provider, &read(&file)) else { continue };
            let supported = |event: &&Value| ["ignored", "malformed"].iter().all(|not| event["body"].get(*not).is_none());
            for event in found.iter().filter(supported) {
                *counts.entry(event["type"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        missing.extend(
            counts.into_iter().filter(|(_, count)| *count < 3).map(|(event, count)| format!("{name}: {event} has {count}")),
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
