//! `transform`: envelopes in, golden records out. The only function that writes golden records; it calls no provider.
//!
//! Trigger          SQS `ingest-urgent` and `ingest-bulk`
//! In               envelopes of `receive` and `reconcile`
//! Out              golden, links, journal, audit, keys; dispatches on `upsert-*`; fetch requests on `fetch`
//! Idempotency key  the provider's event id (or the manifest's composite) and the change's index, in the journal
//! Failure policy   partial batches; retries on the schedule; what cannot succeed goes to the DLQ with its reason
//! Environment      HUB_CONFIG, HUB_TABLE_*, HUB_QUEUE_*, HUB_BUCKET, HUB_SECRET_PREFIX
//! IAM              items of its tables (audit: PutItem only), sqs on its queues, s3:GetObject, the secret `master`

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use runtime::{Answer, Hub, SqsBatch, diagnose, emit, queue_of, start_logging};
use sync::ports::{Lane, QueueName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hub = Hub::open()?;
    start_logging(&hub.settings.log);
    let hub = &hub;
    run(service_fn(move |event: LambdaEvent<SqsBatch>| async move {
        let vault = hub.vault().await.map_err(|failure| diagnose(&failure))?;
        let lanes = [Lane::Urgent, Lane::Bulk].map(QueueName::ingest);
        let queue = queue_of(event.payload.source(), lanes).unwrap_or(QueueName::ingest(Lane::Bulk));
        let (invocation, deliveries) = (hub.invocation(&event.context), event.payload.deliveries());
        let report = sync::transform::handle_batch(invocation, &vault, &queue, deliveries).await;
        emit("transform", hub.now_ms(), &report.metrics);
        Ok::<_, lambda_runtime::Diagnostic>(Answer::from(&report))
    }))
    .await
}
