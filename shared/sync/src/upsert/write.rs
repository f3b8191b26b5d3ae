//! Writing rows in batch calls. A refusal concerns what it is about: a property, a row, an object type or the connection.

use std::collections::BTreeSet;

use canonical::ObjectType;
use providers::api::{CallFailure, Fault, Op, Row, RowFailure, RowResult};

use super::{Job, Ports, Upsert, Work};
use crate::client::CallError;
use crate::failure::Failure;
use crate::join::join;

impl<P: Ports> Upsert<'_, P> {
    /// Writes rows in one call, and releases their jobs with what came of it. A refused property is left out, and a refused batch
    /// is halved, until what is refused stands alone.
    pub(super) async fn write(&self, object: ObjectType, op: Op, jobs: &mut [&mut Job]) {
        let native = self.destination.native(object).unwrap_or_default();
        let rows: Vec<Row> = jobs.iter().filter_map(|job| self.row_of(&native, job)).collect();
        let fields: BTreeSet<&String> = rows.iter().flat_map(|row| row.properties.keys()).collect();
        tracing::info!(destination = self.name(), %object, ?op, rows = rows.len(), ?fields, "writing");
        match self.destination.write(object, op, &rows).await {
            Ok(mut results) => {
                self.destination.read_back(object, &mut results).await;
                self.associate(object, jobs, &results).await;
                self.finish_rows(object, op, jobs, results).await;
            }
            Err(CallError::NotSent(failure)) if failure.refusal().is_some_and(is_about_some) => {
                self.call_refused(object, op, jobs, failure).await;
            }
            Err(error) => self.release_unwritten(jobs, error).await,
        }
    }

    /// Notes the results of the rows. Those that were refused for a property that the record can do without go again.
    async fn finish_rows(&self, object: ObjectType, op: Op, jobs: &mut [&mut Job], results: Vec<RowResult>) {
        let mut again: Vec<&mut Job> = Vec::new();
        let mut finished: Vec<(&mut Job, RowResult)> = Vec::new();
        let results = self.tell_references_apart(object, jobs, results).await;
        for (job, result) in jobs.iter_mut().zip(results) {
            match result {
                RowResult::Failed(refusal) => match self.leave_out_refused(object, job, &refusal).await {
                    Ok(true) => again.push(&mut **job),
                    Ok(false) => finished.push((&mut **job, RowResult::Failed(refusal))),
                    Err(failure) => self.release_refused(job, failure).await,
                },
                done => finished.push((&mut **job, done)),
            }
        }
        join(finished.into_iter().map(|(job, result)| self.finish_row(object, job, result))).await;
        self.write_again(object, op, again).await;
    }

    /// A call that was refused because of some of its rows, or of properties in them.
    async fn call_refused(&self, object: ObjectType, op: Op, jobs: &mut [&mut Job], failure: Failure) {
        let Some(refusal) = failure.refusal() else { return };
        if let [job] = jobs {
            return self.finish_rows(object, op, &mut [&mut **job], vec![RowResult::Failed(refusal.clone())]).await;
        }
        let faults: Vec<Fault> = refusal.faults.iter().filter(|fault| fault.in_every_row).cloned().collect();
        let of_every_row = RowFailure { faults, ..refusal.clone() };
        let mut fewer = false;
        for job in jobs.iter_mut() {
            match self.leave_out_refused(object, job, &of_every_row).await {
                Ok(left_out) => fewer |= left_out,
                Err(failure) => self.release_refused(job, failure).await,
            }
        }
        if fewer {
            return self.write_again(object, op, jobs.iter_mut().map(|job| &mut **job).collect()).await;
        }
        let (left, right) = jobs.split_at_mut(jobs.len() / 2);
        self.write_again(object, op, left.iter_mut().map(|job| &mut **job).collect()).await;
        self.write_again(object, op, right.iter_mut().map(|job| &mut **job).collect()).await;
    }

    /// Writes those jobs that are not finished: of a part of the batch, or after a property was left out. A job with nothing left
    /// to write is finished.
    async fn write_again(&self, object: ObjectType, op: Op, mut jobs: Vec<&mut Job>) {
        let is_empty = |job: &Job| job.work.as_ref().is_some_and(|work| work.intent.is_empty()) && job.link.remote_id().is_some();
        for job in jobs.iter_mut().filter(|job| is_empty(job)) {
            let version = job.work.as_ref().map_or(0, |work| work.golden.version);
            job.link.push_not_made();
            job.link.mark_up_to_date(version);
            self.release(job, Ok(())).await;
        }
        jobs.retain(|job| job.is_pending());
        if !jobs.is_empty() {
            Box::pin(self.write(object, op, &mut jobs)).await;
        }
    }

    /// What is written of a job in a batch call. Associations go by calls of their own.
    fn row_of(&self, native: &str, job: &Job) -> Option<Row> {
        let Work { golden, intent } = job.work.as_ref()?;
        let mut properties = intent.changed.clone();
        properties.retain(|name, _| !self.destination.provider.is_association(native, name));
        let remote_id = job.link.remote_id().map(str::to_owned);
        Some(Row { hub_id: golden.id.to_string(), remote_id, properties })
    }

    async fn release_unwritten(&self, jobs: &mut [&mut Job], error: CallError) {
        for job in jobs.iter_mut() {
            match &error {
                CallError::NotSent(_) => job.link.push_not_made(),
                CallError::Unknown(_) => job.link.push_outcome_unknown(),
            }
        }
        let failure = error.into_failure();
        join(jobs.iter_mut().map(|job| self.release(job, Err(failure.clone())))).await;
    }

    async fn release_refused(&self, job: &mut Job, failure: Failure) {
        job.link.push_not_made();
        self.release(job, Err(failure)).await;
    }
}

/// True when a refusal of a call is about some of its rows or about properties, so that the others can be written.
fn is_about_some(refusal: &CallFailure) -> bool {
    refusal.concerns_rows() || refusal.concerns_properties()
}
