//! Records: single calls and batches.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{HubSpot, catalogue, describe};
use crate::fault::Effects;
use crate::schema::Refusal;
use crate::state::{Origin, Record, Written};
use crate::{Request, Response, time};

const BATCH: usize = 100;
const BATCH_WITH_HISTORY: usize = 50;

/// Which parts of a record a request reads.
#[derive(Default)]
pub(super) struct View {
    /// Empty for the default properties of the object type.
    pub(super) properties: Vec<String>,
    pub(super) history: Vec<String>,
    /// The time as of which the search index shows the record.
    pub(super) as_of: Option<i64>,
}

impl View {
    fn of_query(request: &Request) -> View {
        View { properties: request.params("properties"), history: request.params("propertiesWithHistory"), as_of: None }
    }

    pub(super) fn of_body(body: &Value) -> View {
        View { properties: names(body, "properties"), history: names(body, "propertiesWithHistory"), as_of: None }
    }
}

fn names(body: &Value, member: &str) -> Vec<String> {
    let list = body.get(member).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn properties_of(body: &Value) -> Map<String, Value> {
    body.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The value of a system property or of a stored property, as text.
pub(super) fn shown(record: &Record, name: &str, as_of: i64) -> Value {
    match name {
        "hs_object_id" => json!(record.id),
        "createdate" => json!(time::iso(record.created_ms)),
        "lastmodifieddate" | "hs_lastmodifieddate" => json!(time::iso(updated(record, as_of))),
        _ => record.get_at(name, as_of).clone(),
    }
}

pub(super) fn updated(record: &Record, as_of: i64) -> i64 {
    if as_of == i64::MAX { record.updated_ms } else { record.updated_at(as_of) }
}

pub(super) fn object_json(object: &str, record: &Record, view: &View) -> Value {
    let as_of = view.as_of.unwrap_or(i64::MAX);
    let modified = catalogue::modified_property(object);
    let system = ["hs_object_id", "createdate", modified];
    let wanted: Vec<&str> = if view.properties.is_empty() && view.history.is_empty() {
        catalogue::default_properties(object).to_vec()
    } else {
        view.properties.iter().chain(&view.history).map(String::as_str).collect()
    };
    let wanted: BTreeSet<&str> = wanted.into_iter().chain(system).collect();
    let properties: Map<String, Value> = wanted.iter().map(|n| ((*n).to_owned(), shown(record, n, as_of))).collect();
    let mut out = json!({"id": record.id, "properties": properties, "createdAt": time::iso(record.created_ms),
        "updatedAt": time::iso(updated(record, as_of)), "archived": !record.live()});
    if let Some(at) = record.archived_ms {
        out["archivedAt"] = json!(time::iso(at));
    }
    if !view.history.is_empty() {
        let histories: Map<String, Value> = view.history.iter().map(|n| (n.clone(), history(record, n))).collect();
        out["propertiesWithHistory"] = Value::Object(histories);
    }
    out
}

/// The values of a property, the newest first.
fn history(record: &Record, name: &str) -> Value {
    let entries = record.fields.get(name).map_or(&[][..], Vec::as_slice).iter().rev();
    let source = |origin| match origin {
        Origin::Api => "INTEGRATION",
        Origin::Person => "CRM_UI",
        Origin::Import => "IMPORT",
    };
    entries
        .map(|e| json!({"value": e.value.as_str().unwrap_or_default(), "timestamp": time::iso(e.at_ms), "sourceType": source(e.origin)}))
        .collect()
}

impl HubSpot {
    pub(super) fn bad_body(&mut self) -> Response {
        self.error(400, "VALIDATION_ERROR", "Invalid input JSON")
    }

    /// The inputs of a batch, within their limit.
    pub(super) fn inputs(&mut self, request: &Request, max: usize) -> Result<(Value, Vec<Value>), Response> {
        let body = request.json().filter(Value::is_object);
        let inputs = body.as_ref().and_then(|b| b.get("inputs")).and_then(Value::as_array).cloned();
        let (Some(body), Some(inputs)) = (body, inputs) else { return Err(self.bad_body()) };
        if inputs.is_empty() || inputs.len() > max {
            let message = format!("The number of inputs must be between 1 and {max}; it is {}.", inputs.len());
            return Err(self.error(400, "VALIDATION_ERROR", &message));
        }
        Ok((body, inputs))
    }

    /// The live record that an id, or the value of a unique property, names.
    fn locate(&self, object: &str, id: &str, id_property: Option<&str>) -> Option<String> {
        let record = match id_property {
            None | Some("hs_object_id") => self.engine.resolve(object, id)?,
            Some(property) => self.engine.find(object, property, id).into_iter().next()?,
        };
        Some(record.id.clone())
    }

    fn unique_property(&mut self, object: &str, name: Option<&str>) -> Result<(), Response> {
        let Some(name) = name.filter(|n| *n != "hs_object_id") else { return Ok(()) };
        let unique = self.engine.schema.get(object).and_then(|s| s.properties.get(name)).is_some_and(|p| p.unique);
        if unique {
            return Ok(());
        }
        let message = format!("Invalid idProperty {name}: it is not a unique property of {object}");
        Err(self.error(400, "VALIDATION_ERROR", &message))
    }

    pub(super) fn batch_read(&mut self, request: &Request, effects: &Effects, object: &'static str, now_ms: i64) -> Response {
        let history = request.json().is_some_and(|b| !names(&b, "propertiesWithHistory").is_empty());
        let (body, inputs) = match self.inputs(request, if history { BATCH_WITH_HISTORY } else { BATCH }) {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let id_property = body.get("idProperty").and_then(Value::as_str);
        if let Err(refusal) = self.unique_property(object, id_property) {
            return refusal;
        }
        let archived = request.param("archived") == Some("true");
        let view = View::of_body(&body);
        let (mut results, mut missing, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for id in inputs.iter().filter_map(|i| i.get("id").and_then(Value::as_str)) {
            let found = if archived {
                self.engine.record(object, id).filter(|r| !r.live() && r.merged_into.is_none()).map(|r| r.id.clone())
            } else {
                self.locate(object, id, id_property)
            };
            match found.filter(|_| !effects.blind).and_then(|id| self.engine.record(object, &id)) {
                Some(record) if seen.insert(record.id.clone()) => results.push(object_json(object, record, &view)),
                Some(_) => {}
                None => missing.push(id.to_owned()),
            }
        }
        let mut answer = json!({"status": "COMPLETE", "results": results});
        let status = if missing.is_empty() { 200 } else { 207 };
        if !missing.is_empty() {
            let message = "Could not get some objects, they may be deleted or not exist. Check that ids are valid.";
            answer["numErrors"] = json!(1);
            answer["errors"] = json!([{"status": "error", "category": "OBJECT_NOT_FOUND", "message": message,
                "context": {"ids": missing}, "errors": [], "links": {}}]);
        }
        batch_answer(status, answer, now_ms)
    }

    /// The refusal of a batch as a whole, before any of its rows is handled.
    fn batch_refusal(&mut self, object: &'static str, op: &str, inputs: &[Value], now_ms: i64) -> Option<Response> {
        let keys: Vec<&str> = inputs.iter().filter_map(|i| i.get("id").and_then(Value::as_str)).collect();
        if op != "create" && keys.len() != inputs.len() {
            return Some(self.bad_body());
        }
        if keys.iter().collect::<BTreeSet<_>>().len() != keys.len() {
            let message = "Duplicate IDs found in batch input. The batch may not contain an id twice.";
            return Some(self.error(400, "VALIDATION_ERROR", message));
        }
        for input in inputs {
            let id_property = input.get("idProperty").and_then(Value::as_str);
            if op == "upsert" && id_property.is_none() {
                return Some(self.error(400, "VALIDATION_ERROR", "idProperty is required"));
            }
            if let Err(refusal) = self.unique_property(object, id_property) {
                return Some(refusal);
            }
        }
        // A locked record makes the whole call fail, before anything is written.
        let held = inputs.iter().any(|i| self.target(object, op, i).is_some_and(|id| self.engine.locked(object, &id, now_ms)));
        held.then(|| self.refused(object, &[Refusal::Locked]))
    }

    pub(super) fn batch_write(
        &mut self,
        request: &Request,
        effects: &Effects,
        object: &'static str,
        op: &str,
        now_ms: i64,
    ) -> Response {
        let (_, inputs) = match self.inputs(request, BATCH) {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        if let Some(refusal) = self.batch_refusal(object, op, &inputs, now_ms) {
            return refusal;
        }
        let traced = inputs.iter().all(|i| i.get("objectWriteTraceId").and_then(Value::as_str).is_some());
        let before = (!traced && op != "upsert").then(|| self.engine.state.clone());
        let (mut results, mut errors, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for (i, input) in inputs.iter().enumerate() {
            let fails = self.engine.row_fails(effects, i);
            let outcome = if fails { Err(vec![Refusal::Fault]) } else { self.write_row(object, op, input, now_ms) };
            match (outcome, &before) {
                (Ok(written), _) => {
                    results.push(self.result(object, op, input, &written));
                    events.push(written);
                }
                // A batch without trace ids is written completely or not at all.
                (Err(refusals), Some(state)) => {
                    self.engine.state = state.clone();
                    return self.refused(object, &refusals);
                }
                (Err(refusals), None) => {
                    self.engine.count("rows.failed");
                    errors.push(row_error(object, input, &refusals));
                }
            }
        }
        for written in &events {
            self.announce(object, written, Origin::Api, now_ms);
        }
        // HubSpot does not promise the order of the results.
        let turn = usize::try_from(self.engine.state.requests).unwrap_or_default() % results.len().max(1);
        results.rotate_left(turn);
        let mut body = json!({"status": "COMPLETE", "results": results});
        if !errors.is_empty() {
            body["numErrors"] = json!(errors.len());
            body["errors"] = Value::Array(errors);
            return batch_answer(207, body, now_ms);
        }
        batch_answer(if op == "create" { 201 } else { 200 }, body, now_ms)
    }

    fn target(&self, object: &str, op: &str, input: &Value) -> Option<String> {
        let id = input.get("id").and_then(Value::as_str).filter(|_| op != "create")?;
        self.locate(object, id, input.get("idProperty").and_then(Value::as_str))
    }

    fn write_row(&mut self, object: &'static str, op: &str, input: &Value, now_ms: i64) -> Result<Written, Vec<Refusal>> {
        let mut properties = properties_of(input);
        let target = self.target(object, op, input);
        if op == "update" && target.is_none() {
            return Err(vec![Refusal::NotFound]);
        }
        if let (None, "upsert", Some(name)) = (&target, op, input.get("idProperty").and_then(Value::as_str)) {
            properties.entry(name.to_owned()).or_insert_with(|| input["id"].clone());
        }
        let written = self.engine.write(object, target.as_deref(), &properties, Origin::Api, now_ms)?;
        for association in input.get("associations").and_then(Value::as_array).into_iter().flatten() {
            self.associate_on_create(object, &written.id, association);
        }
        Ok(written)
    }

    fn result(&self, object: &str, op: &str, input: &Value, written: &Written) -> Value {
        let view = View { properties: properties_of(input).keys().cloned().collect(), ..View::default() };
        let mut out = self.engine.record(object, &written.id).map(|r| object_json(object, r, &view)).unwrap_or_default();
        if op == "upsert" {
            out["new"] = json!(written.created);
        }
        if let Some(trace) = input.get("objectWriteTraceId").filter(|_| self.options.repeat_trace_id) {
            out["objectWriteTraceId"] = trace.clone();
        }
        out
    }

    pub(super) fn batch_archive(&mut self, request: &Request, object: &'static str, now_ms: i64) -> Response {
        match self.inputs(request, BATCH) {
            Err(refusal) => refusal,
            Ok((_, inputs)) => {
                for id in inputs.iter().filter_map(|i| i.get("id").and_then(Value::as_str)) {
                    self.archive_with_event(object, id, Origin::Api, now_ms);
                }
                Response::empty(204)
            }
        }
    }

    pub(super) fn list(&mut self, request: &Request, object: &'static str) -> Response {
        let limit = request.param("limit").and_then(|l| l.parse().ok()).unwrap_or(10_usize);
        if limit == 0 || limit > 100 {
            return self.error(400, "VALIDATION_ERROR", "limit must be between 1 and 100");
        }
        let archived = request.param("archived") == Some("true");
        let after = request.param("after").unwrap_or_default();
        let view = View::of_query(request);
        let shown =
            self.engine.records(object).filter(|r| r.live() != archived && r.merged_into.is_none() && r.id.as_str() > after);
        let mut page: Vec<Value> = shown.take(limit + 1).map(|r| object_json(object, r, &view)).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let mut body = json!({ "results": page });
        if let (true, Some(last)) = (more, page.last()) {
            body["paging"] = json!({"next": {"after": last["id"], "link": "?after="}});
        }
        Response::json(200, &body)
    }

    pub(super) fn create_one(&mut self, request: &Request, object: &'static str, now_ms: i64) -> Response {
        let Some(body) = request.json().filter(|b| b.get("properties").is_some_and(Value::is_object)) else {
            return self.bad_body();
        };
        self.write_one(object, "create", &body, 201, now_ms)
    }

    pub(super) fn update_one(&mut self, request: &Request, object: &'static str, id: &str, now_ms: i64) -> Response {
        let Some(mut body) = request.json().filter(|b| b.get("properties").is_some_and(Value::is_object)) else {
            return self.bad_body();
        };
        if let Err(refusal) = self.unique_property(object, request.param("idProperty")) {
            return refusal;
        }
        body["id"] = json!(id);
        if let Some(name) = request.param("idProperty") {
            body["idProperty"] = json!(name);
        }
        if self.target(object, "update", &body).is_some_and(|id| self.engine.locked(object, &id, now_ms)) {
            return self.refused(object, &[Refusal::Locked]);
        }
        self.write_one(object, "update", &body, 200, now_ms)
    }

    fn write_one(&mut self, object: &'static str, op: &str, body: &Value, status: u16, now_ms: i64) -> Response {
        match self.write_row(object, op, body, now_ms) {
            Err(refusals) => self.refused(object, &refusals),
            Ok(written) => {
                self.announce(object, &written, Origin::Api, now_ms);
                Response::json(status, &self.result(object, op, body, &written))
            }
        }
    }

    pub(super) fn get_one(&mut self, request: &Request, object: &'static str, id: &str) -> Response {
        if let Err(refusal) = self.unique_property(object, request.param("idProperty")) {
            return refusal;
        }
        let archived = request.param("archived") == Some("true");
        let found = if archived { Some(id.to_owned()) } else { self.locate(object, id, request.param("idProperty")) };
        let view = View::of_query(request);
        let answer = found.and_then(|id| self.engine.record(object, &id)).filter(|r| r.live() != archived);
        match answer.map(|r| object_json(object, r, &view)) {
            Some(body) => Response::json(200, &body),
            None => self.refused(object, &[Refusal::NotFound]),
        }
    }

    /// Deleting a record that does not exist is not an error.
    pub(super) fn delete_one(&mut self, object: &'static str, id: &str, now_ms: i64) -> Response {
        self.archive_with_event(object, id, Origin::Api, now_ms);
        Response::empty(204)
    }

    pub(super) fn merge_call(&mut self, request: &Request, object: &'static str, now_ms: i64) -> Response {
        let body = request.json().unwrap_or_default();
        let id = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(primary), Some(other)) = (id("primaryObjectId"), id("objectIdToMerge")) else { return self.bad_body() };
        match self.merge_with_events(object, &primary, &other, Origin::Api, now_ms) {
            Err(refused) => self.error(400, "VALIDATION_ERROR", &refused.to_string()),
            Ok(id) => {
                let survivor = self.engine.record(object, &id).map(|r| object_json(object, r, &View::default()));
                Response::json(200, &survivor.unwrap_or_default())
            }
        }
    }

    pub(super) fn gdpr_delete(&mut self, request: &Request, object: &'static str, now_ms: i64) -> Response {
        let body = request.json().unwrap_or_default();
        let Some(id) = body.get("objectId").and_then(Value::as_str) else { return self.bad_body() };
        if let Some(id) = self.locate(object, id, body.get("idProperty").and_then(Value::as_str)) {
            self.forget_with_events(object, &id, now_ms);
            if let Some(records) = self.engine.state.objects.get_mut(object) {
                records.remove(&id);
            }
        }
        Response::empty(204)
    }
}

fn row_error(object: &str, input: &Value, refusals: &[Refusal]) -> Value {
    let (category, message, _) = describe(object, refusals);
    let mut context = json!({});
    if let Some(trace) = input.get("objectWriteTraceId") {
        context["objectWriteTraceId"] = json!([trace]);
    }
    if category == "OBJECT_NOT_FOUND" {
        context["ids"] = json!([input["id"]]);
    }
    json!({"status": "error", "category": category, "message": message, "context": context, "errors": [], "links": {}})
}

fn batch_answer(status: u16, mut body: Value, now_ms: i64) -> Response {
    let at = time::iso(now_ms);
    body["startedAt"] = json!(at);
    body["completedAt"] = json!(at);
    Response::json(status, &body)
}
