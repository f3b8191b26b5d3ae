//! `rotate`: the only function that changes a secret. It refreshes access tokens, and makes new signing secrets by the four
//! steps of a Secrets Manager rotation.
//!
//! Trigger          EventBridge Scheduler with `{"job":"refresh"}`; SQS `refresh`; Secrets Manager rotation
//! In               schedules; requests of new access tokens; {Step, SecretId, ClientRequestToken}
//! Out              secret versions and their stages; the pause of a connection that a person must connect again
//! Idempotency key  the version of the secret whose token is to be replaced; the version id that Secrets Manager gives
//! Failure policy   a refresh that fails is tried again with the same refresh token; a request that is lost is sent again; the
//!                  current value stays valid
//! Environment      HUB_CONFIG, HUB_TABLE_CONTROL, HUB_QUEUE_REFRESH, HUB_QUEUE_REFRESH_DLQ, HUB_SECRET_PREFIX
//! IAM              GetSecretValue, DescribeSecret on API and rotating secrets; PutSecretValue, UpdateSecretVersionStage on
//!                  those that are refreshed or rotate; items of control; sqs on its queue

// The future of a refresh is deep: handler, lease, exchange, port, SDK.
#![recursion_limit = "256"]

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use runtime::{Answer, Hub, SqsBatch, diagnose, start_logging};
use serde_json::Value;
use sync::failure::{Code, Failure};
use sync::rotate::{Job, Rotation, handle_batch, run_job, run_step};

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
            return serde_json::to_value(Answer::from(&report)).map_err(|e| not_ours(&e));
        }
        if event.payload.get("job").is_some() {
            let job: Job = serde_json::from_value(event.payload).map_err(|e| not_ours(&e))?;
            let report = run_job(invocation, job).await;
            hub.emit("rotate", &report.metrics);
            return report.failed.map_or(Ok(Value::Null), |failure| Err(diagnose(&failure)));
        }
        let rotation: Rotation = serde_json::from_value(event.payload).map_err(|e| not_ours(&e))?;
        tracing::info!(step = ?rotation.step, version = %rotation.version, "rotation");
        run_step(&hub.ports, &rotation).await.map_err(|failure| diagnose(&failure))?;
        Ok(Value::Null)
    }))
    .await
}

fn not_ours(error: &serde_json::Error) -> Diagnostic {
    diagnose(&Failure::new(Code::BadMessage, format!("neither a batch, a job nor a step of a rotation: {error}")))
}
