//! `rotate`: new webhook signing secrets, by the four steps of a Secrets Manager rotation.
//!
//! Trigger          Secrets Manager rotation (createSecret, setSecret, testSecret, finishSecret)
//! In               {Step, SecretId, ClientRequestToken}
//! Out              secret versions and their stages
//! Idempotency key  the version id that Secrets Manager gives
//! Failure policy   the step fails and Secrets Manager repeats it; the current value stays valid
//! Environment      HUB_SECRET_PREFIX
//! IAM              GetSecretValue, DescribeSecret, PutSecretValue, UpdateSecretVersionStage on rotating secrets

use adapters::Aws;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use runtime::{Settings, diagnose, start_logging};
use sync::rotate::{Rotation, run_step};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings = Settings::read()?;
    start_logging(&settings.log);
    let ports = &Aws::open(settings.names_without_config())?;
    run(service_fn(move |event: LambdaEvent<Rotation>| async move {
        tracing::info!(step = ?event.payload.step, version = %event.payload.version, "rotation");
        run_step(ports, &event.payload).await.map_err(|failure| diagnose(&failure))
    }))
    .await
}
