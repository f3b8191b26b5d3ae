//! A refusal concerns what it is about: one record, one object type, or the connection.

use canonical::ObjectType;
use sandbox::{Fault, FaultKind};
use serde_json::json;

use super::hub::{Hub, text};
use crate::log::logged;

fn alarms(log: &[String]) -> Vec<&String> {
    log.iter().filter(|line| line.contains("alert=true")).collect()
}

#[test]
fn a_missing_scope_pauses_its_object_type_alone() {
    let hub = Hub::new();
    let refusal = json!({
        "status": "error", "category": "MISSING_SCOPES", "message": "This app hasn't been granted all required scopes to make this call.",
        "errors": [{"message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": ["crm.objects.tickets.write"]}}],
    });
    hub.answers("hubspot", "/tickets/", "", 403, &refusal);
    let ticket = hub.store(ObjectType::Ticket, "t1", &[("subject", "Broken"), ("status", "open")]);
    let contact = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com")]);
    let ((), log) = logged(|| drop(hub.push("hubspot", &[ticket.clone(), contact])));
    assert_eq!(hub.records("hubspot", "contacts").len(), 1, "the others go on");
    assert_eq!(alarms(&log).len(), 1, "{log:#?}");
    assert!(alarms(&log)[0].contains("crm.objects.tickets.write") && alarms(&log)[0].contains("tickets"), "{}", alarms(&log)[0]);
    assert_eq!(hub.parked("hubspot"), [""; 0]);

    let ((), log) = logged(|| hub.run("hubspot", 120_000));
    assert_eq!((alarms(&log).len(), hub.control("held#hubspot").len()), (0, 1), "the ticket is held");
    let before = hub.calls("hubspot");
    let contact = hub.store(ObjectType::Contact, "c2", &[("email", "bob@example.com")]);
    hub.push("hubspot", &[ticket, contact]);
    assert_eq!((hub.records("hubspot", "contacts").len(), hub.parked("hubspot").len()), (2, 0));
    assert!(hub.calls("hubspot") - before <= 2, "no call for tickets");
}

#[test]
fn a_firewall_that_dislikes_one_payload_stops_one_record() {
    let hub = Hub::new();
    let page = FaultKind::Answer {
        status: 403,
        body: "<html><head><title>Attention Required</title></head><body>blocked</body></html>".to_owned(),
        media: Some("text/html".to_owned()),
    };
    hub.at("hubspot", |crm| crm.fault(Fault::always(page).with_body("DROP TABLE")));
    let dispatches: Vec<_> = (0..20)
        .map(|n| {
            let (email, company) = (format!("p{n}@example.com"), if n == 7 { "x'; DROP TABLE users" } else { "Acme" });
            hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &email), ("company_name", company)])
        })
        .collect();
    let ((), log) = logged(|| drop(hub.push("hubspot", &dispatches)));
    assert_eq!(hub.records("hubspot", "contacts").len(), 19);
    assert_eq!((alarms(&log).len(), hub.control("pause#").len()), (0, 0), "no credential is lost");
    hub.run("hubspot", 3 * 3_600_000);
    assert_eq!(hub.parked("hubspot").len(), 1);
    let queues = hub.twin.queues.borrow();
    let letter = &queues.peek("upsert-hubspot-dlq")[0];
    assert!(letter.body.contains(dispatches[7].record.as_str()), "{}", letter.body);
    assert!(letter.attributes["detail"].contains("provider-blocked"), "{:?}", letter.attributes);
}

#[test]
fn a_full_org_is_paused_once_with_the_cause() {
    let hub = Hub::new();
    let error = json!({"statusCode": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded", "fields": []});
    let rows: Vec<_> = (0..8).map(|_| json!({"success": false, "errors": [error]})).collect();
    hub.answers("salesforce", "composite/sobjects", "", 200, &json!(rows));
    let dispatches: Vec<_> =
        (0..8).map(|n| hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &format!("p{n}@example.com"))])).collect();
    let ((), log) = logged(|| drop(hub.push("salesforce", &dispatches)));
    assert_eq!(alarms(&log).len(), 1, "{log:#?}");
    assert!(alarms(&log)[0].contains("STORAGE_LIMIT_EXCEEDED"), "{}", alarms(&log)[0]);
    hub.run("salesforce", 120_000);
    assert_eq!((hub.parked("salesforce").len(), hub.control("held#salesforce").len()), (0, 8));
    let reason = hub.control("pause#salesforce")[0].s("reason").unwrap_or_default().to_owned();
    assert!(reason.contains("STORAGE_LIMIT_EXCEEDED"), "{reason}");
}

#[test]
fn a_used_up_allowance_makes_the_connection_wait_without_calls() {
    let hub = Hub::new();
    let error = json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]);
    hub.answers("salesforce", "", "", 403, &error);
    let dispatches: Vec<_> =
        (0..3).map(|n| hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &format!("p{n}@example.com"))])).collect();
    let ((), log) = logged(|| drop(hub.push("salesforce", &dispatches[..1])));
    assert_eq!(alarms(&log).len(), 1);
    let before = hub.calls("salesforce");
    hub.push("salesforce", &dispatches[1..]);
    assert_eq!(hub.calls("salesforce"), before, "the connection rests");
    hub.at("salesforce", |crm| crm.clear_faults());
    hub.run("salesforce", 600_000);
    assert_eq!((hub.records("salesforce", "Contact").len(), hub.parked("salesforce").len()), (3, 0));
}

#[test]
fn a_query_that_takes_too_long_waits_or_is_made_smaller() {
    let hub = Hub::new();
    let error = json!([{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running for too long."}]);
    let kind = FaultKind::Answer { status: 400, body: error.to_string(), media: None };
    hub.at("salesforce", |crm| crm.fault(Fault::always(kind).on("/query").times(1)));
    let dispatches: Vec<_> = (0..4)
        .map(|n| {
            hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &format!("p{n}@example.com")), ("last_name", "Roe")])
        })
        .collect();
    hub.push("salesforce", &dispatches);
    assert_eq!(hub.parked("salesforce"), [""; 0]);
    hub.run("salesforce", 600_000);
    let there = hub.records("salesforce", "Contact");
    assert_eq!((there.len(), text(&there[0], "LastName"), hub.parked("salesforce").len()), (4, "Roe", 0));
}
