//! HubSpot's CRM objects API. Upsert by the hub's own unique property, 100 inputs per call, each with its own result.

use std::collections::{BTreeMap, BTreeSet};

use canonical::Stamp;
use serde_json::{Map, Value, json};

use crate::api::{
    Api, CallFailure, FailureKind, Listing, Op, RemoteRecord, Row, RowFailure, RowResult, Target, Usage, instant_ms,
    json as body_json, text, word,
};
use crate::http::{HttpRequest, HttpResponse};

/// HubSpot's protocol.
pub static API: HubSpot = HubSpot;

/// HubSpot's protocol; holds nothing.
#[derive(Debug, Clone, Copy)]
pub struct HubSpot;

const BATCH: usize = 100;
/// Reading with property histories takes fewer inputs than reading without.
const BATCH_WITH_HISTORY: usize = 50;
const PAGE: usize = 200;

impl Api for HubSpot {
    fn batch_limit(&self, op: Op) -> usize {
        match op {
            Op::Upsert | Op::Update | Op::Find => BATCH,
            Op::Read => BATCH_WITH_HISTORY,
            Op::List => PAGE,
        }
    }

    fn upsert(&self, t: &Target, rows: &[Row]) -> HttpRequest {
        let inputs: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                json!({"id": row.hub_id, "idProperty": t.id_property, "objectWriteTraceId": i.to_string(), "properties": with_hub_id(t, row)})
            })
            .collect();
        post(t, "batch/upsert", &json!({ "inputs": inputs }))
    }

    fn update(&self, t: &Target, rows: &[Row]) -> HttpRequest {
        let inputs: Vec<Value> = rows
            .iter()
            .enumerate()
            .filter_map(|(i, row)| {
                let id = row.remote_id.as_ref()?;
                Some(json!({"id": id, "objectWriteTraceId": i.to_string(), "properties": with_hub_id(t, row)}))
            })
            .collect();
        post(t, "batch/update", &json!({ "inputs": inputs }))
    }

    fn written(&self, t: &Target, rows: &[Row], r: &HttpResponse) -> Result<Vec<RowResult>, CallFailure> {
        if !matches!(r.status, 200 | 201 | 207) {
            return Err(call_failure(r));
        }
        let body = body_json(r)?;
        let mut outcome: Vec<Option<RowResult>> = vec![None; rows.len()];
        for result in list(&body, "results") {
            if let Some(i) = row_of_result(t, rows, &outcome, result) {
                outcome[i] = done(result);
            }
        }
        place_errors(rows, list(&body, "errors"), &mut outcome);
        Ok(outcome.into_iter().zip(rows).map(|(known, row)| known.unwrap_or_else(|| unanswered(row))).collect())
    }

    fn find(&self, t: &Target, property: &str, values: &[String], properties: &[String]) -> HttpRequest {
        let unique =
            property == t.id_property || (property == "email" && matches!(t.object.as_str(), "contacts" | "contact" | "0-1"));
        if unique {
            return post(t, "batch/read", &read_body(t, values, properties, Some(property), false));
        }
        if property == "hs_object_id" {
            return post(t, "batch/read", &read_body(t, values, properties, None, false));
        }
        // The search index takes text values of a list in lower case only.
        let filter = match values {
            [one] => json!({"propertyName": property, "operator": "EQ", "value": one}),
            many => {
                let lower: Vec<String> = many.iter().map(|v| v.to_lowercase()).collect();
                json!({"propertyName": property, "operator": "IN", "values": lower})
            }
        };
        post(t, "search", &search_body(t, &[filter], &[], properties))
    }

    fn read(&self, t: &Target, ids: &[String], properties: &[String]) -> HttpRequest {
        post(t, "batch/read", &read_body(t, ids, properties, None, true))
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&self, t: &Target, primary: &str, other: &str) -> Option<HttpRequest> {
        Some(post(t, "merge", &json!({"primaryObjectId": primary, "objectIdToMerge": other})))
    }

    fn merged(&self, _: &Target, r: &HttpResponse) -> Result<String, CallFailure> {
        let body = match r.status {
            200 => body_json(r)?,
            // HubSpot says so in a sentence only; either way there is nothing left to merge.
            400 | 404 => return Err(RowFailure::new(FailureKind::NotFound, "NOT_MERGED", "")),
            _ => return Err(call_failure(r)),
        };
        text(&body, "id")
            .map(str::to_owned)
            .ok_or_else(|| RowFailure::new(FailureKind::Transient, "BAD_ANSWER", "a merge without an id"))
    }

    fn found(&self, t: &Target, r: &HttpResponse) -> Result<Vec<RemoteRecord>, CallFailure> {
        if !matches!(r.status, 200 | 207) {
            return Err(call_failure(r));
        }
        let body = body_json(r)?;
        if let Some(failure) = list(&body, "errors").iter().map(row_failure).find(|f| f.kind != FailureKind::NotFound) {
            return Err(failure);
        }
        records(t, &body)
    }

    fn list(&self, t: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest {
        let modified = modified_property(&t.object);
        let place = Place::parse(since_ms, cursor);
        let (filters, sort) = match &place {
            Place::From(ms) => (vec![json!({"propertyName": modified, "operator": "GTE", "value": ms.to_string()})], modified),
            Place::Tie { ms, after_id } => (
                vec![
                    json!({"propertyName": modified, "operator": "EQ", "value": ms.to_string()}),
                    json!({"propertyName": "hs_object_id", "operator": "GT", "value": after_id.to_string()}),
                ],
                "hs_object_id",
            ),
        };
        post(t, "search", &search_body(t, &filters, &[json!({"propertyName": sort, "direction": "ASCENDING"})], properties))
    }

    fn listed(&self, t: &Target, since_ms: i64, cursor: Option<&str>, r: &HttpResponse) -> Result<Listing, CallFailure> {
        if r.status != 200 {
            return Err(call_failure(r));
        }
        let body = body_json(r)?;
        let records = records(t, &body)?;
        let more = body.pointer("/paging/next/after").is_some();
        let next = Place::parse(since_ms, cursor).next(&records, more);
        Ok(Listing { records, next: next.map(|place| place.to_string()) })
    }

    fn usage(&self, r: &HttpResponse) -> Option<Usage> {
        let number = |name: &str| r.header(name).and_then(|v| v.trim().parse::<u64>().ok());
        Some(Usage {
            remaining: number("x-hubspot-ratelimit-remaining")?,
            max: number("x-hubspot-ratelimit-max")?,
            window_ms: number("x-hubspot-ratelimit-interval-milliseconds").unwrap_or(10_000),
        })
    }
}

/// Where a list stands. Every page starts at the last stamp seen instead of at an offset: an offset ends at 10,000 results, and
/// skips a record when one before it is changed meanwhile.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Changed at or after, ascending by change.
    From(i64),
    /// More objects than a page holds have this one stamp: those of a greater id, ascending by id.
    Tie { ms: i64, after_id: u64 },
}

impl Place {
    fn parse(since_ms: i64, cursor: Option<&str>) -> Place {
        let parsed = cursor.and_then(|c| match c.split_once('/') {
            None => c.parse().ok().map(Place::From),
            Some((ms, id)) => Some(Place::Tie { ms: ms.parse().ok()?, after_id: id.parse().ok()? }),
        });
        parsed.unwrap_or(Place::From(since_ms))
    }

    fn next(&self, records: &[RemoteRecord], more: bool) -> Option<Place> {
        let last = records.last()?;
        match (self, more) {
            (Place::From(_), false) => None,
            (Place::From(base), true) => {
                let ms = last.stamp?.at_ms;
                let first = records.first()?.stamp?.at_ms;
                Some(if ms > *base && ms > first { Place::From(ms) } else { Place::Tie { ms, after_id: 0 } })
            }
            (Place::Tie { ms, .. }, true) => Some(Place::Tie { ms: *ms, after_id: last.id.parse().ok()? }),
            (Place::Tie { ms, .. }, false) => Some(Place::From(ms.saturating_add(1))),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::From(ms) => write!(f, "{ms}"),
            Place::Tie { ms, after_id } => write!(f, "{ms}/{after_id}"),
        }
    }
}

fn modified_property(object: &str) -> &'static str {
    if matches!(object, "contacts" | "contact" | "0-1") { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

fn post(t: &Target, call: &str, body: &Value) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url: format!("{}/crm/{}/objects/{}/{call}", t.base_url, t.version, t.object),
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", t.token)),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ],
        body: body.to_string().into_bytes(),
        timeout_ms: t.timeout_ms,
    }
}

fn with_hub_id(t: &Target, row: &Row) -> Map<String, Value> {
    let mut properties = row.properties.clone();
    properties.insert(t.id_property.clone(), Value::String(row.hub_id.clone()));
    properties
}

fn wanted(t: &Target, properties: &[String]) -> BTreeSet<String> {
    let own = [t.id_property.as_str(), modified_property(&t.object)];
    properties.iter().map(String::as_str).chain(own).map(str::to_owned).collect()
}

fn read_body(t: &Target, ids: &[String], properties: &[String], id_property: Option<&str>, history: bool) -> Value {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    let with_history: &[String] = if history { properties } else { &[] };
    let mut body = json!({"inputs": inputs, "properties": wanted(t, properties), "propertiesWithHistory": with_history});
    if let Some(name) = id_property {
        body["idProperty"] = Value::String(name.to_owned());
    }
    body
}

fn search_body(t: &Target, filters: &[Value], sorts: &[Value], properties: &[String]) -> Value {
    json!({"filterGroups": [{ "filters": filters }], "sorts": sorts, "properties": wanted(t, properties), "limit": PAGE, "after": "0"})
}

fn list<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The row that a result belongs to: by trace id, else by the hub's id in its properties, else by the object's id.
fn row_of_result(t: &Target, rows: &[Row], taken: &[Option<RowResult>], result: &Value) -> Option<usize> {
    let free = |i: &usize| taken.get(*i).is_some_and(Option::is_none);
    let by_trace = text(result, "objectWriteTraceId").and_then(|trace| trace.parse().ok());
    let by_hub_id = || {
        let hub_id = result.get("properties").and_then(|p| text(p, &t.id_property))?;
        rows.iter().position(|row| row.hub_id == hub_id)
    };
    let by_id = || {
        let id = text(result, "id")?;
        rows.iter().position(|row| row.remote_id.as_deref() == Some(id))
    };
    by_trace.or_else(by_hub_id).or_else(by_id).filter(free)
}

fn done(result: &Value) -> Option<RowResult> {
    Some(RowResult::Done {
        remote_id: text(result, "id")?.to_owned(),
        created: result.get("new").and_then(Value::as_bool).unwrap_or(false),
        properties: result.get("properties").and_then(Value::as_object).cloned(),
        stamp: text(result, "updatedAt").and_then(instant_ms).map(Stamp::at),
    })
}

/// Gives each error to the rows that it names. Errors that name none go to the rows without an answer, one each in order, but
/// only where there are exactly as many: a row must not be refused for a neighbour's fault.
fn place_errors(rows: &[Row], errors: &[Value], outcome: &mut [Option<RowResult>]) {
    let mut unnamed = Vec::new();
    for error in errors {
        let named = rows_of_error(rows, error);
        let failure = row_failure(error);
        if named.is_empty() {
            unnamed.push(failure);
            continue;
        }
        for i in named {
            if let Some(slot @ None) = outcome.get_mut(i) {
                *slot = Some(RowResult::Failed(failure.clone()));
            }
        }
    }
    let open = rows.iter().zip(outcome.iter()).filter(|(_, o)| o.is_none()).count();
    if unnamed.len() == open {
        for (slot, failure) in outcome.iter_mut().filter(|o| o.is_none()).zip(unnamed) {
            *slot = Some(RowResult::Failed(failure));
        }
    }
}

fn rows_of_error(rows: &[Row], error: &Value) -> BTreeSet<usize> {
    let context = |name: &str| error.pointer(&format!("/context/{name}")).and_then(Value::as_array).into_iter().flatten();
    let traced = context("objectWriteTraceId").filter_map(Value::as_str).filter_map(|trace| trace.parse().ok());
    let by_id = context("ids")
        .chain(context("id"))
        .filter_map(Value::as_str)
        .filter_map(|id| rows.iter().position(|row| row.remote_id.as_deref() == Some(id) || row.hub_id == id));
    traced.chain(by_id).filter(|i| *i < rows.len()).collect()
}

fn unanswered(row: &Row) -> RowResult {
    let detail = format!("the answer does not mention hub id {}", row.hub_id);
    RowResult::Failed(RowFailure::new(FailureKind::Transient, "NO_ANSWER", detail))
}

/// An error of one row. HubSpot's messages quote values, so only codes, property names and object ids are kept.
fn row_failure(error: &Value) -> RowFailure {
    let category = text(error, "category").and_then(word).unwrap_or_else(|| "UNKNOWN".to_owned());
    let message = text(error, "message").unwrap_or_default();
    let (code, field) = property_fault(error, message);
    let code = code.unwrap_or_else(|| category.clone());
    let kind = match category.as_str() {
        "OBJECT_NOT_FOUND" | "NOT_FOUND" => FailureKind::NotFound,
        "RATE_LIMITS" => FailureKind::Throttled { after_ms: 10_000 },
        "LOCKED" | "RECORD_LOCKED" => FailureKind::Locked,
        "INTERNAL_ERROR" | "SERVER_ERROR" | "TIMEOUT" | "UNKNOWN" => FailureKind::Transient,
        "MISSING_SCOPES" | "INVALID_AUTHENTICATION" | "EXPIRED_AUTHENTICATION" => FailureKind::Auth,
        // HubSpot uses the first code for e-mail addresses and the second one for other unique properties.
        _ if matches!(code.as_str(), "CONFLICT" | "CONFLICTING_UNIQUE_VALUE") => FailureKind::DuplicateKey,
        _ => FailureKind::Rejected,
    };
    RowFailure { kind, code, detail: existing_id(message), field }
}

/// The code and the property of a validation error: from `errors[]`, else from the list that the message quotes.
fn property_fault(error: &Value, message: &str) -> (Option<String>, Option<String>) {
    let quoted =
        message.find('[').and_then(|at| serde_json::Deserializer::from_str(&message[at..]).into_iter::<Value>().next()?.ok());
    let first = list(error, "errors").first().or_else(|| quoted.as_ref()?.as_array()?.first());
    let Some(first) = first else { return (None, None) };
    let code = text(first, "code").or_else(|| text(first, "error")).and_then(word);
    let field = first.pointer("/context/propertyName/0").and_then(Value::as_str).or_else(|| text(first, "name")).and_then(word);
    (code, field)
}

fn existing_id(message: &str) -> String {
    let Some((_, rest)) = message.split_once("Existing ID:") else { return String::new() };
    let id: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    if id.is_empty() { id } else { format!("existing object {id}") }
}

fn call_failure(r: &HttpResponse) -> CallFailure {
    let body = serde_json::from_slice::<Value>(&r.body).unwrap_or_default();
    let mut failure = row_failure(&body);
    if text(&body, "category").is_none() && failure.code == "UNKNOWN" {
        failure.code = format!("HTTP_{}", r.status);
    }
    let wait = r.retry_after_ms();
    failure.kind = match r.status {
        403 => FailureKind::Auth,
        429 => FailureKind::Throttled { after_ms: wait.unwrap_or_else(|| policy_wait(&body, r)) },
        // The account is being moved to another data centre.
        477 => FailureKind::Throttled { after_ms: wait.unwrap_or(60_000) },
        _ => FailureKind::of_status(r),
    };
    failure
}

fn policy_wait(body: &Value, r: &HttpResponse) -> u64 {
    let interval = r.header("x-hubspot-ratelimit-interval-milliseconds").and_then(|v| v.trim().parse().ok());
    match text(body, "policyName") {
        Some("DAILY") => 15 * 60_000,
        Some("SECONDLY") => 1_000,
        _ => interval.unwrap_or(10_000),
    }
}

fn records(t: &Target, body: &Value) -> Result<Vec<RemoteRecord>, CallFailure> {
    let bad = || RowFailure::new(FailureKind::Transient, "BAD_ANSWER", "a result without an id");
    list(body, "results").iter().map(|result| record(t, result).ok_or_else(bad)).collect()
}

fn record(t: &Target, result: &Value) -> Option<RemoteRecord> {
    let properties = result.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let modified = properties.get(modified_property(&t.object)).and_then(Value::as_str).and_then(instant_ms);
    Some(RemoteRecord {
        id: text(result, "id")?.to_owned(),
        hub_id: properties.get(&t.id_property).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned),
        stamp: modified.or_else(|| text(result, "updatedAt").and_then(instant_ms)).map(Stamp::at),
        field_stamps: field_stamps(result),
        archived: result.get("archived").and_then(Value::as_bool).unwrap_or(false),
        properties,
        raw: result.clone(),
    })
}

/// The newest entry of each property's history.
fn field_stamps(result: &Value) -> BTreeMap<String, Stamp> {
    let histories = result.get("propertiesWithHistory").and_then(Value::as_object);
    let newest = |history: &Value| {
        let stamps = history.as_array()?.iter().filter_map(|entry| instant_ms(text(entry, "timestamp")?));
        stamps.max().map(Stamp::at)
    };
    histories.into_iter().flatten().filter_map(|(name, history)| Some((name.clone(), newest(history)?))).collect()
}

#[cfg(test)]
#[path = "api_test.rs"]
mod tests;
