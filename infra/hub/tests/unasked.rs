//! `hub fuse` and `hub import` on a hub in memory, with the stand-ins of the CRMs.

use hub::operate::{fuse, import, plan};
use serde_json::json;
use sync::config::FuseLimit;
use sync::fuse::blown;
use sync::import::{Import, ImportState, Scope, read_import};
use sync::rehearsal::rehearse;
use sync::write_log::PlannedObject;
use testkit::sim::{Crm, START_MS, Story};

/// A hub whose form has sent twenty leads, where five new records are allowed.
fn too_many_leads() -> Story {
    let limit = FuseLimit { most: 5, percent: 0, per_ms: 12 * 3_600_000 };
    let mut story = Story::new(|hub| hub.fuses.new = Some(limit));
    for n in 0..20 {
        story.submit(
            &json!({ "form_id": "x", "submission_id": n.to_string(), "fields": { "email": format!("p{n}@example.com") } }),
        );
    }
    story
}

#[test]
fn a_fuse_holds_what_is_too_much_until_somebody_releases_it() {
    let mut story = too_many_leads();
    let ports = story.ports();
    assert_eq!(story.records(Crm::HubSpot, "contacts").len(), 6, "the sixth blows the fuse");
    assert_eq!(story.outcomes()["held"], 14);
    let found = story.finish(blown(&ports, "form")).unwrap().unwrap();
    assert!(fuse::describe(&found).starts_with("the fuse `new` has blown at "), "{}", fuse::describe(&found));
    assert_eq!(story.finish(fuse::count_held(&ports, "form")), Ok(14));

    let released = story.finish(fuse::end(&ports, story.vault(), story.config().hub(), "form", true));
    assert_eq!(released, Ok(14));
    story.run();
    assert_eq!(story.records(Crm::HubSpot, "contacts").len(), 20);
    assert_eq!(story.outcomes().get("held"), None, "every event has its own outcome now");
    assert_eq!(story.finish(blown(&ports, "form")), Ok(None));
}

#[test]
fn what_a_fuse_holds_can_be_discarded() {
    let mut story = too_many_leads();
    let ports = story.ports();
    assert_eq!(story.finish(fuse::end(&ports, story.vault(), story.config().hub(), "form", false)), Ok(14));
    story.run();
    assert_eq!(story.records(Crm::HubSpot, "contacts").len(), 6);
    assert_eq!(story.outcomes()["ignored"], 14);
    story.submit(&json!({ "form_id": "x", "submission_id": "later", "fields": { "email": "later@example.com" } }));
    assert_eq!(story.records(Crm::HubSpot, "contacts").len(), 7, "the count began anew");
}

#[test]
fn an_import_is_planned_begun_paused_and_resumed() {
    let mut story = Story::new(|_| {});
    for n in 0..30 {
        let email = format!("p{n}@example.com");
        story.seed(Crm::HubSpot, "contacts", &[("email", &email), ("lastname", "Person")], START_MS - 86_400_000 + n);
    }
    let ports = story.ports();
    let args = import::ScopeArgs { rate: 600, ..import::ScopeArgs::default() };
    let scope = import::scope(story.config(), "hubspot", &args).unwrap();
    assert_eq!(scope.objects, ["companies", "contacts", "deals", "tickets"], "what is referred to comes first");
    let wrong = import::ScopeArgs { filters: vec!["countri=DE".to_owned()], ..import::ScopeArgs::default() };
    let refused = import::scope(story.config(), "hubspot", &wrong).unwrap_err().to_string();
    assert!(refused.contains("there is no field `countri`"), "{refused}");
    assert!(import::scope(story.config(), "form", &args).is_err(), "a form cannot be listed");

    let wanted = Import::new("hubspot", Scope { objects: vec!["contacts".to_owned()], ..scope }, 600, None, story.now_ms());
    let mut rehearsal = story.finish(rehearse(&ports, story.config(), wanted.clone())).unwrap();
    let text = plan::render(&rehearsal, false);
    let row = ["salesforce", "Contact", "30", "0", "0", "0"];
    assert!(text.lines().any(|line| line.split_whitespace().eq(row)), "{text}");
    assert!(text.contains("nothing was written"), "{text}");
    let hostile = (json!("\u{1b}[31mold"), json!("x".repeat(300)));
    let changes = [("jobtitle".to_owned(), hostile)].into();
    let object = PlannedObject { record: "r".into(), created: false, adopted: false, changes };
    rehearsal.objects.insert(("hubspot".into(), "contacts".into(), "42".into()), object);
    let text = plan::render(&rehearsal, false);
    assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.contains('\u{1b}')), "{text}");
    assert!(text.contains("hubspot/contacts/42: jobtitle: \\u{1b}[31mold →"), "{text}");
    let json = plan::as_json(&rehearsal);
    let of_ours = |object: &&serde_json::Value| object["id"] == "42";
    let object = json["objects"].as_array().and_then(|all| all.iter().find(of_ours)).expect("the object");
    assert_eq!(object["changes"]["jobtitle"]["after"], "x".repeat(300), "programs get all of it");
    assert_eq!(json["destinations"].as_array().map(Vec::len), Some(2));

    story.finish(import::start(&ports, wanted.clone())).unwrap();
    story.finish(import::stop(&ports, "hubspot", ImportState::Paused)).unwrap();
    story.run();
    assert!(story.records(Crm::Salesforce, "Contact").is_empty(), "it was paused before its first page");
    let second = story.finish(import::start(&ports, wanted)).unwrap_err().to_string();
    assert!(second.contains("is paused"), "{second}");
    story.finish(import::resume_import(&ports, "hubspot")).unwrap();
    story.run();
    assert_eq!(story.records(Crm::Salesforce, "Contact").len(), 30);
    let done = story.finish(read_import(&ports, "hubspot")).unwrap().unwrap();
    assert_eq!((done.state, done.read, done.taken), (ImportState::Done, 30, 30));
    let results = story.finish(sync::import::count_results(&ports, &done)).unwrap();
    assert!(import::render(&done, &results).contains("new"), "{}", import::render(&done, &results));
}
