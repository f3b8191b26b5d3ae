//! The hub does nothing that nobody asked for: it takes in no old records by itself, makes nobody of an empty form, and its own
//! write dates no value.

use canonical::ObjectType;
use serde_json::{Value, json};
use sync::config::Hub;
use sync::reconcile::Job;
use testkit::sim::{Crm, START_MS, Story};

const DAY_MS: i64 = 86_400_000;

fn sweeping(hub: &mut Hub) {
    for (name, object) in [("hubspot", "contacts"), ("salesforce", "Contact")] {
        hub.connections.get_mut(name).unwrap().sweep = vec![object.to_owned()];
    }
}

fn salesforce_contact(email: &str, first_name: &str) -> serde_json::Map<String, Value> {
    let properties = json!({ "Email": email, "FirstName": first_name, "LastName": "Lovelace" });
    properties.as_object().cloned().unwrap()
}

#[test]
fn the_first_sweep_begins_now() {
    let mut story = Story::new(sweeping);
    story.seed(Crm::HubSpot, "contacts", &[("email", "old@example.com")], START_MS - DAY_MS);
    story.seed(Crm::Salesforce, "Contact", &[("Email", "old@example.org"), ("LastName", "Old")], START_MS - DAY_MS);
    // Moments before the connection is as old as a year before it.
    story.seed(Crm::Salesforce, "Contact", &[("Email", "just@example.org"), ("LastName", "Just")], START_MS - 1_000);
    story.reconcile(Job::Full);
    story.pass(3_600_000);
    story.reconcile(Job::Full);
    assert_eq!(story.golden(ObjectType::Contact).len(), 0);

    let new = salesforce_contact("new@example.org", "Ada");
    story.at(Crm::Salesforce, |crm, now_ms| crm.create("Contact", &new, now_ms)).unwrap();
    story.pass(60_000);
    story.reconcile(Job::Sweep);
    assert_eq!(story.golden(ObjectType::Contact).len(), 1, "what is new is swept");
    let at_hubspot: Vec<_> = story.records(Crm::HubSpot, "contacts").into_iter().map(|r| r.properties["email"].clone()).collect();
    assert_eq!(at_hubspot, ["old@example.com", "new@example.org"]);
}

#[test]
fn a_form_without_a_key_makes_nobody_until_a_key_arrives() {
    let mut story = Story::new(|_| {});
    story.submit(&json!({ "form_id": "x" }));
    story.submit(&json!({ "form_id": "x", "submission_id": "s1", "fields": { "name": "Somebody", "message": "Hello" } }));
    assert_eq!(story.outcomes()["held"], 2);
    story.reconcile(Job::Full);
    assert!(story.records(Crm::HubSpot, "contacts").is_empty());
    assert!(story.records(Crm::Salesforce, "Contact").is_empty());
    let held = story.golden(ObjectType::Contact);
    assert_eq!(held.iter().filter(|golden| golden.no_key).count(), 2, "both are stored");

    story.pass(1_000);
    let fields = json!({ "email": "somebody@example.com" });
    story.submit(&json!({ "form_id": "x", "submission_id": "s1", "submitted_at": "2026-03-02T08:30:00Z", "fields": fields }));
    let [contact] = story.records(Crm::HubSpot, "contacts").try_into().unwrap();
    assert_eq!(
        (&contact.properties["email"], &contact.properties["lastname"]),
        (&json!("somebody@example.com"), &json!("Somebody"))
    );
    assert_eq!(story.records(Crm::Salesforce, "Contact").len(), 1);
    assert_eq!(story.golden(ObjectType::Contact).iter().filter(|golden| golden.no_key).count(), 1);
}

#[test]
fn an_earlier_configuration_can_be_deployed_again() {
    let mut story = Story::new(|hub| hub.generation = 5);
    let submit = |story: &mut Story, name: &str, at: &str| {
        let fields = json!({ "email": "ada@example.com", "first_name": name });
        story.submit(&json!({ "form_id": "x", "submitted_at": at, "fields": fields }));
        let [golden] = story.golden(ObjectType::Contact).try_into().unwrap();
        (golden.fields["first_name"].value.to_string(), golden.generation, story.queued("ingest-urgent-dlq"))
    };
    assert_eq!(submit(&mut story, "Ada", "2026-03-02T07:00:00Z"), ("Ada".into(), 5, 0));
    // A rollback minutes later: a process of the old deployment might still be at work, so the hub waits.
    story.deploy(|hub| hub.generation = 4);
    let before = story.now_ms();
    assert_eq!(submit(&mut story, "Augusta", "2026-03-02T07:10:00Z"), ("Augusta".into(), 4, 0));
    assert!((600_000..=960_000).contains(&(story.now_ms() - before)), "it waited {} ms", story.now_ms() - before);
    let before = story.now_ms();
    assert_eq!(submit(&mut story, "A. A.", "2026-03-02T07:20:00Z"), ("A. A.".into(), 4, 0));
    assert!(story.now_ms() - before < 300_000, "and waits only once");
}

#[test]
fn the_hubs_own_write_dates_no_value() {
    let mut story = Story::new(|_| {});
    let old = [("Email", "ada@example.com"), ("FirstName", "A."), ("LastName", "Lovelace"), ("MailingCity", "London")];
    story.seed(Crm::Salesforce, "Contact", &old, START_MS - 365 * DAY_MS);
    // The person's own word is older than the moment at which the hub writes its id into the old contact.
    let fields = json!({ "email": "ada@example.com", "first_name": "Ada" });
    let submitted = json!({ "form_id": "x", "submitted_at": "2026-03-01T08:00:00Z", "fields": fields });
    story.submit(&submitted);
    story.reconcile(Job::Full);
    let [golden] = story.golden(ObjectType::Contact).try_into().unwrap();
    assert_eq!(golden.fields["first_name"].value.to_string(), "Ada");
    assert_eq!(golden.fields["address_city"].stamp.at_ms, START_MS - 365 * DAY_MS, "since when the city was there");
    let [contact] = story.records(Crm::Salesforce, "Contact").try_into().unwrap();
    assert_eq!((&contact.properties["FirstName"], &contact.properties["MailingCity"]), (&json!("Ada"), &json!("London")));
}
