//! Events in lists, in forms, in texts and in headers alone.

use std::collections::BTreeMap;

use providers::{EventBody, Inbound, InboundEvent, Malformed, Overrides, Provider, Sequence};

fn open(name: &str) -> Provider {
    Provider::builtin(name, &Overrides::default()).unwrap()
}

fn events(provider: &str, headers: &[(&str, &str)], body: &str) -> Result<Vec<InboundEvent>, Malformed> {
    let headers: BTreeMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    open(provider).events(&Inbound { connection: "here", headers: &headers, target: "POST /hooks/here", body: body.as_bytes() })
}

fn one(provider: &str, headers: &[(&str, &str)], body: &str) -> InboundEvent {
    events(provider, headers, body).unwrap().remove(0)
}

#[test]
fn a_gap_between_bodies_is_told() {
    let xero = open("xero");
    let body = br#"{"events":[{},{}],"firstEventSequence":7,"lastEventSequence":8}"#;
    let sequence = xero.sequence(body).unwrap();
    assert_eq!(sequence, Sequence { first: 7, last: 8 });
    assert_eq!([6, 4, 7, 8].map(|seen| sequence.missing_after(seen)), [0, 2, 0, 0]);
    assert_eq!(xero.sequence(br#"{"events":[]}"#), None);
    assert_eq!(open("stripe").sequence(body), None);
}

#[test]
fn each_event_of_a_body_has_its_own_number() {
    let event = |n: u8| {
        format!(r#"{{"resourceId":"r{n}","eventType":"UPDATE","eventCategory":"CONTACT","eventDateUtc":"2026-02-03T00:00:00"}}"#)
    };
    let body = format!(r#"{{"events":[{},{}],"firstEventSequence":18446744073709551615}}"#, event(1), event(2));
    assert!(events("xero", &[], &body).unwrap().iter().all(|e| e.stamp.unwrap().sequence.is_none()), "half a range is none");
    let body = format!(r#"{{"events":[{},{}],"firstEventSequence":7,"lastEventSequence":8}}"#, event(1), event(2));
    let numbers: Vec<_> = events("xero", &[], &body).unwrap().iter().map(|e| e.stamp.unwrap().sequence).collect();
    assert_eq!(numbers, [Some(7), Some(8)]);
    let body = format!(
        r#"{{"events":[{},{}],"firstEventSequence":18446744073709551615,"lastEventSequence":18446744073709551615}}"#,
        event(1),
        event(2)
    );
    assert!(events("xero", &[], &body).is_ok(), "numbers at their end harm nobody");
}

#[test]
fn one_bad_item_of_a_list_leaves_its_neighbours_alone() {
    let body = r##"{"value":[{"changeType":"created","resourceData":{"@odata.type":"#Microsoft.Graph.Message","id":"m1"}},7,
        {"changeType":"created","resourceData":{"@odata.type":"#Microsoft.Graph.Message"}},null,
        {"changeType":"created","resourceData":{"@odata.type":"#Microsoft.Graph.Message","id":"m2"}}]}"##;
    let found = events("microsoft-graph", &[], body).unwrap();
    let fetched: Vec<bool> = found.iter().map(|e| matches!(e.body, EventBody::Fetch(_))).collect();
    assert_eq!(fetched, [true, false, false, false, true]);
    assert_eq!(found[4].index, 4);
}

#[test]
fn bodies_that_are_broken_as_a_whole() {
    for (provider, body, reason) in [
        ("microsoft-graph", r#"{"value":[{"#, "the JSON ends too early at byte 10"),
        ("microsoft-graph", r#"[]"#, "the body is no JSON object at byte 0"),
        ("slack", "payload=%7Bx", "the JSON inside the body is not JSON"),
        ("slack", "a=%ff", "a form parameter is not UTF-8"),
        ("slack", "", "the body is empty"),
        ("xero", "events[]=1", "the body is not JSON at byte 0"),
    ] {
        assert_eq!(events(provider, &[], body).unwrap_err().to_string(), reason, "{provider}");
    }
    assert!(events("google-calendar", &[("x-goog-resource-state", "exists")], "").is_ok(), "its headers are the event");
}

#[test]
fn a_retry_has_the_key_of_the_first_attempt() {
    let body = r#"{"type":"event_callback","event":{"type":"message"},"event_id":"Ev1"}"#;
    let retry = [("x-slack-retry-num", "1"), ("x-slack-retry-reason", "http_timeout")];
    assert_eq!(one("slack", &[], body).key, one("slack", &retry, body).key);
}

#[test]
fn a_body_without_an_id_is_told_by_what_surrounds_it() {
    let body = r#"{"type":"ticket.changed","ticket_id":"5","status":"open"}"#;
    let key = |invocation| one("zendesk", &[("x-zendesk-webhook-invocation-id", invocation)], body).key;
    assert_ne!(key("01A"), key("01B"));
    let company = |realm: &str| {
        let body = format!(
            r#"{{"eventNotifications":[{{"realmId":"{realm}","dataChangeEvent":{{"entities":[{{"name":"Customer","id":"1","operation":"Update"}}]}}}}]}}"#
        );
        one("quickbooks", &[], &body).key
    };
    assert_ne!(company("1"), company("2"), "the same id in two companies");
}

#[test]
fn what_is_around_the_events_is_listed_when_nothing_reads_it() {
    let body = br#"{"events":[{"eventType":"UPDATE","extra":1}],"firstEventSequence":1,"lastEventSequence":1,"entropy":"x"}"#;
    assert_eq!(open("xero").unmapped(body).unwrap(), ["entropy", "extra"]);
    let nested = br#"{"eventNotifications":[{"realmId":"1","more":2,"dataChangeEvent":{"entities":[{"name":"Customer","operation":"Update"}]}}]}"#;
    assert_eq!(open("quickbooks").unmapped(nested).unwrap(), ["eventNotifications[*].more"]);
}

#[test]
fn lost_events_ask_for_a_reconcile() {
    let body = r#"{"value":[{"subscriptionId":"s","lifecycleEvent":"missed"}]}"#;
    assert!(matches!(one("microsoft-graph", &[], body).body, EventBody::Reconcile { objects, .. } if objects.is_empty()));
}

#[test]
fn answers_that_wrap_their_records_are_opened() {
    let zendesk = open("zendesk");
    let ids = |body: &str| -> Vec<String> {
        zendesk.record("here", "ticket", body.as_bytes()).unwrap().into_iter().map(|change| change.source.id).collect()
    };
    assert_eq!(ids(r#"{"tickets":[{"id":1},{"id":2}]}"#), ["1", "2"]);
    assert_eq!(ids(r#"{"ticket":{"id":9007199254740993}}"#), ["9007199254740993"]);
    assert_eq!(ids(r#"{"id":3}"#), ["3"]);
    assert_eq!(ids(r#"{"tickets":[]}"#), [""; 0]);
}
