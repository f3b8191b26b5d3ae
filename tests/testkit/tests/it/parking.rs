//! What becomes of a message that fails: what waits for an operator is not forgotten, and a single event stays a single event.

use std::collections::BTreeMap;

use canonical::QueueName;
use sync::batch::{Invocation, finish_delivery};
use sync::failure::{Code, Failure};
use sync::ports::Delivery;
use testkit::memory::QueueSettings;
use testkit::sim::{Stepper, config};

fn delivery(receive_count: u32) -> Delivery {
    let attributes = BTreeMap::from([("event".to_owned(), "3".to_owned())]);
    Delivery { id: "m1".into(), receipt: "r1".into(), body: "{}".into(), receive_count, attributes }
}

/// Finishes a delivery that failed. Returns whether its queue keeps it, and the events of the messages in its queue and in its
/// dead-letter queue.
fn finish(receive_count: u32, failure: Failure) -> (bool, Vec<String>, Vec<String>) {
    let stepper = Stepper::new(1, 1_000_000);
    let queue = QueueName::fetch();
    let dead = queue.dead_letter();
    for name in [&queue, &dead] {
        stepper.queues().create(name, QueueSettings::default());
    }
    let config = config(&[]);
    let invocation = Invocation { ports: stepper.ports(), config: &config, deadline_ms: i64::MAX };
    let delivery = delivery(receive_count);
    let on_park = async |_: &Failure| Ok(());
    let stays = stepper.run(finish_delivery(invocation, &queue, &delivery, Err(failure), on_park), None).unwrap();
    let events = |name: &QueueName| stepper.queues().peek(name).iter().map(|m| m.attributes["event"].clone()).collect();
    (stays, events(&queue), events(&dead))
}

#[test]
fn what_waits_for_an_operator_is_renewed_before_its_queue_forgets_it() {
    let paused = || Failure::new(Code::Paused, "`hubspot` is paused");
    assert_eq!(finish(10, paused()).1, Vec::<String>::new());
    let (stays, copies, dead) = finish(400, paused());
    assert_eq!((stays, copies, dead), (false, vec!["3".to_owned()], Vec::new()));
}

#[test]
fn a_single_event_that_was_redriven_is_parked_as_a_single_event() {
    let (stays, _, dead) = finish(1, Failure::new(Code::MalformedBody, "cut"));
    assert_eq!((stays, dead), (false, vec!["3".to_owned()]));
}
