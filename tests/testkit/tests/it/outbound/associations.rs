//! References that HubSpot keeps as associations: a deal hangs on its person and its company.

use canonical::{Dispatch, ObjectType};
use sandbox::{Fault, FaultKind};
use serde_json::json;

use super::hub::Hub;

const TIES: &str = "batch/create";

fn person(hub: &Hub, id: &str) -> Dispatch {
    hub.store(ObjectType::Contact, id, &[("email", &format!("{id}@example.com")), ("last_name", "Roe")])
}

fn deal(hub: &Hub, id: &str, person: &str) -> Dispatch {
    let person = format!("form/contact/{person}");
    hub.store(ObjectType::Deal, id, &[("name", "Big deal"), ("contact", &person), ("company", "form/company/acme")])
}

fn company(hub: &Hub) -> Dispatch {
    hub.store(ObjectType::Company, "acme", &[("name", "Acme"), ("domain", "acme.example")])
}

fn id(hub: &Hub, dispatch: &Dispatch) -> String {
    hub.link("hubspot", dispatch).remote_id().unwrap().to_owned()
}

/// A hub whose company and people exist at HubSpot, with `count` deals to push: one for each person.
fn hub_with_deals(count: usize) -> (Hub, Dispatch, Vec<Dispatch>, Vec<Dispatch>) {
    let hub = Hub::new();
    let people: Vec<Dispatch> = (0..count).map(|n| person(&hub, &format!("p{n}"))).collect();
    let company = company(&hub);
    hub.push("hubspot", &[&people[..], std::slice::from_ref(&company)].concat());
    let deals = (0..count).map(|n| deal(&hub, &format!("d{n}"), &format!("p{n}"))).collect();
    (hub, company, people, deals)
}

fn expected(hub: &Hub, deals: &[Dispatch], people: &[Dispatch]) -> Vec<(String, String)> {
    let mut ties: Vec<_> = deals.iter().zip(people).map(|(deal, person)| (id(hub, deal), id(hub, person))).collect();
    ties.sort();
    ties
}

#[test]
fn a_deal_hangs_on_its_person_and_its_company() {
    let (hub, company, people, deals) = hub_with_deals(20);
    let before = hub.calls("hubspot");
    hub.push("hubspot", &deals);
    assert_eq!(hub.ties("deals", "contacts"), expected(&hub, &deals, &people));
    let company = id(&hub, &company);
    assert!(hub.ties("deals", "companies").iter().all(|(_, to)| *to == company));
    assert_eq!(hub.ties("deals", "companies").len(), 20);
    let stats = hub.at("hubspot", |crm| crm.stats());
    assert_eq!(hub.calls("hubspot") - before, 4, "the look-up, the batch, and one call for each type of association: {stats:?}");

    // Nothing has changed, so nothing is written again.
    let before = hub.calls("hubspot");
    hub.push("hubspot", &deals);
    assert_eq!(hub.calls("hubspot"), before);
}

#[test]
fn a_persons_primary_company_is_written() {
    let hub = Hub::new();
    let company = company(&hub);
    let fields = [("email", "ada@acme.example"), ("last_name", "Roe"), ("company", "form/company/acme")];
    let person = hub.store(ObjectType::Contact, "ada", &fields);
    hub.push("hubspot", std::slice::from_ref(&company));
    hub.push("hubspot", std::slice::from_ref(&person));
    let records = hub.records("hubspot", "contacts");
    assert_eq!(records[0]["associatedcompanyid"], json!(id(&hub, &company)));
}

#[test]
fn a_deal_waits_for_a_person_who_is_still_to_be_created() {
    let hub = Hub::new();
    let (person, company) = (person(&hub, "p0"), company(&hub));
    let deal = deal(&hub, "d0", "p0");
    hub.push("hubspot", &[company]);
    hub.push("hubspot", std::slice::from_ref(&deal));
    assert!(hub.records("hubspot", "deals").is_empty());
    hub.push("hubspot", std::slice::from_ref(&person));
    hub.run("hubspot", 30_000);
    assert_eq!(hub.ties("deals", "contacts"), expected(&hub, &[deal], &[person]));
    assert_eq!(hub.parked("hubspot"), [""; 0]);
}

#[test]
fn an_association_whose_call_fails_is_made_later_and_the_deal_is_written_once() {
    let failures = [
        FaultKind::Status { status: 503, retry_after_s: None },
        FaultKind::Throttle,
        FaultKind::LoseAnswer,
        FaultKind::LoseRequest,
    ];
    for kind in failures {
        let (hub, _, people, deals) = hub_with_deals(2);
        hub.at("hubspot", |crm| crm.fault(Fault::always(kind.clone()).on(TIES).times(1)));
        hub.push("hubspot", &deals);
        hub.run("hubspot", 120_000);
        assert_eq!(hub.ties("deals", "contacts"), expected(&hub, &deals, &people), "{kind:?}");
        assert_eq!(hub.ties("deals", "companies").len(), 2, "{kind:?}");
        assert_eq!(hub.records("hubspot", "deals").len(), 2, "{kind:?}");
        assert_eq!(hub.parked("hubspot"), [""; 0], "{kind:?}");
    }
}

#[test]
fn an_association_that_hubspot_refuses_is_set_aside_alone() {
    let (hub, _, people, deals) = hub_with_deals(3);
    let refused = id(&hub, &people[1]);
    let refusal = json!({"status": "error", "category": "VALIDATION_ERROR", "message": "the limit of associations is reached"});
    hub.answers("hubspot", TIES, &format!("\"id\":\"{refused}\""), 400, &refusal);
    hub.push("hubspot", &deals);
    let mut others = vec![(id(&hub, &deals[0]), id(&hub, &people[0])), (id(&hub, &deals[2]), id(&hub, &people[2]))];
    others.sort();
    assert_eq!(hub.ties("deals", "contacts"), others);
    assert_eq!(hub.ties("deals", "companies").len(), 3);
    assert_eq!(hub.link("hubspot", &deals[1]).set_aside()["associated_contact"].code, "VALIDATION_ERROR");
    assert_eq!(hub.parked("hubspot"), [""; 0]);
}
