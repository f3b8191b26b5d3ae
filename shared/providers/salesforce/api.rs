//! Salesforce's REST API. Upsert by the hub's external id field through sObject collections, 200 records per call, each with its
//! own result in request order; reads are SOQL.

use std::collections::BTreeMap;

use canonical::Stamp;
use serde_json::{Map, Value, json};

use crate::api::{
    Api, CallFailure, FailureKind, Listing, Op, RemoteRecord, Row, RowFailure, RowResult, Target, Usage, instant_ms,
    json as body_json, text, word,
};
use crate::http::{HttpRequest, HttpResponse, percent_encode};

/// Salesforce's protocol.
pub static API: Salesforce = Salesforce;

/// Names the hub in `Sforce-Call-Options`, so that change events of our own writes say `client=crm-hub`.
pub const CLIENT: &str = "crm-hub";

/// Salesforce's protocol; holds nothing.
#[derive(Debug, Clone, Copy)]
pub struct Salesforce;

const BATCH: usize = 200;
const FIND: usize = 200;
/// Queries travel in the address, which ends at 16 KiB: this much of it is for values, the rest for the names of fields.
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
            let more = in_address(value);
            if index - start == FIND || bytes + more > FIND_BYTES && index > start {
                parts.push(&values[start..index]);
                (start, bytes) = (index, 0);
            }
            bytes += more;
        }
        parts.extend(Some(&values[start..]).filter(|rest| !rest.is_empty()));
        parts
    }

    fn upsert(&self, t: &Target, rows: &[Row]) -> HttpRequest {
        let records = rows.iter().map(|row| record_of(t, row, None)).collect();
        patch(t, &format!("composite/sobjects/{}/{}", t.object, t.id_property), records)
    }

    fn update(&self, t: &Target, rows: &[Row]) -> HttpRequest {
        let records = rows.iter().filter_map(|row| Some(record_of(t, row, Some(row.remote_id.as_deref()?)))).collect();
        patch(t, "composite/sobjects", records)
    }

    fn written(&self, _t: &Target, rows: &[Row], r: &HttpResponse) -> Result<Vec<RowResult>, CallFailure> {
        if r.status != 200 {
            return Err(call_failure(r));
        }
        let body = body_json(r)?;
        let results = body.as_array().map_or(&[][..], Vec::as_slice);
        // Results carry no key of the row: with a result missing or too many, none can be told from another.
        if results.len() != rows.len() {
            let detail = format!("{} results for {} rows", results.len(), rows.len());
            return Err(RowFailure::new(FailureKind::Transient, "BAD_ANSWER", detail));
        }
        Ok(rows.iter().zip(results).map(|(row, result)| row_result(row, result)).collect())
    }

    fn find(&self, t: &Target, property: &str, values: &[String], properties: &[String]) -> HttpRequest {
        query(t, "query", &format!("{} WHERE {property} IN ({}) ORDER BY Id", select(t, properties), literals(values)))
    }

    fn read(&self, t: &Target, ids: &[String], properties: &[String]) -> HttpRequest {
        query(t, "query", &format!("{} WHERE Id IN ({}) ORDER BY Id", select(t, properties), literals(ids)))
    }

    fn found(&self, t: &Target, r: &HttpResponse) -> Result<Vec<RemoteRecord>, CallFailure> {
        let listing = page(t, r)?;
        if listing.next.is_some() {
            return Err(RowFailure::new(FailureKind::Ambiguous, "TOO_MANY_RESULTS", "more objects than one page match"));
        }
        Ok(listing.records)
    }

    /// `queryAll`, so that deleted objects show up as archived.
    fn list(&self, t: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest {
        // Only ever a path of the API, so that the token goes to no other host.
        if let Some(path) = cursor.filter(|c| c.starts_with("/services/data/")) {
            return request(t, "GET", format!("{}{path}", t.base_url), Vec::new());
        }
        let since =
            jiff::Timestamp::from_millisecond(since_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        query(t, "queryAll", &format!("{} WHERE SystemModstamp >= {since} ORDER BY SystemModstamp, Id", select(t, properties)))
    }

    fn listed(&self, t: &Target, _since_ms: i64, _cursor: Option<&str>, r: &HttpResponse) -> Result<Listing, CallFailure> {
        page(t, r)
    }

    fn usage(&self, r: &HttpResponse) -> Option<Usage> {
        let (used, max) = limit_info(r.header("sforce-limit-info")?)?;
        Some(Usage { remaining: max.saturating_sub(used), max, window_ms: 86_400_000 })
    }
}

/// At most how many bytes a literal takes in an address, with its quotes, its comma and whatever is escaped twice.
fn in_address(value: &str) -> usize {
    value.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 6 }).sum::<usize>() + 12
}

/// The daily allowance in `Sforce-Limit-Info`: calls used, calls allowed.
fn limit_info(header: &str) -> Option<(u64, u64)> {
    let parts = header.split([';', ',']).map(str::trim);
    let (used, max) = parts.filter_map(|part| part.strip_prefix("api-usage=")).next()?.split_once('/')?;
    Some((used.trim().parse().ok()?, max.trim().parse().ok()?))
}

fn request(t: &Target, method: &'static str, url: String, body: Vec<u8>) -> HttpRequest {
    HttpRequest {
        method,
        url,
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", t.token)),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            ("sforce-call-options".to_owned(), format!("client={CLIENT}")),
        ],
        body,
        timeout_ms: t.timeout_ms,
    }
}

fn patch(t: &Target, call: &str, records: Vec<Value>) -> HttpRequest {
    let body = json!({"allOrNone": false, "records": records}).to_string().into_bytes();
    request(t, "PATCH", format!("{}/services/data/{}/{call}", t.base_url, t.version), body)
}

fn record_of(t: &Target, row: &Row, id: Option<&str>) -> Value {
    let mut record = row.properties.clone();
    record.insert(t.id_property.clone(), Value::String(row.hub_id.clone()));
    record.insert("attributes".to_owned(), json!({ "type": t.object }));
    if let Some(id) = id {
        record.insert("Id".to_owned(), Value::String(id.to_owned()));
    }
    Value::Object(record)
}

fn query(t: &Target, call: &str, soql: &str) -> HttpRequest {
    request(t, "GET", format!("{}/services/data/{}/{call}?q={}", t.base_url, t.version, percent_encode(soql)), Vec::new())
}

fn select(t: &Target, properties: &[String]) -> String {
    let mut fields = vec!["Id", "IsDeleted", "SystemModstamp", t.id_property.as_str()];
    for name in properties {
        if !fields.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            fields.push(name);
        }
    }
    format!("SELECT {} FROM {}", fields.join(", "), t.object)
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

/// An error of a row (`statusCode`) or of a call (`errorCode`). Messages quote values, so only codes and field names are kept.
fn failure(error: &Value, code: Option<&str>) -> RowFailure {
    let code = code.and_then(word).unwrap_or_else(|| "UNKNOWN".to_owned());
    let message = text(error, "message").unwrap_or_default();
    let column = || message.split_once("No such column '").and_then(|(_, rest)| rest.split_once('\'')).and_then(|(name, _)| word(name));
    let field = error.pointer("/fields/0").and_then(Value::as_str).and_then(word).or_else(column);
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
        // With a field it is a lookup that points nowhere, without one the record itself.
        "INVALID_CROSS_REFERENCE_KEY" if !names_field => FailureKind::NotFound,
        _ => FailureKind::Rejected,
    };
    if kind != FailureKind::Rejected {
        return (kind, "");
    }
    // A trigger's failure comes wrapped, with its cause in the text only.
    if message.contains("UNABLE_TO_LOCK_ROW") {
        return (FailureKind::Locked, "wraps UNABLE_TO_LOCK_ROW");
    }
    if message.contains("Foreign key external ID") {
        return (FailureKind::Transient, "a record that it refers to is not there (yet)");
    }
    if message.contains("Too many SOQL queries") {
        return (FailureKind::Transient, "a trigger met its query limit");
    }
    (kind, "")
}

fn call_failure(r: &HttpResponse) -> CallFailure {
    let body = serde_json::from_slice::<Value>(&r.body).unwrap_or_default();
    let error = body.get(0).unwrap_or(&Value::Null);
    let mut failure = failure(error, text(error, "errorCode"));
    let names_code = failure.code != "UNKNOWN";
    if !names_code {
        failure.code = format!("HTTP_{}", r.status);
    }
    let throttled = |ms: u64| FailureKind::Throttled { after_ms: r.retry_after_ms().unwrap_or(ms) };
    let by_status = FailureKind::of_status(r);
    failure.kind = match (r.status, failure.kind) {
        (300, _) => FailureKind::Ambiguous,
        (_, FailureKind::Throttled { after_ms }) => throttled(after_ms),
        (_, kind @ (FailureKind::Locked | FailureKind::CursorExpired)) => kind,
        (403, _) => FailureKind::Auth,
        (409, _) => FailureKind::Transient,
        (_, kind @ (FailureKind::Auth | FailureKind::Transient)) if names_code && by_status == FailureKind::Rejected => kind,
        // A call names a type or an address, not an object: a code about one object counts for nothing here.
        _ => by_status,
    };
    failure
}

fn page(t: &Target, r: &HttpResponse) -> Result<Listing, CallFailure> {
    if r.status != 200 {
        return Err(call_failure(r));
    }
    let body = body_json(r)?;
    let bad = || RowFailure::new(FailureKind::Transient, "BAD_ANSWER", "a record without an id");
    let found = body.get("records").and_then(Value::as_array).ok_or_else(bad)?;
    let records = found.iter().map(|raw| record(t, raw).ok_or_else(bad)).collect::<Result<_, _>>()?;
    Ok(Listing { records, next: text(&body, "nextRecordsUrl").map(str::to_owned) })
}

fn record(t: &Target, raw: &Value) -> Option<RemoteRecord> {
    let properties: Map<String, Value> =
        raw.as_object()?.iter().filter(|(name, _)| *name != "attributes").map(|(n, v)| (n.clone(), v.clone())).collect();
    Some(RemoteRecord {
        id: text(raw, "Id")?.to_owned(),
        hub_id: text(raw, &t.id_property).filter(|id| !id.is_empty()).map(str::to_owned),
        stamp: text(raw, "SystemModstamp").and_then(instant_ms).map(Stamp::at),
        field_stamps: BTreeMap::new(),
        archived: raw.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false),
        properties,
        raw: raw.clone(),
    })
}

#[cfg(test)]
#[path = "api_test.rs"]
mod tests;
