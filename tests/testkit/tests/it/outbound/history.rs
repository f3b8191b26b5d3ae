//! What the audit log says about pushes: what the destination has reported, and nothing else.

use canonical::ObjectType;
use sandbox::{Fault, FaultKind};
use serde_json::json;
use sync::ports::Clock;
use testkit::twin::finish;

use super::hub::Hub;

const ADA: [(&str, &str); 2] = [("email", "ada@example.com"), ("last_name", "Lovelace")];

#[test]
fn a_refused_write_is_never_a_push() {
    let hub = Hub::new();
    let fault = json!({"errorCode": "STRING_TOO_LONG", "message": "x", "fields": ["LastName"]});
    hub.answers("salesforce", "composite/sobjects", "Lovelace", 400, &json!([fault]));
    let dispatch = hub.store(ObjectType::Contact, "c1", &ADA);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    assert_eq!(hub.audited("salesforce"), ["refused"]);

    // Later it is taken. The refusal stays in the history.
    hub.at("salesforce", |crm| crm.clear_faults());
    finish(hub.twin.sleep(60_000));
    hub.push("salesforce", &[dispatch]);
    assert_eq!(hub.audited("salesforce"), ["refused", "pushed"]);
}

#[test]
fn a_push_whose_answer_was_lost_is_in_the_history_once_it_is_found() {
    let hub = Hub::new();
    hub.at("salesforce", |crm| crm.fault(Fault::always(FaultKind::LoseAnswer).on("composite/sobjects").times(1)));
    hub.push("salesforce", &[hub.store(ObjectType::Contact, "c1", &ADA)]);
    assert_eq!(hub.audited("salesforce"), Vec::<String>::new());
    hub.run("salesforce", 300_000);
    assert_eq!(hub.audited("salesforce"), ["found pushed"]);
    assert_eq!(hub.records("salesforce", "Contact").len(), 1);
}
