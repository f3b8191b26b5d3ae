//! `upsert`: golden records out to a destination. The only function that writes to a provider; it writes no golden record.
//!
//! Trigger          SQS `upsert-{destination}`, one event source mapping per destination
//! In               dispatches: a record and a version, never a value
//! Out              batch calls to the destination; links, audit; read requests for unobserved values that it found there
//! Idempotency key  {record, destination} under a lease with a fencing token, and the hub's own id at the destination
//! Failure policy   partial batches; retries on the schedule; rejected rows go to the DLQ with the provider's code
//! Environment      HUB_CONFIG, HUB_TABLE_*, HUB_QUEUE_UPSERT_*, HUB_QUEUE_FETCH, HUB_SECRET_PREFIX
//! IAM              read golden, items of links, control, keys, PutItem on audit, sqs on its queues, API secrets, `master`

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use runtime::{Answer, Hub, SqsBatch, diagnose, emit, queue_of, start_logging};
use sync::failure::{Code, Failure};
use sync::ports::QueueName;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hub = Hub::open()?;
    start_logging(&hub.settings.log);
    let hub = &hub;
    run(service_fn(move |event: LambdaEvent<SqsBatch>| async move {
        let vault = hub.vault().await.map_err(|failure| diagnose(&failure))?;
        let destinations = hub.config.hub().connections.iter().filter(|(_, c)| c.destination);
        let queue = queue_of(event.payload.source(), destinations.map(|(name, _)| QueueName::upsert(name)));
        let Some(destination) = queue.as_ref().and_then(QueueName::destination) else {
            let detail = format!("no destination has the queue {}", event.payload.source());
            return Err(diagnose(&Failure::new(Code::UnknownConnection, detail)));
        };
        let (invocation, deliveries) = (hub.invocation(&event.context), event.payload.deliveries());
        let report = sync::upsert::handle_batch(invocation, &vault, destination, deliveries).await;
        emit("upsert", hub.now_ms(), &report.metrics);
        Ok(Answer::from(&report))
    }))
    .await
}
