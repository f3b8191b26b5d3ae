//! One destination: the calls that read it, search it, write to it and merge its objects.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use canonical::ObjectType;
use providers::api::{Api, Edge, FailureKind, Op, RemoteRecord, Row, RowFailure, RowResult, Target};
use providers::http::HttpResponse;
use providers::{Association, Provider};

use super::Ports;
use crate::batch::Invocation;
use crate::client::{CallError, Client, Reads};
use crate::config::Config;
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::seal::Vault;

/// One destination, opened for an invocation.
pub struct Destination<'a, P> {
    /// The outside.
    pub ports: &'a P,
    /// The vault.
    pub vault: &'a Vault,
    /// The connection's name.
    pub name: &'a str,
    /// The provider.
    pub provider: Arc<Provider>,
    /// Its protocol.
    pub api: &'static dyn Api,
    /// When the invocation ends.
    pub deadline_ms: i64,
    /// Its API.
    pub client: Client<'a, P>,
    /// The configuration.
    pub config: &'a Config,
    pub(super) set_aside: Cell<usize>,
}

impl<'a, P: Ports> Destination<'a, P> {
    /// Opens a destination.
    pub fn open(invocation: Invocation<'a, P>, vault: &'a Vault, name: &'a str) -> Result<Self, Failure> {
        let Invocation { ports, config, deadline_ms } = invocation;
        let client = Client::open(ports, config, name, deadline_ms)?;
        let (provider, api) = (Arc::clone(client.provider()), client.require_api()?);
        Ok(Destination { ports, vault, name, provider, api, deadline_ms, client, config, set_aside: Cell::new(0) })
    }

    /// By how much the waits that the hub chooses are shortened (1 in production).
    pub fn speed(&self) -> u32 {
        self.config.hub().retry.speed.max(1)
    }

    /// Fields that this invocation did not write because their values have no native form.
    pub fn fields_set_aside(&self) -> usize {
        self.set_aside.get()
    }

    /// The native name of an object at this destination.
    pub fn native(&self, object: ObjectType) -> Result<String, Failure> {
        let native = self.config.hub().object(object).destinations.get(self.name);
        let unrouted = || Failure::new(Code::UnknownConnection, format!("{object} is not routed to `{}`", self.name));
        let native = native.ok_or_else(unrouted)?;
        if self.provider.destination(native).is_none() {
            return Err(Failure::new(Code::Bug, format!("the mappings of `{}` cannot write `{native}`", self.name)));
        }
        Ok(native.clone())
    }

    /// Writes rows in one call.
    pub async fn write(&self, object: ObjectType, op: Op, rows: &[Row]) -> Result<Vec<RowResult>, CallError> {
        let native = self.native(object).map_err(CallError::NotSent)?;
        if let Some(log) = self.ports.write_log() {
            let id_property = self.provider.destination(&native).map(|d| d.id_property.as_str()).unwrap_or_default();
            return Ok(log.write(self.name, &native, id_property, rows, self.ports.now_ms()));
        }
        let further = &self.client.connection().write_headers;
        let request = |target: &Target| {
            let mut request = if op == Op::Update { self.api.update(target, rows) } else { self.api.upsert(target, rows) };
            request.headers.extend(further.iter().map(|(name, value)| (name.clone(), value.clone())));
            request
        };
        self.client
            .call(&native, |target| Some(request(target)), |target, response| self.api.parse_written(target, rows, response))
            .await
            .map_err(|error| error.at(Stage::Write))
    }

    /// Ties objects to those that they refer to, in one call. Gives the result of each edge.
    pub async fn associate(
        &self,
        object: ObjectType,
        association: &Association,
        edges: &[Edge],
    ) -> Result<Vec<Result<(), RowFailure>>, CallError> {
        let native = self.native(object).map_err(CallError::NotSent)?;
        if let Some(log) = self.ports.write_log() {
            log.note_call(self.name);
            return Ok(edges.iter().map(|_| Ok(())).collect());
        }
        let request = |target: &Target| self.api.associate(target, association, edges);
        let parse = |target: &Target, response: &HttpResponse| self.api.parse_associated(target, edges, response);
        self.client.call(&native, request, parse).await.map_err(|error| error.at(Stage::Write))
    }

    /// Merges one object of the destination into another and gives the id of what remains; `None` if it did not merge them. The
    /// provider must be able to.
    pub async fn merge(&self, object: ObjectType, primary: &str, other: &str) -> Result<Option<String>, CallError> {
        let native = self.native(object).map_err(CallError::NotSent)?;
        if let Some(log) = self.ports.write_log() {
            log.note_merge(self.name);
            return Ok(Some(primary.to_owned()));
        }
        let merged = |target: &Target, response: &HttpResponse| match self.api.parse_merged(target, response) {
            Err(failure) if matches!(failure.kind, FailureKind::NotFound | FailureKind::Rejected) => Ok(None),
            other => other.map(Some),
        };
        let request = |target: &Target| self.api.merge(target, primary, other);
        let answer = self.client.call(&native, request, merged).await.map_err(|e| e.at(Stage::Write))?;
        if answer.is_some() {
            return Ok(answer);
        }
        // Either there was nothing left to merge, because somebody has merged them, or the destination refuses.
        let ids = [primary.to_owned(), other.to_owned()];
        let mut reads = self.client.read_each(&native, &ids).await;
        let mut read = |id: &str| reads.remove(id).unwrap_or(Ok(None)).map_err(CallError::NotSent);
        let (first, second) = (read(primary)?, read(other)?);
        Ok(first.zip(second).filter(|(first, second)| first.id == second.id).map(|(first, _)| first.id))
    }

    /// Fills in what the destination made of the rows, where its answer does not say so.
    pub async fn read_back(&self, object: ObjectType, results: &mut [RowResult]) {
        let ids: Vec<String> = results
            .iter()
            .filter_map(|r| match r {
                RowResult::Done { remote_id, properties: None, .. } => Some(remote_id.clone()),
                _ => None,
            })
            .collect();
        if ids.is_empty() {
            return;
        }
        let records = match self.read(object, &ids).await {
            Ok(reads) => reads.records,
            Err(error) => {
                let failure = error.into_failure().at(Stage::ReadBack);
                // The write is known to have happened. Without the read-back, the values that were sent count as what is there.
                tracing::warn!(code = %failure.code, stage = failure.stage_name(), detail = %failure.chain(), destination = self.name, "could not read back");
                return;
            }
        };
        let by_id: BTreeMap<&str, &RemoteRecord> = records.iter().map(|r| (r.id.as_str(), r)).collect();
        for result in results {
            if let RowResult::Done { remote_id, properties: properties @ None, stamp, .. } = result
                && let Some(record) = by_id.get(remote_id.as_str())
            {
                *properties = Some(record.properties.clone());
                *stamp = stamp.or(record.stamp);
            }
        }
    }

    /// Reads objects by their ids.
    pub async fn read(&self, object: ObjectType, ids: &[String]) -> Result<Reads, CallError> {
        self.client.read(&self.native(object).map_err(CallError::NotSent)?, ids).await
    }

    /// Finds the objects that hold one of these values in a property.
    pub async fn find(&self, object: ObjectType, property: &str, values: &[String]) -> Result<Vec<RemoteRecord>, Failure> {
        let native = self.native(object)?;
        self.client.find(&native, property, values).await.map_err(CallError::into_failure).at(Stage::Find)
    }
}
