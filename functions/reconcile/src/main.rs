//! `reconcile`: reads providers, for thin events and on a schedule. It writes no golden record and nothing to a provider.
//!
//! Trigger          SQS `fetch`; EventBridge Scheduler with `{"job":"sweep"}`, `{"job":"full"}` or `{"job":"watch"}`
//! In               fetch requests; pages of imports; schedules
//! Out              what it read, as envelopes on the ingest queues; the next page of an import on `fetch`; dispatches of records
//!                  that a destination is behind with
//! Idempotency key  none needed: snapshots are merged by last-writer-wins, dispatches name a version
//! Failure policy   partial batches; retries on the schedule; a fetch that is given up ends its event as dead
//! Environment      HUB_CONFIG, HUB_TABLE_*, HUB_QUEUE_*, HUB_BUCKET, HUB_SECRET_PREFIX
//! IAM              read golden and links, items of control and journal, sqs on its queues, s3:PutObject, API secrets

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use runtime::{Answer, Hub, SqsBatch, diagnose, start_logging};
use serde_json::Value;
use sync::failure::{Code, Failure};
use sync::reconcile::{Job, handle_batch, run_job};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hub = Hub::open()?;
    start_logging(&hub.settings.log);
    let hub = &hub;
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        let invocation = hub.invocation(&event.context);
        if event.payload.get("Records").is_some() {
            let batch: SqsBatch = serde_json::from_value(event.payload).map_err(|e| not_ours(&e))?;
            let report = handle_batch(invocation, batch.deliveries()).await;
            hub.emit("reconcile", &report.metrics);
            return serde_json::to_value(Answer::from(&report)).map_err(|e| not_ours(&e));
        }
        let job: Job = serde_json::from_value(event.payload).map_err(|e| not_ours(&e))?;
        let report = run_job(invocation, job).await.map_err(|f| diagnose(&f))?;
        hub.emit("reconcile", &report.metrics(job));
        if let Some(failure) = report.needs_person() {
            return Err(diagnose(&failure));
        }
        serde_json::to_value(report).map_err(|e| not_ours(&e))
    }))
    .await
}

fn not_ours(error: &serde_json::Error) -> Diagnostic {
    diagnose(&Failure::new(Code::BadMessage, format!("neither a batch nor a job: {error}")))
}
