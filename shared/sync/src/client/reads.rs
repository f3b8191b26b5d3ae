//! Reading calls: every page of an answer is read, a batch that is refused or too slow is halved, and a property that the account
//! does not let be read is left out.

use std::collections::BTreeMap;

use providers::api::{Api, CallFailure, Op, RemoteRecord, Target};
use providers::http::{HttpRequest, HttpResponse};

use super::{CallError, Client};
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::ports::{Clock, Http, Queue, Secrets, Store};
use crate::quarantine::PropertyUse;
use crate::write_log::{Sought, WriteLog};

/// How many pages one look-up may have.
const PAGES: usize = 200;

/// What a read of objects by id brought.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// The objects that exist.
    pub records: Vec<RemoteRecord>,
    /// The ids whose read alone is refused, and why.
    pub refused: BTreeMap<String, Failure>,
}

/// What was read, by the requested id: the object, `None` when it was not found, or why it could not be read.
pub type ReadById = BTreeMap<String, Result<Option<RemoteRecord>, Failure>>;

impl<P: Store + Queue + Secrets + Http + Clock> Client<'_, P> {
    /// Reads objects by their ids, each with its own result. An object with another id is what the requested one was merged into.
    /// A failure that every call would meet ends the reading; what was read before counts.
    pub async fn read_each(&self, object: &str, ids: &[String]) -> ReadById {
        let mut results = ReadById::new();
        let limit = self.api().map_or(1, |api| api.batch_limit(Op::Read));
        let mut parts: Vec<Vec<String>> = ids.chunks(limit).map(<[String]>::to_vec).collect();
        while let Some(part) = parts.pop() {
            match self.read(object, &part).await.map_err(CallError::into_failure).at(Stage::Fetch) {
                Ok(Reads { records, refused }) => {
                    let answered = part.into_iter().filter(|id| !refused.contains_key(id)).collect();
                    results.extend(refused.into_iter().map(|(id, failure)| (id, Err(failure.at(Stage::Fetch)))));
                    parts.extend(assign_records(answered, records, &mut results));
                }
                Err(failure) => {
                    let rest = part.into_iter().chain(parts.drain(..).flatten());
                    results.extend(rest.map(|id| (id, Err(failure.clone()))));
                }
            }
        }
        results
    }

    /// Reads objects by their ids. An object that does not exist is not among the records.
    pub async fn read(&self, object: &str, ids: &[String]) -> Result<Reads, CallError> {
        let api = self.require_api().map_err(CallError::NotSent)?;
        let mut reads = Reads::default();
        let log = self.ports.write_log();
        let real: Vec<String> = ids.iter().filter(|id| log.is_none() || !WriteLog::is_planned_id(id)).cloned().collect();
        for chunk in real.chunks(api.batch_limit(Op::Read)) {
            self.read_chunk(api, object, chunk, &mut reads).await?;
        }
        if let Some(log) = log {
            reads.records = log.after_writes(self.name, object, Sought::Ids(ids), reads.records);
        }
        Ok(reads)
    }

    /// One id that the provider does not even read must not fail its neighbours.
    async fn read_chunk(&self, api: &dyn Api, object: &str, ids: &[String], reads: &mut Reads) -> Result<(), CallError> {
        let error = match self.pages(object, |target, properties, after| api.read(target, ids, properties, after)).await {
            Ok(records) => {
                reads.records.extend(records);
                return Ok(());
            }
            Err(error) => error,
        };
        if !is_about_rows(&error) {
            return Err(error);
        }
        match ids {
            [id] => {
                reads.refused.insert(id.clone(), error.into_failure());
            }
            ids => {
                let (left, right) = ids.split_at(ids.len() / 2);
                Box::pin(self.read_chunk(api, object, left, reads)).await?;
                Box::pin(self.read_chunk(api, object, right, reads)).await?;
            }
        }
        Ok(())
    }

    /// Finds the objects that hold one of these values in a property.
    pub async fn find(&self, object: &str, property: &str, values: &[String]) -> Result<Vec<RemoteRecord>, CallError> {
        let api = self.require_api().map_err(CallError::NotSent)?;
        let mut records = Vec::new();
        for part in api.find_parts(property, values) {
            records.extend(self.find_part(api, object, property, part).await?);
        }
        Ok(match self.ports.write_log() {
            Some(log) => log.after_writes(self.name, object, Sought::Values(property, values), records),
            None => records,
        })
    }

    async fn find_part(
        &self,
        api: &dyn Api,
        object: &str,
        property: &str,
        values: &[String],
    ) -> Result<Vec<RemoteRecord>, CallError> {
        match self.pages(object, |target, properties, after| api.find(target, property, values, properties, after)).await {
            Err(error) if values.len() > 1 && error.is_too_slow() => {
                let (left, right) = values.split_at(values.len() / 2);
                let mut records = Box::pin(self.find_part(api, object, property, left)).await?;
                records.extend(Box::pin(self.find_part(api, object, property, right)).await?);
                Ok(records)
            }
            other => other,
        }
    }

    /// Reads every page of a look-up: a truncated answer is never taken for the whole.
    async fn pages(
        &self,
        object: &str,
        build: impl Fn(&Target, &[String], Option<&str>) -> HttpRequest,
    ) -> Result<Vec<RemoteRecord>, CallError> {
        let api = self.require_api().map_err(CallError::NotSent)?;
        let (mut records, mut after) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let request = |target: &Target, properties: &[String]| build(target, properties, after.as_deref());
            let page = self.call_reading(object, request, |target, response| api.parse_found(target, response)).await?;
            records.extend(page.records);
            match page.next {
                None => return Ok(records),
                next => after = next,
            }
        }
        let detail = format!("a look-up of {object} has more than {PAGES} pages");
        Err(CallError::NotSent(Failure::new(Code::ProviderAmbiguous, detail)))
    }

    /// Makes a call that names the properties to read. A property that the account does not have, or does not show, is remembered
    /// and left out.
    pub async fn call_reading<T>(
        &self,
        object: &str,
        build: impl Fn(&Target, &[String]) -> HttpRequest,
        read: impl Fn(&Target, &HttpResponse) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        self.load_refused().await.map_err(CallError::NotSent)?;
        loop {
            let properties = self.readable_properties(object);
            let error = match self.call(object, |target| Some(build(target, &properties)), &read).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let faults = error.refusal().map_or(&[][..], |refusal| refusal.faults.as_slice());
            let mut left_out = false;
            for fault in faults.iter().filter(|fault| fault.in_every_row && properties.contains(&fault.property)) {
                self.note_refused(object, PropertyUse::Read, fault).await.map_err(CallError::NotSent)?;
                left_out = true;
            }
            if !left_out {
                return Err(error);
            }
        }
    }

    fn readable_properties(&self, object: &str) -> Vec<String> {
        let refused = self.refused();
        let mut properties = self.provider().read_properties(object);
        properties.retain(|property| refused.get(PropertyUse::Read, object, property).is_none());
        properties
    }
}

impl CallError {
    /// True when fewer ids or values in one call may help.
    fn is_too_slow(&self) -> bool {
        let (CallError::NotSent(failure) | CallError::Unknown(failure)) = self;
        failure.refusal().is_some_and(CallFailure::is_too_slow)
    }
}

fn is_about_rows(error: &CallError) -> bool {
    error.is_too_slow() || error.refusal().is_some_and(CallFailure::concerns_rows)
}

/// Assigns records to the ids that were requested, and returns what is to be read again: an id that is missing although there
/// are other records may have one of them under another id, which only an answer with one record tells.
fn assign_records(ids: Vec<String>, records: Vec<RemoteRecord>, results: &mut ReadById) -> Vec<Vec<String>> {
    if let [id] = ids.as_slice() {
        results.insert(id.clone(), Ok(records.into_iter().next()));
        return Vec::new();
    }
    let nothing = records.is_empty();
    let (found, missing): (Vec<String>, Vec<String>) = ids.into_iter().partition(|id| records.iter().any(|r| r.id == *id));
    let any_found = !found.is_empty();
    let of_these = records.into_iter().filter(|record| found.contains(&record.id));
    results.extend(of_these.map(|record| (record.id.clone(), Ok(Some(record)))));
    if nothing {
        results.extend(missing.into_iter().map(|id| (id, Ok(None))));
        return Vec::new();
    }
    match missing.len() {
        0 => Vec::new(),
        _ if any_found => vec![missing],
        _ => halves(&missing),
    }
}

fn halves(ids: &[String]) -> Vec<Vec<String>> {
    let (left, right) = ids.split_at(ids.len() / 2);
    [left, right].into_iter().filter(|part| !part.is_empty()).map(<[String]>::to_vec).collect()
}
