//! The heart: one change of one source object, merged into the cluster that it belongs to. Pure: what is stored goes in, what
//! is to be stored comes out.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ConnectionName, FieldName, GoldenId, KeyHash, Outcome, RemoteId, Value};

use crate::config::{Hub, ObjectPolicy};
use crate::failure::{Code, Failure};
use crate::record::{GoldenRecord, Link, SourceRecord};
use crate::seal::Vault;
use crate::transform::identity::{HUB_NAMESPACE, identity_keys};
use crate::transform::observe::{Observer, Tally};
use crate::transform::survivorship::resolve;

/// What the store knows that matters to a change.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The change's own source record.
    pub source: Option<SourceRecord>,
    /// The live golden records that the change's identity keys, its source record and its hub id lead to.
    pub clusters: Vec<GoldenRecord>,
    /// The members of those clusters.
    pub members: BTreeMap<RemoteId, SourceRecord>,
    /// The links of those clusters, by (cluster, destination).
    pub links: BTreeMap<(GoldenId, ConnectionName), Link>,
    /// The identity keys of the change that point to one of those clusters already.
    pub claimed: BTreeSet<KeyHash>,
}

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct Merged {
    /// How the change ended.
    pub outcome: Outcome,
    /// True when our own writes came back with it.
    pub echo: bool,
    /// The source record, if it changed.
    pub source: Option<SourceRecord>,
    /// The golden record as it is now.
    pub golden: GoldenRecord,
    /// The version that `golden` has once this is stored; above that of every record that it took in, so that no destination
    /// sees it fall.
    pub next_version: u64,
    /// True when `golden` differs from what is stored.
    pub golden_changed: bool,
    /// True when the result rests on the golden record being unchanged meanwhile.
    pub golden_checked: bool,
    /// Records that redirect to `golden` from now on.
    pub retired: Vec<GoldenRecord>,
    /// Identity keys that must point to `golden`.
    pub new_keys: BTreeSet<KeyHash>,
    /// Links that changed, by (record, destination).
    pub links: BTreeMap<(GoldenId, ConnectionName), Link>,
    /// Destinations to which the golden record is dispatched.
    pub dispatch: BTreeSet<ConnectionName>,
    /// Field values before and after, for the audit log.
    pub audit: Vec<(FieldName, Option<Value>, Option<Value>)>,
}

/// Merges a change. `received_ms` stands in where the provider gives no stamp; `now_ms` bounds stamps from the future.
pub fn merge(hub: &Hub, vault: &Vault, change: &Change, known: &Known, received_ms: i64, now_ms: i64) -> Result<Merged, Failure> {
    let policy = hub.object(change.object);
    let keys = identity_keys(vault, policy, change, known.source.as_ref());
    let (mut golden, retired) = join_clusters(vault, change, known);
    let before = known.clusters.iter().find(|c| c.id == golden.id);

    let mut source =
        known.source.clone().unwrap_or_else(|| SourceRecord::new(change.source.clone(), change.object, golden.id.clone()));
    let mut links = known.links.clone();
    move_links(&golden.id, &retired, policy, &mut links);
    let own_link = (golden.id.clone(), change.source.connection.clone());
    let mut observer =
        Observer { hub, policy, change, received_ms, now_ms, before, seen_differs: false, tally: Tally::default() };
    let marked = change.external_ids.iter().any(|(namespace, _)| namespace == HUB_NAMESPACE);
    let link = links.get_mut(&own_link).filter(|link| link.is_about(&change.source.id, marked));
    observer.observe(&mut source, link)?;

    source.golden.clone_from(&golden.id);
    source.keys.extend(keys.iter().cloned());
    source.test |= change.test;
    let source_changed = known.source.as_ref() != Some(&source);

    golden.members.insert(change.source.clone());
    if golden.members.len() > hub.limits.members {
        let detail = format!("the cluster would have {} members, the limit is {}", golden.members.len(), hub.limits.members);
        return Err(Failure::new(Code::CapExceeded, detail));
    }
    let new_keys: BTreeSet<KeyHash> =
        keys.iter().filter(|k| !golden.keys.contains(*k) && !known.claimed.contains(*k)).cloned().collect();
    golden.keys.extend(keys);
    let members = || golden.members.iter().filter_map(|m| if *m == source.source { Some(&source) } else { known.members.get(m) });
    let fields = resolve(members(), policy, &hub.limits)?;
    let deleted = members().all(SourceRecord::is_deleted);
    let audit = differences(before, &fields);
    golden.fields = fields;
    golden.deleted = deleted;

    let resolved_by = std::mem::replace(&mut golden.generation, hub.generation);
    if resolved_by > hub.generation {
        return Err(Failure::new(Code::Backend, "a newer configuration resolved this record; this function has an older one"));
    }
    let highest = known.clusters.iter().map(|c| c.version).max().unwrap_or(0);
    let golden_changed = before != Some(&golden) || !retired.is_empty();
    let values_changed = !audit.is_empty() || before.is_none_or(|b| b.deleted != golden.deleted) || !retired.is_empty();
    let outcome = observer.outcome(values_changed);
    let mut dispatch = BTreeSet::new();
    if values_changed {
        dispatch.extend(policy.destinations.keys().cloned());
    }
    if observer.seen_differs && policy.destinations.contains_key(&change.source.connection) {
        dispatch.insert(change.source.connection.clone());
    }
    let changed_links = links.into_iter().filter(|(place, link)| known.links.get(place) != Some(link)).collect();
    Ok(Merged {
        outcome,
        echo: observer.tally.echo > 0,
        source: source_changed.then_some(source),
        golden_checked: source_changed,
        next_version: if golden_changed { highest + 1 } else { golden.version },
        golden,
        golden_changed,
        retired,
        new_keys,
        links: changed_links,
        dispatch,
        audit,
    })
}

/// Joins the clusters that a change belongs to. The surviving id is the smallest, whatever the order in which they met; its
/// version rises above every other's.
fn join_clusters(vault: &Vault, change: &Change, known: &Known) -> (GoldenRecord, Vec<GoldenRecord>) {
    let mut clusters = known.clusters.clone();
    clusters.sort_by(|a, b| a.id.cmp(&b.id));
    let mut clusters = clusters.into_iter();
    let Some(mut golden) = clusters.next() else {
        let remote = &change.source;
        let id = vault.hash(&["golden", change.object.name(), &remote.connection, &remote.object, &remote.id]);
        return (
            GoldenRecord {
                id: id.into(),
                object: change.object,
                version: 0,
                generation: 0,
                members: BTreeSet::new(),
                keys: BTreeSet::new(),
                fields: BTreeMap::new(),
                redirect: None,
                deleted: false,
                splits: BTreeSet::new(),
            },
            Vec::new(),
        );
    };
    let mut retired = Vec::new();
    for mut other in clusters {
        golden.members.append(&mut other.members);
        golden.keys.append(&mut other.keys);
        golden.splits.append(&mut other.splits);
        other.fields.clear();
        other.redirect = Some(golden.id.clone());
        retired.push(other);
    }
    (golden, retired)
}

/// Moves the links of retired records to the survivor, at every destination. Where both have an object, the survivor's stays and
/// the other one becomes a merge task. Whoever is writing under one of the links is fenced out, and an object that is being
/// created meanwhile is looked for until it can no longer appear.
fn move_links(
    survivor: &GoldenId,
    retired: &[GoldenRecord],
    policy: &ObjectPolicy,
    links: &mut BTreeMap<(GoldenId, ConnectionName), Link>,
) {
    for (destination, record) in policy.destinations.keys().flat_map(|d| retired.iter().map(move |r| (d, &r.id))) {
        let place = (record.clone(), destination.clone());
        let target = (survivor.clone(), destination.clone());
        // A record that has no link yet gets one all the same, so that nobody begins one for it.
        let tombstone = Link { moved_to: Some(survivor.clone()), ..Link::default() };
        let moved = links.insert(place.clone(), tombstone).unwrap_or_default();
        if let Some(tombstone) = links.get_mut(&place) {
            tombstone.version = moved.version;
            tombstone.fence = moved.fence + 1;
        }
        if moved == Link::default() {
            continue;
        }
        let link = links.entry(target).or_default();
        for (id, one) in [(survivor, &*link), (record, &moved)].map(|(id, one)| (id.clone(), one.clone())) {
            if one.remote.is_none() && one.fence > 0 {
                link.strays.insert(id, one.lease_until + LATE_CREATE_MS);
            }
        }
        take_over(link, moved);
    }
}

/// Puts what a retired link knows into the survivor's.
fn take_over(link: &mut Link, moved: Link) {
    link.fence = link.fence.max(moved.fence) + 1;
    link.lease_until = link.lease_until.max(moved.lease_until);
    link.dirty = true;
    for (field, ring) in moved.sent {
        // What was sent under the retired id still comes back as an echo.
        link.sent.entry(field).or_default().splice(0..0, ring);
    }
    link.orphans.extend(moved.orphans);
    link.strays.extend(moved.strays);
    link.look_again = link.look_again.max(moved.look_again);
    match (&link.remote, moved.remote) {
        (None, Some(remote)) => {
            // The object still carries the retired id: the next push marks it with the survivor's.
            link.remote = Some(remote);
            link.marked = false;
            link.created = moved.created;
            link.unheard = moved.unheard;
            link.seen = moved.seen;
            link.pushed = moved.pushed;
            link.back = moved.back;
            link.gone = moved.gone;
        }
        (Some(kept), Some(remote)) if *kept != remote && !moved.gone => {
            link.orphans.insert(remote);
        }
        _ => {}
    }
}

fn differences(
    before: Option<&GoldenRecord>,
    after: &BTreeMap<FieldName, crate::record::Resolved>,
) -> Vec<(FieldName, Option<Value>, Option<Value>)> {
    let none = BTreeMap::new();
    let before = before.map_or(&none, |b| &b.fields);
    let names: BTreeSet<&FieldName> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (old, new) = (before.get(name).map(|r| &r.value), after.get(name).map(|r| &r.value));
            (old != new).then(|| (name.clone(), old.cloned(), new.cloned()))
        })
        .collect()
}

/// How long after its lease a creation may still take effect, in milliseconds.
const LATE_CREATE_MS: i64 = 30_000;
