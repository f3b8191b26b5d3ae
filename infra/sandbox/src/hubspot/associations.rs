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
                errors.push(
                    json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "One or both objects do not exist",
                    "context": {"fromObjectId": [a_id], "toObjectId": [b_id]}, "errors": [], "links": {}}),
                );
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
