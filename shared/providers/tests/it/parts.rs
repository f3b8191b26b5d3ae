//! Events in lists, in forms, in texts and in headers alone, of providers that are made up here.

use std::collections::BTreeMap;

use providers::{EventBody, Inbound, InboundEvent, Malformed, Provider, Sequence};
use serde_json::{Value, json};

/// A provider with these `[events]`: `changed` is thin, `lost` asks for a reconcile.
fn provider(mut events: Value) -> Provider {
    events["type"] = json!(["type", "$header.x-state"]);
    events["on"] = json!([
        {"types": "changed", "do": "fetch", "object": "thing", "id": "id"},
        {"types": "lost", "do": "reconcile", "object": "thing", "why": "lost"},
        {"types": "said", "do": "ignore", "why": "kept"},
    ]);
    let about = json!({"name": "made-up", "title": "Made up"});
    let packed = json!({"manifest": {"provider": about, "webhook": {"scheme": {"form": "basic"}}, "events": events}, "maps": []});
    Provider::from_packed(&packed.to_string()).unwrap()
}

fn events(provider: &Provider, headers: &[(&str, &str)], body: &str) -> Result<Vec<InboundEvent>, Malformed> {
    let headers: BTreeMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    provider.events(&Inbound { connection: "here", headers: &headers, target: "POST /hooks/here", body: body.as_bytes() })
}

fn keys(provider: &Provider, body: &str) -> Vec<String> {
    events(provider, &[], body).unwrap().into_iter().map(|event| event.key).collect()
}

fn numbered() -> Provider {
    provider(json!({"at": "events[*]", "key": ["id"], "sequence": {"first": "from", "last": "to"},
        "stamp": {"from": "time", "unit": "s", "sequence": "$sequence"}}))
}

#[test]
fn a_gap_between_bodies_is_told() {
    let sequence = numbered().sequence(br#"{"events":[{},{}],"from":7,"to":8}"#).unwrap();
    assert_eq!(sequence, Sequence { first: 7, last: 8 });
    assert_eq!([6, 4, 7, 8].map(|seen| sequence.missing_after(seen)), [0, 2, 0, 0]);
    assert_eq!(numbered().sequence(br#"{"events":[]}"#), None);
    assert_eq!(provider(json!({"key": ["id"]})).sequence(br#"{"from":7,"to":8}"#), None);
}

#[test]
fn each_event_of_a_body_has_its_own_number() {
    let numbers = |range: &str| -> Vec<Option<u64>> {
        let body = format!(r#"{{"events":[{{"type":"said","time":1}},{{"type":"said","time":1}}]{range}}}"#);
        events(&numbered(), &[], &body).unwrap().iter().map(|e| e.stamp.unwrap().sequence).collect()
    };
    assert_eq!(numbers(r#","from":7,"to":8"#), [Some(7), Some(8)]);
    assert_eq!(numbers(r#","from":7"#), [None, None]);
    assert_eq!(numbers(&format!(r#","from":{0},"to":{0}"#, u64::MAX)), [Some(u64::MAX), Some(u64::MAX)]);
}

#[test]
fn one_bad_item_of_a_list_leaves_its_neighbours_alone() {
    let lists = provider(json!({"at": "value[*]", "key": ["id"]}));
    let body = r#"{"value":[{"type":"changed","id":"a"},7,{"type":"changed"},null,{"type":"changed","id":"b"}]}"#;
    let found = events(&lists, &[], body).unwrap();
    let fetched: Vec<bool> = found.iter().map(|e| matches!(e.body, EventBody::Fetch(_))).collect();
    assert_eq!(fetched, [true, false, false, false, true]);
    assert_eq!(found[4].index, 4);
    assert_eq!(events(&lists, &[], r#"{"value":[]}"#), Ok(vec![]));
    assert_eq!(keys(&lists, r#"{"type":"said","id":"x"}"#), ["1:x"], "a body without the list is one event");
}

#[test]
fn what_surrounds_an_event_is_part_of_it() {
    let nested = provider(json!({"at": "groups[*].of.items[*]", "key": ["$outer.company", "id"]}));
    let body = r#"{"groups":[{"company":"A","of":{"items":[{"type":"said","id":1},{"type":"said","id":2}]}},{"company":"B","more":1,"of":{"items":[{"type":"said","id":1,"x":0}]}}]}"#;
    assert_eq!(keys(&nested, body), ["1:A1:1", "1:A1:2", "1:B1:1"]);
    assert_eq!(nested.unmapped(body.as_bytes()).unwrap(), ["groups[*].more", "x"]);
}

#[test]
fn forms_and_texts_hold_events() {
    let forms = provider(json!({"form": true, "json_in": ["payload"], "key": ["data.id"]}));
    assert_eq!(keys(&forms, "type=said&data%5Bid%5D=a%2Bb"), ["3:a+b"]);
    assert_eq!(keys(&forms, "payload=%7B%22type%22%3A%22said%22%2C%22data%22%3A%7B%22id%22%3A1%7D%7D"), ["1:1"]);
    assert_eq!(keys(&forms, r#"{"type":"said","data":{"id":"j"}}"#), ["1:j"]);
}

#[test]
fn headers_alone_are_an_event() {
    let bodyless = provider(json!({"bodyless": true, "headers": ["x-state"], "key": ["$header.x-state"]}));
    let found = events(&bodyless, &[("x-state", "lost")], "").unwrap().remove(0);
    assert_eq!(found.body, EventBody::Reconcile { objects: vec!["thing".into()], reason: "lost".into() });
}

#[test]
fn bodies_that_are_broken_as_a_whole() {
    let lists = provider(json!({"at": "value[*]", "key": ["id"]}));
    let forms = provider(json!({"form": true, "json_in": ["payload"], "key": ["id"]}));
    for (provider, body, reason) in [
        (&lists, r#"{"value":[{"#, "the JSON ends too early at byte 10"),
        (&lists, "[]", "the body is no JSON object at byte 0"),
        (&lists, "value[]=1", "the body is not JSON at byte 0"),
        (&forms, "payload=%7Bx", "the JSON inside the body is not JSON"),
        (&forms, "a=%ff", "a form parameter is not UTF-8"),
        (&forms, "", "the body is empty"),
    ] {
        assert_eq!(events(provider, &[], body).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_rule_may_have_its_own_key() {
    let mut packed: Value = serde_json::from_str(&provider(json!({"key": ["id"]})).to_packed()).unwrap();
    packed["manifest"]["events"]["on"][2]["key"] = json!(["thing", "time"]);
    let own = Provider::from_packed(&packed.to_string()).unwrap();
    assert_eq!(keys(&own, r#"{"type":"said","id":"i","thing":"t","time":5}"#), ["1:t1:5"]);
    assert_eq!(keys(&own, r#"{"type":"lost","id":"i","thing":"t","time":5}"#), ["1:i"]);
}
