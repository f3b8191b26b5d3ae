//! Looking before writing: a worker adopts an object that exists before it creates one, and reads what an unverified push left
//! behind.

use canonical::{FetchRequest, GoldenId, ObjectType, ReadRequest, RemoteId, Stamp};
use providers::api::{CallFailure, RemoteRecord};

use super::find::{Found, Wanted};
use super::plan::plan_push;
use super::{Job, Note, Ports, Upsert};
use crate::client::CallError;
use crate::failure::{Class, Code, Failure};
use crate::join::join;
use crate::outbox::{SecondLook, request_second_look, send_read_requests};
use crate::record::{golden_by_id, link};

/// What a job does after the destination was read.
enum Next {
    Write,
    Release,
}

impl<P: Ports> Upsert<'_, P> {
    /// Looks up the objects of those jobs that need it, and plans their pushes anew.
    pub(super) async fn look_up(&self, object: ObjectType, jobs: &mut [&mut Job]) {
        let mut looking: Vec<&mut Job> = jobs.iter_mut().filter(|j| j.link.needs_look_up()).map(|j| &mut **j).collect();
        if looking.is_empty() {
            return;
        }
        let found = {
            let native = self.destination.native(object).unwrap_or_default();
            let wanted: Vec<Wanted<'_>> = looking.iter().filter_map(|job| self.wanted(job, &native)).collect();
            self.destination.look_up(object, &wanted).await
        };
        // One value that the destination does not even search for must not fail its neighbours.
        if found.as_ref().is_err_and(concerns_some) && looking.len() > 1 {
            let half = looking.len() / 2;
            let (left, right) = looking.split_at_mut(half);
            Box::pin(self.look_up(object, left)).await;
            return Box::pin(self.look_up(object, right)).await;
        }
        join(looking.iter_mut().enumerate().map(|(index, job)| {
            let found = match &found {
                Ok(found) => found.get(index).cloned().unwrap_or(Ok(Found::default())),
                Err(failure) => Err(failure.clone()),
            };
            async move {
                match self.take_found(object, job, found).await {
                    Ok(Next::Write) => {}
                    Ok(Next::Release) => self.release(job, Ok(())).await,
                    Err(failure) => self.release(job, Err(failure)).await,
                }
            }
        }))
        .await;
    }

    fn wanted<'j>(&self, job: &'j Job, native: &str) -> Option<Wanted<'j>> {
        let work = job.work.as_ref()?;
        let is_here = |source: &&RemoteId| source.connection == self.name() && source.object == native;
        let here = work.golden.members.iter().filter(is_here);
        Some(Wanted {
            hub_id: &work.golden.id,
            remote: job.link.remote_id(),
            members: here.map(|m| m.id.as_str()).collect(),
            strangers: work.golden.strangers().filter(is_here).map(|source| source.id.as_str()).collect(),
            rendering: &work.intent.rendering,
            key_holders: job.link.key_holders(),
            first: job.link.lease().fencing_token == 1,
            pending_creates: job.link.pending_creates().map(GoldenId::as_str).collect(),
        })
    }

    /// Takes what was found into the link, plans the push anew and stores the intent.
    async fn take_found(&self, object: ObjectType, job: &mut Job, found: Result<Found, Failure>) -> Result<Next, Failure> {
        let Some(work) = &job.work else { return Ok(Next::Release) };
        let (record, version) = (work.golden.id.clone(), work.golden.version);
        let found = found?;
        // If any step fails, the next attempt looks again.
        job.link.mark_unverified();
        let (found, duplicates) = choose(found, &record);
        match (found, job.link.remote_id()) {
            (Some(remote), _) => self.adopt(object, job, &record, &remote, duplicates).await?,
            (None, Some(id)) => {
                // What the second look finds concerns this link, even if no source has reported the object.
                self.store_pointer(object, &record, id).await?;
                self.request_second_look(object, id).await?;
                return Err(self.object_missing());
            }
            (None, None) => {}
        }
        job.link.finish_look_up();
        if self.merge_duplicate(object, &record, job).await? {
            // The next round reads what the merge made of the two.
            self.send_dispatch(object, &record, 0, "").await?;
            return Ok(Next::Release);
        }
        if self.is_in_review(object, job).await? {
            // What became of an earlier push is known now: there is no object. It gets none until a person has decided.
            return Ok(Next::Release);
        }
        let Some(work) = &mut job.work else { return Ok(Next::Release) };
        work.intent = plan_push(&job.link, &work.intent.rendering);
        if job.link.is_gone() || work.intent.is_empty() {
            job.link.mark_up_to_date(version);
            return Ok(Next::Release);
        }
        job.link.intend_push(work.intent.fields(), self.ports().now_ms());
        self.store_job(object, &record, job).await?;
        Ok(Next::Write)
    }

    /// Adopts an object that was found, unless it belongs to another record. If it holds values that no source has reported, it
    /// is read before they are overwritten.
    async fn adopt(
        &self,
        object: ObjectType,
        job: &mut Job,
        record: &str,
        remote: &RemoteRecord,
        duplicates: Vec<String>,
    ) -> Result<(), Failure> {
        let native = self.destination.native(object)?;
        self.check_owner(object, &job.link, record, remote).await?;
        let found = job.link.adopt(link::Found {
            id: remote.id.clone(),
            marked: remote.hub_id.as_deref() == Some(record),
            stamp: remote.stamp.unwrap_or(Stamp::at(0)),
            values: self.destination.provider.canonical(&native, &remote.properties),
        });
        if found {
            job.note = Some(Note::FoundPushed);
        }
        duplicates.into_iter().for_each(|id| job.link.add_duplicate(id));
        if job.link.knowledge().has_unobserved() {
            self.request_read(object, &remote.id, &job.dispatch.trace).await?;
        }
        Ok(())
    }

    /// An object that carries the id of another live record is not ours.
    async fn check_owner(
        &self,
        object: ObjectType,
        link: &link::Link,
        record: &str,
        remote: &RemoteRecord,
    ) -> Result<(), Failure> {
        let Some(other) = remote.hub_id.as_deref().filter(|id| !id.is_empty() && *id != record) else { return Ok(()) };
        if link.remote_id() == Some(&remote.id) {
            return Ok(());
        }
        let owner = golden_by_id(self.ports(), self.destination.vault, object, other).await?;
        if owner.is_some_and(|golden| golden.id != record) {
            let detail = format!("{object} {} at {} belongs to record {other}, not to {record}", remote.id, self.name());
            return Err(Failure::new(Code::ProviderAmbiguous, detail));
        }
        Ok(())
    }

    /// Has the destination merge one duplicate into the record's object, if there is one. Returns true if it tried: then the record
    /// is looked at again.
    async fn merge_duplicate(&self, object: ObjectType, record: &str, job: &mut Job) -> Result<bool, Failure> {
        let (Some(own), Some(duplicate)) = (job.link.remote_id(), job.link.duplicates_to_merge().first()) else {
            return Ok(false);
        };
        if !self.destination.api.can_merge() {
            return Ok(false);
        }
        let (own, duplicate) = (own.to_owned(), duplicate.clone());
        let before = job.link.clone();
        // Before the call: what the merge moves may come back before the call returns.
        job.link.begin_merge(self.ports().now_ms());
        self.store_job(object, record, job).await?;
        match self.destination.merge(object, &own, &duplicate).await {
            Ok(Some(remains)) => {
                tracing::info!(destination = self.name(), object = own, duplicate, "merged two objects at the destination");
                job.link.merged_at_destination(&duplicate, remains);
                Ok(true)
            }
            Ok(None) => {
                tracing::error!(code = %Code::MergeRefused, destination = self.name(), object = own, duplicate, alert = true, "the destination refused to merge two objects of one record: a person must merge them there");
                job.link.merge_not_made(&before);
                job.link.merge_refused(&duplicate);
                // The refused one may be gone; then it needs no merge.
                self.request_second_look(object, &duplicate).await?;
                Ok(true)
            }
            Err(CallError::NotSent(failure)) => {
                job.link.merge_not_made(&before);
                Err(failure)
            }
            Err(CallError::Unknown(failure)) => Err(failure),
        }
    }

    /// An object that the destination did not find is read once more, by `reconcile`: only then it counts as gone, and `transform`
    /// says so to the link. If it was merged into another object, the read finds that one.
    pub(super) async fn request_second_look(&self, object: ObjectType, remote: &str) -> Result<(), Failure> {
        let source = RemoteId { connection: self.name().into(), object: self.destination.native(object)?, id: remote.to_owned() };
        let lag_ms = self.destination.provider.manifest().api.lag_ms;
        let look = SecondLook { source: &source, since_ms: self.ports().now_ms(), lag_ms };
        request_second_look(self.ports(), self.destination.config, look).await
    }

    /// Why a push waits for the second look.
    pub(super) fn object_missing(&self) -> Failure {
        Failure::new(Code::ObjectMissing, format!("{} did not find the object; it is read once more", self.name()))
    }

    /// Requests a fetch of an object from `reconcile`. Its values go through the ingest queue like everything that a source reports,
    /// and the golden record is dispatched again if they change it.
    pub(super) async fn request_read(&self, object: ObjectType, remote: &str, trace: &str) -> Result<(), Failure> {
        let source = RemoteId { connection: self.name().into(), object: self.destination.native(object)?, id: remote.to_owned() };
        let request = FetchRequest { source, cause: None, not_before: None, absent_since_ms: None, trace: trace.to_owned() };
        send_read_requests(self.ports(), &[ReadRequest::Fetch(request)]).await
    }
}

/// True when a look-up of fewer records may succeed.
fn concerns_some(failure: &Failure) -> bool {
    failure.class == Class::Permanent || failure.refusal().is_some_and(CallFailure::concerns_rows)
}

/// The one object that the record keeps, and the ids of the others. The object that carries the record's id stays.
fn choose(found: Found, record: &str) -> (Option<RemoteRecord>, Vec<String>) {
    let (mut chosen, mut duplicates): (Option<RemoteRecord>, _) = (found.object, Vec::new());
    for late in found.late_creates {
        match chosen.take() {
            Some(first) if first.id != late.id => {
                let (own, other) = if late.hub_id.as_deref() == Some(record) { (late, first) } else { (first, late) };
                duplicates.push(other.id);
                chosen = Some(own);
            }
            _ => chosen = Some(late),
        }
    }
    (chosen, duplicates)
}
