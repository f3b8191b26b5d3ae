//! A user who may see less than before: what is not found any more is not taken for gone beyond the limit.

use canonical::{FetchRequest, ObjectType, ReadRequest, RemoteId};
use sandbox::{Fault, FaultKind};
use sync::ports::{Clock, Outgoing};
use sync::reconcile::absences::confirm_absences;
use testkit::twin::finish;

use super::hub::Hub;

/// Handles the second looks that wait, and returns how many objects were taken for gone.
fn look(hub: &Hub) -> usize {
    let deliveries = hub.twin.queues.borrow_mut().receive("fetch", 100, hub.twin.now_ms());
    let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
    let report = finish(sync::reconcile::handle_batch(hub.invocation(), deliveries));
    for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
        hub.twin.queues.borrow_mut().delete("fetch", receipt);
    }
    let now_ms = hub.twin.now_ms();
    let mut queues = hub.twin.queues.borrow_mut();
    let sent = queues.receive("ingest-urgent", 100, now_ms);
    sent.iter().for_each(|delivery| _ = queues.delete("ingest-urgent", &delivery.receipt));
    sent.iter().filter(|delivery| delivery.body.contains("\"missing\":true")).count()
}

#[test]
fn second_looks_that_find_nothing_wait_for_a_person_beyond_the_limit() {
    let hub = Hub::new();
    let dispatches: Vec<_> = (0..25)
        .map(|n| {
            hub.store(ObjectType::Contact, &format!("c{n}"), &[("email", &format!("p{n}@example.com")), ("last_name", "Roe")])
        })
        .collect();
    hub.push("hubspot", &dispatches);
    hub.at("hubspot", |crm| crm.fault(Fault::always(FaultKind::Blind)));
    for dispatch in &dispatches {
        let id = hub.link("hubspot", dispatch).remote_id().unwrap().to_owned();
        let source = RemoteId { connection: "hubspot".into(), object: "contacts".into(), id };
        let absent_since_ms = Some(hub.twin.now_ms());
        let request = FetchRequest { source, cause: None, not_before: None, absent_since_ms, trace: String::new() };
        let message = Outgoing::new(serde_json::to_string(&ReadRequest::Fetch(request)).unwrap());
        hub.twin.queues.borrow_mut().send("fetch", message, hub.twin.now_ms()).unwrap();
    }
    assert_eq!(look(&hub), 20);
    assert_eq!(hub.twin.queues.borrow().peek("fetch").len(), 5, "they wait");
    assert_eq!(hub.control("absences").len(), 1);
    finish(hub.twin.sleep(1_900_000));
    assert_eq!(look(&hub), 0, "nobody has looked yet");
    assert!(finish(confirm_absences(&hub.twin, "hubspot", "contacts")).unwrap());
    finish(hub.twin.sleep(1_900_000));
    assert_eq!(look(&hub), 5);
    assert_eq!(hub.twin.queues.borrow().peek("fetch").len(), 0);
}
