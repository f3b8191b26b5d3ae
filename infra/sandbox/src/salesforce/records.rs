//! Records: rows, collections and replication.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Salesforce, describe, errors, not_found};
use crate::fault::Effects;
use crate::schema::Refusal;
use crate::state::{Origin, Record, Written};
use crate::{Request, Response, time};

const COLLECTION: usize = 200;

/// A field's value. Some fields are computed.
pub(super) fn field(record: &Record, name: &str) -> Value {
    let text = |n: &str| record.get(n).as_str().map(str::to_owned);
    match name {
        "Id" => json!(record.id),
        "IsDeleted" => json!(!record.live()),
        "SystemModstamp" | "LastModifiedDate" => json!(time::iso_offset(record.updated_ms)),
        "CreatedDate" => json!(time::iso_offset(record.created_ms)),
        "MasterRecordId" => json!(record.merged_into),
        "Name" if record.fields.contains_key("LastName") => {
            json!([text("FirstName"), text("LastName")].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
        _ => record.get(name).clone(),
    }
}

pub(super) fn attributes(object: &str, version: &str, id: &str) -> Value {
    json!({"type": object, "url": format!("/services/data/{version}/sobjects/{object}/{id}")})
}

impl Salesforce {
    /// The field's name as the schema spells it. Requests may spell it in any case.
    pub(super) fn field_name(&self, object: &str, name: &str) -> Option<String> {
        self.engine.schema.get(object)?.properties.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned()
    }

    /// Live records by id (15 or 18 characters) or by the value of an external id field.
    fn locate(&self, object: &str, by: Option<&str>, value: &str) -> Vec<String> {
        match by {
            None => self.by_id(object, value).into_iter().map(|r| r.id.clone()).collect(),
            Some(name) => self.engine.find(object, name, value).into_iter().map(|r| r.id.clone()).collect(),
        }
    }

    fn by_id(&self, object: &str, id: &str) -> Option<&Record> {
        match id.len() {
            15 => self.engine.records(object).find(|r| r.id.starts_with(id)),
            _ => self.engine.record(object, id),
        }
    }

    pub(super) fn collection(
        &mut self,
        request: &Request,
        effects: &Effects,
        method: &str,
        path: &[&str],
        now_ms: i64,
    ) -> Response {
        let Some(body) = request.json() else {
            return errors(400, "JSON_PARSER_ERROR", "The HTTP entity body is required", None);
        };
        let records = body.get("records").and_then(Value::as_array).cloned().unwrap_or_default();
        if records.is_empty() {
            return errors(400, "REQUIRED_FIELD_MISSING", "At least 1 record is required", None);
        }
        if records.len() > COLLECTION {
            let message = "record limit reached. cannot submit more than 200 records into this call";
            return errors(400, "EXCEEDED_ID_LIMIT", message, None);
        }
        let external = match (method, path) {
            ("PATCH", [object, name]) => match self.object(object).and_then(|o| Some((self.field_name(&o, name)?, o))) {
                Some((name, object)) => Some((object, name)),
                None => return not_found(),
            },
            (_, []) => None,
            _ => return not_found(),
        };
        let twice = twice(&records, external.as_ref().map_or("Id", |(_, name)| name));
        let before = (body.get("allOrNone") == Some(&json!(true))).then(|| self.engine.state.clone());
        let mut results = Vec::new();
        for (i, record) in records.iter().enumerate() {
            let repeated = method == "PATCH"
                && key_of(record, external.as_ref().map_or("Id", |(_, n)| n)).is_some_and(|k| twice.contains(&k));
            let result = if repeated {
                failed("DUPLICATE_VALUE", "Duplicate external id specified", &[])
            } else if self.engine.row_fails(effects, i) {
                refused(&[Refusal::Fault])
            } else {
                self.collect_one(method, external.as_ref(), record, now_ms)
            };
            if result["success"] == json!(false) {
                self.engine.count("rows.failed");
            }
            results.push(result);
        }
        if let (Some(state), true) = (before, results.iter().any(|r| r["success"] == json!(false))) {
            self.engine.state = state;
            let undone =
                failed("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid", &[]);
            for result in results.iter_mut().filter(|r| r["success"] == json!(true)) {
                result.clone_from(&undone);
            }
        }
        Response::json(200, &Value::Array(results))
    }

    fn collect_one(&mut self, method: &str, external: Option<&(String, String)>, record: &Value, now_ms: i64) -> Value {
        let kind = record.pointer("/attributes/type").and_then(Value::as_str).and_then(|name| self.object(name));
        let Some(object) = kind else { return failed("INVALID_TYPE", "sObject type is required or unknown", &[]) };
        let mut given = record.as_object().cloned().unwrap_or_default();
        given.remove("attributes");
        match (method, external) {
            (_, Some((wanted, _))) if *wanted != object => {
                failed("INVALID_TYPE", "the records must be of the type in the address", &[])
            }
            (_, Some((_, name))) => {
                let Some(value) = key_of(record, name) else {
                    return failed("MISSING_ARGUMENT", &format!("{name} not specified"), &[]);
                };
                match self.upsert(&object, name, &value, given, now_ms) {
                    Ok(written) => json!({"id": written.id, "success": true, "created": written.created, "errors": []}),
                    Err(Upsert::Several) => {
                        failed("DUPLICATE_EXTERNAL_ID", &format!("{name}: more than one record found for external id field"), &[])
                    }
                    Err(Upsert::Refused(refusals)) => refused(&refusals),
                }
            }
            ("POST", None) => saved(self.insert(&object, &given, now_ms)),
            _ => {
                let Some(Value::String(id)) = given.remove("Id").or_else(|| given.remove("id")) else {
                    return failed("MISSING_ARGUMENT", "Id not specified in an update call", &[]);
                };
                saved(self.update(&object, &id, &given, now_ms))
            }
        }
    }

    fn upsert(
        &mut self,
        object: &str,
        name: &str,
        value: &str,
        mut given: Map<String, Value>,
        now_ms: i64,
    ) -> Result<Written, Upsert> {
        let matches = self.locate(object, Some(name), value);
        match matches.as_slice() {
            [] => {
                given.insert(name.to_owned(), json!(value));
                self.insert(object, &given, now_ms).map_err(Upsert::Refused)
            }
            [one] => self.update(object, &one.clone(), &given, now_ms).map_err(Upsert::Refused),
            _ => Err(Upsert::Several),
        }
    }

    fn insert(&mut self, object: &str, given: &Map<String, Value>, now_ms: i64) -> Result<Written, Vec<Refusal>> {
        let rule = self.options.duplicate_rules.get(object).cloned();
        let value = rule.as_ref().and_then(|field| given.get(field)).and_then(Value::as_str);
        if let (Some(field), Some(value)) = (&rule, value)
            && let Some(other) = self.engine.find(object, field, value).first()
        {
            return Err(vec![Refusal::Similar(other.id.clone())]);
        }
        self.engine.write(object, None, given, Origin::Api, now_ms)
    }

    fn update(&mut self, object: &str, id: &str, given: &Map<String, Value>, now_ms: i64) -> Result<Written, Vec<Refusal>> {
        let record = self.by_id(object, id).ok_or_else(|| vec![Refusal::NotFound])?;
        let (id, live) = (record.id.clone(), record.live());
        if !live {
            return Err(vec![Refusal::Deleted]);
        }
        if self.engine.locked(object, &id, now_ms) {
            return Err(vec![Refusal::Locked]);
        }
        self.engine.write(object, Some(&id), given, Origin::Api, now_ms)
    }

    pub(super) fn sobject(&mut self, request: &Request, version: &str, object: &str, path: &[&str], now_ms: i64) -> Response {
        match (request.method.as_str(), path) {
            ("POST", []) => {
                let Some(given) = request.json().as_ref().and_then(Value::as_object).cloned() else { return bad_json() };
                match self.insert(object, &given, now_ms) {
                    Ok(written) => Response::json(201, &json!({"id": written.id, "success": true, "errors": []})),
                    Err(refusals) => refusal(&refusals),
                }
            }
            ("GET", ["updated"]) => self.replication(request, object, false, now_ms),
            ("GET", ["deleted"]) => self.replication(request, object, true, now_ms),
            (_, [id]) => self.one(request, version, object, None, id, now_ms),
            (_, [name, value]) => match self.field_name(object, name) {
                Some(name) => self.one(request, version, object, Some(&name), value, now_ms),
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn one(&mut self, request: &Request, version: &str, object: &str, by: Option<&str>, value: &str, now_ms: i64) -> Response {
        let matches = self.locate(object, by, value);
        if matches.len() > 1 {
            let paths: Vec<String> =
                matches.iter().map(|id| format!("/services/data/{version}/sobjects/{object}/{id}")).collect();
            return Response::json(300, &json!(paths));
        }
        let found = matches.first().cloned();
        match (request.method.as_str(), found, by) {
            ("PATCH", found, by) => {
                let Some(given) = request.json().as_ref().and_then(Value::as_object).cloned() else { return bad_json() };
                let written = match (found, by) {
                    (Some(id), _) => self.update(object, &id, &given, now_ms),
                    (None, Some(name)) => {
                        let mut given = given;
                        given.insert(name.to_owned(), json!(value));
                        self.insert(object, &given, now_ms)
                    }
                    (None, None) => return not_found(),
                };
                match written {
                    Err(refusals) => refusal(&refusals),
                    Ok(_) if by.is_none() => Response::empty(204),
                    Ok(w) => {
                        let body = json!({"id": w.id, "success": true, "created": w.created, "errors": []});
                        Response::json(if w.created { 201 } else { 200 }, &body)
                    }
                }
            }
            (_, None, _) => not_found(),
            ("GET", Some(id), _) => self.read_one(request, version, object, &id),
            ("DELETE", Some(id), _) => {
                if self.engine.archive(object, &id, now_ms) {
                    return Response::empty(204);
                }
                errors(404, "ENTITY_IS_DELETED", "entity is deleted", Some(&[]))
            }
            _ => errors(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed.", None),
        }
    }

    fn read_one(&self, request: &Request, version: &str, object: &str, id: &str) -> Response {
        let Some(record) = self.engine.record(object, id) else { return not_found() };
        if !record.live() {
            return errors(404, "ENTITY_IS_DELETED", "entity is deleted", Some(&[]));
        }
        let requested = request.params("fields");
        let all = || self.engine.schema.get(object).into_iter().flat_map(|s| s.properties.keys().cloned()).collect::<Vec<_>>();
        let names = if requested.is_empty() { all() } else { requested };
        let mut body = json!({ "attributes": attributes(object, version, id) });
        for name in names {
            let Some(known) = self.field_name(object, &name) else {
                return errors(400, "INVALID_FIELD", &format!("No such column '{name}' on entity '{object}'"), None);
            };
            body[known.as_str()] = field(record, &known);
        }
        Response::json(200, &body)
    }

    fn replication(&self, request: &Request, object: &str, deleted: bool, now_ms: i64) -> Response {
        // Salesforce ignores the seconds.
        let moment = |name: &str| request.param(name).and_then(time::parse_instant).map(|ms| ms.div_euclid(60_000) * 60_000);
        let (Some(start), Some(end)) = (moment("start"), moment("end")) else {
            return errors(400, "INVALID_REPLICATION_DATE", "start and end are required", None);
        };
        let days = if deleted { 15 } else { 30 };
        if start >= end || start < now_ms - days * 86_400_000 {
            return errors(400, "INVALID_REPLICATION_DATE", "start must be before end, and not too long ago", None);
        }
        let within = |ms: i64| ms >= start && ms < end;
        let covered = time::iso_offset(end.min(now_ms.div_euclid(60_000) * 60_000));
        if deleted {
            let gone = self.engine.records(object).filter_map(|r| Some((r, r.archived_ms.filter(|ms| within(*ms))?)));
            let list: Vec<Value> = gone.map(|(r, ms)| json!({"id": r.id, "deletedDate": time::iso_offset(ms)})).collect();
            let earliest = time::iso_offset(now_ms - 15 * 86_400_000);
            return Response::json(
                200,
                &json!({"deletedRecords": list, "earliestDateAvailable": earliest, "latestDateCovered": covered}),
            );
        }
        let ids: Vec<&String> = self.engine.records(object).filter(|r| r.live() && within(r.updated_ms)).map(|r| &r.id).collect();
        Response::json(200, &json!({"ids": ids, "latestDateCovered": covered}))
    }
}

enum Upsert {
    Several,
    Refused(Vec<Refusal>),
}

fn key_of(record: &Value, name: &str) -> Option<String> {
    match record.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// The keys that more than one record has.
fn twice(records: &[Value], name: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    records.iter().filter_map(|r| key_of(r, name)).filter(|key| !seen.insert(key.clone())).collect()
}

fn failed(code: &str, message: &str, fields: &[String]) -> Value {
    json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": fields}]})
}

fn refused(refusals: &[Refusal]) -> Value {
    let (code, message, fields) = describe(refusals);
    failed(code, &message, &fields)
}

fn saved(result: Result<Written, Vec<Refusal>>) -> Value {
    result.map_or_else(|refusals| refused(&refusals), |written| json!({"id": written.id, "success": true, "errors": []}))
}

fn refusal(refusals: &[Refusal]) -> Response {
    let (code, message, fields) = describe(refusals);
    let status = match code {
        "ENTITY_IS_DELETED" | "INVALID_CROSS_REFERENCE_KEY" => 404,
        _ => 400,
    };
    errors(status, code, &message, Some(&fields))
}

fn bad_json() -> Response {
    errors(400, "JSON_PARSER_ERROR", "The HTTP entity body is not a JSON object", None)
}
