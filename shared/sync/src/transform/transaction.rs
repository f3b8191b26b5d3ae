//! Between the store and the pure merge: reads what a change needs to know, and turns a merge into one transaction.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ConnectionName, EventRef, FieldName, GoldenId, KeyHash, ObjectType, RemoteId, Value};
use serde::Serialize;

use crate::config::Hub;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};
use crate::record::{
    GoldenRecord, Link, SourceRecord, golden_by_id, identity_key, put, read_golden, read_link, read_source, unchanged_since,
};
use crate::seal::Vault;
use crate::transform::identity::{HUB_NAMESPACE, identity_keys};
use crate::transform::merge::{Known, Merged, merge};

/// DynamoDB reads and writes at most this many items at once.
const MOST_ITEMS: usize = 100;

/// Reads what is known and merges the change into it.
pub async fn plan<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    change: &Change,
    received_ms: i64,
) -> Result<Merged, Failure> {
    let known = read(ports, vault, hub, change).await?;
    merge(hub, vault, change, &known, received_ms, ports.now_ms())
}

async fn read<P: Store + Clock>(ports: &P, vault: &Vault, hub: &Hub, change: &Change) -> Result<Known, Failure> {
    let mut known = Known::default();
    if let Some(item) = ports.get(Table::Golden, &SourceRecord::key(vault, &change.source)).await? {
        known.source = Some(read_source(ports, vault, &item).await?);
    }
    let policy = hub.object(change.object);
    let keys: Vec<Key> = identity_keys(vault, policy, change, known.source.as_ref())
        .iter()
        .map(|hash| identity_key(change.object, hash))
        .collect();
    let mut ids: BTreeSet<GoldenId> = known.source.iter().map(|s| s.golden.clone()).collect();
    ids.extend(change.external_ids.iter().filter(|(namespace, _)| namespace == HUB_NAMESPACE).map(|(_, id)| id.as_str().into()));
    for chunk in keys.chunks(MOST_ITEMS) {
        let found = ports.get_many(Table::Links, chunk).await?;
        for item in found.into_iter().flatten() {
            ids.extend(item.s("golden").map(GoldenId::from));
            known.claimed.extend(item.key.pk.rsplit('#').next().map(KeyHash::from));
        }
    }
    let mut clusters: BTreeMap<GoldenId, GoldenRecord> = BTreeMap::new();
    for id in ids {
        if let Some(record) = golden_by_id(ports, vault, change.object, &id).await? {
            clusters.insert(record.id.clone(), record);
        }
    }
    known.clusters = clusters.into_values().collect();
    read_members(ports, vault, change, &mut known).await?;
    read_links(ports, vault, hub, change, &mut known).await?;
    Ok(known)
}

async fn read_members<P: Store + Clock>(ports: &P, vault: &Vault, change: &Change, known: &mut Known) -> Result<(), Failure> {
    let members: Vec<RemoteId> =
        known.clusters.iter().flat_map(|c| &c.members).filter(|m| **m != change.source).cloned().collect();
    for chunk in members.chunks(MOST_ITEMS) {
        let places: Vec<Key> = chunk.iter().map(|m| SourceRecord::key(vault, m)).collect();
        for item in ports.get_many(Table::Golden, &places).await?.into_iter().flatten() {
            let record = read_source(ports, vault, &item).await?;
            known.members.insert(record.source.clone(), record);
        }
    }
    Ok(())
}

/// The change's own connection matters for echoes; all destinations matter when clusters join.
async fn read_links<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    change: &Change,
    known: &mut Known,
) -> Result<(), Failure> {
    let joins = known.clusters.len() > 1;
    let destinations = hub.object(change.object).destinations.keys().filter(|d| joins || **d == change.source.connection);
    let places: Vec<(GoldenId, ConnectionName)> =
        destinations.flat_map(|d| known.clusters.iter().map(move |c| (c.id.clone(), d.clone()))).collect();
    for chunk in places.chunks(MOST_ITEMS) {
        let keys: Vec<Key> = chunk.iter().map(|(record, destination)| Link::key(destination, change.object, record)).collect();
        for (place, item) in chunk.iter().zip(ports.get_many(Table::Links, &keys).await?) {
            if let Some(item) = item {
                known.links.insert(place.clone(), read_link(ports, vault, &item).await?);
            }
        }
    }
    Ok(())
}

/// One line of the audit log, sealed.
#[derive(Serialize)]
struct AuditEntry<'a> {
    what: &'static str,
    event: String,
    source: String,
    outcome: &'static str,
    merged: Vec<&'a str>,
    fields: BTreeMap<&'a FieldName, (&'a Option<Value>, &'a Option<Value>)>,
}

/// The transaction that stores a merge. Loads the data keys that it needs.
pub async fn writes<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    plan: &Merged,
    change: &Change,
    event: &EventRef,
) -> Result<Vec<Write>, Failure> {
    let golden = &plan.golden;
    let object = golden.object;
    let key_id = GoldenRecord::key_id(object, &golden.id);
    vault.load(ports, &key_id, true).await?;
    let mut writes = Vec::new();
    if let Some(source) = &plan.source {
        writes.push(put(ports, vault, SourceRecord::key(vault, &source.source), &key_id, source)?);
    }
    let place = GoldenRecord::key(object, &golden.id);
    if plan.golden_changed {
        let condition = unchanged_since(golden.version);
        let golden = GoldenRecord { version: plan.next_version - 1, ..golden.clone() };
        match put(ports, vault, place, &key_id, &golden)? {
            Write::Put { table, item, .. } => writes.push(Write::Put { table, item, condition }),
            other => writes.push(other),
        }
    } else if plan.golden_checked {
        writes.push(Write::Check { table: Table::Golden, key: place, condition: unchanged_since(golden.version) });
    }
    for retired in &plan.retired {
        let key_id = GoldenRecord::key_id(object, &retired.id);
        vault.load(ports, &key_id, true).await?;
        writes.push(put(ports, vault, GoldenRecord::key(object, &retired.id), &key_id, retired)?);
    }
    for hash in &plan.new_keys {
        let item = Item::new(identity_key(object, hash)).with("golden", Attr::S(golden.id.to_string()));
        // A key that points to one of the joined clusters stays: it leads here by the redirect. A key that another cluster has
        // claimed since it was read must stop us.
        writes.push(Write::Put { table: Table::Links, item, condition: Condition::Absent });
    }
    for ((record, destination), link) in &plan.links {
        let key_id = GoldenRecord::key_id(object, record);
        vault.load(ports, &key_id, true).await?;
        writes.push(put(ports, vault, Link::key(destination, object, record), &key_id, link)?);
    }
    if !plan.audit.is_empty() || !plan.retired.is_empty() {
        writes.push(audit(ports, vault, &key_id, plan, change, event)?);
    }
    if writes.len() > MOST_ITEMS - 10 {
        return Err(Failure::new(Code::CapExceeded, format!("a merge of {} items does not fit one transaction", writes.len())));
    }
    Ok(writes)
}

fn audit<P: Clock>(
    ports: &P,
    vault: &Vault,
    key_id: &str,
    plan: &Merged,
    change: &Change,
    event: &EventRef,
) -> Result<Write, Failure> {
    let golden = &plan.golden;
    let entry = AuditEntry {
        what: if plan.retired.is_empty() { "resolved" } else { "merged" },
        event: format!("{}/{}/{}", event.connection, event.envelope, event.index),
        source: change.source.to_string(),
        outcome: plan.outcome.name(),
        merged: plan.retired.iter().map(|r| r.id.as_str()).collect(),
        fields: plan.audit.iter().map(|(name, before, after)| (name, (before, after))).collect(),
    };
    let place = audit_key(golden.object, &golden.id, plan.next_version, "transform");
    let mut item = Item::new(place).with("at", Attr::N(ports.now_ms()));
    vault.seal_into(ports, &mut item, key_id, &entry)?;
    Ok(Write::Put { table: Table::Audit, item, condition: Condition::Always })
}

/// Where an audit entry of a record lies; entries sort by version, then by what wrote them.
pub fn audit_key(object: ObjectType, record: &str, version: u64, by: &str) -> Key {
    Key::new(format!("r#{object}#{record}"), format!("{version:012}#{by}"))
}

/// Reads the golden record of an item, for sweeps.
pub async fn golden_of_item<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<Option<GoldenRecord>, Failure> {
    if item.key.sk != "golden" || item.s("redirect").is_some() {
        return Ok(None);
    }
    read_golden(ports, vault, item).await.map(Some)
}
