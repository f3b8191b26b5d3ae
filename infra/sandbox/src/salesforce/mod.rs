//! Salesforce's REST API, as far as a hub uses it: sObject collections, rows, SOQL queries, replication, limits.

mod catalogue;
mod query;
mod records;
mod soql;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::{Engine, TokenState};
use crate::fault::Effects;
use crate::schema::{Refusal, Style};
use crate::state::{Origin, State};
use crate::{ObjectSchema, Overflow, Property, Refused, Request, Response, Sandbox, tokens};

/// How a stand-in for Salesforce behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Decides ids and the dice of faults.
    pub seed: u64,
    /// Session ids that are valid from the beginning.
    pub tokens: Vec<String>,
    /// The token endpoint, if it has one.
    pub endpoint: Option<tokens::Options>,
    /// Object types and their fields.
    pub objects: BTreeMap<String, ObjectSchema>,
    /// Calls per day (UTC).
    pub per_day: u64,
    /// Records per page of a query.
    pub page: usize,
    /// By object type, the field in which a new record may not equal another one's (a duplicate rule that blocks).
    pub duplicate_rules: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 0,
            tokens: vec!["sandbox-session".to_owned()],
            endpoint: None,
            objects: catalogue::objects("Hub_Id__c"),
            per_day: 100_000,
            page: 2_000,
            duplicate_rules: BTreeMap::new(),
        }
    }
}

impl Options {
    /// The default options with another name for the external id field that holds the hub's id.
    pub fn with_hub_id(field: &str) -> Options {
        Options { objects: catalogue::objects(field), ..Options::default() }
    }

    /// Adds a field, or replaces it.
    #[must_use]
    pub fn define(mut self, object: &str, name: &str, property: Property) -> Options {
        self.objects.entry(object.to_owned()).or_default().properties.insert(name.to_owned(), property);
        self
    }

    /// Text that is too long is cut instead of refused.
    #[must_use]
    pub fn truncating(mut self) -> Options {
        for property in self.objects.values_mut().flat_map(|o| o.properties.values_mut()) {
            property.overflow = Overflow::Truncate;
        }
        self
    }
}

/// A stand-in for a Salesforce org.
#[derive(Debug, Clone)]
pub struct Salesforce {
    options: Options,
    engine: Engine,
}

impl Salesforce {
    /// An empty org.
    pub fn new(options: Options) -> Salesforce {
        let engine = Engine {
            seed: options.seed,
            style: Style::Typed,
            schema: options.objects.clone(),
            new_id: |object, _, n| catalogue::new_id(object, n),
            state: State::default(),
        };
        let mut salesforce = Salesforce { options, engine };
        salesforce.reset();
        salesforce
    }

    /// The object type's name as the schema spells it. Requests may spell it in any case.
    fn object(&self, name: &str) -> Option<String> {
        self.engine.schema.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned()
    }

    fn route(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Response {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["services", "data", version, rest @ ..] = segments.as_slice() else { return not_found() };
        let numbered = version.strip_prefix('v').and_then(|v| v.parse::<f64>().ok()).filter(|v| *v >= 46.0);
        if numbered.is_none() {
            return not_found();
        }
        self.engine.count(format!("calls.{}", kind_of(request, rest)));
        match (request.method.as_str(), rest) {
            ("GET", ["limits"]) => self.limits(),
            ("GET", [kind @ ("query" | "queryAll")]) => self.query_call(request, version, *kind == "queryAll"),
            ("GET", ["query" | "queryAll", locator]) => self.query_more(version, locator),
            (method @ ("POST" | "PATCH"), ["composite", "sobjects", path @ ..]) => {
                self.collection(request, effects, method, path, now_ms)
            }
            ("GET", ["sobjects", object, "describe"]) => self.description(object),
            (_, ["sobjects", object, path @ ..]) => match self.object(object) {
                Some(object) => self.sobject(request, version, &object, path, now_ms),
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn answer(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Response {
        let answer = match self.gate(request, effects, now_ms) {
            Ok(()) => self.route(request, effects, now_ms),
            Err(refusal) => refusal,
        };
        answer.with("sforce-limit-info", format!("api-usage={}/{}", self.engine.state.daily.1, self.options.per_day))
    }

    fn gate(&mut self, request: &Request, effects: &Effects, now_ms: i64) -> Result<(), Response> {
        if self.engine.token_state(request.bearer(), now_ms) != TokenState::Valid {
            return Err(errors(401, "INVALID_SESSION_ID", "Session expired or invalid", None));
        }
        let used = self.engine.count_day(now_ms);
        if effects.throttle || used > self.options.per_day {
            return Err(errors(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", None));
        }
        Ok(())
    }

    /// The fields of an object type.
    fn description(&self, object: &str) -> Response {
        let known = self.object(object).and_then(|name| self.engine.schema.get_key_value(&name));
        let Some((name, schema)) = known else { return not_found() };
        let fields: Vec<Value> = schema.properties.iter().map(|(field, p)| catalogue::described(field, p)).collect();
        Response::json(200, &json!({"name": name, "createable": true, "updateable": true, "fields": fields}))
    }

    fn limits(&self) -> Response {
        let left = self.options.per_day.saturating_sub(self.engine.state.daily.1);
        Response::json(200, &json!({"DailyApiRequests": {"Max": self.options.per_day, "Remaining": left}}))
    }

    fn act(
        &mut self,
        object: &str,
        id: Option<&str>,
        given: &Map<String, Value>,
        origin: Origin,
        now_ms: i64,
    ) -> Result<String, Refused> {
        let object = self.object(object).ok_or_else(|| Refused(format!("no object type {object}")))?;
        let id = self.engine.acted_on(&object, id)?;
        let written = self.engine.write(&object, id.as_deref(), given, origin, now_ms);
        written.map(|w| w.id).map_err(|refusals| Refused(describe(&refusals).1))
    }
}

fn kind_of(request: &Request, rest: &[&str]) -> String {
    match rest {
        ["composite", "sobjects", object, _] => format!("{object} collection upsert"),
        ["composite", ..] => format!("collection {}", request.method),
        ["sobjects", object, ..] => format!("{object} {}", request.method),
        [first, ..] => (*first).to_owned(),
        [] => "none".to_owned(),
    }
}

/// An error. Errors about a record have a list of fields, which may be empty; others have none.
fn errors(status: u16, code: &str, message: &str, fields: Option<&[String]>) -> Response {
    let mut error = json!({"errorCode": code, "message": message});
    if let Some(fields) = fields {
        error["fields"] = json!(fields);
    }
    Response::json(status, &json!([error]))
}

fn not_found() -> Response {
    errors(404, "NOT_FOUND", "The requested resource does not exist", None)
}

/// Code, message and fields of an error.
fn describe(refusals: &[Refusal]) -> (&'static str, String, Vec<String>) {
    let Some(refusal) = refusals.first() else { return ("UNKNOWN_EXCEPTION", String::new(), Vec::new()) };
    let (code, message, fields): (&str, String, Vec<String>) = match refusal {
        Refusal::Unknown(f) => ("INVALID_FIELD", format!("No such column '{f}' on sobject"), vec![]),
        Refusal::ReadOnly(f) => (
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            format!("Unable to create/update fields: {f}. Please check the security settings of this field."),
            vec![f.clone()],
        ),
        Refusal::NotA(f, "e-mail address") => ("INVALID_EMAIL_ADDRESS", format!("{f}: invalid email address"), vec![f.clone()]),
        Refusal::NotA(f, what) => {
            ("INVALID_TYPE_ON_FIELD_IN_RECORD", format!("{f}: value not of required type: {what}"), vec![f.clone()])
        }
        Refusal::NotAnOption(f) => {
            ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", format!("{f}: bad value for restricted picklist field"), vec![f.clone()])
        }
        Refusal::TooLong(f, max) => ("STRING_TOO_LONG", format!("{f}: data value too large (max length={max})"), vec![f.clone()]),
        Refusal::Missing(names) => {
            ("REQUIRED_FIELD_MISSING", format!("Required fields are missing: [{}]", names.join(", ")), names.clone())
        }
        Refusal::Duplicate { property, id } => {
            ("DUPLICATE_VALUE", format!("duplicate value found: {property} duplicates value on record with id: {id}"), vec![])
        }
        Refusal::NoReference { object, by, value, .. } => {
            ("INVALID_FIELD", format!("Foreign key external ID: {value} not found for field {by} in entity {object}"), vec![])
        }
        Refusal::Similar(_) => ("DUPLICATES_DETECTED", "Use one of these records?".to_owned(), vec![]),
        Refusal::NotFound => ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".to_owned(), vec![]),
        Refusal::Deleted => ("ENTITY_IS_DELETED", "entity is deleted".to_owned(), vec![]),
        Refusal::Locked | Refusal::Fault => {
            ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record".to_owned(), vec![])
        }
    };
    (code, message, fields)
}

impl Sandbox for Salesforce {
    fn name(&self) -> &'static str {
        "salesforce"
    }

    fn handle(&mut self, request: &Request, now_ms: i64) -> Response {
        let effects = self.engine.begin(request, now_ms);
        let response = match (&effects.answer, effects.status) {
            _ if effects.lose_request => Response::empty(0),
            (Some(answer), _) => answer.clone(),
            (None, Some((status, retry_after_s))) => {
                let refusal = errors(status, "SERVER_UNAVAILABLE", "The server is unavailable.", None);
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
        let done = self.engine.archive(&object, id, now_ms);
        if done { Ok(()) } else { Err(Refused(format!("no such {object}"))) }
    }

    fn merge(&mut self, object: &str, primary: &str, other: &str, now_ms: i64) -> Result<(), Refused> {
        let object = self.object(object).ok_or_else(|| Refused(format!("no object type {object}")))?;
        let survivor = self.engine.merge(&object, primary, other, now_ms)?.id;
        self.engine.repoint(&object, other, &survivor, now_ms);
        Ok(())
    }
}
