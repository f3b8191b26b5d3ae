//! References that a destination keeps as associations, apart from an object's properties. Once a row is written, a call of its
//! own ties the object to what it refers to.
//!
//! To the link, an association is a property like any other: it is planned, confirmed, recognised as an echo and set aside as
//! such. The hub adds ties and never removes one, because it cannot tell a tie of its own from one that a person wants.

use canonical::ObjectType;
use providers::Association;
use providers::api::{Edge, FailureKind, Fault, RowFailure, RowResult};
use serde_json::Value;

use super::{Job, Ports, Upsert};
use crate::client::{CallError, classify};
use crate::failure::Failure;

/// A job and the edge that it wants, with the job's index in its batch.
type Wanted = (usize, Edge);

impl<P: Ports> Upsert<'_, P> {
    /// Ties the objects that were written to those that they refer to. An association that the destination refuses is set aside.
    /// One that fails for another reason is left out of this push, and its message is tried again.
    pub(super) async fn associate(&self, object: ObjectType, jobs: &mut [&mut Job], results: &[RowResult]) {
        let Ok(native) = self.destination.native(object) else { return };
        let associations = self.destination.provider.destination(&native).map_or(&[][..], |d| &d.associations);
        for association in associations {
            let wanted: Vec<Wanted> = jobs
                .iter()
                .zip(results)
                .enumerate()
                .filter_map(|(index, (job, result))| Some((index, edge_of(job, result, association)?)))
                .collect();
            if !wanted.is_empty() {
                self.create_edges(object, association, jobs, &wanted).await;
            }
        }
    }

    /// Creates edges in one call. A call that is refused because of some of its edges is halved.
    async fn create_edges(&self, object: ObjectType, association: &Association, jobs: &mut [&mut Job], wanted: &[Wanted]) {
        let edges: Vec<Edge> = wanted.iter().map(|(_, edge)| edge.clone()).collect();
        match self.destination.associate(object, association, &edges).await {
            Ok(results) => {
                for ((index, _), result) in wanted.iter().zip(results) {
                    if let Err(refusal) = result {
                        self.edge_refused(object, jobs[*index], association, &refusal);
                    }
                }
            }
            Err(CallError::NotSent(failure)) if failure.refusal().is_some_and(RowFailure::concerns_rows) => match wanted {
                [(index, _)] => {
                    let refusal = failure.refusal().cloned();
                    refusal.iter().for_each(|refusal| self.edge_refused(object, jobs[*index], association, refusal));
                }
                wanted => {
                    let (left, right) = wanted.split_at(wanted.len() / 2);
                    Box::pin(self.create_edges(object, association, jobs, left)).await;
                    Box::pin(self.create_edges(object, association, jobs, right)).await;
                }
            },
            Err(error) => {
                let failure = error.into_failure();
                wanted.iter().for_each(|(index, _)| leave_for_later(jobs[*index], association, failure.clone()));
            }
        }
    }

    fn edge_refused(&self, object: ObjectType, job: &mut Job, association: &Association, refusal: &RowFailure) {
        match refusal.kind {
            FailureKind::Rejected
            | FailureKind::NotFound
            | FailureKind::DuplicateKey
            | FailureKind::Similar
            | FailureKind::Ambiguous => {
                let Ok(native) = self.destination.native(object) else { return };
                let (property, code) = (association.property.clone(), refusal.code.clone());
                let fault = Fault { property, code, in_every_row: false };
                self.leave_out(object, job, &native, &[fault]);
            }
            _ => leave_for_later(job, association, classify(self.name(), refusal)),
        }
    }
}

/// The edge that a push wants, if its row was written and the object that it refers to exists.
fn edge_of(job: &Job, result: &RowResult, association: &Association) -> Option<Edge> {
    let RowResult::Done { remote_id, .. } = result else { return None };
    let to = job.work.as_ref()?.intent.changed.get(&association.property).and_then(Value::as_str)?;
    (!to.is_empty()).then(|| Edge { from: remote_id.clone(), to: to.to_owned() })
}

/// The push counts as one without this association, and the message comes again.
fn leave_for_later(job: &mut Job, association: &Association, failure: Failure) {
    if let Some(work) = &mut job.work {
        work.intent.changed.remove(&association.property);
    }
    job.unfinished.get_or_insert(failure);
}
