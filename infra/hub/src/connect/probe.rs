//! One cheap read by which credentials are tried, as the manifest declares it, and what it showed.

use serde_json::Value;
use sync::config::Connection;
use sync::credential::Credential;
use sync::ports::{Http, HttpRequest};

use providers::Provider;

use crate::text::visible;

/// The longest value that is shown, in characters.
const SHOWN: usize = 60;

/// What a read showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The account answered: words with their values, and the scopes that it named, if any.
    Account(Vec<(String, String)>, Option<Vec<String>>),
    /// The account refused the credentials, or what they may do.
    Refused(String),
    /// Nobody knows: no answer, or an error of the provider.
    Unknown(String),
    /// The manifest declares no read.
    NotDeclared,
}

/// Reads once. Changes nothing.
pub async fn read_once<P: Http>(ports: &P, connection: &Connection, provider: &Provider, credential: &Credential) -> Seen {
    let api = &provider.manifest().api;
    let Some(probe) = &api.probe else { return Seen::NotDeclared };
    let version = if connection.api_version.is_empty() { &api.version } else { &connection.api_version };
    let path = probe.path.replace("{account}", &connection.account).replace("{version}", version);
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    headers.extend(api.headers.iter().map(|(name, value)| (name.clone(), value.replace("{account}", &connection.account))));
    let url = format!("{}{path}", connection.base_url);
    let mut request = HttpRequest { method: "GET", url, headers, body: Vec::new(), timeout_ms: api.timeout_ms };
    credential.show(&api.auth, &connection.account, &mut request);
    let response = match ports.http(request).await {
        Ok(response) => response,
        Err(error) => return Seen::Unknown(format!("`{}` gives no answer: {error}", connection.base_url)),
    };
    match response.status {
        200..=299 => {}
        status @ (401 | 403) => return Seen::Refused(format!("the account refuses the read with status {status}")),
        status => return Seen::Unknown(format!("the account answers the read with status {status}")),
    }
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else {
        return Seen::Unknown("the account's answer is not JSON".to_owned());
    };
    let mut shown = Vec::new();
    for (word, pointer) in &probe.shows {
        match body.pointer(pointer).and_then(describe) {
            Some(value) => shown.push((word.clone(), value)),
            None => return Seen::Refused(format!("the account's answer has no {word}, as if it did not know the credentials")),
        }
    }
    let list = probe.scopes.as_ref().and_then(|pointer| body.pointer(pointer)?.as_array());
    let scopes = list.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    Seen::Account(shown, scopes)
}

fn describe(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(visible(text).chars().take(SHOWN).collect()),
        Value::Array(list) => Some(format!("{} seen", list.len())),
        Value::Object(_) => Some("seen".to_owned()),
        other => Some(other.to_string()),
    }
}
