//! `upsert`: golden records out to a destination. The only function that writes to a provider; it writes no golden record.
//!
//! Trigger          SQS `upsert-{destination}`, one event source mapping per destination
//! In               dispatches: a record and a version, never a value
//! Out              batch calls to the destination; links, audit; read requests for unobserved values that it found there;
//!                  requests of new access tokens
//! Idempotency key  {record, destination} under a lease with a fencing token, and the hub's own id at the destination
//! Failure policy   partial batches; retries on the schedule; rejected rows go to the DLQ with the provider's code
//! Environment      HUB_CONFIG, HUB_TABLE_*, HUB_QUEUE_UPSERT_*, HUB_QUEUE_FETCH, HUB_QUEUE_REFRESH, HUB_SECRET_PREFIX
//! IAM              read golden, items of links, control, keys, PutItem on audit, sqs on its queues, API secrets, `master`

use runtime::{queue_of, serve_batches};
use sync::failure::{Code, Failure};
use sync::ports::QueueName;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve_batches("upsert", async |hub, vault, context, batch| {
        let destinations = hub.config.hub().connections.iter().filter(|(_, c)| c.destination);
        let queue = queue_of(batch.source(), destinations.map(|(name, _)| QueueName::upsert(name)));
        let Some(destination) = queue.as_ref().and_then(QueueName::destination) else {
            let detail = format!("no destination has the queue {}", batch.source());
            return Err(Failure::new(Code::UnknownConnection, detail));
        };
        Ok(sync::upsert::handle_batch(hub.invocation(context), vault, destination, batch.deliveries()).await)
    })
    .await
}
