//! HubSpot's CRM objects API. The hub upserts by its own unique property, 100 inputs per call, each with its own result.

use std::collections::BTreeSet;

use canonical::Stamp;
use mapping::normal::instant_ms;
use serde_json::{Map, Value, json};

use crate::api::{
    Api, CallFailure, Edge, FailureKind, Op, Page, PropertyInfo, PropertyKind, RemoteRecord, Row, RowFailure, RowResult, Target, Usage,
    json as body_json, text,
};
use crate::http::{HttpRequest, HttpResponse};
use crate::manifest::Association;

use refusals::{call_failure, row_failure};

/// HubSpot's API.
pub static API: HubSpot = HubSpot;

/// HubSpot's API. It has no state.
#[derive(Debug, Clone, Copy)]
pub struct HubSpot;

const BATCH: usize = 100;
/// A read with property histories takes fewer inputs than one without.
const BATCH_WITH_HISTORY: usize = 50;
const PAGE: usize = 200;
/// A search takes five groups of filters: one for the property itself, and one for each value in a list.
const FIND_IN_LISTS: usize = 4;

impl Api for HubSpot {
    fn batch_limit(&self, op: Op) -> usize {
        match op {
            Op::Upsert | Op::Update | Op::Find => BATCH,
            Op::Read => BATCH_WITH_HISTORY,
            Op::List => PAGE,
        }
    }

    fn find_parts<'v>(&self, property: &str, values: &'v [String]) -> Vec<&'v [String]> {
        values.chunks(if property == "domain" { FIND_IN_LISTS } else { BATCH }).collect()
    }

    /// A contact with a further address needs no search: HubSpot refuses a second one and names the first.
    fn further_properties(&self, native: &str, property: &str) -> &'static [&'static str] {
        match (native, property) {
            ("companies" | "company" | "0-2", "domain") => &["hs_additional_domains"],
            _ => &[],
        }
    }

    fn upsert(&self, target: &Target, rows: &[Row]) -> HttpRequest {
        let inputs: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                json!({"id": row.hub_id, "idProperty": target.id_property, "objectWriteTraceId": i.to_string(), "properties": with_hub_id(target, row)})
            })
            .collect();
        post(target, "batch/upsert", &json!({ "inputs": inputs }))
    }

    fn update(&self, target: &Target, rows: &[Row]) -> HttpRequest {
        let inputs: Vec<Value> = rows
            .iter()
            .enumerate()
            .filter_map(|(i, row)| {
                let id = row.remote_id.as_ref()?;
                Some(json!({"id": id, "objectWriteTraceId": i.to_string(), "properties": with_hub_id(target, row)}))
            })
            .collect();
        post(target, "batch/update", &json!({ "inputs": inputs }))
    }

    fn parse_written(&self, target: &Target, rows: &[Row], response: &HttpResponse) -> Result<Vec<RowResult>, CallFailure> {
        if !matches!(response.status, 200 | 201 | 207) {
            return Err(call_failure(target, response));
        }
        let body = body_json(response)?;
        let mut outcome: Vec<Option<RowResult>> = vec![None; rows.len()];
        for result in list(&body, "results") {
            if let Some(i) = row_of_result(target, rows, &outcome, result) {
                outcome[i] = done(result);
            }
        }
        assign_errors(target, rows, list(&body, "errors"), &mut outcome);
        Ok(outcome.into_iter().zip(rows).map(|(known, row)| known.unwrap_or_else(|| not_mentioned(row))).collect())
    }

    fn find(&self, target: &Target, property: &str, values: &[String], properties: &[String], after: Option<&str>) -> HttpRequest {
        let unique =
            property == target.id_property || (property == "email" && matches!(target.object.as_str(), "contacts" | "contact" | "0-1"));
        if unique {
            return post(target, "batch/read", &read_body(target, values, properties, Some(property), false));
        }
        if property == "hs_object_id" {
            return post(target, "batch/read", &read_body(target, values, properties, None, false));
        }
        let mut groups = vec![json!({"filters": [one_of(property, values)]})];
        let mut properties = properties.to_vec();
        for list in self.further_properties(&target.object, property) {
            properties.push((*list).to_owned());
            let holds = |value: &String| json!({"filters": [{"propertyName": list, "operator": "CONTAINS_TOKEN", "value": value}]});
            groups.extend(values.iter().map(holds));
        }
        let mut body = search_body(target, groups, &[], &properties);
        body["after"] = json!(after.unwrap_or("0"));
        post(target, "search", &body)
    }

    fn read(&self, target: &Target, ids: &[String], properties: &[String], _after: Option<&str>) -> HttpRequest {
        post(target, "batch/read", &read_body(target, ids, properties, None, true))
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&self, target: &Target, primary: &str, other: &str) -> Option<HttpRequest> {
        Some(post(target, "merge", &json!({"primaryObjectId": primary, "objectIdToMerge": other})))
    }

    fn parse_merged(&self, target: &Target, response: &HttpResponse) -> Result<String, CallFailure> {
        let body = match response.status {
            200 => body_json(response)?,
            404 => return Err(RowFailure::new(FailureKind::NotFound, "NOT_MERGED", "")),
            // HubSpot explains only in a sentence whether one of the two does not exist or whether it does not merge them.
            400 => return Err(RowFailure::new(FailureKind::Rejected, "NOT_MERGED", "")),
            _ => return Err(call_failure(target, response)),
        };
        text(&body, "id")
            .map(str::to_owned)
            .ok_or_else(|| RowFailure::new(FailureKind::Transient, "BAD_RESPONSE", "a merge without an id"))
    }

    fn associate(&self, target: &Target, association: &Association, edges: &[Edge]) -> Option<HttpRequest> {
        Some(associations::create(target, association, edges))
    }

    fn parse_associated(
        &self,
        target: &Target,
        edges: &[Edge],
        response: &HttpResponse,
    ) -> Result<Vec<Result<(), RowFailure>>, CallFailure> {
        associations::parse_created(target, edges, response)
    }

    fn parse_found(&self, target: &Target, response: &HttpResponse) -> Result<Page, CallFailure> {
        if !matches!(response.status, 200 | 207) {
            return Err(call_failure(target, response));
        }
        let body = body_json(response)?;
        if let Some(failure) = list(&body, "errors").iter().map(row_failure).find(|f| f.kind != FailureKind::NotFound) {
            return Err(failure);
        }
        let next = body.pointer("/paging/next/after").and_then(Value::as_str).map(str::to_owned);
        Ok(Page { records: records(target, &body)?, next })
    }

    fn listable(&self) -> &'static [&'static str] {
        &["contacts", "companies", "deals", "tickets", "products"]
    }

    fn describe(&self, target: &Target) -> HttpRequest {
        let url = format!("{}/crm/v3/properties/{}", target.base_url, target.object);
        HttpRequest { method: "GET", url, body: Vec::new(), ..post(target, "", &Value::Null) }
    }

    fn parse_described(&self, target: &Target, response: &HttpResponse) -> Result<Vec<PropertyInfo>, CallFailure> {
        match response.status {
            200 => Ok(list(&body_json(response)?, "results").iter().filter_map(property_info).collect()),
            404 => Err(RowFailure { kind: FailureKind::NotFound, ..call_failure(target, response) }),
            _ => Err(call_failure(target, response)),
        }
    }

    fn scopes(&self, target: &Target) -> Option<HttpRequest> {
        let url = format!("{}/oauth/v2/private-apps/get/access-token-info", target.base_url);
        Some(HttpRequest { url, ..post(target, "", &json!({ "tokenKey": target.token })) })
    }

    fn parse_scopes(&self, target: &Target, response: &HttpResponse) -> Result<Vec<String>, CallFailure> {
        if response.status != 200 {
            return Err(call_failure(target, response));
        }
        Ok(list(&body_json(response)?, "scopes").iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn list(&self, target: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest {
        let modified = modified_property(&target.object);
        let position = ListCursor::parse(since_ms, cursor);
        let (filters, sort) = match &position {
            ListCursor::From(ms) => (vec![json!({"propertyName": modified, "operator": "GTE", "value": ms.to_string()})], modified),
            ListCursor::Tie { ms, after_id } => (
                vec![
                    json!({"propertyName": modified, "operator": "EQ", "value": ms.to_string()}),
                    json!({"propertyName": "hs_object_id", "operator": "GT", "value": after_id.to_string()}),
                ],
                "hs_object_id",
            ),
        };
        let sorts = [json!({"propertyName": sort, "direction": "ASCENDING"})];
        post(target, "search", &search_body(target, vec![json!({ "filters": filters })], &sorts, properties))
    }

    fn parse_page(&self, target: &Target, since_ms: i64, cursor: Option<&str>, response: &HttpResponse) -> Result<Page, CallFailure> {
        if response.status != 200 {
            return Err(call_failure(target, response));
        }
        let body = body_json(response)?;
        let records = records(target, &body)?;
        let more = body.pointer("/paging/next/after").is_some();
        let next = ListCursor::parse(since_ms, cursor).next(&records, more);
        Ok(Page { records, next: next.map(|cursor| cursor.to_string()) })
    }

    fn parse_usage(&self, response: &HttpResponse) -> Option<Usage> {
        let number = |name: &str| response.header(name).and_then(|v| v.trim().parse::<u64>().ok());
        Some(Usage {
            remaining: number("x-hubspot-ratelimit-remaining")?,
            max: number("x-hubspot-ratelimit-max")?,
            window_ms: number("x-hubspot-ratelimit-interval-milliseconds").unwrap_or(10_000),
        })
    }
}

/// The position in a list. Every page starts at the last stamp seen instead of at an offset: HubSpot allows offsets only up to 10,000
/// results, and an offset skips a record when a record before it changes between two pages.
#[derive(Debug, PartialEq, Eq)]
enum ListCursor {
    /// Objects that changed at or after this time, in the order of their changes.
    From(i64),
    /// More objects than a page holds have this one stamp: those with a greater id, in the order of their ids.
    Tie { ms: i64, after_id: u64 },
}

impl ListCursor {
    fn parse(since_ms: i64, cursor: Option<&str>) -> ListCursor {
        let parsed = cursor.and_then(|c| match c.split_once('/') {
            None => c.parse().ok().map(ListCursor::From),
            Some((ms, id)) => Some(ListCursor::Tie { ms: ms.parse().ok()?, after_id: id.parse().ok()? }),
        });
        parsed.unwrap_or(ListCursor::From(since_ms))
    }

    fn next(&self, records: &[RemoteRecord], more: bool) -> Option<ListCursor> {
        let last = records.last()?;
        match (self, more) {
            (ListCursor::From(_), false) => None,
            (ListCursor::From(base), true) => {
                let ms = last.stamp?.at_ms;
                let first = records.first()?.stamp?.at_ms;
                Some(if ms > *base && ms > first { ListCursor::From(ms) } else { ListCursor::Tie { ms, after_id: 0 } })
            }
            (ListCursor::Tie { ms, .. }, true) => Some(ListCursor::Tie { ms: *ms, after_id: last.id.parse().ok()? }),
            (ListCursor::Tie { ms, .. }, false) => Some(ListCursor::From(ms.saturating_add(1))),
        }
    }
}

impl std::fmt::Display for ListCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListCursor::From(ms) => write!(f, "{ms}"),
            ListCursor::Tie { ms, after_id } => write!(f, "{ms}/{after_id}"),
        }
    }
}

fn property_info(property: &Value) -> Option<PropertyInfo> {
    let read_only = property["modificationMetadata"]["readOnlyValue"].as_bool().unwrap_or_default();
    let calculated = property["calculated"].as_bool().unwrap_or_default();
    let external = property["externalOptions"].as_bool().unwrap_or_default();
    let options = if external { &[] } else { list(property, "options") };
    let kind = match text(property, "type").unwrap_or_default() {
        "number" => PropertyKind::Number,
        "bool" => PropertyKind::Bool,
        "date" | "datetime" => PropertyKind::Time,
        _ => PropertyKind::Text,
    };
    Some(PropertyInfo {
        name: text(property, "name")?.to_owned(),
        kind,
        writable: !read_only && !calculated,
        unique: property["hasUniqueValue"].as_bool().unwrap_or_default(),
        options: if kind == PropertyKind::Bool { Vec::new() } else { options.iter().filter_map(|o| text(o, "value")).map(str::to_owned).collect() },
    })
}

fn modified_property(object: &str) -> &'static str {
    if matches!(object, "contacts" | "contact" | "0-1") { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

fn post(target: &Target, call: &str, body: &Value) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url: format!("{}/crm/{}/objects/{}/{call}", target.base_url, target.version, target.object),
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", target.token)),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ],
        body: body.to_string().into_bytes(),
        timeout_ms: target.timeout_ms,
    }
}

fn with_hub_id(target: &Target, row: &Row) -> Map<String, Value> {
    let mut properties = row.properties.clone();
    properties.insert(target.id_property.clone(), Value::String(row.hub_id.clone()));
    properties
}

fn wanted(target: &Target, properties: &[String]) -> BTreeSet<String> {
    let always = [target.id_property.as_str(), modified_property(&target.object)];
    // An object that the hub does not write has no property for the hub's id.
    properties.iter().map(String::as_str).chain(always).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn read_body(target: &Target, ids: &[String], properties: &[String], id_property: Option<&str>, history: bool) -> Value {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    let with_history: &[String] = if history { properties } else { &[] };
    let mut body = json!({"inputs": inputs, "properties": wanted(target, properties), "propertiesWithHistory": with_history});
    if let Some(name) = id_property {
        body["idProperty"] = Value::String(name.to_owned());
    }
    body
}

/// The filter for objects that have one of these values. The search index accepts the texts of a list only in lower case.
fn one_of(property: &str, values: &[String]) -> Value {
    match values {
        [one] => json!({"propertyName": property, "operator": "EQ", "value": one}),
        many => {
            let lower: Vec<String> = many.iter().map(|v| v.to_lowercase()).collect();
            json!({"propertyName": property, "operator": "IN", "values": lower})
        }
    }
}

fn search_body(target: &Target, groups: Vec<Value>, sorts: &[Value], properties: &[String]) -> Value {
    json!({"filterGroups": groups, "sorts": sorts, "properties": wanted(target, properties), "limit": PAGE, "after": "0"})
}

fn list<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The row that a result belongs to: by trace id, or else by the hub's id in its properties, or else by the object's id.
fn row_of_result(target: &Target, rows: &[Row], taken: &[Option<RowResult>], result: &Value) -> Option<usize> {
    let free = |i: &usize| taken.get(*i).is_some_and(Option::is_none);
    let by_trace = text(result, "objectWriteTraceId").and_then(|trace| trace.parse().ok());
    let by_hub_id = || {
        let hub_id = result.get("properties").and_then(|p| text(p, &target.id_property))?;
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

/// Assigns each error to the rows that it names. Errors that name no row go to the rows without a result, one each and in order, but
/// only where there are equally many of both: a row must not fail because of a neighbour's error.
fn assign_errors(target: &Target, rows: &[Row], errors: &[Value], outcome: &mut [Option<RowResult>]) {
    let mut unnamed = Vec::new();
    for error in errors {
        let named = rows_of_error(rows, error);
        let failure = row_failure(error).about_id_property(&target.id_property);
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
    let without_result = outcome.iter().filter(|o| o.is_none()).count();
    if unnamed.len() == without_result {
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

fn not_mentioned(row: &Row) -> RowResult {
    let detail = format!("the response does not mention hub id {}", row.hub_id);
    RowResult::Failed(RowFailure::new(FailureKind::Transient, "NOT_MENTIONED", detail))
}

fn records(target: &Target, body: &Value) -> Result<Vec<RemoteRecord>, CallFailure> {
    let bad = || RowFailure::new(FailureKind::Transient, "BAD_RESPONSE", "a result without an id");
    list(body, "results").iter().map(|result| record(target, result).ok_or_else(bad)).collect()
}

fn record(target: &Target, result: &Value) -> Option<RemoteRecord> {
    let properties = result.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let modified = properties.get(modified_property(&target.object)).and_then(Value::as_str).and_then(instant_ms);
    Some(RemoteRecord {
        id: text(result, "id")?.to_owned(),
        hub_id: properties.get(&target.id_property).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned),
        stamp: modified.or_else(|| text(result, "updatedAt").and_then(instant_ms)).map(Stamp::at),
        archived: result.get("archived").and_then(Value::as_bool).unwrap_or(false),
        properties,
        raw: result.clone(),
    })
}

#[path = "associations.rs"]
mod associations;
#[path = "refusals.rs"]
mod refusals;

#[cfg(test)]
#[path = "api_test.rs"]
mod tests;
