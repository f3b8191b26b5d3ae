//! Stand-ins for the calls by which webhooks are registered, as strict as three real ones: Stripe's (form parameters, a secret that is
//! told once), Pipedrive's (one subscription per object, with a password) and Zendesk's (a secret that a further call tells).

use serde_json::{Map, Value, json};

use crate::{Request, Response};

/// Which provider's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// <https://docs.stripe.com/api/webhook_endpoints>
    Stripe,
    /// <https://developers.pipedrive.com/docs/api/v1/Webhooks>
    Pipedrive,
    /// <https://developer.zendesk.com/api-reference/webhooks/webhooks-api/webhooks/>
    Zendesk,
}

/// A provider's registered webhooks.
#[derive(Debug, Clone)]
pub struct Registry {
    kind: Kind,
    token: String,
    next: u64,
    webhooks: Vec<Map<String, Value>>,
}

/// The objects that Pipedrive's call knows.
const PIPEDRIVE_OBJECTS: &[&str] =
    &["*", "activity", "deal", "lead", "note", "organization", "person", "pipeline", "product", "stage", "user"];

impl Registry {
    /// Nothing is registered; calls need this token.
    pub fn new(kind: Kind, token: &str) -> Registry {
        Registry { kind, token: token.to_owned(), next: 0, webhooks: Vec::new() }
    }

    /// What is registered.
    pub fn webhooks(&self) -> &[Map<String, Value>] {
        &self.webhooks
    }

    /// The provider switches every webhook off, as it does after many failures.
    pub fn switch_off(&mut self) {
        let (member, value) = match self.kind {
            Kind::Stripe => ("status", json!("disabled")),
            Kind::Pipedrive => ("is_active", json!(0)),
            Kind::Zendesk => ("status", json!("inactive")),
        };
        self.webhooks.iter_mut().for_each(|webhook| _ = webhook.insert(member.to_owned(), value.clone()));
    }

    /// Answers a request.
    pub fn handle(&mut self, request: &Request) -> Response {
        let own = match self.kind {
            Kind::Pipedrive => request.header("x-api-token").map(str::to_owned),
            _ => request.bearer().map(str::to_owned),
        };
        if own.as_deref() != Some(self.token.as_str()) {
            return error(401, "the credentials are not known");
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (self.kind, segments.as_slice()) {
            (Kind::Stripe, ["v1", "webhook_endpoints", rest @ ..]) => self.stripe(request, rest),
            (Kind::Pipedrive, ["v1", "webhooks", rest @ ..]) => self.pipedrive(request, rest),
            (Kind::Zendesk, ["api", "v2", "webhooks", rest @ ..]) => self.zendesk(request, rest),
            _ => error(404, "there is nothing here"),
        }
    }

    fn stripe(&mut self, request: &Request, rest: &[&str]) -> Response {
        match (request.method.as_str(), rest) {
            ("GET", []) => Response::json(200, &json!({ "object": "list", "data": self.shown(&["secret"]), "has_more": false })),
            ("POST", []) => {
                let Some(form) = form_of(request) else { return error(400, "the body is form parameters") };
                let (url, events) = (first(&form, "url"), all(&form, "enabled_events[]"));
                let known = ["url", "enabled_events[]", "description", "api_version"];
                if !is_https(&url) || events.is_empty() || form.iter().any(|(name, _)| !known.contains(&name.as_str())) {
                    return error(400, "url, enabled_events or another parameter is wrong");
                }
                if self.webhooks.len() == 16 {
                    return error(400, "an account has at most 16 endpoints");
                }
                let id = format!("we_{}", self.number());
                let created = json!({
                    "id": id, "object": "webhook_endpoint", "url": url, "enabled_events": events, "status": "enabled",
                    "secret": format!("whsec_{:032}", self.next),
                });
                self.add(created)
            }
            ("POST", [id]) => {
                let Some(form) = form_of(request) else { return error(400, "the body is form parameters") };
                let (events, disabled) = (all(&form, "enabled_events[]"), first(&form, "disabled"));
                self.change(id, |webhook| {
                    webhook.insert("enabled_events".to_owned(), json!(events));
                    let status = if disabled == "true" { "disabled" } else { "enabled" };
                    webhook.insert("status".to_owned(), json!(status));
                })
            }
            ("DELETE", [id]) => self.remove(id, 200),
            _ => error(405, "no such call"),
        }
    }

    fn pipedrive(&mut self, request: &Request, rest: &[&str]) -> Response {
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let shown = self.shown(&["http_auth_password"]);
                Response::json(200, &json!({ "success": true, "data": shown }))
            }
            ("POST", []) => {
                let Some(body) = request.json() else { return error(400, "the body is JSON") };
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let known = PIPEDRIVE_OBJECTS.contains(&text("event_object").as_str());
                let action = ["*", "create", "change", "delete"].contains(&text("event_action").as_str());
                if !is_https(&text("subscription_url")) || !known || !action || text("version") != "2.0" {
                    return error(400, "subscription_url, event_object, event_action or version is wrong");
                }
                if self.webhooks.len() == 40 {
                    return error(403, "a user has at most 40 webhooks");
                }
                let mut created = body.as_object().cloned().unwrap_or_default();
                created.insert("id".to_owned(), json!(self.number()));
                created.insert("is_active".to_owned(), json!(1));
                self.webhooks.push(created.clone());
                Response::json(201, &json!({ "success": true, "data": created }))
            }
            ("DELETE", [id]) => self.remove(id, 200),
            _ => error(405, "no such call"),
        }
    }

    fn zendesk(&mut self, request: &Request, rest: &[&str]) -> Response {
        match (request.method.as_str(), rest) {
            ("GET", []) => Response::json(200, &json!({ "webhooks": self.shown(&["secret"]) })),
            ("GET", [id, "signing_secret"]) => match self.webhooks.iter().find(|webhook| is(webhook, id)) {
                Some(webhook) => {
                    Response::json(200, &json!({ "signing_secret": { "algorithm": "SHA256", "secret": webhook["secret"] } }))
                }
                None => error(404, "no such webhook"),
            },
            ("POST", []) => {
                let Some(body) = request.json() else { return error(400, "the body is JSON") };
                let webhook = &body["webhook"];
                let has = |name: &str| webhook[name].as_str().is_some_and(|text| !text.is_empty());
                let needed = ["name", "endpoint", "http_method", "request_format", "status"];
                let subscribed = webhook["subscriptions"].as_array().is_some_and(|list| !list.is_empty());
                if !needed.into_iter().all(has) || !subscribed || !is_https(webhook["endpoint"].as_str().unwrap_or_default()) {
                    return error(400, "a member of the webhook is wrong");
                }
                let mut created = webhook.clone();
                created["id"] = json!(format!("01ZD{}", self.number()));
                created["secret"] = json!(format!("zd-secret-{}", self.next));
                self.add(created)
            }
            ("PATCH", [id]) => {
                let change = request.json().unwrap_or_default()["webhook"].as_object().cloned().unwrap_or_default();
                self.change(id, |webhook| webhook.extend(change))
            }
            ("DELETE", [id]) => self.remove(id, 204),
            _ => error(405, "no such call"),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, created: Value) -> Response {
        self.webhooks.extend(created.as_object().cloned());
        Response::json(201, &created)
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Response {
        match self.webhooks.iter_mut().find(|webhook| is(webhook, id)) {
            Some(webhook) => {
                change(webhook);
                Response::json(200, &json!({ "id": id }))
            }
            None => error(404, "no such webhook"),
        }
    }

    fn remove(&mut self, id: &str, status: u16) -> Response {
        let before = self.webhooks.len();
        self.webhooks.retain(|webhook| !is(webhook, id));
        if self.webhooks.len() == before { error(404, "no such webhook") } else { Response::json(status, &json!({ "id": id })) }
    }

    /// The webhooks without what only their creation tells.
    fn shown(&self, secret: &[&str]) -> Vec<Map<String, Value>> {
        let without = |webhook: &Map<String, Value>| {
            webhook.iter().filter(|(name, _)| !secret.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
        };
        self.webhooks.iter().map(without).collect()
    }
}

fn is(webhook: &Map<String, Value>, id: &str) -> bool {
    webhook.get("id").is_some_and(|own| own.as_str().map_or_else(|| own.to_string(), str::to_owned) == id)
}

fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}

fn form_of(request: &Request) -> Option<Vec<(String, String)>> {
    let is_form = request.header("content-type")?.starts_with("application/x-www-form-urlencoded");
    is_form.then(|| form_urlencoded::parse(&request.body).into_owned().collect())
}

fn first(form: &[(String, String)], name: &str) -> String {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn all(form: &[(String, String)], name: &str) -> Vec<String> {
    form.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
}

fn error(status: u16, message: &str) -> Response {
    Response::json(status, &json!({ "error": { "message": message } }))
}
