//! Fetching: the objects that thin events and pushes name are read, and sent to `ingest`.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FetchRequest, RemoteId};
use providers::api::{CallFailure, FailureKind, RemoteRecord, Target};
use providers::fetch::{Fetch, parse_fetched};
use providers::http::HttpResponse;

use super::{Ports, ReadResult, Reconcile, Requested};
use crate::client::{CallError, Client, ReadById};
use crate::failure::{AtStage, Class, Code, Failure, Stage};
use crate::outbox::send_envelopes;
use crate::pause::require_running;

/// How long before its event a change may have been made, in milliseconds, where an event names a collection of objects.
const COLLECTION_LOOKBACK_MS: i64 = 3_600_000;
/// How often a read that is older than the event that requested it is repeated.
const MAX_STALE_READS: u32 = 5;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads the objects of one native type that the requests name, and sends them to `ingest`. Returns the requests that are not
    /// finished, by the index of their message: the read failed, or is older than the event that requested it.
    pub(super) async fn fetch(
        &self,
        connection: &str,
        object: &str,
        requests: &[Requested<FetchRequest>],
    ) -> Result<Vec<(usize, Failure)>, Failure> {
        require_running(self.ports, connection, object).await?;
        let client = self.client(connection)?;
        let read_at_ms = self.ports.now_ms();
        let reads = match client.api() {
            Some(_) => read_together(&client, object, requests).await,
            None => self.read_one_by_one(&client, object, requests).await,
        };
        let (mut unfinished, mut envelopes) = (Vec::new(), Vec::new());
        for (id, read) in &reads {
            let of_object = requests.iter().filter(|requested| requested.request.source.id == *id);
            let record = match read {
                Ok(record) => record.as_ref(),
                Err(failure) => {
                    unfinished.extend(of_object.map(|requested| (requested.index, failure.clone())));
                    continue;
                }
            };
            let (stale, answered): (Vec<_>, Vec<_>) = of_object.partition(|requested| is_stale(record, requested));
            let still_older = || Failure::new(Code::StaleRead, format!("{connection} still shows an older {object}"));
            unfinished.extend(stale.into_iter().map(|requested| (requested.index, still_older())));
            if let Some(last) = answered.last() {
                let causes = answered.iter().filter_map(|requested| requested.request.cause.clone()).collect();
                let source = RemoteId { connection: connection.into(), object: object.into(), id: id.clone() };
                let trace = Some(last.request.trace.clone());
                let absent_since_ms = answered.iter().filter_map(|requested| requested.request.absent_since_ms).max();
                if record.is_none()
                    && absent_since_ms.is_some()
                    && let Err(failure) = self.count_looks(connection, object, 1).await
                {
                    unfinished.extend(answered.iter().map(|requested| (requested.index, failure.clone())));
                    continue;
                }
                let read = ReadResult { causes, trace, absent_since_ms, ..ReadResult::new(source, record, read_at_ms) };
                envelopes.push(self.build_envelope(read).await?);
            }
        }
        send_envelopes(self.ports, client.connection().lane, envelopes).await?;
        Ok(unfinished)
    }

    /// Reads objects one by one, by the paths of the manifest. A failure that the other objects would meet as well ends the reading;
    /// what was read before is kept.
    async fn read_one_by_one(&self, client: &Client<'_, P>, object: &str, requests: &[Requested<FetchRequest>]) -> ReadById {
        let mut since: BTreeMap<&str, i64> = BTreeMap::new();
        for Requested { request, .. } in requests {
            let received_ms = request.cause.as_ref().map_or_else(|| self.ports.now_ms(), |cause| cause.received_at_ms);
            let earliest = since.entry(&request.source.id).or_insert(received_ms);
            *earliest = received_ms.min(*earliest);
        }
        let mut reads = ReadById::new();
        let mut stopped: Option<Failure> = None;
        for (id, received_ms) in since {
            let read = match &stopped {
                Some(failure) => Err(failure.clone()),
                None => read_one(client, object, id, received_ms - COLLECTION_LOOKBACK_MS).await,
            };
            if let Err(failure) = &read
                && failure.class != Class::Permanent
            {
                stopped = Some(failure.clone());
            }
            reads.insert(id.to_owned(), read);
        }
        reads
    }
}

/// Reads objects by the provider's batch protocol.
async fn read_together<P: Ports>(client: &Client<'_, P>, object: &str, requests: &[Requested<FetchRequest>]) -> ReadById {
    let ids: BTreeSet<&String> = requests.iter().map(|requested| &requested.request.source.id).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let reads = client.read_each(object, &ids).await;
    reads.into_iter().map(|(id, read)| (id, read.map(|record| record.filter(|record| !record.archived)))).collect()
}

/// Reads one object by the path of the manifest.
async fn read_one<P: Ports>(
    client: &Client<'_, P>,
    object: &str,
    id: &str,
    since_ms: i64,
) -> Result<Option<RemoteRecord>, Failure> {
    let account = client.connection().account.as_str();
    let request =
        |target: &Target| client.provider().fetch(&Fetch { base_url: target.base_url.as_str(), account, object, id, since_ms });
    let raw = client
        .call(object, request, |_, response| read_json(response))
        .await
        .map_err(CallError::into_failure)
        .at(Stage::Fetch)?;
    Ok(raw.map(|raw| RemoteRecord {
        id: id.to_owned(),
        hub_id: None,
        properties: Default::default(),
        stamp: None,
        archived: false,
        raw,
    }))
}

/// Reads the answer to a read of one object; `None` when the object does not exist.
fn read_json(response: &HttpResponse) -> Result<Option<serde_json::Value>, CallFailure> {
    let Some(body) = parse_fetched(response)? else { return Ok(None) };
    let not_json = |_| CallFailure::new(FailureKind::Transient, "BAD_RESPONSE", "the response is not JSON");
    serde_json::from_slice(&webhook::json::whole_characters(&body)).map(Some).map_err(not_json)
}

/// True when a read is older than the event that requested it, and may be repeated.
fn is_stale(record: Option<&RemoteRecord>, requested: &Requested<FetchRequest>) -> bool {
    let stamps = record.and_then(|record| record.stamp).zip(requested.request.not_before);
    stamps.is_some_and(|(read, wanted)| read.at_ms < wanted.at_ms) && requested.receive_count <= MAX_STALE_READS
}
