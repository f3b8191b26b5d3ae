//! HubSpot's CRM API v3 with v4 associations, as far as a hub uses it.

mod associations;
mod catalogue;
mod objects;
mod search;
mod webhooks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::{Engine, TokenState};
use crate::fault::Effects;
use crate::schema::{Refusal, Style};
use crate::state::{Origin, State};
use crate::{ObjectSchema, Property, Refused, Request, Response, Sandbox, tokens};

/// How a stand-in for HubSpot behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Decides ids, delays and the dice of faults.
    pub seed: u64,
    /// Tokens that are valid from the beginning.
    pub tokens: Vec<String>,
    /// The token endpoint, if it has one.
    pub endpoint: Option<tokens::Options>,
    /// Object types and their properties.
    pub objects: BTreeMap<String, ObjectSchema>,
    /// The scopes of the tokens, as the account tells them. Calls are not refused by them.
    pub scopes: Vec<String>,
    /// Calls per rolling ten seconds.
    pub per_ten_seconds: u64,
    /// Calls per day (UTC).
    pub per_day: u64,
    /// Searches per rolling second.
    pub searches_per_second: u64,
    /// How long a change takes until searches see it, in milliseconds.
    pub search_lag_ms: i64,
    /// Whether the result of a written row repeats the row's trace id. The published specification has the member; an account
    /// may leave it out.
    pub repeat_trace_id: bool,
    /// Webhooks, if any.
    pub webhooks: Option<Webhooks>,
}

/// The app's webhook subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// The account.
    pub portal_id: u64,
    /// The app: API writes by its tokens have it as their source.
    pub app_id: u64,
    /// `contact.creation`, `contact.deletion`, `contact.merge`, `contact.propertyChange:email`, … ; `contact.propertyChange:*`
    /// stands for every property.
    pub subscriptions: Vec<String>,
    /// The shortest and the longest time from a change to its webhook, in milliseconds.
    pub delay_ms: (i64, i64),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 0,
            tokens: vec!["sandbox-token".to_owned()],
            endpoint: None,
            objects: catalogue::objects("hub_id"),
            scopes: catalogue::scopes(),
            per_ten_seconds: 100,
            per_day: 250_000,
            searches_per_second: 5,
            search_lag_ms: 2_000,
            repeat_trace_id: true,
            webhooks: None,
        }
    }
}

impl Options {
    /// The default options with another name for the unique property that holds the hub's id.
    pub fn with_hub_id(property: &str) -> Options {
        Options { objects: catalogue::objects(property), ..Options::default() }
    }

    /// Adds a property, or replaces it.
    #[must_use]
    pub fn define(mut self, object: &str, name: &str, property: Property) -> Options {
        self.objects.entry(object.to_owned()).or_default().properties.insert(name.to_owned(), property);
        self
    }
}

/// A stand-in for a HubSpot account.
#[derive(Debug, Clone)]
pub struct HubSpot {
    options: Options,
    engine: Engine,
}

impl HubSpot {
    /// An empty account.
    pub fn new(options: Options) -> HubSpot {
        let engine = Engine {
            seed: options.seed,
            style: Style::Texts,
            schema: options.objects.clone(),
            // Twelve digits, rising, not dense; a merged or deleted id is never used again.
            new_id: |_, seed, n| (100_000_000_000 + n * 16 + crate::engine::mix(seed, n) % 16).to_string(),
            state: State::default(),
        };
        let mut hubspot = HubSpot { options, engine };
        hubspot.reset();
        hubspot
    }

    /// The name of an object type in paths, from any of its names.
    fn object(&self, name: &str) -> Option<&'static str> {
        const NAMES: &[(&str, &str, &str)] = &[
            ("contacts", "contact", "0-1"),
            ("companies", "company", "0-2"),
            ("deals", "deal", "0-3"),
            ("tickets", "ticket", "0-5"),
        ];
        let known = NAMES.iter().find(|(plural, singular, id)| [plural, singular, id].contains(&&name))?.0;
        self.engine.schema.contains_key(known).then_some(known)
    }

    fn answer(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Response {
        match self.gate(request, effects, now_ms) {
            Err(refusal) => refusal,
            Ok(headers) => {
                let response = self.route(request, effects, now_ms);
                headers.into_iter().fold(response, |r, (name, value)| r.with(name, value))
            }
        }
    }

    fn route(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Response {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["crm", "v3", "objects", object, rest @ ..] => self.objects(request, effects, object, rest, now_ms),
            ["crm", "objects", version, object, rest @ ..] if version.starts_with("20") => {
                self.objects(request, effects, object, rest, now_ms)
            }
            ["crm", "v4", rest @ ..] => self.associations(request, rest, now_ms),
            ["crm", "v3", "properties", object] if request.method == "GET" => self.properties(object),
            ["oauth", "v2", "private-apps", "get", "access-token-info"] => {
                Response::json(200, &json!({"hubId": 4_711, "userId": 1, "appId": 42, "scopes": self.options.scopes}))
            }
            _ => self.error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn objects(&mut self, request: &Request, effects: &Effects, object: &str, rest: &[&str], now_ms: i64) -> Response {
        let Some(object) = self.object(object) else {
            return self.error(400, "VALIDATION_ERROR", &format!("Unable to infer object type from: {object}"));
        };
        self.engine.count(format!("calls.{object} {}", kind_of(request, rest)));
        match (request.method.as_str(), rest) {
            ("GET", []) => self.list(request, object),
            ("POST", []) => self.create_one(request, object, now_ms),
            ("POST", ["search"]) => self.search(request, object, now_ms),
            ("POST", ["merge"]) => self.merge_call(request, object, now_ms),
            ("POST", ["gdpr-delete"]) => self.gdpr_delete(request, object, now_ms),
            ("POST", ["batch", "read"]) => self.batch_read(request, effects, object, now_ms),
            ("POST", ["batch", "archive"]) => self.batch_archive(request, object, now_ms),
            ("POST", ["batch", op @ ("create" | "update" | "upsert")]) => self.batch_write(request, effects, object, op, now_ms),
            ("GET", [id]) => self.get_one(request, object, id),
            ("PATCH", [id]) => self.update_one(request, object, id, now_ms),
            ("DELETE", [id]) => self.delete_one(object, id, now_ms),
            _ => self.error(405, "METHOD_NOT_ALLOWED", "method not allowed"),
        }
    }

    /// The properties of an object type.
    fn properties(&mut self, object: &str) -> Response {
        let known = self.object(object).and_then(|name| self.engine.schema.get(name));
        let Some(schema) = known else { return self.error(404, "OBJECT_NOT_FOUND", "Unable to infer object type") };
        let results: Vec<Value> = schema.properties.iter().map(|(name, p)| catalogue::described(name, p)).collect();
        Response::json(200, &json!({ "results": results }))
    }

    /// Token and rates; gives the rate headers or the refusal.
    fn gate(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Result<Vec<(&'static str, u64)>, Response> {
        match self.engine.token_state(request.bearer(), now_ms) {
            TokenState::Valid => {}
            TokenState::Expired => {
                return Err(self.error(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired."));
            }
            TokenState::Unknown => {
                return Err(self.error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found."));
            }
        }
        if request.path.ends_with("/search") {
            // Searches are limited by the second, and their answers have no rate headers.
            return match self.engine.admit("search", self.options.searches_per_second, 1_000, now_ms) {
                Some(_) if !effects.throttle => Ok(Vec::new()),
                _ => Err(self.throttled("SECONDLY", "secondly")),
            };
        }
        let (max, per_day) = (self.options.per_ten_seconds, self.options.per_day);
        let left = if effects.throttle { None } else { self.engine.admit("ten", max, 10_000, now_ms) };
        let used_today = self.engine.count_day(now_ms);
        let headers = |left: u64| {
            vec![
                ("x-hubspot-ratelimit-max", max),
                ("x-hubspot-ratelimit-remaining", left),
                ("x-hubspot-ratelimit-interval-milliseconds", 10_000),
                ("x-hubspot-ratelimit-daily", per_day),
                ("x-hubspot-ratelimit-daily-remaining", per_day.saturating_sub(used_today)),
            ]
        };
        let refuse =
            |response: Response, left| Err(headers(left).into_iter().fold(response, |r, (name, value)| r.with(name, value)));
        match left {
            None => refuse(self.throttled("TEN_SECONDLY_ROLLING", "ten_secondly_rolling"), 0),
            Some(left) if used_today > per_day => refuse(self.throttled("DAILY", "daily"), left),
            Some(left) => Ok(headers(left)),
        }
    }

    fn throttled(&mut self, policy: &str, name: &str) -> Response {
        let mut body = self.error_body("RATE_LIMITS", &format!("You have reached your {name} limit."));
        body["errorType"] = json!("RATE_LIMIT");
        body["policyName"] = json!(policy);
        Response::json(429, &body)
    }

    fn error(&mut self, status: u16, category: &str, message: &str) -> Response {
        let body = self.error_body(category, message);
        Response::json(status, &body)
    }

    fn error_body(&mut self, category: &str, message: &str) -> Value {
        let n = crate::engine::mix(self.engine.seed, self.engine.state.requests);
        let id = format!("{:08x}-0000-4000-8000-{:012x}", n >> 32, n & 0xFFFF_FFFF_FFFF);
        json!({"status": "error", "message": message, "correlationId": id, "category": category})
    }

    fn refused(&mut self, object: &str, refusals: &[Refusal]) -> Response {
        let (category, message, context) = describe(object, refusals);
        let status = match category {
            "OBJECT_NOT_FOUND" => 404,
            "CONFLICT" => 409,
            "LOCKED" => 423,
            "INTERNAL_ERROR" => 500,
            _ => 400,
        };
        let mut body = self.error_body(category, &message);
        if let Some(context) = context {
            body["context"] = context;
        }
        Response::json(status, &body)
    }

    /// Creates or edits a record as a person in the app, or as an import.
    fn act(
        &mut self,
        object: &str,
        id: Option<&str>,
        given: &Map<String, Value>,
        origin: Origin,
        now_ms: i64,
    ) -> Result<String, Refused> {
        let object = self.object(object).ok_or_else(|| Refused(format!("no object type {object}")))?;
        let id = self.engine.acted_on(object, id)?;
        let written =
            self.engine.write(object, id.as_deref(), given, origin, now_ms).map_err(|r| Refused(describe(object, &r).1))?;
        self.announce(object, &written, origin, now_ms);
        Ok(written.id)
    }
}

/// How a call is counted: `POST batch/upsert`, `GET {id}`.
fn kind_of(request: &Request, rest: &[&str]) -> String {
    match rest {
        [] => format!("{} all", request.method),
        ["search" | "merge" | "gdpr-delete"] | ["batch", _] => rest.join("/"),
        _ => format!("{} one", request.method),
    }
}

/// Category, message and context of an error.
fn describe(object: &str, refusals: &[Refusal]) -> (&'static str, String, Option<Value>) {
    let name = match object {
        "contacts" => "Contact",
        "companies" => "Company",
        "deals" => "Deal",
        _ => "Ticket",
    };
    let mut invalid = Vec::new();
    for refusal in refusals {
        let (code, property, text) = match refusal {
            Refusal::NotFound | Refusal::Deleted => return ("OBJECT_NOT_FOUND", format!("{name} not found"), None),
            Refusal::Locked => return ("LOCKED", "The record is locked, try again later".to_owned(), None),
            Refusal::Fault => return ("INTERNAL_ERROR", "internal error".to_owned(), None),
            Refusal::Similar(id) => return ("CONFLICT", format!("{name} already exists. Existing ID: {id}"), None),
            Refusal::Missing(names) => {
                let context = json!({ "properties": names });
                return (
                    "VALIDATION_ERROR",
                    format!("Error creating {}. Some required properties were not set.", name.to_uppercase()),
                    Some(context),
                );
            }
            Refusal::Duplicate { property, id } if property == "email" => {
                return ("CONFLICT", format!("{name} already exists. Existing ID: {id}"), None);
            }
            Refusal::Duplicate { property, id } => {
                ("CONFLICTING_UNIQUE_VALUE", property, format!("{id} already has that value."))
            }
            Refusal::Unknown(p) => ("PROPERTY_DOESNT_EXIST", p, format!("Property \"{p}\" does not exist")),
            Refusal::ReadOnly(p) => ("READ_ONLY_VALUE", p, format!("\"{p}\" is a read only property; its value cannot be set.")),
            Refusal::NotA(p, "e-mail address") => ("INVALID_EMAIL", p, "Email address is invalid".to_owned()),
            Refusal::NotA(p, "number") => ("INVALID_NUMBER", p, format!("{p} was not a valid number.")),
            Refusal::NotA(p, "date") => ("INVALID_DATE", p, format!("{p} was not a valid date.")),
            Refusal::NotA(p, _) => ("INVALID_OPTION", p, format!("{p} was not one of the allowed options")),
            Refusal::NotAnOption(p) => ("INVALID_OPTION", p, format!("{p} was not one of the allowed options")),
            Refusal::TooLong(p, max) => ("INVALID_LENGTH", p, format!("{p} is longer than {max} characters")),
            Refusal::NoReference { property, .. } => ("PROPERTY_DOESNT_EXIST", property, "no such property".to_owned()),
        };
        invalid.push(json!({"isValid": false, "message": text, "error": code, "name": property, "localizedErrorMessage": text}));
    }
    ("VALIDATION_ERROR", format!("Property values were not valid: {}", Value::Array(invalid)), None)
}

impl Sandbox for HubSpot {
    fn name(&self) -> &'static str {
        "hubspot"
    }

    fn handle(&mut self, request: &Request, now_ms: i64) -> Response {
        let effects = self.engine.begin(request, now_ms);
        let response = match (&effects.answer, effects.status) {
            _ if effects.lose_request => Response::empty(0),
            (Some(answer), _) => answer.clone(),
            (None, Some((status, retry_after_s))) => {
                let refusal = self.error(status, "SERVER_ERROR", "out of order");
                retry_after_s.iter().fold(refusal, |r, s| r.with("retry-after", s))
            }
            (None, None) => match self.engine.token_answer(request, now_ms) {
                Some(answer) => answer,
                None => self.answer(request, &effects, now_ms),
            },
        };
        self.engine.end(&effects, response)
    }

    crate::engine::shared_methods!();

    fn delete(&mut self, object: &str, id: &str, now_ms: i64) -> Result<(), Refused> {
        let object = self.object(object).ok_or_else(|| Refused(format!("no object type {object}")))?;
        let done = self.archive_with_event(object, id, Origin::Person, now_ms);
        if done { Ok(()) } else { Err(Refused(format!("no such {object}"))) }
    }

    fn merge(&mut self, object: &str, primary: &str, other: &str, now_ms: i64) -> Result<(), Refused> {
        let object = self.object(object).ok_or_else(|| Refused(format!("no object type {object}")))?;
        self.merge_with_events(object, primary, other, Origin::Person, now_ms).map(drop)
    }
}
