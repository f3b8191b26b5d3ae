//! HubSpot's published schemas, condensed: `name!` must be there, a name without `!` may be; anything else may not.

use sandbox::{HubSpot, hubspot};
use serde_json::{Value, json};

use crate::{T0, call};

fn shapes() -> Value {
    let object = json!({"id!": "string", "properties!": "map", "createdAt!": "instant", "updatedAt!": "instant", "archived!": "bool",
        "archivedAt": "instant", "objectWriteTraceId": "string", "propertiesWithHistory": "histories", "url": "string", "warnings": "any"});
    let mut upserted = object.clone();
    upserted["new!"] = json!("bool");
    let error = json!({"status!": "string", "category!": "string", "message!": "string", "context!": "any", "errors!": ["any"],
        "links!": "any", "id": "string", "subCategory": "any"});
    let batch = |result: &Value| {
        json!({"status!": "string", "results!": [result], "startedAt!": "instant", "completedAt!": "instant", "requestedAt": "instant",
            "links": "any", "numErrors": "integer", "errors": [error]})
    };
    let paging = json!({"next": {"after!": "string", "link": "string"}});
    let end = json!({"id!": "string"});
    json!({
        "object": object,
        "batch": batch(&object),
        "upserts": batch(&upserted),
        "page": {"results!": [object], "paging": paging},
        "hits": {"total!": "integer", "results!": [object], "paging": paging},
        "failure": {"status": "string", "message!": "string", "correlationId!": "string", "category!": "string", "subCategory": "string",
            "context": "any", "errors": ["any"], "links": "any", "errorType": "string", "policyName": "string"},
        "associated": batch(&json!({"from!": end, "to!": end,
            "associationSpec!": {"associationCategory!": "string", "associationTypeId!": "integer"}})),
        "associations": {"results!": [{"toObjectId!": "string", "associationTypes!":
            [{"category!": "string", "typeId!": "integer", "label": "any", "fromObjectTypeId": "string", "toObjectTypeId": "string"}]}],
            "paging": paging},
        "event": {"eventId!": "integer", "subscriptionId!": "integer", "portalId!": "integer", "appId!": "integer",
            "occurredAt!": "integer", "subscriptionType!": "string", "attemptNumber!": "integer", "objectId!": "integer",
            "changeSource!": "string", "sourceId": "string", "changeFlag": "string", "propertyName": "string", "propertyValue": "string",
            "primaryObjectId": "integer", "mergedObjectIds": ["integer"], "newObjectId": "integer", "numberOfPropertiesMoved": "integer"},
    })
}

fn is_instant(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

/// Where a value leaves its shape.
fn differences(value: &Value, shape: &Value, path: &str, out: &mut Vec<String>) {
    match (shape, value) {
        (Value::Object(members), Value::Object(given)) => {
            for (name, inner) in members {
                let bare = name.trim_end_matches('!');
                match given.get(bare) {
                    Some(v) => differences(v, inner, &format!("{path}.{bare}"), out),
                    None if name.ends_with('!') => out.push(format!("{path}.{bare} is missing")),
                    None => {}
                }
            }
            let known = |name: &String| members.contains_key(name) || members.contains_key(&format!("{name}!"));
            out.extend(given.keys().filter(|n| !known(n)).map(|n| format!("{path}.{n} is not in the specification")));
        }
        (Value::Array(inner), Value::Array(list)) => {
            list.iter().for_each(|v| differences(v, &inner[0], &format!("{path}[]"), out))
        }
        (Value::String(kind), v) => {
            let texts = |v: &Value| v.is_null() || v.is_string();
            let fits = match kind.as_str() {
                "any" => true,
                "string" => v.is_string(),
                "integer" => v.is_u64() || v.is_i64(),
                "bool" => v.is_boolean(),
                "instant" => v.as_str().is_some_and(is_instant),
                "map" => v.as_object().is_some_and(|m| m.values().all(texts)),
                "histories" => v.as_object().is_some_and(|m| {
                    m.values().filter_map(Value::as_array).flatten().all(|e| {
                        e["value"].is_string() && e["sourceType"].is_string() && e["timestamp"].as_str().is_some_and(is_instant)
                    })
                }),
                _ => false,
            };
            if !fits {
                out.push(format!("{path} is not {kind}"));
            }
        }
        _ => out.push(format!("{path} is of another kind")),
    }
}

pub fn assert_shape(value: &Value, name: &str) {
    let mut out = Vec::new();
    differences(value, &shapes()[name], name, &mut out);
    assert!(out.is_empty(), "{out:#?}\n{value:#}");
}

#[test]
fn answers_have_the_published_shapes() {
    let mut sandbox = HubSpot::new(hubspot::Options::default());
    let mut check = |method: &str, path: &str, body: Value, status: u16, shape: &str| {
        let answer = call(&mut sandbox, method, path, body, T0);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if shape == "none" {
            assert!(answer.body.is_empty())
        } else {
            assert_shape(&answer.value(), shape)
        }
        answer.value()
    };
    let base = "/crm/v3/objects/contacts";
    let one = check("POST", base, json!({"properties": {"email": "a@x.test"}, "associations": []}), 201, "object");
    let id = one["id"].as_str().unwrap_or_default().to_owned();
    let input =
        |k: &str, p: Value| json!({"inputs": [{"id": k, "idProperty": "hub_id", "objectWriteTraceId": "0", "properties": p}]});
    check("POST", &format!("{base}/batch/upsert"), input("g1", json!({"firstname": "A"})), 200, "upserts");
    check("POST", &format!("{base}/batch/upsert"), input("g2", json!({"email": "a@x.test"})), 207, "upserts");
    let many = json!({"inputs": [{"properties": {"firstname": "B"}, "associations": []}, {"properties": {"nosuch": "B"}}]});
    check("POST", &format!("{base}/batch/create"), many.clone(), 400, "failure");
    let mut traced = many;
    traced["inputs"][0]["objectWriteTraceId"] = json!("x");
    traced["inputs"][1]["objectWriteTraceId"] = json!("y");
    check("POST", &format!("{base}/batch/create"), traced, 207, "batch");
    check("POST", &format!("{base}/batch/update"), json!({"inputs": [{"id": id, "properties": {"phone": "1"}}]}), 200, "batch");
    let read = json!({"inputs": [{"id": id}, {"id": "7"}], "properties": ["phone"], "propertiesWithHistory": ["phone", "email"]});
    let read = check("POST", &format!("{base}/batch/read"), read, 207, "batch");
    assert_eq!(read["results"][0]["propertiesWithHistory"]["phone"][0]["sourceType"], "INTEGRATION");
    let search = json!({"filterGroups": [], "limit": 1, "after": "0", "properties": [], "sorts": []});
    check("POST", &format!("{base}/search"), search, 200, "hits");
    check("GET", &format!("{base}?limit=2&properties=phone"), Value::Null, 200, "page");
    check("GET", &format!("{base}/{id}?properties=phone,email&propertiesWithHistory=phone"), Value::Null, 200, "object");
    check("GET", &format!("{base}/a%40x.test?idProperty=email"), Value::Null, 200, "object");
    check("PATCH", &format!("{base}/{id}"), json!({"properties": {"phone": "2"}}), 200, "object");
    check("GET", &format!("{base}/4"), Value::Null, 404, "failure");
    let company = check("POST", "/crm/v3/objects/companies", json!({"properties": {"name": "A"}}), 201, "object");
    let company = company["id"].as_str().unwrap_or_default().to_owned();
    check(
        "PUT",
        &format!("/crm/v4/objects/contacts/{id}/associations/default/companies/{company}"),
        Value::Null,
        200,
        "associated",
    );
    check("GET", &format!("/crm/v4/objects/companies/{company}/associations/contacts"), Value::Null, 200, "associations");
    let other = check("POST", base, json!({"properties": {"firstname": "Z"}}), 201, "object");
    check("POST", &format!("{base}/merge"), json!({"primaryObjectId": id, "objectIdToMerge": other["id"]}), 200, "object");
    check("DELETE", &format!("{base}/{id}"), Value::Null, 204, "none");
    check(
        "POST",
        &format!("{base}/batch/read?archived=true"),
        json!({"inputs": [{"id": id}], "properties": [], "propertiesWithHistory": []}),
        200,
        "batch",
    );
    check("POST", &format!("{base}/batch/archive"), json!({"inputs": [{"id": "5"}]}), 204, "none");
    check("POST", "/crm/v3/objects/yachts/search", json!({}), 400, "failure");
}
