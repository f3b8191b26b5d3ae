//! The merge: one change of one source object enters the cluster that it belongs to. Pure: what is stored goes in, what is to be
//! stored comes out. Everything that is hashed under the master secret is hashed before.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, FieldName, GoldenId, Outcome, RemoteId};

use crate::config::{Hub, ObjectPolicy};
use crate::failure::{Code, Failure};
use crate::record::{GoldenRecord, LinkMap, REMOTE_KEY, Resolved, SourceRecord, add_keys};
use crate::transform::clusters::{Belonging, claims, find_belonging};
use crate::transform::observe::{Observer, is_gone_after};
use crate::transform::plan::{FieldDifferences, Known, MergeInput, Merged};
use crate::transform::survivorship::resolve;

/// Merges a change into what is known.
pub fn merge(input: MergeInput<'_>, known: &Known) -> Result<Merged, Failure> {
    let MergeInput { hub, change, .. } = input;
    let policy = hub.object(change.object);
    let belonging = find_belonging(change, known, policy, is_gone_after(input, known.source.as_ref()));
    let joined = belonging.joined.iter().map(|cluster| (*cluster).clone()).collect();
    let founded = || (GoldenRecord::new(known.founded_id.clone(), change.object), Vec::new());
    let (mut golden, retired) = join_clusters(joined).unwrap_or_else(founded);
    let before = known.clusters.iter().find(|c| c.id == golden.id);
    let mut links = known.links.clone();
    move_links(&golden.id, &retired, policy, &mut links);

    let mut source =
        known.source.clone().unwrap_or_else(|| SourceRecord::new(change.source.clone(), change.object, golden.id.clone()));
    let mut observer = Observer::new(input, before);
    observer.observe(&mut source, links.get_mut(&(golden.id.clone(), change.source.connection.clone())))?;
    source.golden.clone_from(&golden.id);
    add_keys(&mut source.keys, known.keys.clone());
    source.test |= change.test;
    source.no_key = !known.identified && known.source.as_ref().is_none_or(|stored| stored.no_key);
    let revived = follow_members(policy, &golden, &source, known, &mut links);

    let (suggested, reviewed) = suggest(&mut golden, &belonging, known);
    let claims = claims(known, policy, &golden.id, &belonging);
    take_over(&mut golden, input, &belonging)?;
    let differences = update_golden(&mut golden, &source, known, hub)?;
    let state_changed = before.is_none_or(|b| (b.deleted, b.no_key) != (golden.deleted, golden.no_key));
    let values_changed = !differences.is_empty() || state_changed || !retired.is_empty();
    let golden_changed = before != Some(&golden) || !retired.is_empty();
    // A destination that was found to differ gets the record again, even though the record itself has not changed.
    let differs =
        |name: &ConnectionName| revived.contains(name) || observer.destination_differs && *name == change.source.connection;
    let wanted = |name: &&ConnectionName| !golden.no_key && (values_changed || differs(name));
    let dispatch = policy.destinations.keys().filter(wanted).cloned().collect();
    let outcome = match observer.outcome(values_changed) {
        Outcome::Applied if golden.no_key => Outcome::Held,
        outcome => outcome,
    };
    let highest = belonging.joined.iter().map(|c| c.version).max().unwrap_or(0);
    Ok(Merged {
        outcome,
        echo: observer.found_echo(),
        source: (known.source.as_ref() != Some(&source)).then_some(source),
        next_version: if golden_changed { highest + 1 } else { golden.version },
        golden,
        golden_changed,
        retired,
        claims,
        suggested,
        reviewed,
        links: links.into_iter().filter(|(key, link)| known.links.get(key) != Some(link)).collect(),
        dispatch,
        differences,
    })
}

/// Joins clusters. The smallest id survives, in whatever order the clusters met. Gives the survivor and the retired records; `None`
/// without any cluster.
pub(super) fn join_clusters(mut clusters: Vec<GoldenRecord>) -> Option<(GoldenRecord, Vec<GoldenRecord>)> {
    clusters.sort_by(|a, b| a.id.cmp(&b.id));
    let mut clusters = clusters.into_iter();
    let mut golden = clusters.next()?;
    let mut retired = Vec::new();
    for mut other in clusters {
        golden.members.append(&mut other.members);
        golden.splits.append(&mut other.splits);
        golden.reviews.append(&mut other.reviews);
        add_keys(&mut golden.keys, std::mem::take(&mut other.keys));
        golden.summary.join(std::mem::take(&mut other.summary));
        other.fields.clear();
        other.redirect = Some(golden.id.clone());
        retired.push(other);
    }
    let own: BTreeSet<&GoldenId> = retired.iter().map(|record| &record.id).chain([&golden.id]).collect();
    golden.reviews.retain(|id, _| !own.contains(id));
    Some((golden, retired))
}

/// Notes on both sides that they may be the same. Gives what is new, and the other sides that changed.
fn suggest(
    golden: &mut GoldenRecord,
    belonging: &Belonging<'_>,
    known: &Known,
) -> (BTreeMap<GoldenId, BTreeSet<String>>, Vec<GoldenRecord>) {
    let (mut suggested, mut reviewed) = (BTreeMap::new(), Vec::new());
    for other in known.clusters.iter().filter(|cluster| belonging.suggested.contains_key(&cluster.id)) {
        let keys = &belonging.suggested[&other.id];
        let noted =
            |reviews: &BTreeMap<GoldenId, BTreeSet<String>>, id| reviews.get(id).is_some_and(|noted| noted.is_superset(keys));
        if noted(&golden.reviews, &other.id) && noted(&other.reviews, &golden.id) {
            continue;
        }
        let mut other = other.clone();
        other.reviews.entry(golden.id.clone()).or_default().extend(keys.iter().cloned());
        golden.reviews.entry(other.id.clone()).or_default().extend(keys.iter().cloned());
        suggested.insert(other.id.clone(), keys.clone());
        reviewed.push(other);
    }
    (suggested, reviewed)
}

/// Makes the source record a member and resolves every field anew. Returns the values that changed.
fn update_golden(
    golden: &mut GoldenRecord,
    source: &SourceRecord,
    known: &Known,
    hub: &Hub,
) -> Result<FieldDifferences, Failure> {
    golden.members.insert(source.source.clone());
    add_keys(&mut golden.keys, known.keys.clone());
    let record_of = |member: &RemoteId| if *member == source.source { Some(source) } else { known.members.get(member) };
    summarise(golden, record_of, hub);
    let members = || golden.members.iter().filter_map(record_of);
    let fields = resolve(members(), &golden.summary, hub.object(golden.object), &hub.limits);
    golden.deleted = !golden.summary.is_live() && members().all(SourceRecord::is_deleted);
    golden.no_key = golden.summary.is_empty() && members().all(|member| member.no_key);
    let before = std::mem::replace(&mut golden.fields, fields);
    Ok(differences(before, &golden.fields))
}

/// For how long a configuration may be older than the one that resolved a record, in milliseconds: longer than a process that a
/// deployment replaces goes on. After that, the older configuration was deployed again.
const TAKE_OVER_MS: i64 = 900_000;

/// Notes which configuration resolves the record from now on.
///
/// # Errors
/// A newer configuration has just resolved it: this process may be one that a deployment is about to end.
fn take_over(golden: &mut GoldenRecord, input: MergeInput<'_>, belonging: &Belonging<'_>) -> Result<(), Failure> {
    let MergeInput { hub, now_ms, .. } = input;
    let newer = belonging.joined.iter().filter(|cluster| cluster.generation > hub.generation);
    let wait_ms = TAKE_OVER_MS / i64::from(hub.retry.speed.max(1));
    let free_ms = newer.map(|cluster| cluster.generation_since_ms + wait_ms).max().unwrap_or(0);
    if free_ms > now_ms {
        let detail = "a newer configuration has just resolved this record; this function has an older one";
        let after_ms = u64::try_from(free_ms - now_ms).unwrap_or(0) * u64::from(hub.retry.speed.max(1));
        return Err(Failure::throttled(Code::OutdatedConfiguration, after_ms, detail));
    }
    if golden.generation != hub.generation {
        (golden.generation, golden.generation_since_ms) = (hub.generation, now_ms);
    }
    Ok(())
}

/// Summarises the members beyond the limit: the oldest first, and those that stand for living objects at destinations last.
pub(super) fn summarise<'k>(golden: &mut GoldenRecord, record_of: impl Fn(&RemoteId) -> Option<&'k SourceRecord>, hub: &Hub) {
    let beyond = golden.members.len().saturating_sub(hub.limits.members);
    if beyond == 0 {
        return;
    }
    let destinations = &hub.object(golden.object).destinations;
    let newest = |record: &SourceRecord| record.fields.values().filter_map(|o| Some(o.current()?.seen)).max();
    let rank = |member: &RemoteId| {
        let record = record_of(member);
        let written = destinations.get(&member.connection) == Some(&member.object);
        let living = record.is_some_and(|record| !record.is_deleted());
        (written && living, record.and_then(newest), member.clone())
    };
    let mut ranked: Vec<_> = golden.members.iter().map(rank).collect();
    ranked.sort();
    for (_, _, member) in ranked.into_iter().take(beyond) {
        golden.members.remove(&member);
        if let Some(record) = record_of(&member) {
            golden.summary.add(record);
            // Its id still leads to the golden record; only the record's own list of keys stays short.
            golden.keys.retain(|hash, key| key.name != REMOTE_KEY || !record.keys.contains_key(hash));
        }
    }
}

pub(super) fn differences(before: BTreeMap<FieldName, Resolved>, after: &BTreeMap<FieldName, Resolved>) -> FieldDifferences {
    let names: BTreeSet<&FieldName> = before.keys().chain(after.keys()).collect();
    let value = |fields: &BTreeMap<FieldName, Resolved>, name: &FieldName| fields.get(name).map(|r| r.value.clone());
    let pairs = names.into_iter().map(|name| (name.clone(), (value(&before, name), value(after, name))));
    pairs.filter(|(_, (old, new))| old != new).collect()
}

/// Lets the links of a golden record follow its members: a link ends with the evidence that its object is gone, proof of life takes
/// that back, and another living object of the record takes the place of one that is gone. Returns the destinations to which
/// the record must be written again.
fn follow_members(
    policy: &ObjectPolicy,
    golden: &GoldenRecord,
    source: &SourceRecord,
    known: &Known,
    links: &mut LinkMap,
) -> BTreeSet<ConnectionName> {
    let mut revived = BTreeSet::new();
    for (destination, native) in &policy.destinations {
        let Some(link) = links.get_mut(&(golden.id.clone(), destination.clone())) else { continue };
        let others = golden.members.iter().filter(|m| **m != source.source).filter_map(|m| known.members.get(m));
        let here: Vec<&SourceRecord> =
            others.chain([source]).filter(|m| m.source.connection == *destination && m.source.object == *native).collect();
        let mut changed = false;
        for member in &here {
            let id = &member.source.id;
            changed |= if member.is_deleted() { link.note_deleted(id) } else { link.note_alive(id) };
        }
        let living = here.iter().filter(|member| !member.is_deleted());
        if let Some(newest) = living.max_by_key(|member| (member.alive, &member.source)) {
            changed |= link.replace_gone(&newest.source.id);
        }
        if changed {
            revived.insert(destination.clone());
        }
    }
    revived
}

/// Moves the links of retired records to the survivor, at every destination.
pub(super) fn move_links(survivor: &GoldenId, retired: &[GoldenRecord], policy: &ObjectPolicy, links: &mut LinkMap) {
    for (destination, record) in policy.destinations.keys().flat_map(|d| retired.iter().map(move |r| (d, &r.id))) {
        // A record that has no link yet gets one all the same, so that no worker begins one for it.
        let moved = links.entry((record.clone(), destination.clone())).or_default().retire(survivor);
        if !moved.is_new() {
            links.entry((survivor.clone(), destination.clone())).or_default().absorb(survivor, record, moved);
        }
    }
}
