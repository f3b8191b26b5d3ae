//! The main loop of the functions that work on batches of SQS messages.

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, run, service_fn};
use sync::batch::BatchReport;
use sync::failure::Failure;
use sync::seal::Vault;

use crate::{Answer, Hub, SqsBatch, diagnose, start_logging};

/// Runs a function whose only trigger is SQS: opens the hub, hands each batch to `handle` with the vault, and reports metrics and
/// failed messages. `function` is its name in the metrics.
///
/// # Errors
/// The hub cannot be opened, or the Runtime API fails. An error of `handle` fails its invocation only.
pub async fn serve_batches(
    function: &str,
    handle: impl AsyncFn(&Hub, &Vault, &Context, SqsBatch) -> Result<BatchReport, Failure>,
) -> Result<(), Error> {
    let hub = &Hub::open()?;
    start_logging(&hub.settings.log);
    let handle = &handle;
    run(service_fn(move |event: LambdaEvent<SqsBatch>| async move {
        let vault = hub.vault().await.map_err(|failure| diagnose(&failure))?;
        let report = handle(hub, &vault, &event.context, event.payload).await.map_err(|failure| diagnose(&failure))?;
        hub.emit(function, &report.metrics);
        Ok::<_, Diagnostic>(Answer::from(&report))
    }))
    .await
}
