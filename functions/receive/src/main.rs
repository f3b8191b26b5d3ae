//! `receive`: the front door.
//!
//! Trigger          function URL
//! In               POST /hooks/{connection}: a provider's webhook; GET /health
//! Out              one envelope on `ingest-urgent` or `ingest-bulk`; large bodies to the bucket; once a minute, on `ingest-bulk`, how
//!                  many requests were refused
//! Idempotency key  none: every accepted request is an envelope of its own, `transform` recognises repeats
//! Failure policy   2xx only once SQS has the envelope; 503 when it has not; 401 without a hint
//! Environment      HUB_CONFIG, HUB_QUEUE_INGEST_*, HUB_BUCKET, HUB_SECRET_PREFIX, HUB_PUBLIC_URL
//! Calls            Amazon SNS alone: certificates and confirmations of configured topics
//! IAM              sqs:SendMessage on both ingest queues, s3:PutObject, secretsmanager:GetSecretValue on signing secrets

use lambda_http::{Error, Request, run, service_fn};
use runtime::{Hub, answer_of, request_of, start_logging};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hub = Hub::open()?;
    start_logging(&hub.settings.log);
    let hub = &hub;
    run(service_fn(move |request: Request| async move {
        let request = request_of(request, &hub.settings);
        let answer = sync::receive::handle(&hub.ports, &hub.config, &hub.process, &request).await;
        hub.emit("receive", sync::receive::measure(&hub.config, &request, &answer).as_slice());
        hub.process.refusals.report(&hub.ports, &hub.config).await;
        answer_of(answer)
    }))
    .await
}
