//! Salesforce's REST API. The hub upserts by its external id field through sObject collections, 200 records per call, each with its
//! own result in the order of the request. Reads are SOQL queries.

use canonical::Stamp;
use serde_json::{Map, Value, json};

use crate::api::{
    Api, CallFailure, FailureKind, Page, Op, RemoteRecord, Row, RowFailure, RowResult, Target, Usage, instant_ms,
    json as body_json, text,
};
use crate::http::{HttpRequest, HttpResponse, percent_encode};
use crate::names::plain_code;

/// Salesforce's API.
pub static API: Salesforce = Salesforce;

/// The hub's name in `Sforce-Call-Options`. Change events of our own writes then carry `client=crm-hub`.
const CLIENT: &str = "crm-hub";

/// Salesforce's API. It has no state.
#[derive(Debug, Clone, Copy)]
pub struct Salesforce;

const BATCH: usize = 200;
const FIND: usize = 200;
/// How many bytes of a query's URL the values may take. A URL has at most 16 KiB; the rest is for the names of fields.
const FIND_BYTES: usize = 10_000;
const READ: usize = 200;
const PAGE: usize = 2_000;

impl Api for Salesforce {
    fn batch_limit(&self, op: Op) -> usize {
        match op {
            Op::Upsert | Op::Update => BATCH,
            Op::Find => FIND,
            Op::Read => READ,
            Op::List => PAGE,
        }
    }

    fn find_parts<'v>(&self, values: &'v [String]) -> Vec<&'v [String]> {
        let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (index, value) in values.iter().enumerate() {
            let more = bytes_in_url(value);
            if index - start == FIND || bytes + more > FIND_BYTES && index > start {
                parts.push(&values[start..index]);
                (start, bytes) = (index, 0);
            }
            bytes += more;
        }
        parts.extend(Some(&values[start..]).filter(|rest| !rest.is_empty()));
        parts
    }

    fn upsert(&self, target: &Target, rows: &[Row]) -> HttpRequest {
        let records = rows.iter().map(|row| record_of(target, row, None)).collect();
        patch(target, &format!("composite/sobjects/{}/{}", target.object, target.id_property), records)
    }

    fn update(&self, target: &Target, rows: &[Row]) -> HttpRequest {
        let records = rows.iter().filter_map(|row| Some(record_of(target, row, Some(row.remote_id.as_deref()?)))).collect();
        patch(target, "composite/sobjects", records)
    }

    fn parse_written(&self, _: &Target, rows: &[Row], response: &HttpResponse) -> Result<Vec<RowResult>, CallFailure> {
        if response.status != 200 {
            return Err(call_failure(response));
        }
        let body = body_json(response)?;
        let results = body.as_array().map_or(&[][..], Vec::as_slice);
        // A result does not name its row. If there are too few or too many, no result can be assigned.
        if results.len() != rows.len() {
            let detail = format!("{} results for {} rows", results.len(), rows.len());
            return Err(RowFailure::new(FailureKind::Transient, "BAD_RESPONSE", detail));
        }
        Ok(rows.iter().zip(results).map(|(row, result)| row_result(row, result)).collect())
    }

    fn find(&self, target: &Target, property: &str, values: &[String], properties: &[String]) -> HttpRequest {
        query(target, "query", &format!("{} WHERE {property} IN ({}) ORDER BY Id", select(target, properties), literals(values)))
    }

    fn read(&self, target: &Target, ids: &[String], properties: &[String]) -> HttpRequest {
        query(target, "query", &format!("{} WHERE Id IN ({}) ORDER BY Id", select(target, properties), literals(ids)))
    }

    fn parse_found(&self, target: &Target, response: &HttpResponse) -> Result<Vec<RemoteRecord>, CallFailure> {
        let listing = page(target, response)?;
        if listing.next.is_some() {
            return Err(RowFailure::new(FailureKind::Ambiguous, "TOO_MANY_RESULTS", "more objects than one page match"));
        }
        Ok(listing.records)
    }

    /// Uses `queryAll`, which also returns deleted objects.
    fn listable(&self) -> &'static [&'static str] {
        &["Contact", "Account", "Opportunity", "Case"]
    }

    fn list(&self, target: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest {
        // A cursor is a path of the API. Nothing else is accepted, so that the token never goes to another host.
        if let Some(path) = cursor.filter(|c| c.starts_with("/services/data/")) {
            return request(target, "GET", format!("{}{path}", target.base_url), Vec::new());
        }
        let since =
            jiff::Timestamp::from_millisecond(since_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        query(target, "queryAll", &format!("{} WHERE SystemModstamp >= {since} ORDER BY SystemModstamp, Id", select(target, properties)))
    }

    fn parse_page(&self, target: &Target, _since_ms: i64, _cursor: Option<&str>, response: &HttpResponse) -> Result<Page, CallFailure> {
        page(target, response)
    }

    fn parse_usage(&self, response: &HttpResponse) -> Option<Usage> {
        let (used, max) = limit_info(response.header("sforce-limit-info")?)?;
        Some(Usage { remaining: max.saturating_sub(used), max, window_ms: 86_400_000 })
    }
}

/// How many bytes a literal takes in a URL at most, with its quotes, its comma and double escapes.
fn bytes_in_url(value: &str) -> usize {
    value.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 6 }).sum::<usize>() + 12
}

/// The daily allowance in `Sforce-Limit-Info`: calls used, calls allowed.
fn limit_info(header: &str) -> Option<(u64, u64)> {
    let parts = header.split([';', ',']).map(str::trim);
    let (used, max) = parts.filter_map(|part| part.strip_prefix("api-usage=")).next()?.split_once('/')?;
    Some((used.trim().parse().ok()?, max.trim().parse().ok()?))
}

fn request(target: &Target, method: &'static str, url: String, body: Vec<u8>) -> HttpRequest {
    HttpRequest {
        method,
        url,
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", target.token)),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            ("sforce-call-options".to_owned(), format!("client={CLIENT}")),
        ],
        body,
        timeout_ms: target.timeout_ms,
    }
}

fn patch(target: &Target, call: &str, records: Vec<Value>) -> HttpRequest {
    let body = json!({"allOrNone": false, "records": records}).to_string().into_bytes();
    request(target, "PATCH", format!("{}/services/data/{}/{call}", target.base_url, target.version), body)
}

fn record_of(target: &Target, row: &Row, id: Option<&str>) -> Value {
    let mut record = row.properties.clone();
    record.insert(target.id_property.clone(), Value::String(row.hub_id.clone()));
    record.insert("attributes".to_owned(), json!({ "type": target.object }));
    if let Some(id) = id {
        record.insert("Id".to_owned(), Value::String(id.to_owned()));
    }
    Value::Object(record)
}

fn query(target: &Target, call: &str, soql: &str) -> HttpRequest {
    request(target, "GET", format!("{}/services/data/{}/{call}?q={}", target.base_url, target.version, percent_encode(soql)), Vec::new())
}

fn select(target: &Target, properties: &[String]) -> String {
    let mut fields = vec!["Id", "IsDeleted", "SystemModstamp", target.id_property.as_str()];
    for name in properties {
        if !fields.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            fields.push(name);
        }
    }
    format!("SELECT {} FROM {}", fields.join(", "), target.object)
}

fn literals(values: &[String]) -> String {
    values.iter().map(|v| literal(v)).collect::<Vec<_>>().join(", ")
}

/// A SOQL string literal.
fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

fn row_result(row: &Row, result: &Value) -> RowResult {
    let success = result.get("success").and_then(Value::as_bool).unwrap_or(false);
    let id = text(result, "id").map(str::to_owned).or_else(|| row.remote_id.clone());
    if let (true, Some(remote_id)) = (success, id) {
        let created = result.get("created").and_then(Value::as_bool).unwrap_or(false);
        return RowResult::Done { remote_id, created, properties: None, stamp: None };
    }
    let error = result.pointer("/errors/0").unwrap_or(&Value::Null);
    RowResult::Failed(failure(error, text(error, "statusCode")))
}

/// An error of a row (`statusCode`) or of a call (`errorCode`). Messages quote values, so the failure holds only codes and field names.
fn failure(error: &Value, code: Option<&str>) -> RowFailure {
    let code = code.and_then(plain_code).unwrap_or_else(|| "UNKNOWN".to_owned());
    let message = text(error, "message").unwrap_or_default();
    let column = || message.split_once("No such column '").and_then(|(_, rest)| rest.split_once('\'')).and_then(|(name, _)| plain_code(name));
    let field = error.pointer("/fields/0").and_then(Value::as_str).and_then(plain_code).or_else(column);
    let (kind, detail) = classify(&code, message, field.is_some());
    RowFailure { kind, code, detail: detail.to_owned(), field }
}

fn classify(code: &str, message: &str, names_field: bool) -> (FailureKind, &'static str) {
    let kind = match code {
        "INVALID_SESSION_ID" | "INVALID_AUTH_HEADER" | "API_DISABLED_FOR_ORG" | "CLIENT_NOT_ACCESSIBLE_FOR_USER" => {
            FailureKind::Auth
        }
        "REQUEST_LIMIT_EXCEEDED" => FailureKind::Throttled { after_ms: 60_000 },
        "UNABLE_TO_LOCK_ROW" => FailureKind::Locked,
        "SERVER_UNAVAILABLE" | "REQUEST_RUNNING_TOO_LONG" | "UNKNOWN_EXCEPTION" | "UNKNOWN" => FailureKind::Transient,
        "DUPLICATE_EXTERNAL_ID" => FailureKind::Ambiguous,
        "DUPLICATE_VALUE" | "DUPLICATES_DETECTED" => FailureKind::DuplicateKey,
        "INVALID_QUERY_LOCATOR" => FailureKind::CursorExpired,
        "ENTITY_IS_DELETED" | "NOT_FOUND" => FailureKind::NotFound,
        // With a field, a reference points to nothing; without one, the record itself does not exist.
        "INVALID_CROSS_REFERENCE_KEY" if !names_field => FailureKind::NotFound,
        _ => FailureKind::Rejected,
    };
    if kind != FailureKind::Rejected {
        return (kind, "");
    }
    // The failure of a trigger is wrapped, and only the message names its cause.
    if message.contains("UNABLE_TO_LOCK_ROW") {
        return (FailureKind::Locked, "wraps UNABLE_TO_LOCK_ROW");
    }
    if message.contains("Foreign key external ID") {
        return (FailureKind::Transient, "a record that it refers to does not exist yet");
    }
    if message.contains("Too many SOQL queries") {
        return (FailureKind::Transient, "a trigger reached its query limit");
    }
    (kind, "")
}

fn call_failure(response: &HttpResponse) -> CallFailure {
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let error = body.get(0).unwrap_or(&Value::Null);
    let mut failure = failure(error, text(error, "errorCode"));
    let names_code = failure.code != "UNKNOWN";
    if !names_code {
        failure.code = format!("HTTP_{}", response.status);
    }
    let throttled = |ms: u64| FailureKind::Throttled { after_ms: response.retry_after_ms().unwrap_or(ms) };
    let by_status = FailureKind::of_status(response);
    failure.kind = match (response.status, failure.kind) {
        (300, _) => FailureKind::Ambiguous,
        (_, FailureKind::Throttled { after_ms }) => throttled(after_ms),
        (_, kind @ (FailureKind::Locked | FailureKind::CursorExpired)) => kind,
        (403, _) => FailureKind::Auth,
        (409, _) => FailureKind::Transient,
        (_, kind @ (FailureKind::Auth | FailureKind::Transient)) if names_code && by_status == FailureKind::Rejected => kind,
        // A call names a type, not an object, so a code about one object is ignored here.
        _ => by_status,
    };
    failure
}

fn page(target: &Target, response: &HttpResponse) -> Result<Page, CallFailure> {
    if response.status != 200 {
        return Err(call_failure(response));
    }
    let body = body_json(response)?;
    let bad = || RowFailure::new(FailureKind::Transient, "BAD_RESPONSE", "a record without an id");
    let found = body.get("records").and_then(Value::as_array).ok_or_else(bad)?;
    let records = found.iter().map(|raw| record(target, raw).ok_or_else(bad)).collect::<Result<_, _>>()?;
    Ok(Page { records, next: text(&body, "nextRecordsUrl").map(str::to_owned) })
}

fn record(target: &Target, raw: &Value) -> Option<RemoteRecord> {
    let properties: Map<String, Value> =
        raw.as_object()?.iter().filter(|(name, _)| *name != "attributes").map(|(n, v)| (n.clone(), v.clone())).collect();
    Some(RemoteRecord {
        id: text(raw, "Id")?.to_owned(),
        hub_id: text(raw, &target.id_property).filter(|id| !id.is_empty()).map(str::to_owned),
        stamp: text(raw, "SystemModstamp").and_then(instant_ms).map(Stamp::at),
        archived: raw.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false),
        properties,
        raw: raw.clone(),
    })
}

#[cfg(test)]
#[path = "api_test.rs"]
mod tests;
