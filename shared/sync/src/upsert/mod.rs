//! `upsert`: pushes golden records to one destination, each exactly once. The only function that writes to a provider.
//!
//! A message says *where to look* (`{record, version}`), never what is true. This module tells the story of a batch: group the
//! messages by record, read link and golden record, render and compare (`render`, [`plan`]), take the lease, look for an object
//! where none is known (`look_up`, `find`), write in batch calls (`write`, `calls`), note what came of each row (`rows`, and
//! `set_aside` where a property is refused), store it and release the lease (`commit`). `docs/decisions/link-protocol.md` has the rules.

mod associate;
mod calls;
mod commit;
mod find;
mod look_up;
mod missing;
mod plan;
mod render;
mod review;
mod rows;
mod set_aside;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Dispatch, GoldenId, ObjectType, QueueName};
use providers::api::Op;

use crate::batch::{BatchReport, Invocation, Metric, finish_delivery, is_error, measure_handled};
use crate::failure::{AtStage, Class, Code, Failure, Stage};
use crate::join::join;
use crate::mutant::{Mutant, mutant};
use crate::outbox::{send_dispatch_after, send_dispatches};
use crate::pause::{Pauses, hold_dispatch};
use crate::ports::{Clock, Delivery, Http, Queue, Secrets, Store, Table, Write};
use crate::record::link::Push;
use crate::record::{GoldenRecord, Link};
use crate::seal::Vault;

use calls::Destination;
use plan::{Intent, plan_push};
use render::Rendering;

/// Everything that upsert needs of the outside.
pub trait Ports: Store + Queue + Secrets + Http + Clock {}
impl<T: Store + Queue + Secrets + Http + Clock> Ports for T {}

/// Time between the end of an invocation and the end of the leases that it took, in milliseconds: a call that was sent in the
/// last moment may still take effect in it.
const LEASE_MARGIN_MS: i64 = 5_000;

/// How long a worker whose lease has expired may still write, in milliseconds: a process that was frozen, a request that was held
/// up on its way.
const LATE_WORKER_MS: i64 = 300_000;

/// By how much the clocks of the worker that schedules a recheck and of the one that makes it may differ, in seconds.
const RECHECK_SLACK_S: i64 = 2;

/// Longest chain of redirects that a dispatch follows.
const REDIRECTS: usize = 16;

/// One record of a batch, with every message that named it.
struct Job {
    deliveries: Vec<usize>,
    dispatch: Dispatch,
    link: Link,
    /// The link as this job stored it last, to tell what others have stored since.
    stored: Link,
    /// What is to be written; `None` before the lease is taken.
    work: Option<Work>,
    result: Option<Result<(), Failure>>,
    /// Why a part of the push is still to be made, although the row was written.
    unfinished: Option<Failure>,
    latency_ms: Option<i64>,
    /// What the audit log is to say, once the destination has said so.
    note: Option<Note>,
    /// The write of the audit entry: built once, so that no retry makes a second entry.
    audit: Option<Write>,
}

/// What a destination said about a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// It has taken it.
    Pushed,
    /// A look-up has found what an earlier push sent, whose answer was lost.
    FoundPushed,
    /// It has refused it.
    Refused,
}

impl Note {
    const fn name(self) -> &'static str {
        match self {
            Note::Pushed => "pushed",
            Note::FoundPushed => "found pushed",
            Note::Refused => "refused",
        }
    }
}

/// What a job writes under its lease.
struct Work {
    golden: GoldenRecord,
    intent: Intent,
}

impl Job {
    fn new(dispatch: Dispatch) -> Job {
        let (link, stored) = (Link::default(), Link::default());
        let deliveries = Vec::new();
        let (work, result, unfinished, latency_ms, note, audit) = (None, None, None, None, None, None);
        Job { deliveries, dispatch, link, stored, work, result, unfinished, latency_ms, note, audit }
    }

    fn object(&self) -> ObjectType {
        self.dispatch.object
    }

    /// True while the job still has something to write.
    fn is_pending(&self) -> bool {
        self.result.is_none() && self.work.is_some()
    }

    /// Sets the job's result, unless it has one.
    fn end(&mut self, result: Result<(), Failure>) {
        self.result.get_or_insert(result);
    }
}

/// Handles a batch of dispatches to one destination.
pub async fn handle_batch<P: Ports>(
    invocation: Invocation<'_, P>,
    vault: &Vault,
    destination: &str,
    deliveries: Vec<Delivery>,
) -> BatchReport {
    let queue = &QueueName::upsert(destination);
    let mut results: Vec<Result<(), Failure>> = deliveries.iter().map(|_| Ok(())).collect();
    let mut jobs = collect(&deliveries, &mut results);
    let mut report = BatchReport::default();
    match Destination::open(invocation, vault, destination) {
        Ok(opened) => {
            let upsert = Upsert { destination: opened };
            upsert.run(&mut jobs).await;
            let client = &upsert.destination.client;
            report.metrics.push(Metric::count("api_calls", client.calls_made() as f64, destination));
            if upsert.destination.fields_set_aside() > 0 {
                report.metrics.push(Metric::count(
                    "fields_not_written",
                    upsert.destination.fields_set_aside() as f64,
                    destination,
                ));
            }
            if let Some(usage) = client.usage() {
                report.metrics.push(Metric::count("api_calls_left", usage.remaining as f64, destination));
            }
        }
        Err(failure) => jobs.iter_mut().for_each(|job| job.end(Err(failure.clone()))),
    }
    for job in jobs {
        if let Some(ms) = job.latency_ms {
            report.metrics.push(Metric::milliseconds("webhook_to_write", ms as f64, destination));
        }
        let result = job.result.unwrap_or(Ok(()));
        for index in job.deliveries {
            results[index].clone_from(&result);
        }
    }
    report.metrics.extend(results.iter().flat_map(|result| measure_handled(is_error(result), destination)));
    let failed = join(deliveries.iter().zip(results).map(|(delivery, result)| async move {
        finish_delivery(invocation, queue, delivery, result, async |_: &Failure| Ok(())).await.then(|| delivery.id.clone())
    }))
    .await;
    report.failures.extend(failed.into_iter().flatten());
    report
}

/// Groups messages by record; the newest version of each counts. A message that cannot be read fails alone.
fn collect(deliveries: &[Delivery], results: &mut [Result<(), Failure>]) -> Vec<Job> {
    let mut jobs: BTreeMap<(ObjectType, GoldenId), Job> = BTreeMap::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        match serde_json::from_str::<Dispatch>(&delivery.body) {
            Ok(dispatch) => {
                let key = (dispatch.object, dispatch.record.clone());
                let job = jobs.entry(key).or_insert_with(|| Job::new(dispatch.clone()));
                job.deliveries.push(index);
                if dispatch.version > job.dispatch.version {
                    job.dispatch = dispatch;
                }
            }
            Err(error) => results[index] = Err(Failure::new(Code::BadMessage, format!("not a dispatch: {error}"))),
        }
    }
    jobs.into_values().collect()
}

struct Upsert<'a, P> {
    destination: Destination<'a, P>,
}

impl<P: Ports> Upsert<'_, P> {
    fn ports(&self) -> &P {
        self.destination.ports
    }

    fn name(&self) -> &str {
        self.destination.name
    }

    async fn run(&self, jobs: &mut [Job]) {
        if let Err(failure) = self.begin(jobs).await {
            return jobs.iter_mut().for_each(|job| job.end(Err(failure.clone())));
        }
        join(jobs.iter_mut().filter(|job| job.result.is_none()).map(|job| async move {
            if let Err(failure) = self.prepare(job).await {
                job.end(Err(failure));
            }
        }))
        .await;
        let objects: BTreeSet<ObjectType> = jobs.iter().filter(|j| j.work.is_some()).map(Job::object).collect();
        for object in objects {
            let mut mine: Vec<&mut Job> = jobs.iter_mut().filter(|j| j.object() == object && j.is_pending()).collect();
            self.look_up(object, &mut mine).await;
            for (op, exists) in [(Op::Update, true), (Op::Upsert, false)] {
                let mut rows: Vec<&mut Job> = mine
                    .iter_mut()
                    .filter(|j| j.is_pending() && j.link.remote_id().is_some() == exists)
                    .map(|j| &mut **j)
                    .collect();
                for chunk in rows.chunks_mut(self.destination.api.batch_limit(op)) {
                    self.write(object, op, chunk).await;
                }
            }
        }
        self.redispatch(jobs).await;
    }

    /// Ends the jobs whose object type, or whole connection, is paused: their messages are stored durably as held, or wait for a
    /// pause that ends by itself.
    async fn begin(&self, jobs: &mut [Job]) -> Result<(), Failure> {
        let pauses = Pauses::load(self.ports(), self.name()).await?;
        for job in jobs {
            let native = self.destination.native(job.object()).unwrap_or_default();
            let Some(pause) = pauses.of(&native) else { continue };
            if pause.until_ms.is_some() {
                job.end(Err(pause.failure(self.ports(), self.name())));
                continue;
            }
            tracing::warn!(destination = self.name(), object = %job.object(), reason = %pause.reason, "paused: messages are held");
            job.end(hold_dispatch(self.ports(), self.name(), pause, &job.dispatch).await);
        }
        self.destination.client.load_refused().await
    }

    /// Reads, renders and compares, and takes the lease. Ends the job if there is nothing to do.
    async fn prepare(&self, job: &mut Job) -> Result<(), Failure> {
        let native = self.destination.native(job.object())?;
        let Some(golden) = self.read(job).await? else {
            job.end(Ok(()));
            return Ok(());
        };
        if self.waits_for_review(job, &native, &golden).await? {
            tracing::info!(destination = self.name(), object = %golden.object, record = %golden.id, "waits for a person's decision: `hub review list`");
            job.end(Ok(()));
            return Ok(());
        }
        let mut rendering = self.render(job, &native, &golden).await?;
        self.withhold_disputed(golden.object, &golden, &mut rendering);
        self.update_set_aside(job, &native, &rendering);
        let intent = plan_push(&job.link, &rendering);
        let now_ms = self.ports().now_ms();
        if let Some(until) = job.link.waits_for_creates(now_ms) {
            let wait = u64::try_from(until - now_ms).unwrap_or(0);
            let detail = format!("an object of a record merged into {} may still appear", golden.id);
            return Err(Failure::throttled(Code::LeaseBusy, wait, detail));
        }
        job.link.recheck_if_due(now_ms);
        if intent.is_empty() && !job.link.has_work(self.destination.api.can_merge()) {
            self.mark_up_to_date(job, &golden).await?;
            job.end(Ok(()));
            return Ok(());
        }
        self.lease(job, Work { golden, intent }).await
    }

    /// Reads link and golden record, following redirects. Returns `None` if nothing is to be written.
    async fn read(&self, job: &mut Job) -> Result<Option<GoldenRecord>, Failure> {
        let object = job.object();
        for _ in 0..REDIRECTS {
            let record = job.dispatch.record.clone();
            job.link = self.read_link(object, &record).await?;
            job.stored = job.link.clone();
            if job.link.lease().is_held(self.ports().now_ms()) {
                if mutant(Mutant::BusyLeaseAcknowledged) {
                    return Ok(None);
                }
                return Err(Failure::new(Code::LeaseBusy, format!("{object} {record} is being written by another worker")));
            }
            let Some(golden) = self.read_golden(object, &record).await? else {
                return Err(Failure::new(Code::GoldenBehind, format!("{object} {record} is not there yet")));
            };
            if let Some(survivor) = &golden.redirect {
                job.dispatch.record.clone_from(survivor);
                continue;
            }
            if golden.version < job.dispatch.version.max(job.link.pushed_version()) {
                return Err(Failure::new(Code::GoldenBehind, format!("{object} {record} is at version {}", golden.version)));
            }
            if !golden.is_pushed() || job.link.is_gone() {
                self.give_up_push(job, &golden).await?;
                return Ok(None);
            }
            // A record that was refused is tried again: an operator may have redriven its message, the refusal may be over.
            return Ok(Some(golden));
        }
        Err(Failure::new(Code::Bug, "a chain of redirects is too long"))
    }

    /// Nobody writes to the object any more. If a worker was killed while it was writing, events still wait for what came of that.
    async fn give_up_push(&self, job: &mut Job, golden: &GoldenRecord) -> Result<(), Failure> {
        match job.link.give_up_push() {
            true => self.store(job.object(), &golden.id, &mut job.link).await,
            false => Ok(()),
        }
    }

    async fn render(&self, job: &mut Job, native: &str, golden: &GoldenRecord) -> Result<Rendering, Failure> {
        let rendering = self.destination.render(job.object(), native, golden).await.at(Stage::Render);
        if let Err(failure) = &rendering
            && failure.class == Class::Permanent
        {
            job.link.refuse(golden.version);
            self.store(job.object(), &golden.id, &mut job.link).await?;
        }
        rendering
    }

    /// Nothing of this version concerns the destination: the link says so, or `reconcile` would dispatch it again.
    async fn mark_up_to_date(&self, job: &mut Job, golden: &GoldenRecord) -> Result<(), Failure> {
        let news = job.link.mark_up_to_date(golden.version);
        if !news && job.link.set_aside() == job.stored.set_aside() {
            return Ok(());
        }
        match self.store(job.object(), &golden.id, &mut job.link).await {
            // The worker that has written the link knows better.
            Err(failure) if failure.code == Code::WriteConflict => Ok(()),
            other => other,
        }
    }

    /// Takes the lease. If no look-up is needed, the intent is stored with it.
    async fn lease(&self, job: &mut Job, work: Work) -> Result<(), Failure> {
        let recheck_at_ms = self.schedule_recheck(&job.link, &work.golden).await?;
        let timeout_ms = i64::try_from(self.destination.client.timeout_ms()).unwrap_or(i64::MAX);
        let until_ms = self.destination.deadline_ms + timeout_ms + LEASE_MARGIN_MS;
        job.link.take_lease(until_ms, recheck_at_ms, self.destination.api.can_merge());
        if !job.link.needs_look_up() {
            job.link.intend_push(work.intent.fields(), self.ports().now_ms());
        }
        self.store(job.object(), &work.golden.id, &mut job.link).await?;
        job.stored = job.link.clone();
        job.work = Some(work);
        Ok(())
    }

    /// A worker whose lease expired during a push may still write, and may die before it reports. So the destination is read once
    /// more, at the time that this returns. As long as nothing new is sent, one recheck is enough.
    async fn schedule_recheck(&self, link: &Link, golden: &GoldenRecord) -> Result<Option<i64>, Failure> {
        let late_ms = LATE_WORKER_MS / i64::from(self.destination.speed());
        if !link.push().is_in_flight() || self.is_recheck_scheduled(link, late_ms) || mutant(Mutant::NoFence) {
            return Ok(None);
        }
        let at_ms = self.ports().now_ms() + late_ms;
        let delay_s = u32::try_from(late_ms / 1000 + RECHECK_SLACK_S).unwrap_or(0);
        let dispatch = self.dispatch(golden.object, &golden.id, 0, "");
        send_dispatch_after(self.ports(), self.name(), &dispatch, delay_s).await?;
        Ok(Some(at_ms))
    }

    /// True when a recheck of what was sent last is scheduled, or has been made. Otherwise each failed look-up would schedule one.
    fn is_recheck_scheduled(&self, link: &Link, late_ms: i64) -> bool {
        let scheduled_ms = link.lease().recheck_at_ms;
        match link.knowledge().last_intended_ms() {
            _ if link.push() != Push::OutcomeUnknown => false,
            Some(intended_ms) => scheduled_ms.unwrap_or_else(|| self.ports().now_ms()) >= intended_ms + late_ms,
            None => scheduled_ms.is_some(),
        }
    }

    /// After the release: a golden record that has a newer version by now is dispatched again.
    async fn redispatch(&self, jobs: &[Job]) {
        for job in jobs.iter().filter(|j| j.latency_ms.is_some() && matches!(j.result, Some(Ok(())))) {
            let Some(Work { golden, .. }) = &job.work else { continue };
            let newest = match self.ports().get(Table::Golden, &GoldenRecord::key(golden.object, &golden.id)).await {
                Ok(item) => item.and_then(|i| i.n("ver")).and_then(|v| u64::try_from(v).ok()).unwrap_or(0),
                Err(error) => {
                    tracing::warn!(error = %error, "could not read the version of a record; its own message will come");
                    continue;
                }
            };
            if newest > golden.version
                && !mutant(Mutant::NoFence)
                && let Err(failure) = self.send_dispatch(golden.object, &golden.id, newest, &job.dispatch.trace).await
            {
                tracing::warn!(code = %failure.code, "could not dispatch again; the record's own message will come");
            }
        }
    }

    async fn send_dispatch(&self, object: ObjectType, record: &str, version: u64, trace: &str) -> Result<(), Failure> {
        let dispatch = self.dispatch(object, record, version, trace);
        send_dispatches(self.ports(), self.name(), [&dispatch]).await
    }

    fn dispatch(&self, object: ObjectType, record: &str, version: u64, trace: &str) -> Dispatch {
        let received_at_ms = self.ports().now_ms();
        Dispatch { object, record: record.into(), version, trace: trace.to_owned(), received_at_ms }
    }
}
