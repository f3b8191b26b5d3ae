//! `upsert`: golden records out to one destination, each exactly once. The only function that writes to a provider.
//!
//! A message says *where to look* (`{record, version}`), never what is true. For each record of a batch: take the lease on
//! `{record, destination}`, render the golden record, compare with what is there, store the intent, write in batch calls,
//! settle what came of it, release. [`plan`] decides, [`calls`] talks to the provider, this module tells the story.

mod calls;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use canonical::{
    Dispatch, FetchRequest, FieldName, Fields, GoldenId, ObjectType, QueueName, ReadRequest, RemoteId, Stamp, Value,
};
use providers::api::{FailureKind, Op, Row, RowFailure, RowResult};

use crate::batch::{BatchReport, Invocation, Metric, finish_delivery};
use crate::client::{CallError, classify};
use crate::failure::{AtStage, Class, Code, Failure, Stage};
use crate::join::join;
use crate::mutant::{Mutant, mutant};
use crate::outbox::{self, send_read_requests};
use crate::pause::{Pause, hold_dispatch, paused};
use crate::ports::{Attr, Clock, Condition, Delivery, Http, Item, Queue, Secrets, Store, Table, Write, WriteError};
use crate::record::audit::{AuditSubject, build_audit_put};
use crate::record::{GoldenRecord, Link, Sent, build_put, identity_key, may_be_made_of, read_golden, read_link, remote_hash};
use crate::seal::Vault;

use calls::Destination;
use plan::{Intent, plan_push};

/// Everything that upsert needs of the outside.
pub trait Ports: Store + Queue + Secrets + Http + Clock {}
impl<T: Store + Queue + Secrets + Http + Clock> Ports for T {}

/// Time between the end of an invocation and the end of the leases that it took, in milliseconds: a call that was sent in the
/// last moment may still take effect in it.
const LEASE_MARGIN_MS: i64 = 5_000;

/// How long a worker whose lease has expired may still write, in milliseconds: a process that was frozen, a request that was held
/// up on its way.
const LATE_WORKER_MS: i64 = 300_000;

/// What clocks may differ by between whoever asks to look again and whoever looks, in seconds.
const LATE_WORKER_SLACK_S: i64 = 2;

/// How long a lease is kept after a call whose outcome is unknown, in milliseconds: it may still take effect, and whatever is
/// written before that would be undone by it.
const UNSETTLED_MS: i64 = 30_000;

/// One record of a batch, with every message that named it.
struct Job {
    deliveries: Vec<usize>,
    dispatch: Dispatch,
    link: Link,
    golden: Option<GoldenRecord>,
    intent: Option<Intent>,
    result: Option<Result<(), Failure>>,
    latency_ms: Option<i64>,
    /// The link as it was last stored by this job, to tell what others have put into it since.
    stored: Link,
}

impl Job {
    fn object(&self) -> ObjectType {
        self.dispatch.object
    }

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
    let outcome = match Destination::open(invocation, vault, destination) {
        Ok(worker) => {
            let upsert = Upsert { worker };
            upsert.run(&mut jobs).await;
            report.metrics.push(Metric::count("api_calls", upsert.worker.client.calls_made() as f64, destination));
            if upsert.worker.fields_set_aside() > 0 {
                report.metrics.push(Metric::count("fields_not_written", upsert.worker.fields_set_aside() as f64, destination));
            }
            if let Some(usage) = upsert.worker.client.usage() {
                report.metrics.push(Metric::count("api_calls_left", usage.remaining as f64, destination));
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    for job in jobs {
        if let Some(ms) = job.latency_ms {
            report.metrics.push(Metric::milliseconds("webhook_to_write", ms as f64, destination));
        }
        let result = match &outcome {
            Ok(()) => job.result.unwrap_or(Ok(())),
            Err(failure) => Err(failure.clone()),
        };
        for index in job.deliveries {
            results[index].clone_from(&result);
        }
    }
    let kept = join(deliveries.iter().zip(results).map(|(delivery, result)| async move {
        finish_delivery(invocation, queue, delivery, result, async |_: &Failure| Ok(())).await.then(|| delivery.id.clone())
    }))
    .await;
    report.failures.extend(kept.into_iter().flatten());
    report
}

/// Groups messages by record; a message that cannot be read fails on its own.
fn collect(deliveries: &[Delivery], results: &mut [Result<(), Failure>]) -> Vec<Job> {
    let mut jobs: BTreeMap<(ObjectType, GoldenId), Job> = BTreeMap::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        match serde_json::from_str::<Dispatch>(&delivery.body) {
            Ok(dispatch) => {
                let job = jobs.entry((dispatch.object, dispatch.record.clone())).or_insert_with(|| Job {
                    deliveries: Vec::new(),
                    dispatch: dispatch.clone(),
                    link: Link::default(),
                    golden: None,
                    intent: None,
                    result: None,
                    latency_ms: None,
                    stored: Link::default(),
                });
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

/// How a job goes on after the destination was looked at.
enum Next {
    Write,
    Done,
}

struct Upsert<'a, P> {
    worker: Destination<'a, P>,
}

impl<P: Ports> Upsert<'_, P> {
    fn ports(&self) -> &P {
        self.worker.ports
    }

    async fn run(&self, jobs: &mut [Job]) {
        if let Some(pause) = self.pause(jobs).await {
            return tracing::warn!(destination = self.worker.name, reason = %pause.reason, "paused: messages are held");
        }
        join(jobs.iter_mut().filter(|job| job.result.is_none()).map(|job| async move {
            if let Err(failure) = self.prepare(job).await {
                job.end(Err(failure));
            }
        }))
        .await;
        let mut objects: Vec<ObjectType> = jobs.iter().filter(|j| j.intent.is_some()).map(Job::object).collect();
        objects.sort_unstable();
        objects.dedup();
        for object in objects {
            let mut mine: Vec<&mut Job> =
                jobs.iter_mut().filter(|j| j.object() == object && j.result.is_none() && j.intent.is_some()).collect();
            self.look_up(object, &mut mine).await;
            for (op, wanted) in [(Op::Update, true), (Op::Upsert, false)] {
                let mut rows: Vec<&mut Job> = mine
                    .iter_mut()
                    .filter(|j| j.result.is_none() && j.link.remote.is_some() == wanted)
                    .map(|j| &mut **j)
                    .collect();
                for chunk in rows.chunks_mut(self.worker.api.batch_limit(op)) {
                    self.write(object, op, chunk).await;
                }
            }
        }
        self.redispatch(jobs).await;
    }

    /// A paused connection: every message is parked durably as held, and let go.
    async fn pause(&self, jobs: &mut [Job]) -> Option<Pause> {
        let pause = match paused(self.ports(), self.worker.name).await {
            Ok(pause) => pause?,
            Err(failure) => {
                jobs.iter_mut().for_each(|job| job.end(Err(failure.clone())));
                return None;
            }
        };
        for job in jobs {
            let held = hold_dispatch(self.ports(), self.worker.name, &job.dispatch).await;
            job.end(held);
        }
        Some(pause)
    }

    /// Reads link and golden record, takes the lease and stores the intent. Ends the job where nothing is to be done.
    async fn prepare(&self, job: &mut Job) -> Result<(), Failure> {
        let object = job.object();
        let native = self.worker.native(object)?;
        for _ in 0..MAX_HOPS {
            let record = job.dispatch.record.clone();
            job.link = self.link(object, &record).await?;
            if job.link.lease_until > self.ports().now_ms() {
                if mutant(Mutant::BusyLeaseAcknowledged) {
                    job.end(Ok(()));
                    return Ok(());
                }
                return Err(Failure::new(Code::LeaseBusy, format!("{object} {record} is being written by another worker")));
            }
            let Some(golden) = self.golden(object, &record).await? else {
                return Err(Failure::new(Code::GoldenBehind, format!("{object} {record} is not there yet")));
            };
            if let Some(survivor) = &golden.redirect {
                job.dispatch.record.clone_from(survivor);
                continue;
            }
            if golden.version < job.dispatch.version.max(job.link.pushed_version) {
                return Err(Failure::new(Code::GoldenBehind, format!("{object} {record} is at version {}", golden.version)));
            }
            // What was refused is tried again whenever somebody asks: a person may have redriven it, the refusal may be gone.
            if golden.deleted || job.link.gone {
                job.end(Ok(()));
                return Ok(());
            }
            let rendered = match self.worker.render(object, &native, &golden).await.at(Stage::Render) {
                Ok(rendered) => rendered,
                Err(failure) => {
                    if failure.class == Class::Permanent {
                        job.link.reject(golden.version);
                        self.store(object, &record, &mut job.link).await?;
                    }
                    return Err(failure);
                }
            };
            let intent = plan_push(&job.link, &rendered);
            if let Some(until) = job.link.strays.values().max().filter(|until| **until > self.ports().now_ms()) {
                let wait = u64::try_from(until - self.ports().now_ms()).unwrap_or(0);
                let detail = format!("an object of a record merged into {record} may still appear");
                return Err(Failure::throttled(Code::LeaseBusy, wait, detail));
            }
            let to_merge = !job.link.orphans.is_empty() && self.worker.api.can_merge();
            job.link.look_due(self.ports().now_ms());
            let unsettled = job.link.dirty || job.link.open || !job.link.strays.is_empty();
            if intent.is_empty() && !unsettled && !to_merge {
                self.note_level(job, &golden).await?;
                job.end(Ok(()));
                return Ok(());
            }
            return self.lease(job, golden, intent).await;
        }
        Err(Failure::new(Code::Bug, "a chain of redirects is too long"))
    }

    /// Nothing of this version concerns the destination: it is noted, so that `reconcile` does not find the link behind.
    async fn note_level(&self, job: &mut Job, golden: &GoldenRecord) -> Result<(), Failure> {
        if job.link.remote.is_none() || job.link.pushed_version >= golden.version {
            return Ok(());
        }
        job.link.pushed_version = golden.version;
        match self.store(job.object(), &golden.id, &mut job.link).await {
            // Whoever else has written the link knows better.
            Err(failure) if failure.code == Code::WriteConflict => Ok(()),
            other => other,
        }
    }

    async fn lease(&self, job: &mut Job, golden: GoldenRecord, intent: Intent) -> Result<(), Failure> {
        if job.link.open && !mutant(Mutant::NoFence) {
            // Whoever let this lease expire may be writing still, and be gone before it can tell.
            job.link.look_again = Some(self.ports().now_ms() + LATE_WORKER_MS / i64::from(self.worker.speed()));
            let delay_s = LATE_WORKER_MS / i64::from(self.worker.speed()) / 1000 + LATE_WORKER_SLACK_S;
            self.send_dispatch_after(u32::try_from(delay_s).unwrap_or(0), golden.object, &golden.id, 0, "").await?;
        }
        job.link.fence += 1;
        job.link.lease_until =
            self.worker.deadline_ms + i64::try_from(self.worker.client.timeout_ms()).unwrap_or(i64::MAX) + LEASE_MARGIN_MS;
        // The last push of an expired or unsettled lease may or may not have taken effect: look before writing again.
        job.link.dirty |=
            job.link.open || !job.link.strays.is_empty() || !job.link.orphans.is_empty() && self.worker.api.can_merge();
        if !intent.needs_look_up(&job.link) {
            intent.note(&mut job.link, self.ports().now_ms());
        }
        self.store(job.object(), &golden.id, &mut job.link).await?;
        job.stored = job.link.clone();
        job.golden = Some(golden);
        job.intent = Some(intent);
        Ok(())
    }

    async fn link(&self, object: ObjectType, record: &str) -> Result<Link, Failure> {
        let place = Link::key(self.worker.name, object, record);
        match self.ports().get(Table::Links, &place).await? {
            Some(item) => read_link(self.ports(), self.worker.vault, &item).await,
            None => Ok(Link::default()),
        }
    }

    async fn golden(&self, object: ObjectType, record: &str) -> Result<Option<GoldenRecord>, Failure> {
        match self.ports().get(Table::Golden, &GoldenRecord::key(object, record)).await? {
            Some(item) => read_golden(self.ports(), self.worker.vault, &item).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stores a link as its next version, if nobody else has written it.
    async fn store(&self, object: ObjectType, record: &str, link: &mut Link) -> Result<(), Failure> {
        let write = self.link_write(object, record, link).await?;
        match self.ports().write(vec![write], None).await {
            Ok(()) => {
                link.version += 1;
                Ok(())
            }
            Err(WriteError::Conflict { .. }) => Err(Failure::new(Code::WriteConflict, "another worker has written the link")),
            Err(WriteError::Port(error)) => Err(error.into()),
        }
    }

    async fn link_write(&self, object: ObjectType, record: &str, link: &Link) -> Result<Write, Failure> {
        let key_id = GoldenRecord::key_id(object, record);
        self.worker.vault.ensure_key(self.ports(), &key_id).await?;
        build_put(self.ports(), self.worker.vault, Link::key(self.worker.name, object, record), &key_id, link)
    }

    /// Finds what is there: adopts an object by its natural key before one is created, and reads back what an unsettled push
    /// left behind.
    async fn look_up(&self, object: ObjectType, jobs: &mut [&mut Job]) {
        let mut asking: Vec<&mut Job> = jobs
            .iter_mut()
            .filter(|j| j.intent.as_ref().is_some_and(|intent| intent.needs_look_up(&j.link)))
            .map(|j| &mut **j)
            .collect();
        if asking.is_empty() {
            return;
        }
        let found = {
            let native = self.worker.native(object).unwrap_or_default();
            let wanted: Vec<calls::Wanted<'_>> = asking
                .iter()
                .filter_map(|job| {
                    let golden = job.golden.as_ref()?;
                    let here = golden.members.iter().filter(|m| m.connection == self.worker.name && m.object == native);
                    Some(calls::Wanted {
                        hub_id: &golden.id,
                        remote: job.link.remote.as_deref(),
                        members: here.map(|m| m.id.as_str()).collect(),
                        rendered: &job.intent.as_ref()?.rendered,
                        first: job.link.fence == 1,
                        strays: job.link.strays.keys().map(GoldenId::as_str).collect(),
                    })
                })
                .collect();
            self.worker.look_up(object, &wanted).await
        };
        // One value that the destination does not even look for must not spoil its neighbours.
        if found.as_ref().is_err_and(|failure| failure.class == Class::Permanent) && asking.len() > 1 {
            let half = asking.len() / 2;
            let (left, right) = asking.split_at_mut(half);
            Box::pin(self.look_up(object, left)).await;
            return Box::pin(self.look_up(object, right)).await;
        }
        join(asking.iter_mut().enumerate().map(|(index, job)| {
            let seen = match &found {
                Ok(found) => found.get(index).cloned().unwrap_or(Ok(calls::Found::default())),
                Err(failure) => Err(failure.clone()),
            };
            async move {
                match self.looked_up(object, job, seen).await {
                    Ok(Next::Write) => {}
                    Ok(Next::Done) => self.release(job, Ok(())).await,
                    Err(failure) => self.release(job, Err(failure)).await,
                }
            }
        }))
        .await;
    }

    /// Takes what was found into the link, plans anew and stores the intent.
    async fn looked_up(&self, object: ObjectType, job: &mut Job, found: Result<calls::Found, Failure>) -> Result<Next, Failure> {
        let (Some(golden), Some(intent)) = (&job.golden, &mut job.intent) else { return Ok(Next::Done) };
        let record = golden.id.clone();
        let mut found = found?;
        // Whatever fails on the way is looked at again.
        job.link.dirty = true;
        for stray in found.strays {
            match found.object.take() {
                Some(kept) if kept.id != stray.id => {
                    // The one that carries our id stays.
                    let mine = stray.hub_id.as_deref() == Some(record.as_str());
                    let (keep, other) = if mine { (stray, kept) } else { (kept, stray) };
                    job.link.orphans.insert(other.id);
                    found.object = Some(keep);
                }
                _ => found.object = Some(stray),
            }
        }
        match found.object {
            Some(remote) => {
                self.worker.take_in(object, &mut job.link, &record, &remote).await?;
                if !job.link.unheard.is_empty() {
                    self.ask_to_hear(object, &remote.id, &job.dispatch.trace).await?;
                }
            }
            None if job.link.remote.is_some() => job.link.gone = true,
            None => {}
        }
        // Not before what was found has been taken in: nobody would look for it again.
        job.link.strays.clear();
        job.link.dirty = false;
        job.link.open = false;
        if let (Some(kept), Some(orphan)) = (job.link.remote.clone(), job.link.orphans.first().cloned())
            && self.worker.api.can_merge()
        {
            self.merge_orphan(object, &record, job, &kept, &orphan).await?;
            // What the merge made of the two is looked at in the next round.
            self.send_dispatch(object, &record, 0, "").await?;
            return Ok(Next::Done);
        }
        *intent = plan_push(&job.link, &intent.rendered);
        if job.link.gone || intent.is_empty() {
            let version = golden.version;
            job.link.pushed_version = job.link.pushed_version.max(version);
            return Ok(Next::Done);
        }
        intent.note(&mut job.link, self.ports().now_ms());
        self.store(object, &record, &mut job.link).await?;
        job.stored = job.link.clone();
        Ok(Next::Write)
    }

    /// Two objects at the destination turned out to be one thing: the destination merges them.
    async fn merge_orphan(
        &self,
        object: ObjectType,
        record: &str,
        job: &mut Job,
        kept: &str,
        orphan: &str,
    ) -> Result<(), Failure> {
        job.link.dirty = true;
        // What the merge moves from one object to the other is our doing, and comes back with new stamps, maybe before we go on.
        let (before, now_ms) = (job.link.sent.clone(), self.ports().now_ms());
        for sent in job.link.sent.values_mut().flatten() {
            *sent = Sent { stamp: None, intended_ms: now_ms, ..sent.clone() };
        }
        self.store(object, record, &mut job.link).await?;
        job.stored = job.link.clone();
        match self.worker.merge(object, kept, orphan).await {
            Ok(remains) => {
                tracing::info!(destination = self.worker.name, kept, orphan, "merged two objects at the destination");
                job.link.orphans.remove(orphan);
                job.link.point_to(remains);
                job.link.marked = false;
                Ok(())
            }
            Err(CallError::NotSent(failure)) => {
                job.link.sent = before;
                Err(failure)
            }
            Err(CallError::Unknown(failure)) => Err(failure),
        }
    }

    /// What is there was written by somebody else: it goes through `ingest` like everything that a source says, and what the
    /// golden record makes of it is dispatched again.
    async fn ask_to_hear(&self, object: ObjectType, remote: &str, trace: &str) -> Result<(), Failure> {
        let source = RemoteId { connection: self.worker.name.into(), object: self.worker.native(object)?, id: remote.to_owned() };
        let request = FetchRequest { source, cause: None, not_before: None, trace: trace.to_owned() };
        send_read_requests(self.ports(), &[ReadRequest::Fetch(request)]).await
    }

    /// One batch call and what came of it.
    async fn write(&self, object: ObjectType, op: Op, jobs: &mut [&mut Job]) {
        let rows: Vec<Row> = jobs
            .iter()
            .filter_map(|job| {
                let (golden, intent) = (job.golden.as_ref()?, job.intent.as_ref()?);
                Some(Row { hub_id: golden.id.to_string(), remote_id: job.link.remote.clone(), properties: intent.properties() })
            })
            .collect();
        let fields: BTreeSet<&String> = rows.iter().flat_map(|row| row.properties.keys()).collect();
        tracing::info!(destination = self.worker.name, %object, ?op, rows = rows.len(), ?fields, "writing");
        let results = self.worker.write(object, op, &rows).await;
        let mut written = match results {
            Ok(results) => results,
            // One row that spoils the whole call must not spoil its neighbours: the halves go by themselves.
            Err(CallError::NotSent(failure)) if failure.class == Class::Permanent && jobs.len() > 1 => {
                let half = jobs.len() / 2;
                let (left, right) = jobs.split_at_mut(half);
                Box::pin(self.write(object, op, left)).await;
                return Box::pin(self.write(object, op, right)).await;
            }
            Err(CallError::NotSent(failure)) => {
                jobs.iter_mut().for_each(|job| job.link.forget_open());
                join(jobs.iter_mut().map(|job| self.release(job, Err(failure.clone())))).await;
                return;
            }
            Err(CallError::Unknown(failure)) => {
                jobs.iter_mut().for_each(|job| job.link.dirty = true);
                join(jobs.iter_mut().map(|job| self.release(job, Err(failure.clone())))).await;
                return;
            }
        };
        self.worker.read_back(object, &mut written).await;
        join(jobs.iter_mut().zip(written).map(|(job, result)| self.settle_row(object, job, result))).await;
    }

    async fn settle_row(&self, object: ObjectType, job: &mut Job, result: RowResult) {
        let (Some(golden), Some(intent)) = (&job.golden, &job.intent) else { return };
        let link = &mut job.link;
        let outcome = match result {
            RowResult::Done { remote_id, properties, stamp, created } => {
                let outcome = if created { "created" } else { "updated" };
                tracing::info!(destination = self.worker.name, %object, record = %golden.id, version = golden.version, outcome, trace = %job.dispatch.trace, "row");
                let found_there = link.remote.is_none() && !created;
                link.point_to(remote_id);
                link.marked = true;
                link.rejected = false;
                link.open = false;
                link.pushed_version = golden.version;
                job.latency_ms = Some(self.ports().now_ms() - job.dispatch.received_at_ms);
                let native = self.worker.native(object).unwrap_or_default();
                // Who reads back after his lease may read what the next one has written.
                let in_time = self.ports().now_ms() <= link.lease_until || mutant(Mutant::NoFence);
                if let (Some(properties), Some(stamp), true) = (&properties, stamp, in_time) {
                    let back = self.worker.provider.canonical(&native, properties);
                    link.settle(intent, &back, stamp);
                    // What the destination filled in by itself is still to be heard when it tells of the new object.
                    let more = |(field, value): (&FieldName, &Value)| {
                        !value.is_null() && intent.wanted.get(field) != Some(value) && self.worker.provider.writes(&native, field)
                    };
                    link.created = Some(stamp).filter(|_| created && !back.iter().any(more)).or(link.created);
                    link.dirty |= found_there;
                    let look = || {
                        Failure::new(
                            Code::AdoptionPending,
                            "the object already existed; it will be read before it is overwritten",
                        )
                    };
                    if found_there { Err(look()) } else { Ok(()) }
                } else {
                    link.dirty = true;
                    Err(Failure::new(Code::UnconfirmedWrite, "the write succeeded, but reading it back failed"))
                }
            }
            RowResult::Failed(failure) => {
                tracing::warn!(destination = self.worker.name, %object, record = %golden.id, version = golden.version, outcome = %failure, trace = %job.dispatch.trace, "row");
                self.row_failed(link, golden.version, failure)
            }
        };
        self.release(job, outcome).await;
    }

    fn row_failed(&self, link: &mut Link, version: u64, failure: RowFailure) -> Result<(), Failure> {
        let classified = classify(self.worker.name, &failure);
        match failure.kind {
            FailureKind::Transient | FailureKind::CursorExpired => link.dirty = true,
            FailureKind::NotFound if link.remote.is_some() => {
                link.forget_open();
                link.gone = true;
                return Ok(());
            }
            FailureKind::DuplicateKey if !link.rejected => {
                // Another object holds the key: find and adopt it. If the key is taken again after that, the record is rejected.
                link.forget_open();
                link.dirty = true;
                link.rejected = true;
                return Err(Failure::new(
                    Code::KeyTaken,
                    format!("{}: the object that holds the value will be found and adopted", failure.code),
                ));
            }
            FailureKind::Rejected | FailureKind::DuplicateKey | FailureKind::Ambiguous | FailureKind::NotFound => {
                link.forget_open();
                link.reject(version);
            }
            FailureKind::Throttled { .. } | FailureKind::Locked | FailureKind::Auth => {
                link.forget_open();
            }
        }
        Err(classified)
    }

    /// Gives the lease back with everything that was learnt, unless another worker has taken it over.
    async fn release(&self, job: &mut Job, result: Result<(), Failure>) {
        if let (Err(failure), Some(golden)) = (&result, &job.golden)
            && failure.class == Class::Permanent
        {
            job.link.reject(golden.version);
        }
        let mut committed = self.commit(job).await;
        for _ in 1..RELEASES {
            // Only this worker knows what it has written: if it took too long, nobody else would look.
            if !committed.as_ref().is_err_and(|failure| failure.class == Class::Transient) {
                break;
            }
            committed = self.commit(job).await;
        }
        job.end(committed.and(result));
    }

    async fn commit(&self, job: &mut Job) -> Result<(), Failure> {
        let Some(golden) = &job.golden else { return Ok(()) };
        let (object, record) = (golden.object, golden.id.clone());
        let mine = job.link.clone();
        for _ in 0..MAX_COMMITS {
            let stored = self.link(object, &record).await?;
            if stored.moved_to.is_some() {
                return self.orphaned(object, &stored, &mine).await;
            }
            if stored.fence != mine.fence && !mutant(Mutant::NoFence) {
                return self.fenced_out(object, &record, stored).await;
            }
            let mut next = mine.with_what_others_put(&job.stored, &stored);
            next.lease_until = if next.open { self.ports().now_ms() + UNSETTLED_MS / i64::from(self.worker.speed()) } else { 0 };
            let mut writes = vec![self.link_write(object, &record, &next).await?];
            if let Some(remote) = next.remote.as_ref().filter(|_| next.remote != stored.remote) {
                writes.push(self.pointer(object, &record, remote));
            }
            if next.pushed_version != stored.pushed_version {
                writes.push(self.build_audit(object, &record, &next, job)?);
            }
            match self.ports().write(writes, None).await {
                Ok(()) => {
                    job.link = next;
                    return Ok(());
                }
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        Err(Failure::new(Code::Contention, "a link kept changing"))
    }

    /// The remote object's own identity key, so that its webhooks find the golden record.
    fn pointer(&self, object: ObjectType, record: &str, remote: &str) -> Write {
        let native = self.worker.native(object).unwrap_or_default();
        let remote = RemoteId { connection: self.worker.name.into(), object: native, id: remote.to_owned() };
        let item =
            Item::new(identity_key(object, &remote_hash(self.worker.vault, &remote))).with("golden", Attr::S(record.to_owned()));
        // Where the key exists, it leads to this record or to one that is joined with it as soon as either speaks again.
        Write::Put { table: Table::Links, item, condition: Condition::Always }
    }

    fn build_audit(&self, object: ObjectType, record: &str, link: &Link, job: &Job) -> Result<Write, Failure> {
        let properties = job.intent.as_ref().map(Intent::properties).unwrap_or_default();
        let entry = serde_json::json!({
            "what": "pushed", "destination": self.worker.name, "trace": job.dispatch.trace, "remote": link.remote,
            "properties": properties,
        });
        let subject = AuditSubject { object, record, version: link.pushed_version, writer: self.worker.name };
        build_audit_put(self.ports(), self.worker.vault, subject, &entry)
    }

    /// Another worker took the lease over while we were writing: what is there is unknown. Say so, and have it looked at.
    async fn fenced_out(&self, object: ObjectType, record: &str, mut stored: Link) -> Result<(), Failure> {
        tracing::warn!(destination = self.worker.name, record, "fenced out: another worker has the lease");
        if !stored.dirty {
            stored.dirty = true;
            self.store(object, record, &mut stored).await?;
        }
        self.send_dispatch(object, record, 0, "").await
    }

    /// The golden record was merged into another one while its object was being written: the survivor takes the object over,
    /// or notes it as a merge task.
    async fn orphaned(&self, object: ObjectType, retired: &Link, mine: &Link) -> Result<(), Failure> {
        let (Some(survivor), Some(remote)) = (&retired.moved_to, &mine.remote) else { return Ok(()) };
        let survivor = match crate::record::golden_by_id(self.ports(), self.worker.vault, object, survivor).await? {
            Some(golden) => golden.id,
            None => return Ok(()),
        };
        let mut link = self.link(object, &survivor).await?;
        match &link.remote {
            None => {
                link.remote = Some(remote.clone());
                link.marked = false;
                link.dirty = true;
            }
            Some(kept) if kept != remote => {
                link.orphans.insert(remote.clone());
            }
            Some(_) => link.dirty = true,
        }
        self.store(object, &survivor, &mut link).await?;
        self.send_dispatch(object, &survivor, 0, "").await
    }

    /// After release: a golden record that rose meanwhile is dispatched again.
    async fn redispatch(&self, jobs: &[Job]) {
        for job in jobs.iter().filter(|j| j.latency_ms.is_some() && matches!(j.result, Some(Ok(())))) {
            let Some(golden) = &job.golden else { continue };
            let place = GoldenRecord::key(golden.object, &golden.id);
            let now = match self.ports().get(Table::Golden, &place).await {
                Ok(item) => item.and_then(|i| i.n("ver")).and_then(|v| u64::try_from(v).ok()).unwrap_or(0),
                Err(error) => {
                    tracing::warn!(error = %error, "could not look whether a record rose; its own message will come");
                    continue;
                }
            };
            if now > golden.version
                && !mutant(Mutant::NoFence)
                && let Err(failure) = self.send_dispatch(golden.object, &golden.id, now, &job.dispatch.trace).await
            {
                tracing::warn!(code = %failure.code, "could not dispatch again; the record's own message will come");
            }
        }
    }

    async fn send_dispatch(&self, object: ObjectType, record: &str, version: u64, trace: &str) -> Result<(), Failure> {
        self.send_dispatch_after(0, object, record, version, trace).await
    }

    async fn send_dispatch_after(
        &self,
        delay_s: u32,
        object: ObjectType,
        record: &str,
        version: u64,
        trace: &str,
    ) -> Result<(), Failure> {
        let dispatch =
            Dispatch { object, record: record.into(), version, trace: trace.to_owned(), received_at_ms: self.ports().now_ms() };
        outbox::send_dispatch_after(self.ports(), self.worker.name, &dispatch, delay_s).await
    }
}

/// Longest chain of redirects that a dispatch follows.
const MAX_HOPS: usize = 16;
/// How often a commit is tried against other writers of the link.
const MAX_COMMITS: usize = 8;

/// How often a lease is tried to be given back while the store fails.
const RELEASES: usize = 4;

impl Link {
    /// This link as it is to be stored, with what others have put into it since it was `base`: merge tasks and strays of a merge of
    /// records, a new object, what webhooks told. What was settled here does not come back.
    fn with_what_others_put(&self, base: &Link, stored: &Link) -> Link {
        let mut next = Link { version: stored.version, ..self.clone() };
        next.orphans.extend(stored.orphans.difference(&base.orphans).cloned());
        next.orphans.retain(|id| stored.orphans.contains(id) || !base.orphans.contains(id));
        let strays = stored.strays.iter().filter(|(id, _)| !base.strays.contains_key(*id));
        next.strays.extend(strays.map(|(id, until)| (id.clone(), *until)));
        next.look_again = next.look_again.max(stored.look_again.filter(|_| stored.look_again != base.look_again));
        next.gone |= stored.gone;
        next.dirty |= stored.dirty && !base.dirty;
        if let Some(theirs) = stored.remote.as_ref().filter(|_| stored.remote != base.remote && stored.remote != self.remote) {
            if self.remote == base.remote {
                next.point_to(theirs.clone());
                next.marked = false;
            } else {
                next.orphans.insert(theirs.clone());
            }
            next.dirty = true;
        }
        if stored.remote.is_none() || stored.remote == next.remote {
            next.unheard.retain(|field, found| {
                let seen = stored.seen.get(field).filter(|seen| base.seen.get(field) != Some(seen));
                let told = seen.is_some_and(|seen| seen.value == found.value || seen.stamp >= found.stamp);
                !told && (stored.unheard.contains_key(field) || !base.unheard.contains_key(field))
            });
            for (field, seen) in &stored.seen {
                next.see(field, &seen.value, seen.stamp);
            }
        }
        next
    }

    /// Notes what the destination made of a push.
    fn settle(&mut self, intent: &Intent, back: &Fields, stamp: Stamp) {
        self.open = false;
        self.dirty = false;
        let mut pushed = intent.changed.clone();
        for field in intent.fields() {
            let value = back.get(field).or_else(|| intent.wanted.get(field)).cloned().unwrap_or(Value::Null);
            let ring = self.sent.entry(field.clone()).or_default();
            // A late worker's write that undid this one is not what the destination made of it.
            let undone = self.look_again.is_some()
                && intent.wanted.get(field).is_none_or(|wanted| !may_be_made_of(&value, wanted))
                && ring.iter().rev().skip(1).any(|sent| may_be_made_of(&value, &sent.value));
            if undone {
                for name in intent.rendered.rendered.by_field.get(field).into_iter().flatten() {
                    pushed.remove(name);
                    self.pushed.remove(name);
                }
                if let Some(sent) = ring.last_mut() {
                    sent.stamp.get_or_insert(stamp);
                }
                self.dirty = true;
                self.see(field, &value, stamp);
                continue;
            }
            let mut made_of = None;
            if let Some(sent) = ring.last_mut().filter(|s| s.stamp.is_none()) {
                sent.stamp = Some(stamp);
                made_of = (sent.value != value).then_some(sent.intended_ms);
            }
            if let Some(intended_ms) = made_of {
                self.remember(field, Sent { value: value.clone(), stamp: Some(stamp), intended_ms });
            }
            self.back.insert(field.clone(), value.clone());
            self.see(field, &value, stamp);
        }
        self.pushed.extend(pushed);
    }
}
