//! The control paths.

use sandbox::{HubSpot, Request, Sandbox, control, hubspot};
use serde_json::{Value, json};

use crate::{T0, call};

fn act(sandbox: &mut HubSpot, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::new(method, &format!("http://127.0.0.1:9/_sandbox/{path}"), &[], body.to_string().as_bytes());
    let answer = control(sandbox, &request, T0).expect("a control path");
    (answer.status, answer.value())
}

#[test]
fn a_person_acts_through_the_control_paths() {
    let mut sandbox = HubSpot::new(hubspot::Options::default());
    let (status, made) = act(&mut sandbox, "POST", "create", &json!({"object": "contacts", "properties": {"email": "a@x.test"}}));
    assert_eq!(status, 200);
    let id = made["id"].clone();
    assert_eq!(act(&mut sandbox, "POST", "edit", &json!({"object": "contacts", "id": id, "properties": {"phone": "1"}})).0, 200);
    assert_eq!(act(&mut sandbox, "POST", "edit", &json!({"object": "contacts", "id": "4", "properties": {}})).0, 400);
    let fault = json!({"kind": {"status": {"status": 503}}, "matching": "POST /crm", "times": 1});
    assert_eq!(act(&mut sandbox, "POST", "fault", &fault).0, 200);
    assert_eq!(act(&mut sandbox, "POST", "fault", &json!({"kind": "nosuch"})).0, 400);
    assert_eq!(call(&mut sandbox, "POST", "/crm/v3/objects/contacts/search", json!({}), T0).status, 503);
    assert_eq!(call(&mut sandbox, "POST", "/crm/v3/objects/contacts/search", json!({}), T0).status, 200);
    let stats = act(&mut sandbox, "GET", "stats", &Value::Null).1;
    assert_eq!((&stats["calls"], &stats["status.503"], &stats["calls.contacts search"]), (&json!(2), &json!(1), &json!(1)));
    let shown = act(&mut sandbox, "GET", "comparable?ignore=phone", &Value::Null).1;
    assert_eq!(shown, json!({"contacts": [{"properties": {"email": "a@x.test"}}]}));
    let saved = act(&mut sandbox, "GET", "save", &Value::Null).1;
    assert_eq!(act(&mut sandbox, "POST", "reset", &json!({})).0, 200);
    assert_eq!(sandbox.dump()["objects"], json!({}));
    assert_eq!(act(&mut sandbox, "POST", "restore", &saved).0, 200);
    assert_eq!(sandbox.dump()["objects"]["contacts"][0]["properties"]["phone"], "1");
    let twin = json!({"object": "contacts", "properties": {"email": "A@x.test"}});
    assert_eq!(act(&mut sandbox, "POST", "create", &twin).0, 400, "unique values are known again");
    assert_eq!(act(&mut sandbox, "POST", "revoke-token", &json!({"token": "sandbox-token"})).0, 200);
    assert_eq!(call(&mut sandbox, "GET", "/crm/v3/objects/contacts", Value::Null, T0).status, 401);
    assert_eq!(act(&mut sandbox, "POST", "nosuch", &json!({})).0, 400);
}

#[test]
fn web_pages_may_not_use_them() {
    let mut sandbox = HubSpot::new(hubspot::Options::default());
    let origin = [("Origin".to_owned(), "https://evil.test".to_owned())];
    let request = Request::new("POST", "/_sandbox/reset", &origin, b"");
    assert_eq!(control(&mut sandbox, &request, T0).map(|r| r.status), Some(403));
    assert!(control(&mut sandbox, &Request::new("GET", "/crm/v3/objects/contacts", &[], b""), T0).is_none());
}

#[test]
fn equal_histories_give_equal_dumps() {
    let run = || {
        let mut sandbox = HubSpot::new(hubspot::Options { seed: 7, ..hubspot::Options::default() });
        for i in 0..20 {
            call(&mut sandbox, "POST", "/crm/v3/objects/deals", json!({"properties": {"dealname": format!("D{i}")}}), T0 + i);
        }
        sandbox.dump().to_string()
    };
    assert_eq!(run(), run());
}
