//! A refused property is set aside alone, and the rest of the record goes on.

use canonical::{Dispatch, ObjectType};
use sandbox::{Kind, Property};
use serde_json::json;
use testkit::twin::finish;

use super::hub::{Hub, WRITE_HEADERS, hubspot_options, salesforce_options, text};
use crate::log::logged;
use sync::ports::{Clock, HttpRequest};

fn people(hub: &Hub, count: usize) -> Vec<Dispatch> {
    let person = |n: usize| {
        let email = format!("person{n}@example.com");
        hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &email), ("last_name", "Roe"), ("job_title", "Clerk")])
    };
    (0..count).map(person).collect()
}

#[test]
fn a_property_that_the_account_lacks_costs_one_refused_call_and_one_alarm() {
    let mut options = hubspot_options();
    options.objects.get_mut("contacts").unwrap().properties.remove("jobtitle");
    let mut hub = Hub::with(options, salesforce_options());
    let message = "Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"jobtitle\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"jobtitle\"}]";
    let refusal = json!({"status": "error", "category": "VALIDATION_ERROR", "message": message});
    hub.answers("hubspot", "batch/upsert", "\"jobtitle\"", 400, &refusal);
    let dispatches = people(&hub, 100);
    let ((), log) = logged(|| drop(hub.push("hubspot", &dispatches)));
    let there = hub.records("hubspot", "contacts");
    assert_eq!(there.len(), 100);
    assert!(there.iter().all(|record| text(record, "lastname") == "Roe"));
    assert_eq!(hub.parked("hubspot"), [""; 0]);
    assert!(hub.calls("hubspot") <= 5, "{} calls", hub.calls("hubspot"));
    assert_eq!(log.iter().filter(|line| line.contains("alert=true")).count(), 1, "one cause, one notice");
    assert_eq!(hub.link("hubspot", &dispatches[0]).set_aside()["jobtitle"].code, "PROPERTY_DOESNT_EXIST");

    // Who comes later is written at once, without the property.
    let before = hub.calls("hubspot");
    let late =
        hub.store(ObjectType::Contact, "late", &[("email", "late@example.com"), ("last_name", "Roe"), ("job_title", "Clerk")]);
    let ((), log) = logged(|| drop(hub.push("hubspot", &[late])));
    assert_eq!((hub.records("hubspot", "contacts").len(), hub.calls("hubspot") - before), (101, 2));
    assert!(log.iter().all(|line| !line.contains("alert=true")), "{log:#?}");

    // The property exists again, and the configuration is deployed: what was set aside arrives.
    let mut options = hubspot_options();
    options.objects.get_mut("contacts").unwrap().properties.insert("jobtitle".to_owned(), Property::of(Kind::Text));
    let saved = hub.at("hubspot", |crm| crm.save());
    let mut restored = sandbox::HubSpot::new(options);
    sandbox::Sandbox::restore(&mut restored, &saved).unwrap();
    hub.twin.crms.borrow_mut().0.insert("hubspot.test".to_owned(), Box::new(restored));
    hub.at("hubspot", |crm| crm.clear_faults());
    assert_eq!(hub.reconcile("hubspot").dispatched, 101, "Salesforce is behind; nothing changed for HubSpot");
    hub.deploy();
    hub.reconcile("hubspot");
    hub.run("hubspot", 60_000);
    assert!(hub.records("hubspot", "contacts").iter().all(|record| text(record, "jobtitle") == "Clerk"));
    assert!(hub.link("hubspot", &dispatches[0]).set_aside().is_empty());
}

#[test]
fn a_property_that_is_refused_in_every_record_is_tried_again_after_a_while() {
    let mut options = hubspot_options();
    options.objects.get_mut("contacts").unwrap().properties.remove("jobtitle");
    let hub = Hub::with(options, salesforce_options());
    let dispatches = people(&hub, 3);
    hub.push("hubspot", &dispatches);
    assert_eq!(hub.records("hubspot", "contacts").len(), 3, "rows are judged as calls are");
    assert_eq!(hub.control("refused#hubspot").len(), 1);
    finish(hub.twin.sleep(6 * 3_600_000 + 1_000));
    let before = hub.calls("hubspot");
    hub.push("hubspot", &dispatches[..1]);
    assert_eq!(hub.calls("hubspot") - before, 1, "it is tried, and refused again");
    assert_eq!(hub.link("hubspot", &dispatches[0]).set_aside().len(), 1);
}

#[test]
fn a_refused_value_is_left_out_until_it_changes() {
    let hub = Hub::new();
    let dispatch = hub.store(
        ObjectType::Contact,
        "c1",
        &[("email", "ada@example.com"), ("last_name", "Lovelace"), ("birthday", "1815-12-10"), ("lead_source", "secret words")],
    );
    let mut options = salesforce_options();
    let source = Property::of(Kind::Enum(vec!["Web".to_owned()]));
    options = options.define("Contact", "LeadSource", source);
    hub.twin.crms.borrow_mut().0.insert("salesforce.test".to_owned(), Box::new(sandbox::Salesforce::new(options)));
    let (report, log) = logged(|| hub.push("salesforce", std::slice::from_ref(&dispatch)));
    let there = hub.records("salesforce", "Contact");
    assert_eq!((there.len(), text(&there[0], "LastName"), text(&there[0], "LeadSource")), (1, "Lovelace", ""));
    assert_eq!((hub.parked("salesforce").len(), hub.control("refused#").len()), (0, 0));
    let counted = report.metrics.iter().find(|metric| metric.name == "fields_not_written");
    assert_eq!(counted.map(|metric| metric.value), Some(1.0));
    assert!(log.iter().any(|line| line.contains("a field is not written") && line.contains("LeadSource")), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains("secret words")), "{log:#?}");
    let set_aside = hub.link("salesforce", &dispatch).set_aside().clone();
    assert_eq!(set_aside["LeadSource"].code, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST");

    // The next change goes out without another refusal, and a value that fits is written.
    finish(hub.twin.sleep(60_000));
    let dispatch = hub.store(ObjectType::Contact, "c1", &[("job_title", "Countess")]);
    let before = hub.calls("salesforce");
    hub.push("salesforce", &[dispatch]);
    assert_eq!(hub.calls("salesforce") - before, 2, "a write and its read-back");
    finish(hub.twin.sleep(60_000));
    let dispatch = hub.store(ObjectType::Contact, "c1", &[("lead_source", "Web")]);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    let there = hub.records("salesforce", "Contact");
    assert_eq!((text(&there[0], "LeadSource"), text(&there[0], "Title")), ("Web", "Countess"));
    assert!(hub.link("salesforce", &dispatch).set_aside().is_empty());
}

#[test]
fn a_record_is_refused_whole_where_it_cannot_do_without_the_property() {
    let hub = Hub::new();
    let fault = json!({"errorCode": "STRING_TOO_LONG", "message": "x", "fields": ["LastName"]});
    hub.answers("salesforce", "composite/sobjects", "Lovelace", 400, &json!([fault]));
    let good = hub.store(ObjectType::Contact, "c2", &[("email", "bob@example.com"), ("last_name", "Roe")]);
    let bad = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com"), ("last_name", "Lovelace")]);
    hub.push("salesforce", &[bad, good]);
    assert_eq!(hub.records("salesforce", "Contact").len(), 1);
    assert_eq!(hub.parked("salesforce"), ["provider-rejected"]);
    assert!(hub.reasons("salesforce")[0].contains("STRING_TOO_LONG at LastName"), "{:?}", hub.reasons("salesforce"));
}

#[test]
fn a_field_that_the_org_does_not_show_is_left_out_of_reads() {
    let mut options = salesforce_options();
    options.objects.get_mut("Contact").unwrap().properties.remove("Birthdate");
    let hub = Hub::with(hubspot_options(), options);
    let dispatch = hub.store(ObjectType::Contact, "c1", &[("email", "ada@example.com"), ("last_name", "Lovelace")]);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    assert_eq!(hub.records("salesforce", "Contact").len(), 1);
    assert_eq!(hub.link("salesforce", &dispatch).pushed_version(), 1);
    assert_eq!(hub.parked("salesforce").len(), 0);
    let refused: Vec<String> = hub.control("refused#salesforce").into_iter().map(|item| item.key.sk).collect();
    assert_eq!(refused, ["read#Contact#Birthdate"]);
}

#[test]
fn a_country_that_the_list_of_the_org_lacks_is_left_out_alone() {
    let hub = Hub::new();
    let error = |field: &str, text: &str| {
        let error = json!({"statusCode": "FIELD_INTEGRITY_EXCEPTION", "message": text, "fields": [field]});
        json!([{"success": false, "errors": [error]}])
    };
    let no_country = "A country/territory must be specified before specifying a state value for field: Mailing State/Province";
    let no_member = "There's a problem with this country, even though it may appear correct.";
    hub.answers("salesforce", "composite/sobjects", "MailingState", 200, &error("MailingState", no_country));
    hub.answers("salesforce", "composite/sobjects", "MailingCountry", 200, &error("MailingCountryCode", no_member));
    let address = [("address_country", "DE"), ("address_region", "Bayern"), ("address_city", "Ulm")];
    let fields: Vec<(&str, &str)> = [("email", "ada@example.com"), ("last_name", "Roe")].into_iter().chain(address).collect();
    let dispatch = hub.store(ObjectType::Contact, "c1", &fields);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    let there = hub.records("salesforce", "Contact");
    assert_eq!((there.len(), text(&there[0], "MailingCity"), hub.parked("salesforce").len()), (1, "Ulm", 0));
    let left_out: Vec<String> = hub.link("salesforce", &dispatch).set_aside().keys().cloned().collect();
    assert_eq!(left_out, ["MailingCountry", "MailingState"]);
}

#[test]
fn the_configured_headers_go_with_writes_alone() {
    let hub = Hub::new();
    let dispatch = people(&hub, 1).remove(0);
    hub.push("salesforce", std::slice::from_ref(&dispatch));
    hub.push("hubspot", &[dispatch]);
    finish(hub.twin.sleep(60_000));
    let changed = hub.store(ObjectType::Contact, "c0", &[("job_title", "Countess")]);
    hub.push("salesforce", &[changed]);
    assert_eq!(text(&hub.records("salesforce", "Contact")[0], "Title"), "Countess");
    let requests = hub.twin.requests.borrow();
    let at = |host: &str| requests.iter().filter(|request| request.url.contains(host)).collect::<Vec<_>>();
    let carries = |request: &&&HttpRequest| request.headers.iter().any(|(name, value)| (&**name, &**value) == WRITE_HEADERS);
    let salesforce = at("salesforce.test");
    let (with, without): (Vec<_>, Vec<_>) = salesforce.iter().partition(|request| carries(request));
    assert_eq!(with.len(), 2, "a new contact and a changed one");
    assert!(with.iter().all(|request: &&HttpRequest| request.method == "PATCH"), "writes");
    assert!(!without.is_empty() && without.iter().all(|request| request.method != "PATCH"), "and reads go without");
    assert!(at("hubspot.test").iter().all(|request| !carries(&request)), "another connection has none");
}
