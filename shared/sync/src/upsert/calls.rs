//! One destination: what is rendered for it, found at it and written to it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use canonical::{FieldKind, FieldName, ObjectType, RemoteId, Stamp, Value, find_field};
use providers::Provider;
use providers::api::{Api, FailureKind, Op, RemoteRecord, Row, RowResult, Target};
use providers::http::HttpResponse;

use crate::batch::Invocation;
use crate::client::{CallError, Client};
use crate::config::Config;
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::ports::Table;
use crate::quarantine::quarantine_reason;
use crate::record::{GoldenRecord, Link, Seen, Sent, golden_by_id, identity_key, may_be_made_of, read_link, remote_hash};
use crate::seal::Vault;
use crate::transform::identity::blocks;

use super::Ports;
use super::plan::Rendering;

/// What to look for at the destination.
pub struct Wanted<'a> {
    /// The golden record's id.
    pub hub_id: &'a str,
    /// The linked object's id.
    pub remote: Option<&'a str>,
    /// Objects of this destination that the golden record was made from.
    pub members: Vec<&'a str>,
    /// The rendering, for natural keys.
    pub rendered: &'a Rendering,
    /// True when nobody has ever tried to write it: no object carries its id.
    pub first: bool,
    /// Records merged into this one that may have objects of their own.
    pub strays: Vec<&'a str>,
}

/// What was found for one record.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Its object.
    pub object: Option<RemoteRecord>,
    /// Objects of records that were merged into it.
    pub strays: Vec<RemoteRecord>,
}

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
    config: &'a Config,
    set_aside: Cell<usize>,
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

    /// The number of field values that this invocation could not render for the destination.
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

    /// Renders a golden record for this destination. A reference is rendered as the id of its object here; a reference whose
    /// object is still to be created here must wait for it, one that leads nowhere is left out. A value that has no native form
    /// is logged, counted and left out; the rest of the record goes on.
    pub async fn render(&self, object: ObjectType, native: &str, golden: &GoldenRecord) -> Result<Rendering, Failure> {
        let mut values = golden.values();
        let refs: Vec<_> = values
            .iter()
            .filter_map(|(name, value)| match find_field(object, name)?.kind {
                FieldKind::Ref(target) => Some((name.clone(), target, value.as_text()?.to_owned())),
                _ => None,
            })
            .collect();
        for (name, target, text) in refs {
            match self.reference(target, &text).await? {
                Some(id) => values.insert(name, Value::Text(id)),
                None => values.remove(&name),
            };
        }
        let rendered = self.provider.render(native, &values);
        if let Some(reason) = quarantine_reason(&rendered.problems) {
            self.set_aside.set(self.set_aside.get() + rendered.problems.len());
            tracing::warn!(code = %Code::BadField, reason, destination = self.name, %object, record = %golden.id, "fields are not written");
        }
        if let Some(missing) = rendered.missing.first() {
            let detail = format!("{}: {native} needs `{missing}`, and no source has a value for it", self.name);
            return Err(Failure::new(Code::ProviderRejected, detail));
        }
        let mut wanted = self.provider.canonical(native, &rendered.properties);
        // What the inbound side of the mapping cannot read back is expected back as it is.
        for field in rendered.by_field.keys() {
            if let (false, Some(value)) = (wanted.contains_key(field), values.get(field)) {
                wanted.insert(field.clone(), value.clone());
            }
        }
        Ok(Rendering { rendered, wanted })
    }

    async fn reference(&self, target: ObjectType, text: &str) -> Result<Option<String>, Failure> {
        let Some(native) = self.config.hub().object(target).destinations.get(self.name) else { return Ok(None) };
        let mut parts = text.splitn(3, '/');
        let (Some(connection), Some(object), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return Ok(None) };
        if connection == self.name && object == native {
            return Ok(Some(id.to_owned()));
        }
        let remote = RemoteId { connection: connection.into(), object: object.into(), id: id.into() };
        let key = identity_key(target, &remote_hash(self.vault, &remote));
        let Some(item) = self.ports.get(Table::Links, &key).await? else { return Ok(None) };
        let Some(golden) = golden_by_id(self.ports, self.vault, target, item.s("golden").unwrap_or_default()).await? else {
            return Ok(None);
        };
        let link = match self.ports.get(Table::Links, &Link::key(self.name, target, &golden.id)).await? {
            Some(item) => read_link(self.ports, self.vault, &item).await?,
            None => Link::default(),
        };
        match link.remote {
            Some(remote) if !link.gone => Ok(Some(remote)),
            _ if link.gone || link.rejected || golden.deleted => Ok(None),
            _ => Err(Failure::throttled(
                Code::ReferencePending,
                2_000,
                format!("waits for {target} {} to exist at {}", golden.id, self.name),
            )),
        }
    }

    /// Writes rows in one call.
    pub async fn write(&self, object: ObjectType, op: Op, rows: &[Row]) -> Result<Vec<RowResult>, CallError> {
        let native = self.native(object).map_err(CallError::NotSent)?;
        let request =
            |target: &Target| if op == Op::Update { self.api.update(target, rows) } else { self.api.upsert(target, rows) };
        self.client
            .call(&native, |target| Some(request(target)), |target, response| self.api.parse_written(target, rows, response))
            .await
            .map_err(|error| error.at(Stage::Write))
    }

    /// Merges one object of the destination into another and gives the id of what remains. The provider must be able to.
    pub async fn merge(&self, object: ObjectType, primary: &str, other: &str) -> Result<String, CallError> {
        let native = self.native(object).map_err(CallError::NotSent)?;
        let merged = |target: &Target, response: &HttpResponse| match self.api.parse_merged(target, response) {
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(primary.to_owned()),
            other => other,
        };
        self.client.call(&native, |target| self.api.merge(target, primary, other), merged).await.map_err(|e| e.at(Stage::Write))
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
            Ok(records) => records,
            Err(error) => {
                let failure = error.into_failure().at(Stage::ReadBack);
                // The write is known to have happened. Without the read-back, the values that were sent count as what is there.
                tracing::warn!(code = %failure.code, stage = failure.stage_name(), detail = %failure.chain(), destination = self.name, "the written objects could not be read back");
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
    pub async fn read(&self, object: ObjectType, ids: &[String]) -> Result<Vec<RemoteRecord>, CallError> {
        self.client.read(&self.native(object).map_err(CallError::NotSent)?, ids).await
    }

    async fn find(&self, object: ObjectType, property: &str, values: &[String]) -> Result<Vec<RemoteRecord>, Failure> {
        let native = self.native(object)?;
        let properties = self.provider.read_properties(&native);
        let mut records = Vec::new();
        for chunk in self.api.find_parts(values) {
            let request = |target: &Target| Some(self.api.find(target, property, chunk, &properties));
            let found = self.client.call(&native, request, |target, response| self.api.parse_found(target, response)).await;
            records.extend(found.map_err(CallError::into_failure).at(Stage::Find)?);
        }
        Ok(records)
    }

    /// For each record that is wanted: the object at the destination, by its id, because the record was made from it, by our id,
    /// or by its natural key; and the objects of records that were merged into it.
    pub async fn look_up(&self, object: ObjectType, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Found, Failure>>, Failure> {
        let objects = self.look_up_objects(object, wanted).await?;
        let native = self.native(object)?;
        let id_property = self.provider.destination(&native).map(|d| d.id_property.clone()).unwrap_or_default();
        let strays: Vec<String> = wanted.iter().flat_map(|w| w.strays.iter().map(|s| (*s).to_owned())).collect();
        let stray = if strays.is_empty() { Vec::new() } else { self.find(object, &id_property, &strays).await? };
        let of = |want: &Wanted<'_>| {
            let mine = |r: &&RemoteRecord| !r.archived && r.hub_id.as_deref().is_some_and(|id| want.strays.contains(&id));
            stray.iter().filter(mine).cloned().collect()
        };
        Ok(objects.into_iter().zip(wanted).map(|(slot, want)| slot.map(|object| Found { object, strays: of(want) })).collect())
    }

    async fn look_up_objects(
        &self,
        object: ObjectType,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Option<RemoteRecord>, Failure>>, Failure> {
        let native = self.native(object)?;
        let mut found: Vec<Result<Option<RemoteRecord>, Failure>> = wanted.iter().map(|_| Ok(None)).collect();
        let members = |w: &Wanted<'_>| w.members.iter().map(|id| (*id).to_owned()).collect();
        let known = |w: &Wanted<'_>| -> Vec<String> { w.remote.map_or_else(|| members(w), |id| vec![id.to_owned()]) };
        let ids: Vec<String> = wanted.iter().flat_map(known).collect();
        if !ids.is_empty() {
            let records = self.read(object, &ids).await.map_err(CallError::into_failure).at(Stage::Find)?;
            for (want, slot) in wanted.iter().zip(&mut found) {
                let Some(remote) = want.remote else {
                    *slot = Ok(made_from(&records, want));
                    continue;
                };
                let by_id = |r: &&RemoteRecord| r.id == remote || r.hub_id.as_deref() == Some(want.hub_id);
                *slot = Ok(records.iter().find(by_id).filter(|r| !r.archived).cloned());
            }
        }
        let Some(destination) = self.provider.destination(&native) else { return Ok(found) };
        let blocked = &self.config.hub().object(object).blocked;
        let natural = |want: &Wanted<'_>, property: &str| -> Option<String> {
            let value = want.rendered.rendered.properties.get(property)?.as_str().filter(|v| !v.is_empty())?;
            // An address of many people finds somebody else's object.
            let shared = blocked.iter().any(|pattern| blocks(pattern, &value.to_lowercase()));
            (!shared).then(|| value.to_owned())
        };
        let mut properties = vec![destination.id_property.clone()];
        properties.extend(destination.natural_keys.iter().cloned());
        for property in properties {
            let value = |want: &Wanted<'_>| -> Option<String> {
                if property != destination.id_property {
                    return natural(want, &property);
                }
                // Should tables have been lost, an object with this id has the natural key too, or the write tells that it is there.
                let found_otherwise = want.first && destination.natural_keys.iter().any(|key| natural(want, key).is_some());
                (!found_otherwise).then(|| want.hub_id.to_owned())
            };
            let open = |want: &Wanted<'_>, slot: &Result<Option<RemoteRecord>, Failure>| {
                want.remote.is_none() && matches!(slot, Ok(None))
            };
            let mut values: Vec<String> =
                wanted.iter().zip(&found).filter(|(w, s)| open(w, s)).filter_map(|(w, _)| value(w)).collect();
            values.sort();
            values.dedup();
            if values.is_empty() {
                continue;
            }
            let records = self.find(object, &property, &values).await?;
            for (want, slot) in wanted.iter().zip(&mut found) {
                if let (true, Some(value)) = (open(want, slot), value(want)) {
                    *slot = one(&records, &property, &value, self.name);
                }
            }
        }
        Ok(found)
    }

    /// Takes an object that was found into the link: it is ours from now on. Fields in which it holds something that neither we
    /// have written nor any source has told us are noted as unheard: they must be heard before they may be overwritten.
    pub async fn take_in(&self, object: ObjectType, link: &mut Link, hub_id: &str, remote: &RemoteRecord) -> Result<(), Failure> {
        let native = self.native(object)?;
        if let Some(other) = remote.hub_id.as_deref().filter(|id| !id.is_empty() && *id != hub_id)
            && link.remote.as_deref() != Some(&remote.id)
        {
            let owner = golden_by_id(self.ports, self.vault, object, other).await?;
            if owner.is_some_and(|golden| golden.id != hub_id) {
                let detail = format!("{native} {} at {} belongs to record {other}, not to {hub_id}", remote.id, self.name);
                return Err(Failure::new(Code::ProviderAmbiguous, detail));
            }
        }
        link.point_to(remote.id.clone());
        link.marked = remote.hub_id.as_deref() == Some(hub_id);
        link.unheard.clear();
        let stamp = remote.stamp.unwrap_or(Stamp::at(0));
        let values = self.provider.canonical(&native, &remote.properties);
        // What stands there only to fill a required field is no value, whatever was there before.
        let emptied: Vec<FieldName> = link.seen.keys().filter(|field| !values.contains_key(*field)).cloned().collect();
        for field in emptied {
            link.see(&field, &Value::Null, stamp);
        }
        for (field, value) in values {
            let heard = link.seen.get(&field).is_some_and(|seen| seen.value == value);
            let made_of = link.sent.get(&field).and_then(|ring| {
                ring.iter().rev().find(|s| s.value == value || s.stamp.is_none() && may_be_made_of(&value, &s.value)).cloned()
            });
            if let Some(sent) = made_of {
                if sent.stamp.is_none() {
                    // So our write did take effect, and this is what was made of it.
                    link.remember(&field, Sent { value: value.clone(), stamp: Some(stamp), ..sent });
                    link.back.remove(&field);
                }
                link.see(&field, &value, stamp);
            } else if heard || value.is_null() {
                link.see(&field, &value, stamp);
            } else {
                link.unheard.insert(field, Seen { value, stamp });
            }
        }
        Ok(())
    }
}

/// The object that a record without a link was made from: the one that carries our id, or the only one. Several are told apart by
/// their natural key.
fn made_from(records: &[RemoteRecord], want: &Wanted<'_>) -> Option<RemoteRecord> {
    let mut live = records.iter().filter(|r| !r.archived && want.members.contains(&r.id.as_str()));
    if let Some(ours) = live.clone().find(|r| r.hub_id.as_deref() == Some(want.hub_id)) {
        return Some(ours.clone());
    }
    live.next().filter(|_| live.next().is_none()).cloned()
}

/// The one live object with this value; several are an ambiguity that a person must resolve.
fn one(records: &[RemoteRecord], property: &str, value: &str, destination: &str) -> Result<Option<RemoteRecord>, Failure> {
    let holds = |r: &&RemoteRecord| {
        !r.archived && r.properties.get(property).and_then(|v| v.as_str()).is_some_and(|v| v.eq_ignore_ascii_case(value))
            || r.hub_id.as_deref() == Some(value)
    };
    let mut matching = records.iter().filter(holds);
    match (matching.next(), matching.next()) {
        (first, None) => Ok(first.cloned()),
        (Some(a), Some(b)) if a.id == b.id => Ok(Some(a.clone())),
        _ => Err(Failure::new(Code::ProviderAmbiguous, format!("{destination} has several objects with the same `{property}`"))),
    }
}
