//! Bodies of webhooks, by the manifests of real folders: broken ones, odd ones, and what their events become.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use providers::{EventBody, Inbound, InboundEvent, Malformed, Overrides, Provider};
use serde_json::{Value, json};

use crate::golden::{fixtures, read};

fn open(name: &str) -> Provider {
    Provider::builtin(name, &Overrides::default()).unwrap()
}

fn events(provider: &Provider, body: &[u8]) -> Result<Vec<InboundEvent>, Malformed> {
    let headers = BTreeMap::from([("webhook-id".to_owned(), "msg_1".to_owned())]);
    provider.events(&Inbound { connection: "here", headers: &headers, target: "POST /hooks/here", body })
}

#[test]
fn bodies_that_are_broken_as_a_whole() {
    let hubspot = open("hubspot");
    for (body, reason) in [
        (&b""[..], "the body is empty"),
        (b"  \n", "the body is empty"),
        (b"[{\"objectId\": 1", "the JSON ends too early at byte 14"),
        (b"[{},]", "the body is not JSON at byte 4"),
        (b"\xff\xfe", "the body is not UTF-8 at byte 0"),
        (b"7", "the body is not a JSON object at byte 0"),
        (b"a=b", "the body is not JSON at byte 0"),
    ] {
        assert_eq!(events(&hubspot, body).unwrap_err().to_string(), reason);
    }
    assert_eq!(events(&hubspot, b"[]"), Ok(vec![]));
}

#[test]
fn deep_nesting_and_duplicate_names_do_no_harm() {
    let stripe = open("stripe");
    let deep = format!("{{\"id\":\"evt_1\",\"type\":\"customer.created\",\"data\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let _ = events(&stripe, deep.as_bytes());
    let twice = br#"{"id":"evt_1","id":"evt_2","type":"customer.created","created":1,"data":{"object":{"object":"customer","id":"cus_1","id":"cus_2"}}}"#;
    let found = events(&stripe, twice).unwrap().remove(0);
    let EventBody::Changes(changes) = found.body else { panic!("{found:?}") };
    assert_eq!((found.key.as_str(), changes[0].source.id.as_str()), ("5:evt_2", "cus_2"), "the last of two names counts");
}

#[test]
fn keys_distinguish_events_and_not_deliveries() {
    let hubspot = open("hubspot");
    let event = |change: &[(&str, Value)]| {
        let mut event = json!({"objectId": 1, "eventId": 2, "subscriptionId": 3, "portalId": 4, "appId": 5, "occurredAt": 6,
            "subscriptionType": "contact.propertyChange", "propertyName": "email", "attemptNumber": 0});
        for (name, value) in change {
            event[*name] = value.clone();
        }
        events(&hubspot, json!([event]).to_string().as_bytes()).unwrap().remove(0).key
    };
    let first = event(&[]);
    assert_eq!(first, event(&[("attemptNumber", json!(3))]), "a second attempt is the same event");
    for (name, value) in
        [("objectId", json!(11)), ("occurredAt", json!(7)), ("propertyName", json!("phone")), ("portalId", json!(9))]
    {
        assert_ne!(first, event(&[(name, value)]), "{name}");
    }
    assert_ne!(
        event(&[("portalId", json!("12")), ("appId", json!("3"))]),
        event(&[("portalId", json!("1")), ("appId", json!("23"))])
    );
}

#[test]
fn one_bad_event_does_not_affect_its_neighbours() {
    let found = events(
        &open("hubspot"),
        br#"[{"subscriptionType":"contact.creation","objectId":1}, 7, {"subscriptionType":"contact.creation"}]"#,
    );
    let kinds: Vec<bool> = found.unwrap().iter().map(|e| matches!(e.body, EventBody::Fetch(_))).collect();
    assert_eq!(kinds, [true, false, false]);
}

#[test]
fn click_ids_and_parameters_stay_byte_for_byte() {
    let odd = "  Cj0K+%2F== \u{e9}\u{301}\u{200b}";
    let body = json!({"form_id": "f", "submission_id": "s", "fields": {}, "utm": {"utm_source": odd}, "click_ids": {"gclid": odd}, "page_url": odd});
    let event = events(&open("generic-form"), body.to_string().as_bytes()).unwrap().remove(0);
    let EventBody::Changes(changes) = event.body else { panic!("{event:?}") };
    let touch = changes.iter().find(|c| c.object == canonical::ObjectType::Touchpoint).unwrap();
    for field in ["utm_source", "gclid", "page_url"] {
        assert_eq!(touch.fields[field].value.as_text(), Some(odd), "{field}");
    }
}

#[test]
fn no_problem_shows_a_value() {
    const CANARY: &str = "zq7canary";
    let body = json!({"form_id": CANARY, "submission_id": "s", "submitted_at": CANARY, "fields": {"email": CANARY, "phone": CANARY, "country": CANARY, "website": "a b zq7canary"}});
    let event = events(&open("generic-form"), body.to_string().as_bytes()).unwrap().remove(0);
    let EventBody::Changes(changes) = event.body else { panic!("{event:?}") };
    let problems: Vec<_> = changes.iter().flat_map(|c| &c.problems).collect();
    assert!(problems.len() >= 6, "{problems:#?}");
    assert!(!format!("{problems:?}").contains(CANARY));
}

#[test]
fn paths_that_nothing_reads_are_listed() {
    let body = json!({"id": "evt_1", "type": "customer.created", "created": 1, "livemode": true, "api_version": "x",
        "data": {"object": {"id": "cus_1", "object": "customer", "email": "a@b.example", "livemode": true, "tax_exempt": "none", "metadata": {"a": 1}, "phone": null}}});
    let left = open("stripe").unmapped(body.to_string().as_bytes()).unwrap();
    assert_eq!(left, ["data.object.metadata.a", "data.object.tax_exempt"]);
}

/// A value of a fixture, in which one part is replaced.
fn spoiled(mut value: Value, at: usize, with: Value) -> Value {
    let mut paths = Vec::new();
    collect(&value, String::new(), &mut paths);
    if let Some(part) = paths.get(at % paths.len().max(1)).and_then(|path| value.pointer_mut(path)) {
        *part = with;
    }
    value
}

fn collect(value: &Value, path: String, into: &mut Vec<String>) {
    into.push(path.clone());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| collect(member, format!("{path}/{name}"), into)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, member)| collect(member, format!("{path}/{i}"), into)),
        _ => {}
    }
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
        Just(json!([])),
        Just(json!({"id": [1, {"x": null}]})),
    ]
}

static ALL: LazyLock<Vec<(&str, Provider, Vec<Value>)>> = LazyLock::new(|| {
    let all = Provider::builtin_names().iter();
    all.map(|name| (*name, open(name), fixtures(name).iter().map(|file| read(file)).collect())).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_spoiled_body_never_panics_and_fields_keep_their_shape(which in any::<prop::sample::Index>(), at in 0_usize..200, with in anything()) {
        for (name, provider, fixtures) in &*ALL {
            let fixture = which.get(fixtures.as_slice());
            let changes: Vec<canonical::Change> = if let Some(object) = fixture["object"].as_str() {
                let record = spoiled(fixture["record"].clone(), at, with.clone());
                provider.record("here", object, record.to_string().as_bytes()).unwrap_or_default()
            } else {
                let body = match fixture["text"].as_str() {
                    Some(text) => text.chars().take(at * 7).chain(with.to_string().chars()).collect(),
                    None => spoiled(fixture["body"].clone(), at, with.clone()).to_string(),
                };
                let found = events(provider, body.as_bytes()).unwrap_or_default();
                found.into_iter().flat_map(|e| match e.body { EventBody::Changes(c) => c, _ => Vec::new() }).collect()
            };
            for change in changes {
                for (field, value) in &change.fields {
                    let def = canonical::find_field(change.object, field).unwrap();
                    prop_assert!(def.kind.accepts(&value.value).is_ok(), "{}: {} got {}", name, field, value.value.class());
                }
            }
        }
    }
}
