//! The result of each row of a batch call, and what it means for the row's link.

use canonical::{ObjectType, Stamp};
use providers::api::{FailureKind, RowFailure, RowResult};
use serde_json::{Map, Value};

use super::{Job, Note, Ports, Upsert};
use crate::client::classify;
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::record::Link;
use crate::record::link::ReadBack;

/// A row that the destination has taken.
struct Taken {
    remote_id: String,
    properties: Option<Map<String, Value>>,
    stamp: Option<Stamp>,
    created: bool,
}

impl<P: Ports> Upsert<'_, P> {
    /// Notes the result of a row and releases its job.
    pub(super) async fn finish_row(&self, object: ObjectType, job: &mut Job, result: RowResult) {
        let Some(work) = &job.work else { return };
        let (record, version) = (work.golden.id.clone(), work.golden.version);
        let trace = job.dispatch.trace.clone();
        let result = match result {
            RowResult::Done { remote_id, properties, stamp, created } => {
                let outcome = if created { "created" } else { "updated" };
                tracing::info!(destination = self.name(), %object, %record, version, outcome, trace, "row");
                self.confirm(object, job, Taken { remote_id, properties, stamp, created })
            }
            RowResult::Failed(failure) => {
                tracing::warn!(destination = self.name(), %object, %record, version, outcome = %failure, trace, "row");
                self.row_failed(object, &mut job.link, version, failure).await
            }
        };
        self.release(job, result).await;
    }

    /// The destination has taken the push; what it made of the values goes into the link.
    fn confirm(&self, object: ObjectType, job: &mut Job, taken: Taken) -> Result<(), Failure> {
        let Some(work) = &job.work else { return Ok(()) };
        let (link, intent) = (&mut job.link, &work.intent);
        let existed = link.remote_id().is_none() && !taken.created;
        link.confirm_push(taken.remote_id, work.golden.version);
        job.note = Some(Note::Pushed);
        job.latency_ms = Some(self.ports().now_ms() - job.dispatch.received_at_ms);
        // After our lease expired, the read-back may show the next worker's write.
        let in_time = self.ports().now_ms() <= link.lease().until_ms || mutant(Mutant::NoFence);
        let (Some(properties), Some(stamp), true) = (&taken.properties, taken.stamp, in_time) else {
            return Err(Failure::new(Code::UnconfirmedWrite, "the write succeeded, but reading it back failed"));
        };
        let provider = &self.destination.provider;
        let native = self.destination.native(object).unwrap_or_default();
        let values = provider.canonical(&native, properties);
        link.note_read_back(&ReadBack { fields: &intent.fields(), sent: &intent.changed, values: &values, stamp });
        // Values that the destination filled in itself are read once it reports the new object.
        let filled_in = values.iter().any(|(field, value)| {
            !value.is_null() && intent.rendering.wanted.get(field) != Some(value) && provider.writes(&native, field)
        });
        if taken.created && !filled_in {
            link.note_created(stamp);
        }
        if existed {
            link.mark_unverified();
            let detail = "the object already existed; it will be read before it is overwritten";
            return Err(Failure::new(Code::AdoptionPending, detail));
        }
        match job.unfinished.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    async fn row_failed(&self, object: ObjectType, link: &mut Link, version: u64, failure: RowFailure) -> Result<(), Failure> {
        match failure.kind {
            FailureKind::Transient | FailureKind::CursorExpired => link.push_outcome_unknown(),
            FailureKind::NotFound if link.remote_id().is_some() => {
                link.push_not_made();
                link.mark_unverified();
                if let Some(id) = link.remote_id() {
                    self.request_second_look(object, id).await?;
                }
                return Err(self.object_missing());
            }
            FailureKind::DuplicateKey | FailureKind::Similar if link.refused_at() != Some(version) => {
                let certain = failure.kind == FailureKind::DuplicateKey;
                link.key_is_taken(version, failure.objects.iter().cloned(), certain);
                let detail = format!("{failure}: the object that holds the value will be found and adopted");
                return Err(Failure::new(Code::KeyTaken, detail));
            }
            FailureKind::Rejected
            | FailureKind::DuplicateKey
            | FailureKind::Similar
            | FailureKind::Ambiguous
            | FailureKind::NotFound => {
                link.push_not_made();
                link.refuse(version);
            }
            FailureKind::Throttled { .. }
            | FailureKind::Locked
            | FailureKind::Auth
            | FailureKind::Denied
            | FailureKind::LimitReached
            | FailureKind::Blocked => link.push_not_made(),
        }
        let native = self.destination.native(object)?;
        self.destination.client.pause_for(&native, &failure).await?;
        Err(classify(self.name(), &failure))
    }
}
