//! Rows that are refused because something does not exist: the object itself, or one that it refers to.
//!
//! A destination says the same of both. Only a read of the object itself tells them apart: if it finds the object, the reference leads
//! nowhere. Then the record goes on without its references, which are tried again the next day.

use std::collections::BTreeSet;

use canonical::{FieldKind, ObjectType};
use providers::api::{FailureKind, Fault, RowFailure, RowResult, Scope};

use super::{Job, Ports, Upsert};
use crate::record::link::PushedField;

/// After which time a reference that leads nowhere is written again, in milliseconds.
const REFERENCE_RETRY_MS: i64 = 86_400_000;

impl<P: Ports> Upsert<'_, P> {
    /// Turns the refusals of rows that are about a reference into refusals of those properties.
    pub(super) async fn tell_references_apart(
        &self,
        object: ObjectType,
        jobs: &[&mut Job],
        mut results: Vec<RowResult>,
    ) -> Vec<RowResult> {
        let is_missing =
            |result: &RowResult| matches!(result, RowResult::Failed(failure) if failure.kind == FailureKind::NotFound);
        let missing = jobs.iter().zip(&results).filter(|(_, result)| is_missing(result));
        let ids: Vec<String> = missing.filter_map(|(job, _)| job.link.remote_id().map(str::to_owned)).collect();
        let found = self.find_all_the_same(object, &ids).await;
        for (job, result) in jobs.iter().zip(&mut results) {
            let exists = job.link.remote_id().is_none_or(|id| found.contains(id));
            if let (RowResult::Failed(failure), true) = (result, exists)
                && failure.kind == FailureKind::NotFound
            {
                *failure = self.about_references(object, job, failure.clone());
            }
        }
        results
    }

    /// The objects that a read finds, although a write has not.
    async fn find_all_the_same(&self, object: ObjectType, ids: &[String]) -> BTreeSet<String> {
        if ids.is_empty() {
            return BTreeSet::new();
        }
        match self.destination.read(object, ids).await {
            Ok(reads) => reads.records.into_iter().filter(|record| !record.archived).map(|record| record.id).collect(),
            // Nothing is concluded from that: each object is read once more.
            Err(_) => BTreeSet::new(),
        }
    }

    /// A refusal that can only be about the references of a push. Without any, it is about the record.
    fn about_references(&self, object: ObjectType, job: &Job, failure: RowFailure) -> RowFailure {
        let catalogue = self.destination.config.hub().fields;
        let is_reference = |field: &&PushedField<'_>| {
            catalogue.find(object, field.name).is_some_and(|definition| matches!(definition.kind, FieldKind::Ref(_)))
        };
        let changed = job.work.as_ref().map(|work| (&work.intent.changed, work.intent.fields()));
        let faults = changed.into_iter().flat_map(|(changed, fields)| {
            let references: Vec<String> =
                fields.iter().filter(is_reference).flat_map(|field| field.properties.iter().cloned()).collect();
            let sent = references.into_iter().filter(|name| changed.get(name).is_some_and(|value| !value.is_null()));
            sent.map(|property| Fault { property, code: failure.code.clone(), in_every_row: false }).collect::<Vec<_>>()
        });
        let faults: Vec<Fault> = faults.collect();
        let scope = if faults.is_empty() { Scope::Row } else { Scope::Property };
        RowFailure { kind: FailureKind::Rejected, scope, faults, ..failure }
    }

    /// Until when a property that was refused for this reason is left out.
    pub(super) fn retry_reference_ms(&self, object: ObjectType, job: &Job, property: &str) -> Option<i64> {
        let catalogue = self.destination.config.hub().fields;
        let work = job.work.as_ref()?;
        let is_reference = work.intent.rendering.rendered.by_field.iter().any(|(field, names)| {
            names.iter().any(|name| name == property)
                && catalogue.find(object, field).is_some_and(|definition| matches!(definition.kind, FieldKind::Ref(_)))
        });
        is_reference.then(|| self.ports().now_ms() + REFERENCE_RETRY_MS)
    }
}
