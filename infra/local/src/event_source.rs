//! Event source mappings: takes messages from a queue, invokes a function with them, deletes what succeeded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::ids::now_ms;
use crate::lambda::Host;
use crate::sqs::{Queues, Received, event_record};
use crate::template::MappingSpec;

/// How long one look at an empty queue waits.
const POLL: Duration = Duration::from_secs(20);
/// The most bytes of bodies in one event; the limit of an event is 6 MB with everything around them.
const MAX_BODIES: usize = 5 * 1024 * 1024;

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
    /// Polls until `enabled` has no sender any more.
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
                for part in split(batch) {
                    source.process(&part).await;
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

    async fn process(&self, batch: &[Received]) {
        let records: Vec<Value> =
            batch.iter().map(|r| event_record(&self.spec.queue, &self.queue_arn, &self.region, r)).collect();
        let event = json!({ "Records": records }).to_string();
        let failed = match self.host.invoke(&self.spec.function, event.into()).await {
            Ok(answer) if self.spec.report_failures => failures(&answer, batch),
            Ok(_) => Some(HashSet::new()),
            Err(_) => None,
        };
        for received in batch {
            let keep = failed.as_ref().is_none_or(|ids| ids.contains(received.message.id.as_str()));
            // A message that is gone already needs nothing more.
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

/// Cuts a batch so that no event is too large.
fn split(batch: Vec<Received>) -> Vec<Vec<Received>> {
    let mut parts: Vec<Vec<Received>> = Vec::new();
    let mut bytes = 0;
    for received in batch {
        bytes += received.message.body.len();
        match parts.last_mut() {
            Some(part) if bytes <= MAX_BODIES => part.push(received),
            _ => {
                bytes = received.message.body.len();
                parts.push(vec![received]);
            }
        }
    }
    parts
}

/// The ids that the answer reports as failed; nothing when the answer is no report, which fails the whole batch.
fn failures(answer: &[u8], batch: &[Received]) -> Option<HashSet<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let items = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return (answer.is_object() || answer.is_null()).then(HashSet::new),
        Some(items) => items.as_array()?,
    };
    let known: HashSet<&str> = batch.iter().map(|r| r.message.id.as_str()).collect();
    let named = |item: &Value| item["itemIdentifier"].as_str().filter(|id| known.contains(id)).map(str::to_owned);
    items.iter().map(named).collect()
}
