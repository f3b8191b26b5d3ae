//! Event source mappings: takes messages from a queue, invokes a function with them, deletes what succeeded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::ids::now_ms;
use crate::lambda::Host;
use crate::sqs::{Queues, Received, event_record};
use crate::template::MappingSpec;

/// How long one look at an empty queue waits.
const POLL: Duration = Duration::from_secs(20);
/// The largest event in bytes. As in Lambda, a batch that would be larger is handed over as several events.
const MAX_EVENT: usize = 6_000_000;

/// A running mapping.
pub(crate) struct EventSource {
    pub spec: MappingSpec,
    pub queue_arn: String,
    pub region: String,
    pub queues: Arc<Queues>,
    pub host: Arc<Host>,
    /// Messages of a failed invocation come back after this, unless the function said when.
    pub visibility_cap: Option<Duration>,
}

impl EventSource {
    /// Polls until the sender of `enabled` is dropped.
    pub(crate) async fn run(self: Arc<Self>, mut enabled: watch::Receiver<bool>) {
        let limit = self.host.concurrency(&self.spec.function).min(self.spec.concurrency.unwrap_or(usize::MAX)).max(1);
        let permits = Arc::new(Semaphore::new(limit));
        loop {
            if enabled.wait_for(|on| *on).await.is_err() {
                return;
            }
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            // Nothing is held while this waits, so a pause loses no message.
            let first = tokio::select! {
                biased;
                changed = enabled.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                first = self.queues.receive(&self.spec.queue, self.spec.batch, None, POLL) => first,
            };
            let batch = match first {
                Ok(first) => self.complete(first).await,
                Err(_) => {
                    // The queue was deleted; it may come back.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let source = self.clone();
            tokio::spawn(async move {
                let record = |r: Received| Record { json: source.record(&r), received: r };
                for event in events(batch.into_iter().map(record).collect()) {
                    source.process(&event).await;
                }
                drop(permit);
            });
        }
    }

    /// One batch: full, or what came until the window closed.
    async fn complete(&self, mut batch: Vec<Received>) -> Vec<Received> {
        let closes = Instant::now() + self.spec.window;
        while !batch.is_empty() && batch.len() < self.spec.batch && Instant::now() < closes {
            let wait = closes - Instant::now();
            match self.queues.receive(&self.spec.queue, self.spec.batch - batch.len(), None, wait).await {
                Ok(more) => batch.extend(more),
                Err(_) => break,
            }
        }
        batch
    }

    fn record(&self, received: &Received) -> String {
        event_record(&self.queue_arn, &self.region, received).to_string()
    }

    async fn process(&self, event: &[Record]) {
        let records: Vec<&str> = event.iter().map(|record| record.json.as_str()).collect();
        let payload = format!("{{\"Records\":[{}]}}", records.join(","));
        let failed = match self.host.invoke(&self.spec.function, payload.into()).await {
            Ok(answer) if self.spec.report_failures => failures(&answer, event),
            Ok(_) => Some(HashSet::new()),
            Err(_) => None,
        };
        for Record { received, .. } in event {
            let keep = failed.as_ref().is_none_or(|ids| ids.contains(received.message.id.as_str()));
            // A message that is already deleted needs nothing more.
            let _ = self.queues.with(|engine| match (keep, self.visibility_cap) {
                (false, _) => engine.delete(&self.spec.queue, &received.receipt_handle),
                (true, Some(cap)) => {
                    let cap = i64::try_from(cap.as_millis()).unwrap_or(i64::MAX);
                    engine.shorten(&self.spec.queue, &received.receipt_handle, cap, now_ms())
                }
                (true, None) => Ok(()),
            });
        }
    }
}

/// A received message and its record in the event.
struct Record {
    received: Received,
    json: String,
}

/// Splits a batch so that no event is too large.
fn events(batch: Vec<Record>) -> Vec<Vec<Record>> {
    let mut events: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for record in batch {
        bytes += record.json.len() + 1;
        match events.last_mut() {
            Some(event) if bytes <= MAX_EVENT => event.push(record),
            _ => {
                bytes = record.json.len() + 1;
                events.push(vec![record]);
            }
        }
    }
    events
}

/// The ids that the answer reports as failed. `None` when the answer is not a report: then the whole batch has failed.
fn failures(answer: &[u8], event: &[Record]) -> Option<HashSet<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let items = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return (answer.is_object() || answer.is_null()).then(HashSet::new),
        Some(items) => items.as_array()?,
    };
    let known: HashSet<&str> = event.iter().map(|r| r.received.message.id.as_str()).collect();
    let named = |item: &Value| item["itemIdentifier"].as_str().filter(|id| known.contains(id)).map(str::to_owned);
    items.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sqs::{NewMessage, QueueEngine};

    /// How many messages each event holds when these bodies come in one batch.
    fn split(bodies: &[String]) -> Vec<usize> {
        let mut engine = QueueEngine::new("us-east-1", "000000000000");
        engine.create("q", BTreeMap::new(), 0).unwrap();
        for (n, body) in bodies.iter().enumerate() {
            engine.send("q", n.to_string(), NewMessage { body: body.clone(), ..NewMessage::default() }, 0).unwrap();
        }
        let records = engine.receive("q", bodies.len(), None, 0).unwrap().into_iter();
        let record = |r: Received| Record { json: event_record("arn", "us-east-1", &r).to_string(), received: r };
        let events = events(records.map(record).collect());
        let bytes = |event: &Vec<Record>| event.iter().map(|r| r.json.len() + 1).sum::<usize>();
        assert!(events.iter().all(|event| bytes(event) <= MAX_EVENT));
        events.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_is_split_where_its_event_would_be_too_large() {
        let mebibyte = 1_048_576;
        assert_eq!(split(&["x".to_owned(), "y".to_owned()]), [2]);
        assert_eq!(split(&vec!["x".repeat(mebibyte); 10]), [5, 5]);
        assert_eq!(split(&vec!["\"".repeat(mebibyte); 5]), [2, 2, 1], "an escaped quote takes two bytes");
    }
}
