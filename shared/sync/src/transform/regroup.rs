//! What a person's decision changes: two records become one, are kept apart, or one becomes two. Pure, and without loss: the
//! observations stay with their source records, so every decision can be taken back.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, GoldenId, KeyHash, RemoteId};

use super::merge::{differences, join_clusters, move_links, summarise};
use super::plan::FieldDifferences;
use super::survivorship::resolve;
use crate::config::Hub;
use crate::failure::{Code, Failure};
use crate::record::{Claim, GoldenRecord, IdentityKeys, LinkMap, SourceRecord, Split, add_keys};

/// What is stored of the records that a decision is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// Their source records.
    pub members: BTreeMap<RemoteId, SourceRecord>,
    /// The identity keys of the values that each source record has now; none if it is deleted.
    pub current: BTreeMap<RemoteId, IdentityKeys>,
    /// Their links.
    pub links: LinkMap,
    /// Where their identity keys lead.
    pub claims: BTreeMap<KeyHash, Claim>,
}

/// What is to be stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Regrouped {
    /// The live records, each with its next version and the values that changed.
    pub live: Vec<(GoldenRecord, u64, FieldDifferences)>,
    /// Records that redirect from now on.
    pub retired: Vec<GoldenRecord>,
    /// Source records that belong to another record now.
    pub sources: Vec<SourceRecord>,
    /// Links that changed.
    pub links: LinkMap,
    /// Claims that changed.
    pub claims: BTreeMap<KeyHash, Claim>,
}

impl Regrouped {
    fn add(&mut self, mut record: GoldenRecord, next_version: u64, hub: &Hub, stored: &Stored) -> Result<(), Failure> {
        if record.generation > hub.generation {
            return Err(Failure::new(Code::OutdatedConfiguration, "a newer configuration resolved this record"));
        }
        record.generation = hub.generation;
        let record_of = |member: &RemoteId| stored.members.get(member);
        summarise(&mut record, record_of, hub);
        let members = || record.members.iter().filter_map(record_of);
        let fields = resolve(members(), &record.summary, hub.object(record.object), &hub.limits);
        record.deleted = !record.summary.is_live() && members().all(SourceRecord::is_deleted);
        record.no_key = record.summary.is_empty() && members().all(|member| member.no_key);
        let before = std::mem::replace(&mut record.fields, fields);
        let differences = differences(before, &record.fields);
        self.live.push((record, next_version, differences));
        Ok(())
    }
}

/// Two records become one. What kept exactly these two apart is taken back.
pub(super) fn join(hub: &Hub, stored: &Stored, mut records: [GoldenRecord; 2]) -> Result<Regrouped, Failure> {
    let [one, other] = records.each_ref().map(|record| record.members.clone());
    for record in &mut records {
        record.splits = record.splits.iter().flat_map(|split| split.without(&one, &other)).collect();
    }
    let next_version = records.iter().map(|record| record.version).max().unwrap_or(0) + 1;
    let mut regrouped = Regrouped::default();
    if let Some((golden, retired)) = join_clusters(records.to_vec()) {
        let mut links = stored.links.clone();
        move_links(&golden.id, &retired, hub.object(golden.object), &mut links);
        regrouped.links = links.into_iter().filter(|(key, link)| stored.links.get(key) != Some(link)).collect();
        regrouped.retired = retired;
        regrouped.add(golden, next_version, hub, stored)?;
    }
    Ok(regrouped)
}

/// Two records are not the same. A value that both have belongs to the one that has it now.
pub(super) fn keep_apart(hub: &Hub, stored: &Stored, records: [GoldenRecord; 2]) -> Result<Regrouped, Failure> {
    let split = Split::between(&records[0].members, &records[1].members);
    let [mut one, mut other] = records;
    one.reviews.remove(&other.id);
    other.reviews.remove(&one.id);
    let mut regrouped = Regrouped { claims: divide_claims(stored, &one, &other), ..Regrouped::default() };
    for mut record in [one, other] {
        record.splits.insert(split.clone());
        let next_version = record.version + 1;
        regrouped.add(record, next_version, hub, stored)?;
    }
    Ok(regrouped)
}

/// Source records leave a record and get one of their own, with this id. The objects that they are at the destinations go with
/// them.
pub(super) fn split_off(
    hub: &Hub,
    stored: &Stored,
    mut record: GoldenRecord,
    sources: &BTreeSet<RemoteId>,
    id: GoldenId,
) -> Result<Regrouped, Failure> {
    let mut other = GoldenRecord::new(id, record.object);
    (other.members, record.members) =
        std::mem::take(&mut record.members).into_iter().partition(|member| sources.contains(member));
    let split = Split::between(&record.members, &other.members);
    other.splits.clone_from(&record.splits);
    for side in [&mut record, &mut other] {
        side.splits.insert(split.clone());
        side.keys = keys_of(side, stored);
    }
    let mut regrouped = Regrouped { claims: divide_claims(stored, &record, &other), ..Regrouped::default() };
    let moved = other.members.iter().filter_map(|member| stored.members.get(member));
    regrouped.sources = moved.map(|source| SourceRecord { golden: other.id.clone(), ..source.clone() }).collect();
    for (destination, native) in &hub.object(record.object).destinations {
        divide_link(stored, (&record, &other), (destination, native), &mut regrouped.links);
    }
    let next_version = record.version + 1;
    regrouped.add(record, next_version, hub, stored)?;
    regrouped.add(other, 1, hub, stored)?;
    Ok(regrouped)
}

fn keys_of(record: &GoldenRecord, stored: &Stored) -> IdentityKeys {
    let mut keys = IdentityKeys::new();
    let members = record.members.iter().filter_map(|member| stored.members.get(member));
    members.for_each(|member| add_keys(&mut keys, member.keys.clone()));
    keys
}

/// Where the keys lead after two sides were told apart. A key that only one side has leads there. A key of both leads to the side that
/// has the value now; if both have, or neither, it stays where it is, and the other side is noted as another holder.
fn divide_claims(stored: &Stored, one: &GoldenRecord, other: &GoldenRecord) -> BTreeMap<KeyHash, Claim> {
    let has_now = |side: &GoldenRecord, hash: &KeyHash| {
        side.members.iter().filter_map(|member| stored.current.get(member)).any(|keys| keys.contains_key(hash))
    };
    let mut claims = BTreeMap::new();
    for (hash, claim) in &stored.claims {
        let only = |side: &GoldenRecord, else_side: &GoldenRecord| {
            side.keys.contains_key(hash)
                && (!else_side.keys.contains_key(hash) || has_now(side, hash) && !has_now(else_side, hash))
        };
        let mut next = claim.clone();
        let of_third = ![&one.id, &other.id].contains(&&next.golden);
        if of_third {
            let holders = [one, other].into_iter().filter(|side| side.keys.contains_key(hash));
            holders.for_each(|side| next = next.with_other(&side.id).unwrap_or_else(|| next.clone()));
        } else if only(one, other) {
            next.golden = one.id.clone();
        } else if only(other, one) {
            next.golden = other.id.clone();
        } else if let Some(shared) = next.with_other(if next.golden == other.id { &one.id } else { &other.id }) {
            next = shared;
        }
        next.others.remove(&next.golden);
        if next != *claim {
            claims.insert(hash.clone(), next);
        }
    }
    claims
}

/// Gives the objects that the split-off source records are to the link of their new record.
fn divide_link(
    stored: &Stored,
    (record, other): (&GoldenRecord, &GoldenRecord),
    (destination, native): (&ConnectionName, &String),
    links: &mut LinkMap,
) {
    let here = other.members.iter().filter(|member| member.connection == *destination && member.object == *native);
    let ids: BTreeSet<String> = here.map(|member| member.id.clone()).collect();
    let key = (record.id.clone(), destination.clone());
    let Some(link) = stored.links.get(&key) else { return };
    let mut link = link.clone();
    let split_off = link.split_off(&record.id, &ids);
    links.insert(key, link);
    if !split_off.is_new() {
        links.insert((other.id.clone(), destination.clone()), split_off);
    }
}
