//! Between the store and the pure merge: reads what is known of a change, and builds one transaction from its merge.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ChangeKind, ConnectionName, EventRef, GoldenId, KeyHash, RemoteId};
use serde::Serialize;

use crate::config::Hub;
use crate::failure::{Code, Failure};
use crate::ports::{Clock, Key, Store, Table, Write};
use crate::record::audit::{AuditSubject, build_audit_put};
use crate::record::{
    Claim, GoldenRecord, IdentityKeys, Link, Review, SourceRecord, build_put, build_put_as, golden_by_id, identity_key,
    read_link, read_source, unchanged,
};
use crate::seal::Vault;
use crate::transform::identity::{HUB_NAMESPACE, founded_id, identity_keys, is_identified, remote_keys};
use crate::transform::merge::merge;
use crate::transform::plan::{FieldDifferences, Known, Lead, MergeInput, Merged, for_audit};

/// The store reads and writes at most this many items at once.
const MAX_ITEMS: usize = 100;

/// Items of a transaction that are kept free for the journal entry and the account lines.
const JOURNAL_ITEMS: usize = 10;

/// One change on its way into the store.
pub struct Transaction<'a, P> {
    /// The store and the clock.
    pub ports: &'a P,
    /// Hashes and seals.
    pub vault: &'a Vault,
    /// The configuration.
    pub hub: &'a Hub,
    /// The change.
    pub change: &'a Change,
    /// The event that brought it.
    pub event: &'a EventRef,
    /// Where it comes from a read: when that read began, by our clock.
    pub read_ms: Option<i64>,
}

impl<P: Store + Clock> Transaction<'_, P> {
    /// Reads what is known, and merges the change into it.
    pub async fn plan(&self) -> Result<Merged, Failure> {
        let known = self.read().await?;
        let (received_ms, now_ms) = (self.event.received_at_ms, self.ports.now_ms());
        merge(MergeInput { hub: self.hub, change: self.change, received_ms, read_ms: self.read_ms, now_ms }, &known)
    }

    async fn read(&self) -> Result<Known, Failure> {
        let Self { ports, vault, hub, change, .. } = self;
        let source = match ports.get(Table::Golden, &SourceRecord::key(vault, &change.source)).await? {
            Some(item) => Some(read_source(*ports, vault, &item).await?),
            None => None,
        };
        let keys = identity_keys(vault, hub, change, source.as_ref());
        let founded_id = founded_id(vault, change);
        let identified = is_identified(hub.object(change.object), change, &keys);
        let mut known = Known { source, keys, identified, founded_id, ..Known::default() };
        self.read_clusters(&mut known).await?;
        self.read_members(&mut known).await?;
        self.read_links(&mut known).await?;
        Ok(known)
    }

    /// The golden records that the identity keys, the source record and the hub's own id lead to.
    async fn read_clusters(&self, known: &mut Known) -> Result<(), Failure> {
        let Self { vault, change, .. } = self;
        let mut own: BTreeSet<GoldenId> = known.source.iter().map(|s| s.golden.clone()).collect();
        own.extend(change.external_ids.iter().filter(|(name, _)| name == HUB_NAMESPACE).map(|(_, id)| id.as_str().into()));
        let claims = self.read_claims(&known.keys).await?;
        own.extend(remote_keys(vault, change).iter().filter_map(|hash| claims.get(hash)).map(|claim| claim.golden.clone()));
        // Several ids may redirect to the same record.
        let ids: BTreeSet<GoldenId> = claims.values().map(|claim| claim.golden.clone()).chain(own.iter().cloned()).collect();
        let mut live: BTreeMap<GoldenId, GoldenRecord> = BTreeMap::new();
        for id in ids {
            if let Some(record) = self.live_record(&id).await? {
                live.insert(id, record);
            }
        }
        let live_id = |id: &GoldenId| live.get(id).map(|record| record.id.clone());
        known.own = own.iter().filter_map(live_id).collect();
        for (hash, claim) in claims {
            let golden = live_id(&claim.golden).unwrap_or_else(|| claim.golden.clone());
            let mut holders = BTreeSet::from([golden.clone()]);
            for other in &claim.others {
                holders.extend(self.live_record(other).await?.map(|record| record.id));
            }
            known.leads.insert(hash, Lead { claim, golden, holders });
        }
        let mut clusters: BTreeMap<GoldenId, GoldenRecord> =
            live.into_values().map(|record| (record.id.clone(), record)).collect();
        if matches!(change.kind, ChangeKind::Delete { .. } | ChangeKind::Absent { confirmed: true }) {
            known.reviewed = self.read_reviewed(&mut clusters).await?;
        }
        known.clusters = clusters.into_values().collect();
        Ok(())
    }

    /// Reads the records that may be the same as these, since the end of an object may be the end of the doubt.
    async fn read_reviewed(
        &self,
        clusters: &mut BTreeMap<GoldenId, GoldenRecord>,
    ) -> Result<BTreeMap<GoldenId, GoldenId>, Failure> {
        let ids: BTreeSet<GoldenId> = clusters.values().flat_map(|cluster| cluster.reviews.keys().cloned()).collect();
        let mut reviewed = BTreeMap::new();
        for id in ids {
            if let Some(record) = self.live_record(&id).await? {
                reviewed.insert(id, record.id.clone());
                clusters.insert(record.id.clone(), record);
            }
        }
        Ok(reviewed)
    }

    async fn live_record(&self, id: &GoldenId) -> Result<Option<GoldenRecord>, Failure> {
        golden_by_id(self.ports, self.vault, self.change.object, id).await
    }

    /// Where those of the keys lead that join and that are known already.
    async fn read_claims(&self, keys: &IdentityKeys) -> Result<BTreeMap<KeyHash, Claim>, Failure> {
        let hashes: Vec<&KeyHash> = keys.iter().filter(|(_, key)| key.joins).map(|(hash, _)| hash).collect();
        let mut claims = BTreeMap::new();
        for chunk in hashes.chunks(MAX_ITEMS) {
            let items: Vec<Key> = chunk.iter().map(|hash| identity_key(self.change.object, hash)).collect();
            for (hash, item) in chunk.iter().zip(self.ports.get_many(Table::Links, &items).await?) {
                claims.extend(item.as_ref().and_then(Claim::read).map(|claim| ((*hash).clone(), claim)));
            }
        }
        Ok(claims)
    }

    async fn read_members(&self, known: &mut Known) -> Result<(), Failure> {
        let members = known.clusters.iter().flat_map(|c| &c.members).filter(|m| **m != self.change.source);
        let members: Vec<&RemoteId> = members.collect();
        for chunk in members.chunks(MAX_ITEMS) {
            let keys: Vec<Key> = chunk.iter().map(|m| SourceRecord::key(self.vault, m)).collect();
            for item in self.ports.get_many(Table::Golden, &keys).await?.into_iter().flatten() {
                let record = read_source(self.ports, self.vault, &item).await?;
                known.members.insert(record.source.clone(), record);
            }
        }
        Ok(())
    }

    /// The link to the change's own connection matters for echoes. When clusters join, the links to all destinations matter.
    async fn read_links(&self, known: &mut Known) -> Result<(), Failure> {
        let Self { ports, vault, hub, change, .. } = self;
        let joins = known.clusters.len() > 1;
        let destinations = hub.object(change.object).destinations.keys().filter(|d| joins || **d == change.source.connection);
        let wanted: Vec<(GoldenId, ConnectionName)> =
            destinations.flat_map(|d| known.clusters.iter().map(move |c| (c.id.clone(), d.clone()))).collect();
        for chunk in wanted.chunks(MAX_ITEMS) {
            let keys: Vec<Key> = chunk.iter().map(|(record, name)| Link::key(name, change.object, record)).collect();
            for (owner, item) in chunk.iter().zip(ports.get_many(Table::Links, &keys).await?) {
                let Some(item) = item else { continue };
                let link = read_link(*ports, vault, &item).await?;
                // A link that moved shows that its golden record was merged after it was read. Without the link, the transaction
                // conflicts, and everything is read again.
                if link.moved_to().is_none() {
                    known.links.insert(owner.clone(), link);
                }
            }
        }
        Ok(())
    }

    /// Builds the transaction that stores a merge.
    pub async fn build_writes(&self, plan: &Merged) -> Result<Vec<Write>, Failure> {
        let Self { ports, vault, .. } = self;
        let golden = &plan.golden;
        let object = golden.object;
        let key_id = self.load_data_key(&golden.id).await?;
        let mut writes = Vec::new();
        if let Some(source) = &plan.source {
            writes.push(build_put(*ports, vault, SourceRecord::key(vault, &source.source), &key_id, source)?);
        }
        let golden_key = GoldenRecord::key(object, &golden.id);
        // Every change of a member writes the golden record, also where no value changes. What this merge has read of the other
        // members is still true as long as nobody else has written the golden record.
        if plan.golden_changed || plan.source.is_some() {
            writes.push(build_put_as(*ports, vault, golden_key, &key_id, golden, plan.next_version)?);
        } else if !plan.links.is_empty() {
            writes.push(Write::Check { table: Table::Golden, key: golden_key, condition: unchanged(golden) });
        }
        for retired in &plan.retired {
            let key_id = self.load_data_key(&retired.id).await?;
            writes.push(build_put(*ports, vault, GoldenRecord::key(object, &retired.id), &key_id, retired)?);
        }
        // A key that leads to one of the joined clusters stays as it is: its cluster redirects to this one. A key that another
        // cluster has claimed since it was read must fail the transaction.
        writes.extend(plan.claims.changed.iter().map(|(hash, claim)| claim.build_put(object, hash)));
        for reviewed in &plan.reviewed {
            let key_id = self.load_data_key(&reviewed.id).await?;
            writes.push(build_put(*ports, vault, GoldenRecord::key(object, &reviewed.id), &key_id, reviewed)?);
        }
        for (other, keys) in &plan.suggested {
            let pair = [golden.id.clone(), other.clone()];
            writes.push(Review::open(vault, object, pair, keys.clone(), ports.now_ms()).build_put());
        }
        for ((record, destination), link) in &plan.links {
            let key_id = self.load_data_key(record).await?;
            writes.push(build_put(*ports, vault, Link::key(destination, object, record), &key_id, link)?);
        }
        if !plan.differences.is_empty() || !plan.retired.is_empty() {
            writes.push(self.build_audit(plan)?);
        }
        if writes.len() > MAX_ITEMS - JOURNAL_ITEMS {
            return Err(Failure::new(
                Code::CapExceeded,
                format!("a merge of {} items does not fit one transaction", writes.len()),
            ));
        }
        Ok(writes)
    }

    /// Loads the data key of a golden record, and gives its id.
    async fn load_data_key(&self, record: &str) -> Result<String, Failure> {
        let key_id = GoldenRecord::key_id(self.change.object, record);
        self.vault.ensure_key(self.ports, &key_id).await?;
        Ok(key_id)
    }

    fn build_audit(&self, plan: &Merged) -> Result<Write, Failure> {
        let golden = &plan.golden;
        let entry = Resolution {
            what: if plan.retired.is_empty() { "resolved" } else { "merged" },
            event: format!("{}/{}/{}", self.event.connection, self.event.envelope, self.event.index),
            source: self.change.source.to_string(),
            outcome: plan.outcome.name(),
            merged: plan.retired.iter().map(|r| r.id.as_str()).collect(),
            fields: for_audit(&plan.differences),
        };
        let subject = AuditSubject { object: golden.object, record: &golden.id, version: plan.next_version, writer: "transform" };
        build_audit_put(self.ports, self.vault, subject, &entry)
    }
}

/// An audit entry of `transform`: the golden values that a change resolved anew, before and after.
#[derive(Serialize)]
struct Resolution<'a> {
    what: &'static str,
    event: String,
    source: String,
    outcome: &'static str,
    merged: Vec<&'a str>,
    fields: FieldDifferences,
}
