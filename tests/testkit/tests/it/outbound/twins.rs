//! An object that stands for the record already is found, however the destination holds its key, and never created a second time.

use canonical::ObjectType;
use sandbox::Fault;
use serde_json::{Map, json};
use testkit::twin::finish;

use super::hub::{Hub, hubspot_options, salesforce_options, text};

fn properties(value: serde_json::Value) -> Map<String, serde_json::Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[test]
fn a_call_of_one_row_that_names_the_holder_of_a_key_is_judged_like_a_row() {
    let hub = Hub::new();
    let held = properties(json!({"email": "old@example.com", "lastname": "Lovelace"}));
    let id = hub.at("hubspot", |crm| crm.seed("contacts", &held, super::hub::NOW_MS - 1_000_000)).unwrap();
    let refusal =
        json!({"status": "error", "category": "CONFLICT", "message": format!("Contact already exists. Existing ID: {id}")});
    hub.answers("hubspot", "batch/upsert", "ada@example.com", 409, &refusal);
    let dispatch = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com"), ("job_title", "Countess")]);
    let other = hub.store(ObjectType::Contact, "c2", &[("email", "bob@example.com")]);
    hub.push("hubspot", &[dispatch.clone(), other]);
    assert_eq!(hub.parked("hubspot"), [""; 0], "nothing is final before a second look");
    hub.run("hubspot", 300_000);
    assert_eq!(hub.link("hubspot", &dispatch).remote_id(), Some(id.as_str()));
    assert_eq!((hub.records("hubspot", "contacts").len(), hub.parked("hubspot").len()), (2, 0));
}

#[test]
fn a_company_is_found_under_a_further_domain() {
    let hub = Hub::new();
    let held = properties(json!({"name": "Acme", "domain": "acme.com", "hs_additional_domains": "acme.org;acme.net"}));
    let id = hub.at("hubspot", |crm| crm.seed("companies", &held, super::hub::NOW_MS - 1_000_000)).unwrap();
    let dispatch = hub.store(ObjectType::Company, "c1", &[("domain", "acme.net"), ("name", "Acme")]);
    hub.push("hubspot", std::slice::from_ref(&dispatch));
    hub.run("hubspot", 120_000);
    assert_eq!(hub.link("hubspot", &dispatch).remote_id(), Some(id.as_str()));
    assert_eq!(hub.records("hubspot", "companies").len(), 1);
}

#[test]
fn a_website_is_found_in_every_spelling() {
    for held in ["acme.com", "www.acme.com", "http://acme.com", "https://www.acme.com/", "HTTP://ACME.COM/", "https://acme.com"] {
        let hub = Hub::new();
        let account = properties(json!({"Name": "Acme", "Website": held}));
        let id = hub.at("salesforce", |crm| crm.seed("Account", &account, super::hub::NOW_MS - 1_000_000)).unwrap();
        let dispatch =
            hub.store(ObjectType::Company, "c1", &[("domain", "acme.com"), ("website", "https://acme.com"), ("name", "Acme")]);
        hub.push("salesforce", std::slice::from_ref(&dispatch));
        hub.run("salesforce", 120_000);
        assert_eq!(hub.link("salesforce", &dispatch).remote_id(), Some(id.as_str()), "{held}");
        assert_eq!(hub.records("salesforce", "Account").len(), 1, "{held}");
    }
}

#[test]
fn a_look_up_reads_every_page() {
    let mut options = salesforce_options();
    options.page = 2;
    let hub = Hub::with(hubspot_options(), options);
    let mut dispatches = Vec::new();
    for n in 0..7 {
        let account = properties(json!({"Name": format!("Company {n}"), "Website": format!("https://company{n}.com")}));
        hub.at("salesforce", |crm| crm.seed("Account", &account, super::hub::NOW_MS - 1_000_000)).unwrap();
        let (domain, website) = (format!("company{n}.com"), format!("https://company{n}.com"));
        let fields = [("domain", domain.as_str()), ("website", website.as_str()), ("name", "A company")];
        dispatches.push(hub.store(ObjectType::Company, &format!("c{n}"), &fields));
    }
    hub.push("salesforce", &dispatches);
    hub.run("salesforce", 120_000);
    assert_eq!((hub.records("salesforce", "Account").len(), hub.parked("salesforce").len()), (7, 0), "none is created twice");
}

#[test]
fn a_duplicate_rule_leads_to_adoption_or_to_a_review_with_both_records() {
    let hub = Hub::new();
    let same = properties(json!({"LastName": "Lovelace", "Email": "ADA@example.com"}));
    let similar = properties(json!({"LastName": "Bobson", "Email": "robert@example.com"}));
    let seed = |record| hub.at("salesforce", |crm| crm.seed("Contact", record, super::hub::NOW_MS - 1_000_000)).unwrap();
    let (same, similar) = (seed(&same), seed(&similar));
    let rule = |id: &str| {
        let record = json!({"matchConfidence": 90.0, "record": {"attributes": {"type": "Contact"}, "Id": id}});
        let found = json!({"allowSave": true, "duplicateRule": "Standard_Contact_Duplicate_Rule", "matchResults": [{"matchRecords": [record]}]});
        let error = json!({"statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": [], "duplicateResult": found});
        json!([{"success": false, "errors": [error]}])
    };
    hub.answers("salesforce", "composite/sobjects/Contact", "bob@example.com", 200, &rule(&similar));
    // The index of the org lags: the first search does not find the record that the rule names.
    let nothing = sandbox::FaultKind::Answer { status: 200, body: json!({"done": true, "records": []}).to_string(), media: None };
    hub.at("salesforce", |crm| crm.fault(Fault::always(nothing).on("/query").times(1)));
    hub.answers("salesforce", "composite/sobjects/Contact", "ada@example.com", 200, &rule(&same));
    let ada = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com"), ("last_name", "Lovelace")]);
    hub.push("salesforce", std::slice::from_ref(&ada));
    hub.run("salesforce", 300_000);
    assert_eq!(hub.link("salesforce", &ada).remote_id(), Some(same.as_str()));
    let bob = hub.store(ObjectType::Contact, "c2", &[("email", "bob@example.com"), ("last_name", "Bobson")]);
    hub.push("salesforce", &[bob]);
    hub.run("salesforce", 300_000);
    assert_eq!(hub.parked("salesforce"), ["provider-ambiguous"]);
    let reason = &hub.reasons("salesforce")[0];
    assert!(reason.contains("Standard_Contact_Duplicate_Rule") && reason.contains(&similar), "{reason}");
}

#[test]
fn an_address_that_another_object_holds_is_set_aside_for_a_linked_one() {
    let hub = Hub::new();
    let ada = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com")]);
    hub.push("hubspot", &[ada]);
    let held = properties(json!({"email": "countess@example.com"}));
    hub.at("hubspot", |crm| crm.create("contacts", &held, super::hub::NOW_MS)).unwrap();
    finish(sync::ports::Clock::sleep(&hub.twin, 60_000));
    let ada = hub.store(ObjectType::Contact, "c1", &[("email", "countess@example.com"), ("job_title", "Countess")]);
    hub.push("hubspot", std::slice::from_ref(&ada));
    hub.run("hubspot", 300_000);
    let there = hub.records("hubspot", "contacts");
    assert!(there.iter().any(|r| text(r, "email") == "ada@example.com" && text(r, "jobtitle") == "Countess"), "{there:#?}");
    assert_eq!(hub.parked("hubspot"), [""; 0]);
    assert!(hub.link("hubspot", &ada).set_aside().contains_key("email"));
    assert!(!hub.twin.queues.borrow().peek("fetch").is_empty(), "the holder is read");
}
