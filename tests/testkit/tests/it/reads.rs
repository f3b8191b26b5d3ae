//! Reads of single records by `reconcile`: a refusal of one record concerns that record alone.

use std::collections::BTreeMap;

use canonical::{Envelope, EnvelopeKind, EventRef, FetchRequest, Outcome, ReadRequest, RemoteId, SweepRequest};
use serde_json::json;
use sync::batch::{BatchReport, Invocation};
use sync::config::Config;
use sync::ports::Outgoing;
use sync::reconcile::handle_batch;
use sync::record::journal::outcome_of;
use testkit::memory::QueueSettings;
use testkit::twin::{Twin, finish};

const NOW_MS: i64 = 1_790_000_000_000;
const HOST: &str = "https://api.example";

/// A batch of requests, handled.
struct Batch {
    twin: Twin,
    report: BatchReport,
}

impl Batch {
    /// Handles these requests in one batch. `a` and `c` can be read.
    fn handle(requests: Vec<ReadRequest>, prepare: impl Fn(&Twin)) -> Batch {
        let twin = Twin::at(NOW_MS);
        for queue in ["fetch", "fetch-dlq", "ingest-urgent", "ingest-bulk"] {
            twin.queues.borrow_mut().create(queue, QueueSettings::default());
        }
        twin.set_secret("made-up/api", "token");
        for id in ["a", "c"] {
            twin.pages.borrow_mut().insert(format!("{HOST}/things/{id}"), json!({ "id": id }).to_string().into_bytes());
        }
        prepare(&twin);
        for request in &requests {
            let message = Outgoing::new(serde_json::to_string(request).unwrap());
            twin.queues.borrow_mut().send("fetch", message, NOW_MS).unwrap();
        }
        let deliveries = twin.queues.borrow_mut().receive("fetch", 100, NOW_MS);
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let config = config();
        let report =
            finish(handle_batch(Invocation { ports: &twin, config: &config, deadline_ms: NOW_MS + 600_000 }, deliveries));
        for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
            twin.queues.borrow_mut().delete("fetch", receipt);
        }
        Batch { twin, report }
    }

    /// The ids that were read and put on the ingest queue.
    fn read(&self) -> Vec<String> {
        let queues = self.twin.queues.borrow();
        let envelopes = queues.peek("ingest-urgent").into_iter().map(|m| serde_json::from_str::<Envelope>(&m.body).unwrap());
        let mut ids: Vec<String> = envelopes
            .map(|envelope| match envelope.kind {
                EnvelopeKind::Fetched(fetched) => fetched.source.id,
                EnvelopeKind::Webhook => panic!("a webhook"),
            })
            .collect();
        ids.sort();
        ids
    }

    fn parked(&self) -> Vec<String> {
        let queues = self.twin.queues.borrow();
        queues.peek("fetch-dlq").into_iter().map(|m| m.attributes["code"].clone()).collect()
    }

    fn outcome(&self, index: u32) -> Option<Outcome> {
        finish(outcome_of(&self.twin, &cause(index))).unwrap()
    }
}

fn config() -> Config {
    let about = json!({"name": "made-up", "title": "Made up"});
    let api = json!({"fetch": {"thing": "/things/{id}"}});
    let packed = json!({"manifest": {"provider": about, "webhook": {"scheme": {"form": "basic"}}, "api": api}, "maps": []});
    let connection = json!({
        "provider": "made-up", "source": true, "lane": "urgent", "base_url": HOST, "api_secret": "made-up/api",
        "buckets": [{"name": "all", "burst": 1000, "per_second": 1000.0}],
    });
    let hub = serde_json::from_value(json!({"generation": 1, "connections": {"made-up": connection}})).unwrap();
    let pack = Config::pack(&hub, &BTreeMap::from([("made-up".to_owned(), packed.to_string())])).unwrap();
    Config::open(pack).unwrap()
}

fn cause(index: u32) -> EventRef {
    EventRef { connection: "made-up".into(), envelope: "e1".into(), index, received_at_ms: NOW_MS }
}

fn fetches(ids: &[&str]) -> Vec<ReadRequest> {
    let fetch = |(index, id): (usize, &&str)| {
        let source = RemoteId { connection: "made-up".into(), object: "thing".into(), id: (*id).to_owned() };
        let cause = Some(cause(u32::try_from(index).unwrap()));
        ReadRequest::Fetch(FetchRequest { source, cause, not_before: None, absent_since_ms: None, trace: String::new() })
    };
    ids.iter().enumerate().map(fetch).collect()
}

#[test]
fn a_refusal_concerns_one_record_alone() {
    for status in [400, 403, 422] {
        let batch = Batch::handle(fetches(&["a", "b", "c"]), |twin| {
            twin.refused.borrow_mut().insert(format!("{HOST}/things/b"), status);
        });
        assert_eq!(batch.read(), ["a", "c"], "{status}");
        assert_eq!((batch.report.failures.len(), batch.parked().len()), (0, 1), "{status}");
        assert_eq!([0, 1, 2].map(|index| batch.outcome(index)), [None, Some(Outcome::Dead), None], "{status}");
    }
}

#[test]
fn records_that_were_read_before_a_failure_stay_read() {
    for status in [429, 503, 401] {
        let batch = Batch::handle(fetches(&["a", "b", "c"]), |twin| {
            twin.refused.borrow_mut().insert(format!("{HOST}/things/b"), status);
        });
        assert_eq!(batch.read(), ["a"], "{status}");
        assert_eq!((batch.report.failures.len(), batch.parked().len()), (2, 0), "{status}");
    }
}

#[test]
fn a_record_that_is_gone_is_reported_as_missing() {
    let batch = Batch::handle(fetches(&["a", "b"]), |twin| {
        twin.refused.borrow_mut().insert(format!("{HOST}/things/b"), 404);
    });
    assert_eq!(batch.read(), ["a", "b"]);
    assert_eq!(batch.report.failures.len(), 0);
}

#[test]
fn a_sweep_that_is_impossible_ends_every_event_that_requested_it() {
    let request = |index| {
        ReadRequest::Sweep(SweepRequest {
            connection: "made-up".into(),
            objects: Vec::new(),
            reason: "events were lost".into(),
            cause: Some(cause(index)),
            trace: String::new(),
        })
    };
    let batch = Batch::handle(vec![request(0), request(1)], |_| {});
    assert_eq!(batch.parked(), ["cannot-fetch", "cannot-fetch"]);
    assert_eq!([0, 1].map(|index| batch.outcome(index)), [Some(Outcome::Dead); 2]);
}
