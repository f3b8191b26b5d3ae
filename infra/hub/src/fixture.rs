//! The example webhooks of the providers' folders: `shared/providers/<provider>/fixtures/<name>.json`, each with a `.golden.json`
//! beside it that says what the hub reads from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::files::{invalid, read_text, root};
use crate::out::CommandError;

/// A webhook without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The headers; `content-type` is always among them.
    pub headers: Vec<(String, String)>,
    /// The query of its URL.
    pub query: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Webhook {
    /// The webhook that a fixture describes: its `headers`, the query of its `target`, and its `body` or `text`.
    pub fn of_fixture(fixture: &Value) -> Webhook {
        let headers = fixture["headers"].as_object().into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))).collect();
        let body = match (&fixture["text"], &fixture["body"]) {
            (Value::String(text), _) => text.clone(),
            (_, Value::Null) => String::new(),
            (_, body) => body.to_string(),
        };
        let query = fixture["target"].as_str().and_then(|target| target.split_once('?')).map(|(_, query)| query.to_owned());
        Webhook::with_content_type(headers, query, body.into_bytes())
    }

    /// The webhook of a file: a fixture, or a body as it is.
    pub fn of_file(bytes: Vec<u8>) -> Webhook {
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) if is_fixture(&object) => Webhook::of_fixture(&Value::Object(object)),
            _ => Webhook::with_content_type(Vec::new(), None, bytes),
        }
    }

    fn with_content_type(mut headers: Vec<(String, String)>, query: Option<String>, body: Vec<u8>) -> Webhook {
        if !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), media(&String::from_utf8_lossy(&body))));
        }
        Webhook { headers, query, body }
    }
}

/// Whether a JSON object is a fixture of a webhook and not a body: it has no other members than a fixture has.
fn is_fixture(object: &Map<String, Value>) -> bool {
    let known = ["headers", "target", "body", "text"];
    object.keys().all(|key| known.contains(&key.as_str())) && (object.contains_key("body") || object.contains_key("text"))
}

/// The media type of a body, guessed from its first character.
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

/// The fixture of a provider that is called so, or the simplest one whose only event is of this type. `None` when there is neither.
///
/// # Errors
/// A fixture cannot be read.
pub fn find(provider: &str, event: &str) -> Result<Option<Webhook>, CommandError> {
    let folder = folder(provider);
    let named = folder.join(format!("{event}.json"));
    let path = if named.is_file() { Some(named) } else { events(provider)?.remove(event).map(|name| folder.join(name)) };
    let Some(path) = path else { return Ok(None) };
    Ok(Some(Webhook::of_fixture(&json(&path)?)))
}

/// The types of events that the provider has a fixture for, each with the file's name of the simplest one: the event is the only one
/// in it, and the name is the shortest.
///
/// # Errors
/// A fixture cannot be read.
pub fn events(provider: &str) -> Result<BTreeMap<String, String>, CommandError> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let entries = std::fs::read_dir(folder(provider)).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".golden.json") else { continue };
        let Value::Array(golden) = json(&entry.path())? else { continue };
        let [event] = golden.as_slice() else { continue };
        let Some(kind) = event["type"].as_str().filter(|kind| !kind.is_empty() && event["body"].get("malformed").is_none())
        else {
            continue;
        };
        let file = format!("{stem}.json");
        let known = found.entry(kind.to_owned()).or_insert_with(|| file.clone());
        if (file.len(), &file) < (known.len(), &*known) {
            *known = file;
        }
    }
    Ok(found)
}

fn folder(provider: &str) -> PathBuf {
    root().join("shared/providers").join(provider).join("fixtures")
}

fn json(path: &Path) -> Result<Value, CommandError> {
    serde_json::from_str(&read_text(path)?).map_err(|e| invalid(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_fixture_or_a_body() {
        let fixture = br#"{"headers": {"X-Topic": "orders/paid"}, "target": "/hooks/a?b=c", "body": {"id": 1}}"#;
        let webhook = Webhook::of_file(fixture.to_vec());
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(webhook.headers, [header("x-topic", "orders/paid"), header("content-type", "application/json")]);
        assert_eq!((webhook.query.as_deref(), webhook.body.as_slice()), (Some("b=c"), br#"{"id":1}"#.as_slice()));
        let body = br#"{"body": "a ticket's text", "id": 1}"#;
        assert_eq!(Webhook::of_file(body.to_vec()).body, body, "byte for byte");
        assert_eq!(Webhook::of_file(b"a=1&b=2".to_vec()).headers, [header("content-type", "application/x-www-form-urlencoded")]);
    }

    #[test]
    fn every_provider_that_sends_has_events() {
        for name in providers::Provider::builtin_names() {
            let events = events(name).unwrap();
            assert!(!events.is_empty(), "{name}");
            assert!(events.keys().all(|event| find(name, event).unwrap().is_some()), "{name}");
        }
    }
}
