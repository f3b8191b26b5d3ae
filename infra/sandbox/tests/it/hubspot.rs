//! The rules of the stand-in for HubSpot.

use sandbox::{HubSpot, Sandbox, hubspot};
use serde_json::{Value, json};

use crate::shapes::assert_shape;
use crate::{T0, call, map};

fn with_webhooks(delay_ms: (i64, i64)) -> HubSpot {
    let subscriptions = [
        "contact.creation",
        "contact.deletion",
        "contact.merge",
        "contact.privacyDeletion",
        "contact.propertyChange:email",
        "company.propertyChange:*",
    ];
    let subscriptions = subscriptions.map(str::to_owned).to_vec();
    let webhooks = hubspot::Webhooks { portal_id: 62_515, app_id: 54_321, subscriptions, delay_ms };
    HubSpot::new(hubspot::Options { webhooks: Some(webhooks), ..hubspot::Options::default() })
}

fn events(sandbox: &mut HubSpot, now_ms: i64) -> Vec<Value> {
    let mut events = Vec::new();
    for webhook in sandbox.due_webhooks(now_ms) {
        sandbox.webhook_answered(webhook.id, true, now_ms);
        events.extend(serde_json::from_slice::<Vec<Value>>(&webhook.body).expect("an array"));
    }
    events.iter().for_each(|e| assert_shape(e, "event"));
    events
}

fn summary(events: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = events
        .iter()
        .map(|e| {
            let text = |name: &str| e[name].as_str().unwrap_or("-").to_owned();
            format!("{} {}={} {}", text("subscriptionType"), text("propertyName"), text("propertyValue"), text("changeSource"))
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn own_changes_come_back_as_webhooks() {
    let mut sandbox = with_webhooks((0, 0));
    sandbox.seed("contacts", &map(json!({"email": "old@x.test"})), T0).expect("seeded");
    assert_eq!(sandbox.next_webhook_ms(), None, "what was always there is no event");
    let body = json!({"inputs": [{"id": "g1", "idProperty": "hub_id", "properties": {"email": " A@x.test", "phone": "1"}}]});
    let written = call(&mut sandbox, "POST", "/crm/v3/objects/contacts/batch/upsert", body.clone(), T0 + 7);
    let seen = events(&mut sandbox, T0 + 7);
    let expected = ["contact.creation -=- INTEGRATION", "contact.propertyChange email=a@x.test INTEGRATION"];
    assert_eq!(summary(&seen), expected, "only what was subscribed, as it was stored");
    assert_eq!((&seen[0]["occurredAt"], seen[0]["sourceId"].as_str()), (&json!(T0 + 7), Some("54321")));
    let id = written.value()["results"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(seen[0]["objectId"].to_string(), id);
    call(&mut sandbox, "POST", "/crm/v3/objects/contacts/batch/upsert", body, T0 + 8);
    assert_eq!(events(&mut sandbox, T0 + 8), Vec::<Value>::new(), "nothing changed");

    sandbox.edit("contact", &id, &map(json!({"email": ""})), T0 + 9).expect("edited");
    let other = sandbox.create("contacts", &map(json!({"phone": "2", "lastname": "Roe"})), T0 + 10).expect("created");
    sandbox.merge("contacts", &id, &other, T0 + 11).expect("merged");
    sandbox.delete("contacts", &id, T0 + 12).expect("deleted");
    let expected = [
        "contact.creation -=- CRM_UI",
        "contact.deletion -=- CRM_UI",
        "contact.merge -=- CRM_UI",
        "contact.propertyChange email= CRM_UI",
    ];
    assert_eq!(summary(&events(&mut sandbox, T0 + 12)), expected);
}

#[test]
fn a_webhook_that_fails_comes_again_and_survives_a_restart() {
    let mut sandbox = with_webhooks((5, 500));
    for i in 0..150 {
        sandbox.create("contacts", &map(json!({"email": format!("p{i}@x.test")})), T0 + i).expect("created");
    }
    assert!(sandbox.next_webhook_ms().is_some_and(|due| due >= T0 + 5));
    let first = sandbox.due_webhooks(T0 + 1_000);
    assert_eq!(first.iter().map(|w| w.events).collect::<Vec<_>>(), [100, 100, 100]);
    let ids = |body: &[u8]| {
        serde_json::from_slice::<Vec<Value>>(body).expect("an array").iter().map(|e| e["objectId"].as_u64()).collect::<Vec<_>>()
    };
    assert!(!ids(&first[0].body).is_sorted(), "delays differ, so order is lost");
    sandbox.webhook_answered(first[0].id, true, T0 + 1_000);
    sandbox.webhook_answered(first[1].id, false, T0 + 1_000);
    // The third is in flight when the process ends.
    let mut later = with_webhooks((5, 500));
    later.restore(&sandbox.save()).expect("a saved state");
    assert_eq!(later.due_webhooks(T0 + 1_001).iter().map(|w| (w.events, w.attempt)).collect::<Vec<_>>(), [(100, 0)]);
    let again = later.due_webhooks(T0 + 60_000);
    assert_eq!(again.iter().map(|w| (w.events, w.attempt)).collect::<Vec<_>>(), [(100, 1)]);
    let event = &serde_json::from_slice::<Vec<Value>>(&again[0].body).expect("an array")[0];
    assert_eq!(event["attemptNumber"], 1);
}

#[test]
fn a_merged_id_leads_to_its_survivor() {
    let mut sandbox = HubSpot::new(hubspot::Options::default());
    let a = sandbox.create("contacts", &map(json!({"email": "a@x.test", "firstname": "A"})), T0).expect("created");
    let b = sandbox.create("contacts", &map(json!({"email": "b@x.test", "lastname": "B"})), T0).expect("created");
    let company = sandbox.create("companies", &map(json!({"name": "Acme"})), T0).expect("created");
    call(&mut sandbox, "PUT", &format!("/crm/v4/objects/contact/{b}/associations/default/company/{company}"), Value::Null, T0);
    sandbox.merge("contacts", &a, &b, T0 + 1).expect("merged");
    assert!(sandbox.merge("contacts", &a, &b, T0 + 2).is_err(), "they are one by now");
    let read = call(&mut sandbox, "GET", &format!("/crm/v3/objects/contacts/{b}?properties=email,lastname"), Value::Null, T0 + 3)
        .value();
    assert_eq!((read["id"].as_str(), &read["properties"]["lastname"]), (Some(a.as_str()), &json!("B")));
    let expected =
        json!([{"links": ["companies: Acme"], "properties": {"email": "a@x.test", "firstname": "A", "lastname": "B"}}]);
    assert_eq!(sandbox.comparable(&[])["contacts"], expected);
}

#[test]
fn batches_and_searches_have_limits() {
    let mut sandbox = HubSpot::new(hubspot::Options::default());
    let inputs = |n: usize| json!({"inputs": (0..n).map(|i| json!({"id": i.to_string()})).collect::<Vec<_>>(), "properties": [], "propertiesWithHistory": []});
    let base = "/crm/v3/objects/deals";
    let mut status = |path: &str, body: Value, at: i64| {
        let answer = call(&mut sandbox, "POST", &format!("{base}/{path}"), body, T0 + at);
        (
            answer.status,
            answer.value()["policyName"].as_str().map(str::to_owned),
            answer.header("x-hubspot-ratelimit-remaining").map(str::to_owned),
        )
    };
    assert_eq!(status("batch/read", inputs(101), 0).0, 400);
    assert_eq!(status("batch/read", inputs(100), 0), (207, None, Some("98".into())));
    let mut with_history = inputs(51);
    with_history["propertiesWithHistory"] = json!(["amount"]);
    assert_eq!(status("batch/read", with_history, 0).0, 400);
    let twice = json!({"inputs": [{"id": "g", "idProperty": "hub_id", "properties": {}}, {"id": "g", "idProperty": "hub_id", "properties": {}}]});
    assert_eq!(status("batch/upsert", twice, 0).0, 400);
    let not_unique = json!({"inputs": [{"id": "g", "idProperty": "dealname", "properties": {}}]});
    assert_eq!(status("batch/upsert", not_unique, 0).0, 400);

    let filter = json!({"propertyName": "amount", "operator": "GT", "value": "9"});
    let group = |n: usize| json!({"filters": vec![filter.clone(); n]});
    assert_eq!(
        status("search", json!({"limit": 200, "after": "9800"}), 1_000),
        (200, None, None),
        "searches have no rate headers"
    );
    assert_eq!(status("search", json!({"limit": 200, "after": "9801"}), 2_000).0, 400);
    assert_eq!(status("search", json!({"limit": 201}), 3_000).0, 400);
    assert_eq!(status("search", json!({"filterGroups": vec![group(1); 6]}), 4_000).0, 400);
    assert_eq!(status("search", json!({"filterGroups": [group(7)]}), 5_000).0, 400);
    assert_eq!(status("search", json!({"filterGroups": vec![group(5); 4]}), 6_000).0, 400);
    assert_eq!(
        status(
            "search",
            json!({"filterGroups": [{"filters": [{"propertyName": "nosuch", "operator": "EQ", "value": "1"}]}]}),
            7_000
        )
        .0,
        400
    );
    for i in 0..5 {
        assert_eq!(status("search", json!({}), 20_000 + i).0, 200);
    }
    assert_eq!(status("search", json!({}), 20_999), (429, Some("SECONDLY".into()), None));
    assert_eq!(status("search", json!({}), 21_001).0, 200);
}

#[test]
fn searches_compare_by_kind() {
    let mut sandbox =
        HubSpot::new(hubspot::Options { search_lag_ms: 0, searches_per_second: 100, ..hubspot::Options::default() });
    for (name, amount, close) in
        [("Alpha", "9", "2026-01-05T00:00:00Z"), ("Beta", "10", "2026-02-01T00:00:00Z"), ("Gamma", "", "")]
    {
        sandbox.seed("deals", &map(json!({"dealname": name, "amount": amount, "closedate": close})), T0).expect("seeded");
    }
    let mut names = |filter: Value| {
        let body =
            json!({"filterGroups": [{"filters": [filter]}], "sorts": [{"propertyName": "dealname", "direction": "DESCENDING"}]});
        let hits = call(&mut sandbox, "POST", "/crm/v3/objects/deals/search", body, T0).value();
        hits["results"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| r["properties"]["dealname"].as_str().unwrap_or("?").to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut by = |property: &str, operator: &str, value: &str| {
        names(json!({"propertyName": property, "operator": operator, "value": value}))
    };
    assert_eq!(by("amount", "GT", "9"), "Beta", "numbers, not texts");
    assert_eq!(by("amount", "LTE", "9"), "Alpha");
    assert_eq!(by("amount", "NOT_HAS_PROPERTY", ""), "Gamma");
    assert_eq!(by("amount", "NEQ", "9"), "Gamma Beta");
    assert_eq!(by("closedate", "GTE", "1769904000000"), "Beta");
    assert_eq!(by("dealname", "EQ", "ALPHA"), "Alpha");
    assert_eq!(by("dealname", "CONTAINS_TOKEN", "amm*"), "Gamma");
    assert_eq!(
        names(json!({"propertyName": "dealname", "operator": "IN", "values": ["alpha", "Beta"]})),
        "Alpha",
        "lists take lower case only"
    );
    assert_eq!(names(json!({"propertyName": "amount", "operator": "BETWEEN", "value": "9.5", "highValue": "10"})), "Beta");
}

#[test]
fn values_are_normalised_and_truncated_as_the_options_say() {
    let mut options = hubspot::Options::default();
    let contacts = options.objects.get_mut("contacts").expect("contacts");
    let phone = contacts.properties.get_mut("phone").expect("phone");
    phone.normalise.push(sandbox::Normalise::Phone);
    let title = contacts.properties.get_mut("jobtitle").expect("jobtitle");
    (title.max, title.overflow) = (Some(5), sandbox::Overflow::Truncate);
    let mut sandbox = HubSpot::new(options);
    let given = json!({"phone": "+14155550100", "jobtitle": "Engineer", "email": "A@X.test", "lifecyclestage": null, "hs_email_optout": true});
    sandbox.seed("contacts", &map(given), T0).expect("seeded");
    let expected = json!({"phone": "+1 (415) 555-0100", "jobtitle": "Engin", "email": "a@x.test", "hs_email_optout": "true"});
    assert_eq!(sandbox.comparable(&[])["contacts"][0]["properties"], expected);
}

#[test]
fn a_privacy_deletion_leaves_nothing_and_causes_two_events() {
    let mut sandbox = with_webhooks((0, 0));
    sandbox.seed("contacts", &map(json!({"email": "a@x.test"})), T0).expect("seeded");
    let body = json!({"objectId": "A@x.test", "idProperty": "email"});
    assert_eq!(call(&mut sandbox, "POST", "/crm/v3/objects/contacts/gdpr-delete", body.clone(), T0).status, 204);
    assert_eq!(
        summary(&events(&mut sandbox, T0)),
        ["contact.deletion -=- INTEGRATION", "contact.privacyDeletion -=- INTEGRATION"]
    );
    assert!(!sandbox.save().to_string().contains("a@x.test"));
    assert_eq!(call(&mut sandbox, "POST", "/crm/v3/objects/contacts/gdpr-delete", body, T0).status, 204);
}
