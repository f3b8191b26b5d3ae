//! `rotate`: the only function that changes a secret. It makes new signing secrets (`signing`) and gets new access tokens.
//!
//! Tokens are refreshed ahead of their end on a schedule, and when `upsert` or `reconcile` request it. `refresh` does one connection:
//! a lease lets one worker at a time go to the token endpoint (`lease`, `exchange`, `assertion`), and the new pair is stored before
//! anybody can use it. `docs/decisions/credentials.md` has the rules.

mod announce;
mod assertion;
pub mod exchange;
mod lease;
mod refresh;
mod signing;

use canonical::{QueueName, RefreshRequest};

use crate::batch::{BatchReport, Invocation, Metric, finish_delivery};
use crate::config::{Config, Connection};
use crate::failure::{Code, Failure};
use crate::join::join;
use crate::ports::{Clock, Delivery, Http, Queue, SecretVersions, Store};

pub use refresh::{Reason, Refreshed};
pub use signing::{REFRESH_MS, Rotation, Step, run_step};

use refresh::Refresher;

/// The ports that refreshing needs.
pub trait Ports: Store + Queue + SecretVersions + Http + Clock {}
impl<T: Store + Queue + SecretVersions + Http + Clock> Ports for T {}

/// The event of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "job")]
pub enum Job {
    /// Refresh every access token that is near its end.
    Refresh,
}

/// What a job did.
#[derive(Debug, Default)]
pub struct JobReport {
    /// How the credentials of each connection are.
    pub metrics: Vec<Metric>,
    /// Why those of a connection could not be looked at.
    pub failed: Option<Failure>,
}

/// Refreshes what is near its end, and measures how the credentials of each connection are.
pub async fn run_job<P: Ports>(invocation: Invocation<'_, P>, job: Job) -> JobReport {
    let Job::Refresh = job;
    let names = connections(invocation.config).map(|(name, _)| name);
    let results = join(names.map(|name| async move { (name, look(invocation, name).await) })).await;
    let mut report = JobReport::default();
    for (name, result) in results {
        match result {
            Ok(measured) => report.metrics.extend(measured),
            // One connection whose secret cannot be read must not keep the others from being refreshed.
            Err(failure) => {
                tracing::error!(connection = name, code = %failure.code, detail = %failure.chain(), "the credentials could not be looked at");
                report.failed = Some(failure);
            }
        }
    }
    report.metrics.push(Metric::of_job("finished", f64::from(u8::from(report.failed.is_none())), "refresh"));
    report
}

/// Looks at the credentials of a connection, and refreshes its token if that is near its end.
async fn look<P: Ports>(invocation: Invocation<'_, P>, connection: &str) -> Result<Vec<Metric>, Failure> {
    let Some(refresher) = Refresher::open(invocation, connection)? else { return Ok(Vec::new()) };
    let refreshed = refresher.run(Reason::Schedule).await?;
    Ok(refreshed.metrics(connection).into_iter().chain(refresher.announce().await?).collect())
}

/// Handles a batch of requests.
pub async fn handle_batch<P: Ports>(invocation: Invocation<'_, P>, deliveries: Vec<Delivery>) -> BatchReport {
    let mut report = BatchReport::default();
    for delivery in &deliveries {
        let result = match serde_json::from_str::<RefreshRequest>(&delivery.body) {
            Ok(request) => handle_request(invocation, &request).await,
            Err(error) => Err(Failure::new(Code::BadMessage, format!("not a refresh request: {error}"))),
        };
        if finish_delivery(invocation, &QueueName::refresh(), delivery, result, async |_: &Failure| Ok(())).await {
            report.failures.push(delivery.id.clone());
        }
    }
    report
}

/// A request that cannot be met now is given up: the worker that still needs the token requests it again.
async fn handle_request<P: Ports>(invocation: Invocation<'_, P>, request: &RefreshRequest) -> Result<(), Failure> {
    let version = request.version.as_str();
    let reason = if request.refused { Reason::Refused(version) } else { Reason::NearEnd(version) };
    let result = refresh(invocation, &request.connection, reason).await;
    tracing::info!(connection = %request.connection, refused = request.refused, ?result, "a new access token was requested");
    match result {
        Err(failure) if failure.code == Code::UnknownConnection => Err(failure),
        _ => Ok(()),
    }
}

/// Refreshes the access token of a connection, if it needs that.
pub async fn refresh<P: Ports>(
    invocation: Invocation<'_, P>,
    connection: &str,
    reason: Reason<'_>,
) -> Result<Refreshed, Failure> {
    match Refresher::open(invocation, connection)? {
        Some(refresher) => refresher.run(reason).await,
        None => Ok(Refreshed::NotDue),
    }
}

/// The connections whose API is called with credentials.
fn connections(config: &Config) -> impl Iterator<Item = (&str, &Connection)> {
    config.hub().connections.iter().filter(|(_, c)| c.api_secret.is_some()).map(|(name, c)| (name.as_str(), c))
}
