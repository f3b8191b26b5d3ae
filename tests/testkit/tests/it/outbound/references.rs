//! Rows that are refused because an object that they refer to does not exist.

use canonical::ObjectType;
use serde_json::json;
use sync::ports::Clock;
use testkit::twin::finish;

use super::hub::{Hub, text};

const ADA: [(&str, &str); 2] = [("email", "ada@example.com"), ("last_name", "Lovelace")];
const ACCOUNT: (&str, &str) = ("company", "salesforce/Account/001000000000001AAA");

/// Salesforce refuses every row with a reference to an account, without naming the field.
fn refuse_accounts(hub: &Hub, code: &str) {
    let error = json!({"statusCode": code, "message": "entity is deleted", "fields": []});
    hub.answers("salesforce", "composite/sobjects", "AccountId", 200, &json!([{"success": false, "errors": [error]}]));
}

#[test]
fn a_reference_that_leads_nowhere_is_left_out_and_the_record_lives() {
    for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"] {
        let hub = Hub::new();
        hub.push("salesforce", &[hub.store(ObjectType::Contact, "c1", &ADA)]);
        refuse_accounts(&hub, code);
        finish(hub.twin.sleep(60_000));
        let dispatch = hub.store(ObjectType::Contact, "c1", &[ACCOUNT, ("job_title", "Countess")]);
        hub.push("salesforce", std::slice::from_ref(&dispatch));
        let there = hub.records("salesforce", "Contact");
        assert_eq!((there.len(), text(&there[0], "Title"), text(&there[0], "AccountId")), (1, "Countess", ""), "{code}");
        let link = hub.link("salesforce", &dispatch);
        assert!(!link.is_gone(), "{code}");
        assert_eq!(link.set_aside()["AccountId"].code, code);
        assert_eq!(hub.parked("salesforce").len(), 0, "{code}");
    }
}

#[test]
fn a_new_record_goes_without_a_reference_that_leads_nowhere() {
    let hub = Hub::new();
    refuse_accounts(&hub, "ENTITY_IS_DELETED");
    let dispatch = hub.store(ObjectType::Contact, "c1", &[ADA[0], ADA[1], ACCOUNT]);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    assert_eq!(hub.records("salesforce", "Contact").len(), 1);
    assert_eq!(hub.parked("salesforce").len(), 0);

    // The next day it is tried again.
    hub.at("salesforce", |crm| crm.clear_faults());
    finish(hub.twin.sleep(86_401_000));
    assert!(hub.link("salesforce", &dispatch).set_aside().contains_key("AccountId"));
    hub.reconcile("salesforce");
    assert!(hub.link("salesforce", &dispatch).set_aside().is_empty());
}

#[test]
fn an_object_that_a_read_does_not_find_either_is_looked_at_again() {
    let hub = Hub::new();
    hub.push("salesforce", &[hub.store(ObjectType::Contact, "c1", &ADA)]);
    let id = hub.at("salesforce", |crm| crm.dump()["objects"]["Contact"][0]["id"].as_str().unwrap().to_owned());
    let now_ms = hub.twin.now_ms();
    hub.at("salesforce", |crm| crm.delete("Contact", &id, now_ms)).unwrap();
    finish(hub.twin.sleep(60_000));
    let dispatch = hub.store(ObjectType::Contact, "c1", &[("job_title", "Countess")]);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    assert!(!hub.link("salesforce", &dispatch).is_gone(), "one answer proves nothing");
    assert!(hub.link("salesforce", &dispatch).set_aside().is_empty());
    assert_eq!(hub.twin.queues.borrow().peek("fetch").len(), 1, "a second look is requested");
}
