//! Associations between records (v4).

use serde_json::{Value, json};

use super::HubSpot;
use crate::{Request, Response, time};

const BATCH: usize = 2_000;
const BATCH_READ: usize = 1_000;

impl HubSpot {
    pub(super) fn associations(&mut self, request: &Request, rest: &[&str], now_ms: i64) -> Response {
        self.engine.count(format!("calls.associations {}", request.method));
        match (request.method.as_str(), rest) {
            ("PUT", ["objects", a, a_id, "associations", "default", b, b_id]) => self.associate(&[(*a, a_id, b, b_id)], now_ms),
            ("POST", ["associations", a, b, "batch", "associate", "default"]) => match self.pairs(request, BATCH) {
                Err(refusal) => refusal,
                Ok(pairs) => {
                    let links: Vec<_> = pairs.iter().map(|(from, to)| (*a, from.as_str(), *b, to.as_str())).collect();
                    self.associate(&links, now_ms)
                }
            },
            ("POST", ["associations", a, b, "batch", "create"]) => self.associate_by_type(request, a, b, now_ms),
            ("POST", ["associations", a, b, "batch", "read"]) => self.associations_read(request, a, b, now_ms),
            ("GET", ["objects", a, a_id, "associations", b]) => {
                let (Some(a), Some(b)) = (self.object(a), self.object(b)) else { return self.bad_body() };
                Response::json(200, &json!({ "results": self.associated(a, a_id, b) }))
            }
            ("DELETE", ["objects", a, a_id, "associations", b, b_id]) => {
                let (Some(a), Some(b)) = (self.object(a), self.object(b)) else { return self.bad_body() };
                self.engine.unlink(a, a_id, b, b_id);
                Response::empty(204)
            }
            _ => self.error(404, "OBJECT_NOT_FOUND", "resource not found"),
        }
    }

    fn pairs(&mut self, request: &Request, max: usize) -> Result<Vec<(String, String)>, Response> {
        let (_, inputs) = self.inputs(request, max)?;
        let id = |input: &Value, end: &str| input.get(end)?.get("id")?.as_str().map(str::to_owned);
        let pairs: Option<Vec<_>> = inputs.iter().map(|i| Some((id(i, "from")?, id(i, "to")?))).collect();
        pairs.ok_or_else(|| self.bad_body())
    }

    fn associate(&mut self, links: &[(&str, &str, &str, &str)], now_ms: i64) -> Response {
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for (a, a_id, b, b_id) in links {
            let (Some(a), Some(b)) = (self.object(a), self.object(b)) else { return self.bad_body() };
            if self.engine.resolve(a, a_id).is_none() || self.engine.resolve(b, b_id).is_none() {
                errors.push(no_such_objects(a_id, b_id));
                continue;
            }
            self.engine.link(a, a_id, b, b_id);
            let spec = json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id(a, b)});
            results.push(json!({"from": {"id": a_id}, "to": {"id": b_id}, "associationSpec": spec}));
        }
        let at = time::iso(now_ms);
        let mut body = json!({"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at});
        if !errors.is_empty() {
            body["numErrors"] = json!(errors.len());
            body["errors"] = Value::Array(errors);
        }
        Response::json(if body.get("errors").is_some() { 207 } else { 200 }, &body)
    }

    /// Ties by a type that the caller names: 201, or 207 when a part failed.
    fn associate_by_type(&mut self, request: &Request, a: &str, b: &str, now_ms: i64) -> Response {
        let (Some(a), Some(b)) = (self.object(a), self.object(b)) else { return self.bad_body() };
        let (_, inputs) = match self.inputs(request, BATCH) {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &inputs {
            let id = |end: &str| input.get(end)?.get("id")?.as_str().map(str::to_owned);
            let kind = input.pointer("/types/0/associationTypeId").and_then(Value::as_u64);
            let (Some(from), Some(to), Some(kind)) = (id("from"), id("to"), kind) else { return self.bad_body() };
            let primary = primary_type_id(a, b) == Some(kind);
            if !primary && kind != type_id(a, b) {
                return self.error(400, "VALIDATION_ERROR", "the association type does not exist for these objects");
            }
            let known = |hub: &Self, object: &str, id: &str| hub.engine.resolve(object, id).is_some();
            if !known(self, a, &from) || !known(self, b, &to) {
                errors.push(no_such_objects(&from, &to));
                continue;
            }
            self.tie((a, &from), (b, &to), primary, now_ms);
            results
                .push(json!({"fromObjectTypeId": a, "fromObjectId": from, "toObjectTypeId": b, "toObjectId": to, "labels": []}));
        }
        let at = time::iso(now_ms);
        let mut answer = json!({"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at});
        if errors.is_empty() {
            return Response::json(201, &answer);
        }
        answer["numErrors"] = json!(errors.len());
        answer["errors"] = Value::Array(errors);
        Response::json(207, &answer)
    }

    /// Ties two objects and reports it to the subscribers of both. A primary company takes the place of the one before.
    fn tie(&mut self, (a, a_id): (&'static str, &str), (b, b_id): (&'static str, &str), primary: bool, now_ms: i64) {
        let key = (a.to_owned(), a_id.to_owned(), b.to_owned(), b_id.to_owned());
        let mut news = !self.engine.state.links.contains(&key);
        self.engine.link(a, a_id, b, b_id);
        if primary {
            let before = self.engine.state.primary.insert(format!("{a}/{a_id}"), b_id.to_owned());
            news |= before.as_deref() != Some(b_id);
        }
        if !news {
            return;
        }
        if let ("contacts", true) = (a, primary) {
            self.set_by_system(a, a_id, "associatedcompanyid", json!(b_id), now_ms);
        }
        self.announce_tie((a, a_id), (b, b_id), primary, now_ms);
        self.announce_tie((b, b_id), (a, a_id), primary, now_ms);
    }

    pub(super) fn associate_on_create(&mut self, object: &str, id: &str, association: &Value) {
        let to = association.pointer("/to/id").and_then(Value::as_str);
        let kind = association.pointer("/types/0/associationTypeId").and_then(Value::as_u64);
        let other = ["contacts", "companies", "deals", "tickets"].into_iter().find(|b| kind == Some(type_id(object, b)));
        if let (Some(to), Some(other)) = (to, other) {
            self.engine.link(object, id, other, to);
        }
    }

    fn associations_read(&mut self, request: &Request, a: &str, b: &str, now_ms: i64) -> Response {
        let (Some(a), Some(b)) = (self.object(a), self.object(b)) else { return self.bad_body() };
        let (_, inputs) = match self.inputs(request, BATCH_READ) {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let ids = inputs.iter().filter_map(|i| i.get("id").and_then(Value::as_str));
        let results: Vec<Value> =
            ids.map(|id| json!({"from": {"id": id}, "to": self.associated(a, id, b)})).filter(|r| r["to"] != json!([])).collect();
        let at = time::iso(now_ms);
        Response::json(200, &json!({"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}))
    }

    fn associated(&self, a: &str, a_id: &str, b: &str) -> Vec<Value> {
        let links = self.engine.state.links.iter().filter(|(x, x_id, y, _)| x == a && x_id == a_id && y == b);
        let kind = json!([{"category": "HUBSPOT_DEFINED", "typeId": type_id(a, b)}]);
        links.map(|(_, _, _, id)| json!({"toObjectId": id, "associationTypes": kind})).collect()
    }
}

fn no_such_objects(from: &str, to: &str) -> Value {
    json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "One or both objects do not exist",
        "context": {"fromObjectId": [from], "toObjectId": [to]}, "errors": [], "links": {}})
}

/// HubSpot's type ids of the associations with a primary company.
fn primary_type_id(a: &str, b: &str) -> Option<u64> {
    match (a, b) {
        ("contacts", "companies") => Some(1),
        ("deals", "companies") => Some(5),
        ("tickets", "companies") => Some(26),
        _ => None,
    }
}

/// HubSpot's type ids of the associations without a label.
fn type_id(a: &str, b: &str) -> u64 {
    match (a, b) {
        ("contacts", "companies") => 279,
        ("companies", "contacts") => 280,
        ("deals", "contacts") => 3,
        ("contacts", "deals") => 4,
        ("deals", "companies") => 341,
        ("companies", "deals") => 342,
        ("contacts", "tickets") => 15,
        ("tickets", "contacts") => 16,
        ("tickets", "companies") => 339,
        ("companies", "tickets") => 340,
        ("deals", "tickets") => 27,
        ("tickets", "deals") => 28,
        ("contacts", _) => 449,
        _ => 450,
    }
}
