//! `transform`: envelopes in, golden records out. The only function that writes golden records; it calls no provider.
//!
//! Trigger          SQS `ingest-urgent` and `ingest-bulk`
//! In               envelopes of `receive` and `reconcile`
//! Out              golden, links, journal, audit, keys; dispatches on `upsert-*`; fetch requests on `fetch`
//! Idempotency key  the provider's event id (or the manifest's composite) and the change's index, in the journal
//! Failure policy   partial batches; retries on the schedule; what cannot succeed goes to the DLQ with its reason
//! Environment      HUB_CONFIG, HUB_TABLE_*, HUB_QUEUE_*, HUB_BUCKET, HUB_SECRET_PREFIX
//! IAM              items of its tables (audit: PutItem only), sqs on its queues, s3:GetObject, the secret `master`

use runtime::{queue_of, serve_batches};
use sync::ports::{Lane, QueueName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve_batches("transform", async |hub, vault, context, batch| {
        let lanes = [Lane::Urgent, Lane::Bulk].map(QueueName::ingest);
        let queue = queue_of(batch.source(), lanes).unwrap_or(QueueName::ingest(Lane::Bulk));
        Ok(sync::transform::handle_batch(hub.invocation(context), vault, &queue, batch.deliveries()).await)
    })
    .await
}
