//! Scans of a reconciliation: one that is killed after any page is continued by the next run.

use std::collections::BTreeSet;

use canonical::Dispatch;
use sync::batch::Invocation;
use sync::ports::{Attr, Condition, Item, Key, Table, Write};
use sync::reconcile::{Job, run_job};
use testkit::memory::QueueSettings;
use testkit::sim::{Stepper, config};

const RECORDS: usize = 1_200;
const QUEUE: &str = "upsert-salesforce";

/// Ports with golden records that no destination has.
fn stepper() -> Stepper {
    let stepper = Stepper::new(1, 1_000_000);
    for destination in ["hubspot", "salesforce"] {
        stepper.queues().create(&format!("upsert-{destination}"), QueueSettings::default());
    }
    for n in 0..RECORDS {
        let key = Key::new(format!("g#contact#{n:05}"), "golden");
        let item = Item::new(key).with("ver", Attr::N(1));
        let write = Write::Put { table: Table::Golden, item, condition: Condition::Always };
        stepper.tables().write(vec![write], None, 0).unwrap();
    }
    stepper
}

fn run(stepper: &Stepper, kill_after: Option<u64>) -> Option<u64> {
    let config = config(&[]);
    let invocation = Invocation { ports: stepper.ports(), config: &config, deadline_ms: i64::MAX };
    Some(stepper.run(run_job(invocation, Job::Sweep), kill_after)?.unwrap().dispatched)
}

fn dispatched(stepper: &Stepper) -> BTreeSet<String> {
    let record = |body: &str| serde_json::from_str::<Dispatch>(body).unwrap().record.to_string();
    stepper.queues().peek(QUEUE).iter().map(|message| record(&message.body)).collect()
}

#[test]
fn a_scan_that_is_killed_goes_on_where_it_was() {
    let undisturbed = stepper();
    assert_eq!(run(&undisturbed, None), Some(2 * RECORDS as u64));
    let calls = undisturbed.calls();
    for part in 1..6 {
        let stepper = stepper();
        assert_eq!(run(&stepper, Some(calls * part / 6)), None);
        let before = dispatched(&stepper).len();
        let rest = run(&stepper, None).unwrap();
        assert_eq!(dispatched(&stepper).len(), RECORDS, "nothing is left out");
        let again = rest as usize / 2 + before - RECORDS;
        assert!(again <= 500, "{again} records were dispatched again, after {before}");
    }
}
