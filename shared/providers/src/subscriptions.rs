//! Registers webhooks at a provider as `[api.webhooks]` declares it: builds the requests, reads the answers, and compares what is
//! registered with what is needed. Without I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::http::{HttpRequest, percent_encode};
use crate::manifest::{ApiInfo, CallTemplate, WebhooksApi};

/// A webhook that is registered at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id there.
    pub id: String,
    /// Where it sends to.
    pub url: String,
    /// Its topics; `None` where it has all of them.
    pub topics: Option<BTreeSet<String>>,
    /// False when the provider or a person has switched it off.
    pub enabled: bool,
}

/// What has to be done so that every topic arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Register these topics.
    Create(Vec<String>),
    /// Give the registered one with this id all topics, and switch it on.
    Update(String, Vec<String>),
}

/// What stands for the placeholders of a call.
#[derive(Clone, Copy, Default)]
pub struct CallValues<'a> {
    /// `{account}`
    pub account: &'a str,
    /// `{version}`
    pub version: &'a str,
    /// `{id}`
    pub id: &'a str,
    /// `{url}`
    pub url: &'a str,
    /// `{topics}`; of one, it is also `{topic}`.
    pub topics: &'a [String],
    /// `{secret}`
    pub secret: &'a str,
}

impl CallValues<'_> {
    fn fill(&self, text: &str, escape: fn(&str) -> String) -> String {
        let (user, password) = self.secret.split_once(':').unwrap_or(("", self.secret));
        let topic = self.topics.first().map_or("", String::as_str);
        let values = [
            ("{account}", self.account),
            ("{version}", self.version),
            ("{id}", self.id),
            ("{url}", self.url),
            ("{topic}", topic),
            ("{secret}", self.secret),
            ("{secret_user}", user),
            ("{secret_password}", password),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, &escape(value)))
    }

    fn body(&self, template: &Value) -> Value {
        match template {
            Value::String(text) if text == "{topics}" => self.topics.iter().cloned().map(Value::from).collect(),
            Value::String(text) => Value::from(self.fill(text, str::to_owned)),
            Value::Array(list) => list.iter().map(|value| self.body(value)).collect(),
            Value::Object(members) => {
                // `"{topics}": true` stands for a flag for each topic.
                let mut filled = Map::new();
                for (name, value) in members {
                    match name.as_str() {
                        "{topics}" => filled.extend(self.topics.iter().map(|topic| (topic.clone(), value.clone()))),
                        _ => _ = filled.insert(name.clone(), self.body(value)),
                    }
                }
                Value::Object(filled)
            }
            other => other.clone(),
        }
    }
}

/// The request of a declared call, without credentials. A path that begins with `//` is one of the host, not of the base URL.
pub fn request(api: &ApiInfo, base_url: &str, call: &CallTemplate, values: &CallValues<'_>) -> HttpRequest {
    let path = values.fill(&call.path, percent_encode);
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    let body = match &call.body {
        Value::Null => Vec::new(),
        template if call.form => {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
            form(&values.body(template)).into_bytes()
        }
        template => {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            values.body(template).to_string().into_bytes()
        }
    };
    HttpRequest { method: call.method.name(), url: absolute(base_url, &path), headers, body, timeout_ms: api.timeout_ms }
}

/// The request that lists what is registered, without credentials; `None` where the API has none.
pub fn list_request(api: &ApiInfo, base_url: &str, values: &CallValues<'_>) -> Option<HttpRequest> {
    let list = api.webhooks.as_ref()?.list.as_ref()?;
    let headers = vec![("accept".to_owned(), "application/json".to_owned())];
    let url = absolute(base_url, &values.fill(&list.path, percent_encode));
    Some(HttpRequest { method: "GET", url, headers, body: Vec::new(), timeout_ms: api.timeout_ms })
}

fn absolute(base_url: &str, path: &str) -> String {
    let Some(of_host) = path.strip_prefix("//") else { return format!("{base_url}{path}") };
    let host = base_url
        .split_once("://")
        .map_or(base_url.len(), |(scheme, rest)| scheme.len() + 3 + rest.find('/').unwrap_or(rest.len()));
    format!("{}/{of_host}", &base_url[..host])
}

/// The values of a JSON object as form parameters: a list repeats `name[]`, an object writes `name[member]`.
fn form(body: &Value) -> String {
    let mut pairs = Vec::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::Array(list) => pairs.extend(list.iter().map(|value| (format!("{name}[]"), text(value)))),
            Value::Object(members) => {
                pairs.extend(members.iter().map(|(member, value)| (format!("{name}[{member}]"), text(value))));
            }
            other => pairs.push((name.clone(), text(other))),
        }
    }
    pairs.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect::<Vec<_>>().join("&")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is registered, according to the answer of [`list_request`]; `None` when the answer has no such list.
pub fn parse_list(webhooks: &WebhooksApi, body: &[u8]) -> Option<Vec<Subscription>> {
    let list = webhooks.list.as_ref()?;
    let body: Value = serde_json::from_slice(body).ok()?;
    let items = body.pointer(&list.items)?.as_array()?;
    let read = |item: &Value| {
        let id = item.pointer(&list.id).filter(|id| !id.is_null()).map(text)?;
        let url = item.pointer(&list.url)?.as_str()?.to_owned();
        let topics = list.topics.as_ref().map(|at| item.pointer(at).map(topics_of).unwrap_or_default());
        let enabled = list.enabled.iter().all(|(member, value)| item.pointer(member).map(text).as_ref() == Some(value));
        Some(Subscription { id, url, topics, enabled })
    };
    Some(items.iter().filter_map(read).collect())
}

/// Topics: a list, one text, or an object of flags.
fn topics_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(topic) => BTreeSet::from([topic.clone()]),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(flags) => {
            flags.iter().filter(|(_, on)| **on == Value::Bool(true)).map(|(topic, _)| topic.clone()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// What has to be done so that every topic of the manifest arrives at `url`. Nothing, if it is done already.
pub fn steps(webhooks: &WebhooksApi, registered: &[Subscription], url: &str) -> Vec<Step> {
    let ours: Vec<&Subscription> = registered.iter().filter(|subscription| subscription.url == url).collect();
    if webhooks.per_topic {
        let arrives = |topic: &&String| {
            ours.iter().any(|one| one.enabled && one.topics.as_ref().is_some_and(|topics| topics.contains(*topic)))
        };
        return webhooks.topics.iter().filter(|topic| !arrives(topic)).map(|topic| Step::Create(vec![topic.clone()])).collect();
    }
    let lacks = |one: &Subscription| {
        let known = |topic: &String| one.topics.as_ref().is_none_or(|topics| topics.contains(topic) || topics.contains("*"));
        !one.enabled || !webhooks.topics.iter().all(known)
    };
    match ours.first() {
        None => vec![Step::Create(webhooks.topics.clone())],
        Some(one) if lacks(one) => {
            // What somebody added by hand stays.
            let mut topics: BTreeMap<&String, ()> = webhooks.topics.iter().map(|topic| (topic, ())).collect();
            topics.extend(one.topics.iter().flatten().map(|topic| (topic, ())));
            vec![Step::Update(one.id.clone(), topics.into_keys().cloned().collect())]
        }
        Some(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(json: Value) -> WebhooksApi {
        serde_json::from_value(json).unwrap()
    }

    fn one() -> WebhooksApi {
        declared(json!({
            "topics": ["a", "b"],
            "list": { "path": "/hooks", "items": "/data", "id": "/id", "url": "/url", "topics": "/events", "enabled": { "/status": "on" } },
            "create": { "method": "POST", "path": "/hooks", "form": true, "body": { "url": "{url}", "events": "{topics}" } },
            "delete": { "method": "DELETE", "path": "/hooks/{id}" },
        }))
    }

    #[test]
    fn only_what_lacks_is_registered() {
        let webhooks = one();
        let body = json!({ "data": [
            { "id": 7, "url": "https://hub.example/hooks/x", "events": ["a", "c"], "status": "on" },
            { "id": 8, "url": "https://other.example", "events": ["a", "b"], "status": "on" },
        ]});
        let registered = parse_list(&webhooks, body.to_string().as_bytes()).unwrap();
        let update = |id: &str, topics: &[&str]| Step::Update(id.to_owned(), topics.iter().map(|t| (*t).to_owned()).collect());
        assert_eq!(steps(&webhooks, &registered, "https://hub.example/hooks/x"), [update("7", &["a", "b", "c"])]);
        assert_eq!(steps(&webhooks, &registered, "https://other.example"), []);
        let create = Step::Create(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(steps(&webhooks, &registered, "https://new.example"), [create]);
        assert_eq!(parse_list(&webhooks, b"{\"error\": 1}"), None);
    }

    #[test]
    fn one_that_was_switched_off_is_switched_on_again() {
        let webhooks = one();
        let body = json!({ "data": [{ "id": "x", "url": "u", "events": ["*"], "status": "off" }] });
        let registered = parse_list(&webhooks, body.to_string().as_bytes()).unwrap();
        assert_eq!(
            steps(&webhooks, &registered, "u"),
            [Step::Update("x".to_owned(), ["*", "a", "b"].map(str::to_owned).to_vec())]
        );
    }

    #[test]
    fn topics_that_are_subscriptions_of_their_own_are_registered_one_by_one() {
        let mut webhooks = one();
        webhooks.per_topic = true;
        let body = json!({ "data": [{ "id": 1, "url": "u", "events": "a", "status": "on" }] });
        let registered = parse_list(&webhooks, body.to_string().as_bytes()).unwrap();
        assert_eq!(steps(&webhooks, &registered, "u"), [Step::Create(vec!["b".to_owned()])]);
    }

    #[test]
    fn placeholders_are_filled_in_and_escaped() {
        let api = ApiInfo::default();
        let topics = ["a".to_owned(), "b".to_owned()];
        let values =
            CallValues { url: "https://h/?x=1", topics: &topics, secret: "user:pass", account: "9/9", ..CallValues::default() };
        let create = one().create.unwrap();
        let made = request(&api, "https://api.example/v2", &create, &values);
        assert_eq!(made.url, "https://api.example/v2/hooks");
        assert_eq!(made.body, b"events%5B%5D=a&events%5B%5D=b&url=https%3A%2F%2Fh%2F%3Fx%3D1");
        let json = CallTemplate {
            path: "//v1/{account}".to_owned(),
            form: false,
            body: json!({ "user": "{secret_user}", "password": "{secret_password}", "on": { "{topics}": true }, "n": 1 }),
            ..create
        };
        let made = request(&api, "https://api.example/v2", &json, &values);
        assert_eq!(made.url, "https://api.example/v1/9%2F9");
        assert_eq!(made.body, br#"{"n":1,"on":{"a":true,"b":true},"password":"pass","user":"user"}"#);
    }
}
