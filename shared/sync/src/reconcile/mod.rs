//! `reconcile`: reads from providers and hands what it read to `ingest`; never writes a golden record, never writes to a provider.
//!
//! Three duties: *fetch* what thin events name; *sweep* what changed at a connection since its watermark; *audit* every linked
//! object at every destination, and dispatch records that a destination should have and does not.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{
    BodyRef, ConnectionName, Dispatch, Envelope, EnvelopeKind, FetchRequest, Fetched, Lane, ObjectType, Outcome, QueueName,
    ReadRequest, RemoteId, SweepRequest,
};
use providers::api::{CallFailure, FailureKind, RemoteRecord, Target};
use providers::fetch::{Fetch, fetched};
use providers::http::HttpResponse;
use serde::{Deserialize, Serialize};

use crate::batch::{BatchReport, Metric, check_deadline, settle};
use crate::claim_check::serialize_with_body;
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::failure::{Class, Code, Failure};
use crate::pause::paused;
use crate::ports::{Attr, Blob, Clock, Condition, Delivery, Http, Item, Key, Outgoing, Queue, Secrets, Store, Table, Write};
use crate::receive::Instance;
use crate::record::Link;
use crate::record::journal::{AccountLine, close_account_line, outcome_of};

/// Everything that reconcile needs of the outside.
pub trait Ports: Store + Queue + Blob + Secrets + Http + Clock {}
impl<T: Store + Queue + Blob + Secrets + Http + Clock> Ports for T {}

/// How far a sweep reads back behind its watermark, in milliseconds: providers index late and clocks differ.
const OVERLAP_MS: i64 = 120_000;
/// How long before its event a change may have been made, where an event names a collection.
const SINCE_MS: i64 = 3_600_000;
/// How often a read that is older than the event that asked for it is repeated.
const STALE_READS: u32 = 5;
/// Items per page of a scan.
const SCAN_PAGE: u32 = 500;

/// The event of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "job")]
pub enum Job {
    /// Read what changed since the watermarks; dispatch what is behind.
    Sweep,
    /// The same, and look at every linked object at every destination.
    Daily,
}

/// What a job did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// Records read from providers.
    pub read: u64,
    /// Linked objects that no longer exist at their destination.
    pub missing: u64,
    /// Dispatches sent for records that a destination has not got.
    pub dispatched: u64,
    /// Connections that could not be read, with the reason's code.
    pub failed: Vec<(String, String)>,
    /// True when time ran out. Sweeps go on at their watermarks; the comparison of links begins anew.
    pub unfinished: bool,
}

/// What an invocation works with.
pub struct Reconcile<'a, P> {
    ports: &'a P,
    config: &'a Config,
    instance: &'a Instance,
    deadline_ms: i64,
}

/// What a comparison is about: a connection, and its objects.
type Compared = (ConnectionName, Vec<String>);

/// Handles a batch of fetch requests: one read per connection and object, whatever the number of events that asked.
pub async fn handle_fetch_batch<P: Ports>(
    ports: &P,
    config: &Config,
    instance: &Instance,
    deliveries: Vec<Delivery>,
    deadline_ms: i64,
) -> BatchReport {
    let reconcile = Reconcile { ports, config, instance, deadline_ms };
    let mut results: Vec<Result<(), Failure>> = deliveries.iter().map(|_| Ok(())).collect();
    let mut groups: BTreeMap<(ConnectionName, String), Vec<(usize, FetchRequest)>> = BTreeMap::new();
    let mut sweeps: BTreeMap<Compared, Vec<(usize, SweepRequest)>> = BTreeMap::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        match serde_json::from_str(&delivery.body) {
            Ok(ReadRequest::Sweep(request)) => {
                let group = (request.connection.clone(), request.objects.clone());
                sweeps.entry(group).or_default().push((index, request));
            }
            Ok(ReadRequest::Fetch(request)) => {
                let group = (request.source.connection.clone(), request.source.object.clone());
                groups.entry(group).or_default().push((index, request));
            }
            Err(error) => results[index] = Err(Failure::new(Code::BadMessage, format!("not a request to read: {error}"))),
        }
    }
    let mut report = BatchReport::default();
    for ((connection, object), requests) in groups {
        report.metrics.push(Metric::count("fetches", requests.len() as f64, &connection));
        let indexes: Vec<usize> = requests.iter().map(|(index, _)| *index).collect();
        match reconcile.fetch(&connection, &object, &requests, &deliveries).await {
            Ok(failed) => failed.into_iter().for_each(|(index, failure)| results[index] = Err(failure)),
            Err(failure) => indexes.into_iter().for_each(|index| results[index] = Err(failure.clone())),
        }
    }
    // However many events ask for the same comparison, it is made once.
    for ((connection, objects), requests) in sweeps {
        let swept = reconcile.compare(&connection, &objects, &requests).await;
        for (index, request) in requests {
            results[index] = match &swept {
                Ok(()) => reconcile.compared(&request).await,
                Err(failure) => Err(failure.clone()),
            };
        }
    }
    for (delivery, result) in deliveries.iter().zip(results) {
        let parked = async |failure: &Failure| reconcile.close_parked(delivery, failure).await;
        if settle(ports, config.hub(), &QueueName::fetch(), delivery, result, parked).await {
            report.failures.push(delivery.id.clone());
        }
    }
    report
}

/// Runs a scheduled job.
pub async fn run_job<P: Ports>(
    ports: &P,
    config: &Config,
    instance: &Instance,
    job: Job,
    deadline_ms: i64,
) -> Result<JobReport, Failure> {
    let reconcile = Reconcile { ports, config, instance, deadline_ms };
    let mut report = JobReport::default();
    for (name, connection) in &config.hub().connections {
        for object in &connection.sweep {
            if let Err(failure) = reconcile.sweep(name, object, &mut report).await {
                reconcile.note(name, &failure, &mut report);
            }
        }
    }
    if job == Job::Daily
        && let Err(failure) = reconcile.audit_links(&mut report).await
    {
        reconcile.note("links", &failure, &mut report);
    }
    reconcile.dispatch_behind(&mut report).await?;
    tracing::info!(read = report.read, missing = report.missing, dispatched = report.dispatched, "reconciled");
    Ok(report)
}

impl<P: Ports> Reconcile<'_, P> {
    fn note(&self, name: &str, failure: &Failure, report: &mut JobReport) {
        tracing::warn!(connection = name, code = %failure.code, detail = %failure.detail, "a part of the job did not finish");
        report.unfinished |= matches!(failure.code, Code::Deadline | Code::RateLimited);
        report.failed.push((name.to_owned(), failure.code.name().to_owned()));
    }

    fn client<'c>(&'c self, name: &'c str) -> Result<Client<'c, P>, Failure> {
        Client::open(self.ports, self.config, name, self.deadline_ms)
    }

    /// Reads records one by one, by the paths of the manifest. A record that does not exist is not in the answer.
    async fn read_each(
        &self,
        client: &Client<'_, P>,
        object: &str,
        requests: &[(usize, FetchRequest)],
    ) -> (Vec<RemoteRecord>, BTreeMap<String, Failure>) {
        let account = client.connection().account.as_str();
        let mut since: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, request) in requests {
            let received = request.cause.as_ref().map_or_else(|| self.ports.now_ms(), |cause| cause.received_at_ms);
            let earliest = since.entry(request.source.id.as_str()).or_insert(received);
            *earliest = received.min(*earliest);
        }
        let (mut records, mut failed) = (Vec::new(), BTreeMap::new());
        let mut over: Option<Failure> = None;
        for (id, received_ms) in since {
            if let Some(failure) = &over {
                failed.insert(id.to_owned(), failure.clone());
                continue;
            }
            let request = |t: &Target| {
                let since_ms = received_ms - SINCE_MS;
                let (base_url, token) = (t.base_url.as_str(), t.token.as_str());
                client.provider().fetch(&Fetch { base_url, token, account, object, id, since_ms })
            };
            let raw = match client.call(object, request, |_, r| read_json(r)).await.map_err(CallError::into_failure) {
                Ok(Some(raw)) => raw,
                Ok(None) => continue,
                Err(failure) => {
                    // A refusal is about this record; everything else would meet the others as well. What was read stays read.
                    over = (failure.class != Class::Permanent).then(|| failure.clone());
                    failed.insert(id.to_owned(), failure);
                    continue;
                }
            };
            records.push(RemoteRecord {
                id: id.to_owned(),
                hub_id: None,
                properties: Default::default(),
                stamp: None,
                field_stamps: BTreeMap::new(),
                archived: false,
                raw,
            });
        }
        (records, failed)
    }

    /// Reads what the requests name and hands it to `ingest`. Returns the requests that are not done: their read failed, or was
    /// older than their event.
    async fn fetch(
        &self,
        name: &str,
        object: &str,
        requests: &[(usize, FetchRequest)],
        deliveries: &[Delivery],
    ) -> Result<Vec<(usize, Failure)>, Failure> {
        if paused(self.ports, name).await?.is_some() {
            return Err(Failure::new(Code::Paused, format!("`{name}` is paused")));
        }
        let ids: BTreeSet<String> = requests.iter().map(|(_, r)| r.source.id.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let client = self.client(name)?;
        let (records, failed) = match client.api() {
            Some(_) => (client.read(object, &ids).await.map_err(CallError::into_failure)?, BTreeMap::new()),
            None => self.read_each(&client, object, requests).await,
        };
        let by_id: BTreeMap<&str, &RemoteRecord> = records.iter().map(|r| (r.id.as_str(), r)).collect();
        let mut undone = Vec::new();
        let mut envelopes = Vec::new();
        for id in &ids {
            if let Some(failure) = failed.get(id) {
                let mine = requests.iter().filter(|(_, r)| r.source.id == *id);
                undone.extend(mine.map(|(index, _)| (*index, failure.clone())));
                continue;
            }
            let record = by_id.get(id.as_str()).copied().filter(|r| !r.archived);
            let mut causes = Vec::new();
            let mut trace = None;
            for (index, request) in requests.iter().filter(|(_, r)| r.source.id == *id) {
                let behind = match (record.and_then(|r| r.stamp), request.not_before) {
                    (Some(read), Some(wanted)) => read.at_ms < wanted.at_ms,
                    _ => false,
                };
                if behind && deliveries.get(*index).is_some_and(|d| d.receive_count <= STALE_READS) {
                    let detail = format!("{name} still shows an older {object}");
                    undone.push((*index, Failure::new(Code::StaleRead, detail)));
                } else {
                    causes.extend(request.cause.clone());
                    trace = Some(request.trace.clone());
                }
            }
            if let Some(trace) = trace {
                let source = RemoteId { connection: name.into(), object: object.into(), id: id.clone() };
                envelopes.push(self.envelope(source, record, causes, trace).await?);
            }
        }
        self.hand_over(name, envelopes, None).await?;
        Ok(undone)
    }

    async fn envelope(
        &self,
        source: RemoteId,
        record: Option<&RemoteRecord>,
        causes: Vec<canonical::EventRef>,
        trace: String,
    ) -> Result<String, Failure> {
        let now = self.ports.now_ms();
        let id = format!("{:013x}{:016x}", now, self.ports.random());
        let text = record.map(|r| r.raw.to_string()).unwrap_or_default();
        let envelope = Envelope {
            id,
            connection: source.connection.clone(),
            kind: EnvelopeKind::Fetched(Fetched { source, missing: record.is_none(), read_at_ms: now, causes }),
            received_at_ms: now,
            instance: self.instance.name().to_owned(),
            sequence: self.instance.next(),
            trace,
            target: String::new(),
            headers: BTreeMap::new(),
            body: BodyRef::Text(String::new()),
        };
        Ok(serialize_with_body(self.ports, &self.config.hub().limits, envelope, text.as_bytes()).await?)
    }

    async fn hand_over(&self, name: &str, envelopes: Vec<String>, lane: Option<Lane>) -> Result<(), Failure> {
        let (connection, _) = self.config.connection(name)?;
        let grouped = |text| Outgoing { group: Some(name.to_owned()), ..Outgoing::new(text) };
        let messages = envelopes.into_iter().map(grouped).collect();
        for sent in self.ports.send(&QueueName::ingest(lane.unwrap_or(connection.lane)), messages).await {
            sent?;
        }
        Ok(())
    }

    /// A fetch request that is given up: the event that asked for it ends as dead.
    async fn close_parked(&self, delivery: &Delivery, failure: &Failure) -> Result<(), Failure> {
        let Ok(request) = serde_json::from_str::<ReadRequest>(&delivery.body) else { return Ok(()) };
        let Some(cause) = request.cause() else { return Ok(()) };
        if !matches!(outcome_of(self.ports, cause).await?, None | Some(Outcome::InFlight)) {
            return Ok(());
        }
        let days = self.config.hub().journal_days;
        let line = AccountLine { event: cause, outcome: Outcome::Dead, reason: Some(failure.code.name()) };
        self.ports.write(vec![line.build_put(days, Condition::Always)], None).await?;
        Ok(())
    }

    /// Sweeps the objects of which events were lost. What the reads change is counted as theirs.
    async fn compare(&self, name: &str, objects: &[String], requests: &[(usize, SweepRequest)]) -> Result<(), Failure> {
        let (connection, _) = self.config.connection(name)?;
        let all = if objects.is_empty() { connection.sweep.as_slice() } else { objects };
        if all.is_empty() {
            let reason = requests.first().map_or("", |(_, request)| request.reason.as_str());
            return Err(Failure::new(Code::CannotFetch, format!("`{name}` sweeps nothing, and {reason}")));
        }
        let mut report = JobReport::default();
        for object in all {
            self.sweep(name, object, &mut report).await?;
        }
        for (_, request) in requests {
            tracing::info!(connection = name, reason = %request.reason, read = report.read, trace = %request.trace, "compared");
        }
        Ok(())
    }

    /// Ends the event that asked for a comparison.
    async fn compared(&self, request: &SweepRequest) -> Result<(), Failure> {
        let Some(cause) = &request.cause else { return Ok(()) };
        let line = AccountLine { event: cause, outcome: Outcome::Unchanged, reason: Some(&request.reason) };
        close_account_line(self.ports, line, self.config.hub().journal_days).await
    }

    /// Reads what changed at a connection since the watermark, page by page; the watermark follows each page.
    async fn sweep(&self, name: &str, object: &str, report: &mut JobReport) -> Result<(), Failure> {
        if paused(self.ports, name).await?.is_some() {
            return Err(Failure::new(Code::Paused, format!("`{name}` is paused")));
        }
        let client = self.client(name)?;
        let api = client.require_api()?;
        let properties = client.provider().read_properties(object);
        let place = Key::new(format!("watermark#{name}#{object}"), "watermark");
        let stored = self.ports.get(Table::Control, &place).await?;
        let mark = stored.as_ref().and_then(|i| i.n("at")).unwrap_or(0);
        let mut since = (mark - OVERLAP_MS).max(0);
        let mut newest = mark;
        let mut cursor: Option<String> = None;
        loop {
            let request = |target: &Target| Some(api.list(target, since, cursor.as_deref(), &properties));
            let listed = |target: &Target, r: &HttpResponse| match api.listed(target, since, cursor.as_deref(), r) {
                Err(failure) if failure.kind == FailureKind::CursorExpired && cursor.is_some() => Ok(None),
                other => other.map(Some),
            };
            let Some(page) = client.call(object, request, listed).await.map_err(CallError::into_failure)? else {
                (since, cursor) = (newest, None);
                continue;
            };
            let mut envelopes = Vec::new();
            for record in &page.records {
                newest = newest.max(record.stamp.map_or(0, |s| s.at_ms));
                let source = RemoteId { connection: name.into(), object: object.into(), id: record.id.clone() };
                envelopes.push(self.envelope(source, Some(record), Vec::new(), String::new()).await?);
            }
            report.read += page.records.len() as u64;
            self.hand_over(name, envelopes, Some(Lane::Bulk)).await?;
            let item = Item::new(place.clone()).with("at", Attr::N(newest));
            self.ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Looks at every linked object at every destination, so that what changed there unseen is seen.
    async fn audit_links(&self, report: &mut JobReport) -> Result<(), Failure> {
        let mut by_object: BTreeMap<(ConnectionName, String), Vec<String>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.ports.scan(Table::Links, SCAN_PAGE, after.as_ref()).await?;
            for item in &page.items {
                let Some((destination, object, _)) = link_parts(&item.key) else { continue };
                let native = self.config.hub().object(object).destinations.get(destination);
                if let (Some(remote), Some(native)) = (item.s("remote"), native) {
                    by_object.entry((destination.into(), native.clone())).or_default().push(remote.to_owned());
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for ((destination, native), ids) in by_object {
            if paused(self.ports, &destination).await?.is_some() {
                continue;
            }
            for chunk in ids.chunks(usize::try_from(SCAN_PAGE).unwrap_or(500)) {
                let client = self.client(&destination)?;
                let records = client.read(&native, chunk).await.map_err(CallError::into_failure)?;
                let mut envelopes = Vec::new();
                for id in chunk {
                    let record = records.iter().find(|r| r.id == *id && !r.archived);
                    report.missing += u64::from(record.is_none());
                    let source = RemoteId { connection: destination.clone(), object: native.clone(), id: id.clone() };
                    envelopes.push(self.envelope(source, record, Vec::new(), String::new()).await?);
                }
                report.read += records.len() as u64;
                self.hand_over(&destination, envelopes, Some(Lane::Bulk)).await?;
            }
        }
        Ok(())
    }

    /// Dispatches every golden record that a destination has not got, or that is not settled there.
    async fn dispatch_behind(&self, report: &mut JobReport) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ports.scan(Table::Golden, SCAN_PAGE, after.as_ref()).await?;
            let alive = |i: &&Item| i.s("redirect").is_none() && i.attrs.get("deleted") != Some(&Attr::Bool(true));
            for item in page.items.iter().filter(|i| i.key.sk == "golden").filter(alive) {
                check_deadline(self.ports, self.deadline_ms)?;
                let Some((object, record)) = golden_parts(&item.key) else { continue };
                let version = item.n("ver").and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
                for destination in self.config.hub().object(object).destinations.keys() {
                    let link = self.ports.get(Table::Links, &Link::key(destination, object, record)).await?;
                    let pushed = link.as_ref().and_then(|l| l.n("pushed")).and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
                    let settled = link.as_ref().is_some_and(|l| l.attrs.get("settled") == Some(&Attr::Bool(true)));
                    let gone = link.as_ref().is_some_and(|l| l.attrs.get("gone") == Some(&Attr::Bool(true)));
                    if (pushed < version || !settled) && !gone {
                        self.dispatch(destination, object, record, version).await?;
                        report.dispatched += 1;
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn dispatch(&self, destination: &str, object: ObjectType, record: &str, version: u64) -> Result<(), Failure> {
        let dispatch =
            Dispatch { object, record: record.into(), version, trace: String::new(), received_at_ms: self.ports.now_ms() };
        let body = serde_json::to_string(&dispatch).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
        for sent in self.ports.send(&QueueName::upsert(destination), vec![Outgoing::new(body)]).await {
            sent?;
        }
        Ok(())
    }
}

/// Reads the answer to a read of one record; `None` when the record does not exist.
fn read_json(response: &HttpResponse) -> Result<Option<serde_json::Value>, CallFailure> {
    let Some(body) = fetched(response)? else { return Ok(None) };
    let not_json = |_| CallFailure::new(FailureKind::Transient, "BAD_ANSWER", "the answer is not JSON");
    serde_json::from_slice(&body).map(Some).map_err(not_json)
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
