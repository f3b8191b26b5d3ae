//! `reconcile`: reads from providers and sends what it read to `ingest`. It writes no golden record, and nothing to a provider.
//!
//! On request it *fetches* the objects that thin events name, and *sweeps* a connection whose events were lost. On a schedule it
//! sweeps what changed at each connection since its watermark, *verifies* the linked objects at the destinations, and dispatches
//! the golden records that a destination is behind with. Every few minutes it *watches*: it measures which connections are paused,
//! and how many properties their accounts refuse.

pub mod absences;
mod dispatch_behind;
mod fetch;
mod import;
mod position;
mod sweep;
mod verify_links;
mod watch;

pub use sweep::last_sweep_ms;

use std::collections::BTreeMap;

use canonical::{
    ConnectionName, EventRef, FetchRequest, Fetched, ImportRequest, ObjectType, Outcome, QueueName, ReadRequest, RemoteId,
    SweepRequest,
};
use providers::api::RemoteRecord;
use serde::{Deserialize, Serialize};

use crate::batch::{BatchReport, Invocation, Metric, finish_delivery, is_error, measure_handled};
use crate::client::Client;
use crate::config::Config;
use crate::envelope::IngestMessage;
use crate::failure::{Code, Failure};
use crate::ports::{Blob, Clock, Condition, Delivery, Http, Key, Queue, Secrets, Store};
use crate::record::journal::{AccountLine, outcome_of};

/// The ports that `reconcile` needs.
pub trait Ports: Store + Queue + Blob + Secrets + Http + Clock {}
impl<T: Store + Queue + Blob + Secrets + Http + Clock> Ports for T {}

/// The name of the verification of links among the parts of a job that failed.
const LINKS: &str = "links";

/// The name of the dispatching of records among them.
const RECORDS: &str = "records";

/// Items per page of a scan.
const SCAN_PAGE: u32 = 500;

/// The event of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "job")]
pub enum Job {
    /// Sweep what changed since the watermarks, and dispatch what is behind.
    Sweep,
    /// The same, and verify every linked object at every destination.
    Full,
    /// Measure which connections are paused, and which properties they refuse.
    Watch,
}

impl Job {
    /// The job's name in metrics and alarms.
    pub const fn name(self) -> &'static str {
        match self {
            Job::Sweep => "sweep",
            Job::Full => "full",
            Job::Watch => "watch",
        }
    }
}

/// What a job did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// Records read from providers.
    pub read: u64,
    /// Linked objects that no longer exist at their destination.
    pub missing: u64,
    /// Dispatches sent for records that a destination is behind with.
    pub dispatched: u64,
    /// The connections that could not be read, and the code of each failure.
    pub failed: Vec<(String, String)>,
    /// True when time ran out. The next run continues: sweeps at their watermarks, scans at their positions.
    pub unfinished: bool,
    /// For each connection whose API the hub calls, whether it is paused. Only [`Job::Watch`] looks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paused: BTreeMap<String, bool>,
    /// For each of these connections, how many properties its account refuses in every record.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties_refused: BTreeMap<String, u64>,
}

/// What one invocation of `reconcile` works with.
struct Reconcile<'a, P> {
    ports: &'a P,
    config: &'a Config,
    deadline_ms: i64,
}

/// A read request and the message that brought it.
struct Requested<R> {
    /// The message's index in its batch.
    index: usize,
    /// How often the message was received.
    receive_count: u32,
    request: R,
}

/// The read requests of a batch. Requests with the same object type, or for the same sweep, are answered together, however many
/// events caused them.
#[derive(Default)]
struct Groups {
    /// By connection and native object.
    fetches: BTreeMap<(ConnectionName, String), Vec<Requested<FetchRequest>>>,
    /// By connection and native objects.
    sweeps: BTreeMap<(ConnectionName, Vec<String>), Vec<Requested<SweepRequest>>>,
    /// Pages of imports.
    imports: Vec<Requested<ImportRequest>>,
}

impl Groups {
    fn collect(deliveries: &[Delivery], results: &mut [Result<(), Failure>]) -> Groups {
        let mut groups = Groups::default();
        for (index, delivery) in deliveries.iter().enumerate() {
            let receive_count = delivery.receive_count;
            match serde_json::from_str(&delivery.body) {
                Ok(ReadRequest::Fetch(request)) => {
                    let group = (request.source.connection.clone(), request.source.object.clone());
                    groups.fetches.entry(group).or_default().push(Requested { index, receive_count, request });
                }
                Ok(ReadRequest::Sweep(request)) => {
                    let group = (request.connection.clone(), request.objects.clone());
                    groups.sweeps.entry(group).or_default().push(Requested { index, receive_count, request });
                }
                Ok(ReadRequest::Import(request)) => groups.imports.push(Requested { index, receive_count, request }),
                Err(error) => results[index] = Err(Failure::new(Code::BadMessage, format!("not a read request: {error}"))),
            }
        }
        groups
    }
}

/// Handles a batch of read requests.
pub async fn handle_batch<P: Ports>(invocation: Invocation<'_, P>, deliveries: Vec<Delivery>) -> BatchReport {
    let reconcile = Reconcile::new(invocation);
    let mut results: Vec<Result<(), Failure>> = deliveries.iter().map(|_| Ok(())).collect();
    let mut report = BatchReport::default();
    let groups = Groups::collect(&deliveries, &mut results);
    for ((connection, object), requests) in groups.fetches {
        report.metrics.push(Metric::count("fetches", requests.len() as f64, &connection));
        match reconcile.fetch(&connection, &object, &requests).await {
            Ok(unfinished) => unfinished.into_iter().for_each(|(index, failure)| results[index] = Err(failure)),
            Err(failure) => requests.iter().for_each(|requested| results[requested.index] = Err(failure.clone())),
        }
    }
    for ((connection, objects), requests) in groups.sweeps {
        let swept = reconcile.sweep_requested(&connection, &objects, &requests).await;
        for Requested { index, request, .. } in requests {
            results[index] = match &swept {
                Ok(()) => reconcile.close_sweep(&request).await,
                Err(failure) => Err(failure.clone()),
            };
        }
    }
    for Requested { index, receive_count, request } in groups.imports {
        results[index] = reconcile.import_page(&request, receive_count).await;
    }
    for (delivery, result) in deliveries.iter().zip(results) {
        if let Ok(request) = serde_json::from_str::<ReadRequest>(&delivery.body) {
            report.metrics.extend(measure_handled(is_error(&result), request.connection()));
        }
        let on_park = async |failure: &Failure| reconcile.close_parked_event(delivery, failure).await;
        if finish_delivery(invocation, &QueueName::fetch(), delivery, result, on_park).await {
            report.failures.push(delivery.id.clone());
        }
    }
    report
}

/// Runs a scheduled job.
pub async fn run_job<P: Ports>(invocation: Invocation<'_, P>, job: Job) -> Result<JobReport, Failure> {
    let reconcile = Reconcile::new(invocation);
    let mut report = JobReport::default();
    if job == Job::Watch {
        reconcile.watch(&mut report).await?;
        return Ok(report);
    }
    for (connection, object) in reconcile.objects_to_sweep().await? {
        if let Err(failure) = reconcile.sweep(connection, object, &mut report).await {
            report.add_failure(connection, &failure);
        }
    }
    if job == Job::Full
        && let Err(failure) = reconcile.verify_links(&mut report).await
    {
        report.add_failure(LINKS, &failure);
    }
    match reconcile.dispatch_behind(&mut report).await {
        Err(failure) if position::ends_run(&failure) => report.add_failure(RECORDS, &failure),
        other => other?,
    }
    tracing::info!(read = report.read, missing = report.missing, dispatched = report.dispatched, "reconciled");
    Ok(report)
}

impl JobReport {
    /// The measurements of a job that has run: that it has finished, which of its parts failed, and what it watched.
    pub fn metrics(&self, job: Job) -> Vec<Metric> {
        let finished = Metric::of_job("finished", f64::from(u8::from(!self.unfinished)), job.name());
        let is_error = |code: &str| Code::ALL.iter().any(|known| known.name() == code && known.class().is_error());
        let connections = self.failed.iter().filter(|(name, code)| name != LINKS && name != RECORDS && is_error(code));
        let failed = connections.flat_map(|(connection, _)| measure_handled(true, connection));
        let paused = self.paused.iter().map(|(name, paused)| Metric::of_connection("paused", f64::from(u8::from(*paused)), name));
        let refused =
            self.properties_refused.iter().map(|(name, n)| Metric::of_connection("properties_refused", *n as f64, name));
        std::iter::once(finished).chain(failed).chain(paused).chain(refused).collect()
    }

    /// The failure of a job that a person must look at although all of its work is done: it raises the alarm of the function.
    pub fn needs_person(&self) -> Option<Failure> {
        let held: Vec<&str> = self
            .failed
            .iter()
            .filter(|(_, code)| code == Code::AbsencesHeld.name())
            .map(|(connection, _)| connection.as_str())
            .collect();
        let detail = || format!("too many linked objects were not found at {}: see `hub absences`", held.join(", "));
        (!held.is_empty()).then(|| Failure::new(Code::AbsencesHeld, detail()))
    }

    fn add_failure(&mut self, name: &str, failure: &Failure) {
        tracing::warn!(connection = name, code = %failure.code, stage = failure.stage_name(), detail = %failure.chain(), "a part of the job did not finish");
        self.unfinished |= matches!(failure.code, Code::Deadline | Code::RateLimited);
        self.failed.push((name.to_owned(), failure.code.name().to_owned()));
    }
}

impl<'a, P: Ports> Reconcile<'a, P> {
    fn new(invocation: Invocation<'a, P>) -> Reconcile<'a, P> {
        let Invocation { ports, config, deadline_ms } = invocation;
        Reconcile { ports, config, deadline_ms }
    }

    fn client<'c>(&'c self, name: &'c str) -> Result<Client<'c, P>, Failure> {
        Client::open(self.ports, self.config, name, self.deadline_ms)
    }

    /// The envelope of a record that was read, or of the finding that it does not exist.
    async fn build_envelope(&self, read: ReadResult<'_>) -> Result<IngestMessage, Failure> {
        let ReadResult { source, record, causes, trace, read_at_ms, absent_since_ms } = read;
        let text = record.map(|record| record.raw.to_string()).unwrap_or_default();
        let fetched = Fetched { source, missing: record.is_none(), read_at_ms, absent_since_ms, causes };
        Ok(IngestMessage::from_read(self.ports, &self.config.hub().limits, fetched, trace, text.as_bytes()).await?)
    }

    /// Closes the account line of the event that caused a request which is parked: the event ends as dead.
    async fn close_parked_event(&self, delivery: &Delivery, failure: &Failure) -> Result<(), Failure> {
        let Ok(request) = serde_json::from_str::<ReadRequest>(&delivery.body) else { return Ok(()) };
        let Some(event) = request.cause() else { return Ok(()) };
        if !matches!(outcome_of(self.ports, event).await?, None | Some(Outcome::InFlight)) {
            return Ok(());
        }
        let line = AccountLine { event, outcome: Outcome::Dead, reason: Some(failure.code.name()) };
        self.ports.write(vec![line.build_put(self.config.hub().journal_days, Condition::Always)], None).await?;
        Ok(())
    }
}

/// One object that was read.
struct ReadResult<'r> {
    source: RemoteId,
    /// `None` when the object does not exist.
    record: Option<&'r RemoteRecord>,
    /// The events that requested the read.
    causes: Vec<EventRef>,
    /// The trace of the event that requested the read; `None` where no event did.
    trace: Option<String>,
    /// When the read began, by our clock.
    read_at_ms: i64,
    /// Where the read was a second look: since when the object was not found.
    absent_since_ms: Option<i64>,
}

impl<'r> ReadResult<'r> {
    /// The result of a read that no event requested.
    fn new(source: RemoteId, record: Option<&'r RemoteRecord>, read_at_ms: i64) -> ReadResult<'r> {
        ReadResult { source, record, causes: Vec::new(), trace: None, read_at_ms, absent_since_ms: None }
    }
}

/// Destination, object and record of a link's key.
pub fn link_parts(key: &Key) -> Option<(&str, ObjectType, &str)> {
    let mut parts = key.pk.strip_prefix("l#")?.splitn(3, '#');
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?))
}

/// Object and id of a golden record's key.
pub fn golden_parts(key: &Key) -> Option<(ObjectType, &str)> {
    let (object, record) = key.pk.strip_prefix("g#")?.split_once('#')?;
    Some((object.parse().ok()?, record))
}
