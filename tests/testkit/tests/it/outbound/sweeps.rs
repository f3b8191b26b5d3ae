//! Sweeps find what becomes visible late, and keep no object from its turn.

use std::collections::BTreeSet;

use canonical::{Envelope, EnvelopeKind};
use serde_json::{Map, Value, json};
use sync::batch::Invocation;
use sync::ports::Clock;
use sync::reconcile::{Job, JobReport, run_job};
use testkit::twin::finish;

use super::hub::Hub;

const MINUTE: u64 = 60_000;

fn contact(n: usize) -> Map<String, Value> {
    json!({ "email": format!("p{n}@example.com") }).as_object().cloned().unwrap_or_default()
}

/// Runs the scheduled sweep with so many milliseconds of time.
fn sweep(hub: &Hub, time_ms: i64) -> JobReport {
    let invocation = Invocation { deadline_ms: hub.twin.now_ms() + time_ms, ..hub.invocation() };
    finish(run_job(invocation, Job::Sweep)).unwrap()
}

/// The ids of the objects that were read and put on the ingest queue.
fn read(hub: &Hub) -> BTreeSet<String> {
    let queues = hub.twin.queues.borrow();
    let envelopes = queues.peek("ingest-bulk").into_iter().map(|m| serde_json::from_str::<Envelope>(&m.body).unwrap());
    let id = |envelope: Envelope| match envelope.kind {
        EnvelopeKind::Fetched(fetched) => Some(fetched.source.id),
        EnvelopeKind::Webhook => None,
    };
    envelopes.filter_map(id).collect()
}

/// The objects whose sweep has read anything since a time.
fn swept_since(hub: &Hub, at_ms: i64) -> usize {
    hub.control("watermark#hubspot#").iter().filter(|item| item.n("swept").is_some_and(|swept| swept >= at_ms)).count()
}

#[test]
fn what_becomes_visible_long_after_its_stamp_is_found_by_a_second_look() {
    let hub = Hub::new();
    sweep(&hub, 600_000);
    finish(hub.twin.sleep(3 * 60 * MINUTE));
    let newer_ms = hub.twin.now_ms();
    hub.at("hubspot", |crm| crm.create("contacts", &contact(1), newer_ms)).unwrap();
    finish(hub.twin.sleep(MINUTE));
    sweep(&hub, 600_000);
    // A long transaction ends: its change is an hour older than the newest one that was read.
    let late = hub.at("hubspot", |crm| crm.create("contacts", &contact(2), newer_ms - 3_600_000)).unwrap();
    for _ in 0..4 {
        finish(hub.twin.sleep(60 * MINUTE));
        sweep(&hub, 600_000);
    }
    assert!(read(&hub).contains(&late), "{:?}", read(&hub));
}

#[test]
fn a_sweep_waits_for_its_search_allowance_and_starves_no_object() {
    let hub = Hub::new();
    let report = sweep(&hub, 600_000);
    assert_eq!((report.failed.len(), swept_since(&hub, super::hub::NOW_MS)), (0, 4), "{report:?}");
    // The allowance and the time are enough for two searches: those that had no turn come first the next time.
    let began_ms = hub.twin.now_ms();
    for turns in [2, 4] {
        finish(hub.twin.sleep(MINUTE));
        sweep(&hub, 2_300);
        assert_eq!(swept_since(&hub, began_ms + 1), turns);
    }
}
