//! Salesforce's REST API. The hub upserts by its external id field through sObject collections, 200 records per call, each with its
//! own result in the order of the request. Reads are SOQL queries.

use canonical::Stamp;
use mapping::normal::instant_ms;
use serde_json::{Map, Value, json};

use crate::api::{
    Api, CallFailure, FailureKind, Fault, Op, Page, PropertyInfo, PropertyKind, RemoteRecord, Row, RowFailure, RowResult, Scope,
    Target, Usage,
    json as body_json, text,
};
use crate::http::{HttpRequest, HttpResponse, percent_encode};
use crate::names::plain_code;
use crate::refusal::{Evidence, Refusal, judge};

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

/// What Salesforce's codes and messages mean. The failure of a trigger is wrapped, and only the message names its cause.
const EVIDENCE: &[Evidence] = &[
    Evidence::words("UNABLE_TO_LOCK_ROW", FailureKind::Locked),
    Evidence::code("UNABLE_TO_LOCK_ROW", FailureKind::Locked),
    Evidence::words("Foreign key external ID", FailureKind::Transient),
    Evidence::words("Too many SOQL queries", FailureKind::Transient),
    Evidence::words("Apex CPU time limit exceeded", FailureKind::Transient),
    Evidence::words("System.LimitException", FailureKind::Transient),
    Evidence::code("QUERY_TIMEOUT", FailureKind::Transient),
    Evidence::code("SERVER_UNAVAILABLE", FailureKind::Transient),
    Evidence::code("REQUEST_RUNNING_TOO_LONG", FailureKind::Transient),
    Evidence::code("UNKNOWN_EXCEPTION", FailureKind::Transient),
    Evidence::code("INVALID_SESSION_ID", FailureKind::Auth),
    Evidence::code("INVALID_AUTH_HEADER", FailureKind::Auth),
    Evidence::code("API_DISABLED_FOR_ORG", FailureKind::Auth),
    Evidence::code("API_CURRENTLY_DISABLED", FailureKind::Auth),
    Evidence::code("CLIENT_NOT_ACCESSIBLE_FOR_USER", FailureKind::Auth),
    Evidence::code("REQUEST_LIMIT_EXCEEDED", FailureKind::Throttled { after_ms: 60_000 }),
    Evidence::code("STORAGE_LIMIT_EXCEEDED", FailureKind::LimitReached),
    Evidence::code("LICENSE_LIMIT_EXCEEDED", FailureKind::LimitReached),
    Evidence::code("TRIAL_EXPIRED", FailureKind::LimitReached),
    Evidence::code("ORG_LOCKED", FailureKind::LimitReached),
    Evidence::code("INVALID_TYPE", FailureKind::Denied).about(Scope::ObjectType),
    Evidence::code("INSUFFICIENT_ACCESS", FailureKind::Denied).about(Scope::ObjectType),
    Evidence::words("entity type cannot be inserted", FailureKind::Denied).about(Scope::ObjectType),
    Evidence::words("entity type cannot be updated", FailureKind::Denied).about(Scope::ObjectType),
    Evidence::code("DUPLICATE_EXTERNAL_ID", FailureKind::Ambiguous),
    Evidence::status(300, FailureKind::Ambiguous),
    Evidence::code("DUPLICATE_VALUE", FailureKind::DuplicateKey),
    Evidence::code("DUPLICATES_DETECTED", FailureKind::Similar),
    Evidence::code("INVALID_QUERY_LOCATOR", FailureKind::CursorExpired),
    Evidence::code("ENTITY_IS_DELETED", FailureKind::NotFound),
    Evidence::code("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", FailureKind::NotFound),
    Evidence::code("NOT_FOUND", FailureKind::NotFound),
    Evidence::code("INVALID_FIELD", FailureKind::Rejected).about(Scope::Property),
    Evidence::code("INVALID_FIELD_FOR_INSERT_UPDATE", FailureKind::Rejected).about(Scope::Property),
    Evidence::status(409, FailureKind::Transient),
];

impl Api for Salesforce {
    fn batch_limit(&self, op: Op) -> usize {
        match op {
            Op::Upsert | Op::Update => BATCH,
            Op::Find => FIND,
            Op::Read => READ,
            Op::List => PAGE,
        }
    }

    fn find_parts<'v>(&self, _property: &str, values: &'v [String]) -> Vec<&'v [String]> {
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

    fn parse_written(&self, target: &Target, rows: &[Row], response: &HttpResponse) -> Result<Vec<RowResult>, CallFailure> {
        if response.status != 200 {
            return Err(call_failure(target, response));
        }
        let body = body_json(response)?;
        let results = body.as_array().map_or(&[][..], Vec::as_slice);
        // A result does not name its row. If there are too few or too many, no result can be assigned.
        if results.len() != rows.len() {
            let detail = format!("{} results for {} rows", results.len(), rows.len());
            return Err(RowFailure::new(FailureKind::Transient, "BAD_RESPONSE", detail));
        }
        Ok(rows.iter().zip(results).map(|(row, result)| row_result(target, row, result)).collect())
    }

    fn find(&self, target: &Target, property: &str, values: &[String], properties: &[String], after: Option<&str>) -> HttpRequest {
        let soql = || format!("{} WHERE {property} IN ({}) ORDER BY Id", select(target, properties), literals(values));
        next_page(target, after).unwrap_or_else(|| query(target, "query", &soql()))
    }

    fn read(&self, target: &Target, ids: &[String], properties: &[String], after: Option<&str>) -> HttpRequest {
        let soql = || format!("{} WHERE Id IN ({}) ORDER BY Id", select(target, properties), literals(ids));
        next_page(target, after).unwrap_or_else(|| query(target, "query", &soql()))
    }

    fn parse_found(&self, target: &Target, response: &HttpResponse) -> Result<Page, CallFailure> {
        page(target, response)
    }

    /// A query names its fields.
    fn refuses_unknown_properties(&self) -> bool {
        true
    }

    fn describe(&self, target: &Target) -> HttpRequest {
        let url = format!("{}/services/data/{}/sobjects/{}/describe", target.base_url, target.version, target.object);
        request(target, "GET", url, Vec::new())
    }

    fn parse_described(&self, target: &Target, response: &HttpResponse) -> Result<Vec<PropertyInfo>, CallFailure> {
        match response.status {
            200 => Ok(body_json(response)?["fields"].as_array().into_iter().flatten().filter_map(field_info).collect()),
            404 => Err(RowFailure { kind: FailureKind::NotFound, ..call_failure(target, response) }),
            _ => Err(call_failure(target, response)),
        }
    }

    /// Uses `queryAll`, which also returns deleted objects.
    fn listable(&self) -> &'static [&'static str] {
        &["Contact", "Account", "Opportunity", "Case"]
    }

    fn list(&self, target: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest {
        if let Some(request) = next_page(target, cursor) {
            return request;
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

/// A field of a description. Fields that the user's profile hides are not in it.
fn field_info(field: &Value) -> Option<PropertyInfo> {
    let is = |name: &str| field[name].as_bool().unwrap_or_default();
    let picklist = field["picklistValues"].as_array().map_or(&[][..], Vec::as_slice);
    let active = picklist.iter().filter(|option| option["active"].as_bool() != Some(false));
    let kind = match text(field, "type").unwrap_or_default() {
        "int" | "double" | "currency" | "percent" | "long" => PropertyKind::Number,
        "boolean" => PropertyKind::Bool,
        "date" | "datetime" => PropertyKind::Time,
        _ => PropertyKind::Text,
    };
    Some(PropertyInfo {
        name: text(field, "name")?.to_owned(),
        kind,
        writable: is("createable") || is("updateable"),
        unique: is("unique") && is("externalId"),
        // An unrestricted picklist takes other values as well.
        options: if is("restrictedPicklist") { active.filter_map(|o| text(o, "value")).map(str::to_owned).collect() } else { Vec::new() },
    })
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

/// The request for the page at a cursor. A cursor is a path of the API. Nothing else is accepted, so that the token never goes to
/// another host.
fn next_page(target: &Target, cursor: Option<&str>) -> Option<HttpRequest> {
    let path = cursor.filter(|c| c.starts_with("/services/data/"))?;
    Some(request(target, "GET", format!("{}{path}", target.base_url), Vec::new()))
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

fn row_result(target: &Target, row: &Row, result: &Value) -> RowResult {
    let success = result.get("success").and_then(Value::as_bool).unwrap_or(false);
    let id = text(result, "id").map(str::to_owned).or_else(|| row.remote_id.clone());
    if let (true, Some(remote_id)) = (success, id) {
        let created = result.get("created").and_then(Value::as_bool).unwrap_or(false);
        return RowResult::Done { remote_id, created, properties: None, stamp: None };
    }
    let errors = result.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut failure = judge(EVIDENCE, refusal_of(errors, "statusCode"), None);
    // With a field, a reference points to nothing; without one, the record itself does not exist.
    if failure.code == "INVALID_CROSS_REFERENCE_KEY" && failure.faults.is_empty() {
        failure.kind = FailureKind::NotFound;
    }
    RowResult::Failed(failure.about_id_property(&target.id_property))
}

/// What errors say. A row's have their code in `statusCode`, a call's in `errorCode`. Messages quote values, so only codes, names and
/// ids are kept.
fn refusal_of<'a>(errors: &'a [Value], code_member: &str) -> Refusal<'a> {
    let code = |error: &Value| text(error, code_member).and_then(plain_code);
    let message = errors.first().and_then(|error| text(error, "message")).unwrap_or_default();
    let mut faults: Vec<Fault> = Vec::new();
    for error in errors {
        let listed = error.get("fields").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let names = listed.map(str::to_owned).chain(missing_column(text(error, "message").unwrap_or_default()));
        let names = names.flat_map(with_text_of_code);
        faults.extend(names.filter_map(|name| Some(Fault::new(plain_code(&name)?, code(error).unwrap_or_default()))));
    }
    faults.dedup();
    let objects = errors.iter().flat_map(named_ids).collect();
    let rule = errors.iter().find_map(|e| e.pointer("/duplicateResult/duplicateRule")).and_then(Value::as_str).and_then(plain_code);
    Refusal { codes: errors.iter().filter_map(code).collect(), message, faults, objects, rule, ..Refusal::default() }
}

/// Where an org has lists of countries, an error about the text of one may name the field of its code.
fn with_text_of_code(name: String) -> Vec<String> {
    let text = name.strip_suffix("Code").filter(|text| text.ends_with("Country") || text.ends_with("State")).map(str::to_owned);
    [name].into_iter().chain(text).collect()
}

fn missing_column(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("No such column '")?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

/// The ids of the records that a duplicate rule has matched, or that hold a unique value.
fn named_ids(error: &Value) -> Vec<String> {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let results = error.get("duplicateResult").map(|found| list(found, "matchResults")).unwrap_or_default();
    let matched = results.iter().flat_map(|result| list(result, "matchRecords"));
    let ids = matched.filter_map(|record| record.pointer("/record/Id")?.as_str().map(str::to_owned));
    let holder = text(error, "message").and_then(|message| message.split_once("on record with id: "));
    let holder = holder.map(|(_, rest)| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
    // Several records with one external id are listed by their paths.
    let path = error.as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
    let mut ids: Vec<String> = ids.chain(holder).chain(path).filter(|id| matches!(id.len(), 15 | 18) && plain_code(id).is_some()).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn call_failure(target: &Target, response: &HttpResponse) -> CallFailure {
    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let mut failure = judge(EVIDENCE, refusal_of(body.as_array().map_or(&[][..], Vec::as_slice), "errorCode"), Some(response));
    match &mut failure.kind {
        FailureKind::Throttled { after_ms } => *after_ms = response.retry_after_ms().unwrap_or(*after_ms),
        // A call names a type, not an object.
        kind @ FailureKind::NotFound => *kind = FailureKind::Rejected,
        _ => {}
    }
    failure.about_id_property(&target.id_property)
}

fn page(target: &Target, response: &HttpResponse) -> Result<Page, CallFailure> {
    if response.status != 200 {
        return Err(call_failure(target, response));
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
