//! The merge: one change of one source object enters the cluster that it belongs to. Pure: what is stored goes in, what is to be
//! stored comes out. Everything that is hashed under the master secret is hashed before.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ConnectionName, FieldName, GoldenId, KeyHash, Outcome, RemoteId, Value};

use crate::config::{Hub, ObjectPolicy};
use crate::failure::{Code, Failure};
use crate::record::{GoldenRecord, Link, LinkMap, Resolved, SourceRecord};
use crate::transform::identity::HUB_NAMESPACE;
use crate::transform::observe::{Observer, Tally};
use crate::transform::survivorship::resolve;

/// A change that is to be merged, and the circumstances.
#[derive(Debug, Clone, Copy)]
pub struct MergeInput<'a> {
    /// The configuration.
    pub hub: &'a Hub,
    /// The change.
    pub change: &'a Change,
    /// When the change was received; stands in where the provider gives no stamp.
    pub received_ms: i64,
    /// The time by our clock; limits stamps from the future.
    pub now_ms: i64,
}

/// What the store holds that matters to a change, and what was hashed for it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The change's own source record.
    pub source: Option<SourceRecord>,
    /// The identity keys of the change.
    pub keys: BTreeSet<KeyHash>,
    /// Those of the identity keys that lead to one of the clusters already.
    pub claimed: BTreeSet<KeyHash>,
    /// The id of the golden record that the change founds if it belongs to no cluster.
    pub founded_id: GoldenId,
    /// The live golden records that the change's identity keys, its source record and its hub id lead to.
    pub clusters: Vec<GoldenRecord>,
    /// The members of those clusters.
    pub members: BTreeMap<RemoteId, SourceRecord>,
    /// The links of those clusters.
    pub links: LinkMap,
}

/// Values by field: before and after a change.
pub type FieldDifferences = BTreeMap<FieldName, (Option<Value>, Option<Value>)>;

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct Merged {
    /// How the change ended.
    pub outcome: Outcome,
    /// True when the change brought back writes of the hub.
    pub echo: bool,
    /// The source record, if it changed.
    pub source: Option<SourceRecord>,
    /// The golden record after the change, still with the version that was read.
    pub golden: GoldenRecord,
    /// The version of `golden` once it is stored. It is above that of every record that was merged into it, so that no destination
    /// sees the version fall.
    pub next_version: u64,
    /// True when `golden` differs from what is stored.
    pub golden_changed: bool,
    /// Golden records that redirect to `golden` from now on.
    pub retired: Vec<GoldenRecord>,
    /// Identity keys that must lead to `golden`.
    pub new_keys: BTreeSet<KeyHash>,
    /// The links that changed.
    pub links: LinkMap,
    /// The destinations to which the golden record is dispatched.
    pub dispatch: BTreeSet<ConnectionName>,
    /// The golden values that changed, for the audit log.
    pub differences: FieldDifferences,
}

/// Merges a change into what is known.
pub fn merge(input: MergeInput<'_>, known: &Known) -> Result<Merged, Failure> {
    let MergeInput { hub, change, .. } = input;
    let policy = hub.object(change.object);
    let (mut golden, retired) = join_clusters(change, known);
    let before = known.clusters.iter().find(|c| c.id == golden.id);
    let mut links = known.links.clone();
    move_links(&golden.id, &retired, policy, &mut links);

    let mut source =
        known.source.clone().unwrap_or_else(|| SourceRecord::new(change.source.clone(), change.object, golden.id.clone()));
    let own_link = links.get_mut(&(golden.id.clone(), change.source.connection.clone()));
    let observer = observe(input, &mut source, own_link, before)?;
    source.golden.clone_from(&golden.id);
    source.keys.extend(known.keys.iter().cloned());
    source.test |= change.test;

    let new_keys = known.keys.iter().filter(|k| !golden.keys.contains(*k) && !known.claimed.contains(*k)).cloned().collect();
    let differences = update_golden(&mut golden, &source, known, hub)?;
    let deleted_changed = before.is_none_or(|b| b.deleted != golden.deleted);
    let values_changed = !differences.is_empty() || deleted_changed || !retired.is_empty();
    let golden_changed = before != Some(&golden) || !retired.is_empty();
    // A destination that was found to differ gets the record again, even though the record itself has not changed.
    let differs = |name: &ConnectionName| observer.seen_differs && *name == change.source.connection;
    let dispatch = policy.destinations.keys().filter(|name| values_changed || differs(name)).cloned().collect();
    let highest = known.clusters.iter().map(|c| c.version).max().unwrap_or(0);
    Ok(Merged {
        outcome: observer.outcome(values_changed),
        echo: observer.tally.echo > 0,
        source: (known.source.as_ref() != Some(&source)).then_some(source),
        next_version: if golden_changed { highest + 1 } else { golden.version },
        golden,
        golden_changed,
        retired,
        new_keys,
        links: links.into_iter().filter(|(key, link)| known.links.get(key) != Some(link)).collect(),
        dispatch,
        differences,
    })
}

/// Adds what the change reports to its source record and to the link to its object.
fn observe<'a>(
    input: MergeInput<'a>,
    source: &mut SourceRecord,
    link: Option<&mut Link>,
    before: Option<&'a GoldenRecord>,
) -> Result<Observer<'a>, Failure> {
    let MergeInput { hub, change, received_ms, now_ms } = input;
    let policy = hub.object(change.object);
    let mut observer =
        Observer { hub, policy, change, received_ms, now_ms, before, seen_differs: false, tally: Tally::default() };
    let marked = change.external_ids.iter().any(|(namespace, _)| namespace == HUB_NAMESPACE);
    observer.observe(source, link.filter(|link| link.is_about(&change.source.id, marked)))?;
    Ok(observer)
}

/// Joins the clusters that a change belongs to. The smallest id survives, in whatever order the clusters met.
fn join_clusters(change: &Change, known: &Known) -> (GoldenRecord, Vec<GoldenRecord>) {
    let mut clusters = known.clusters.clone();
    clusters.sort_by(|a, b| a.id.cmp(&b.id));
    let mut clusters = clusters.into_iter();
    let Some(mut golden) = clusters.next() else {
        return (GoldenRecord::new(known.founded_id.clone(), change.object), Vec::new());
    };
    let mut retired = Vec::new();
    for mut other in clusters {
        golden.members.append(&mut other.members);
        golden.keys.append(&mut other.keys);
        other.fields.clear();
        other.redirect = Some(golden.id.clone());
        retired.push(other);
    }
    (golden, retired)
}

/// Makes the source record a member and resolves every field anew. Returns the values that changed.
fn update_golden(
    golden: &mut GoldenRecord,
    source: &SourceRecord,
    known: &Known,
    hub: &Hub,
) -> Result<FieldDifferences, Failure> {
    golden.members.insert(source.source.clone());
    golden.keys.extend(known.keys.iter().cloned());
    if golden.members.len() > hub.limits.members {
        let detail = format!("the cluster would have {} members, the limit is {}", golden.members.len(), hub.limits.members);
        return Err(Failure::new(Code::CapExceeded, detail));
    }
    let resolved_by = std::mem::replace(&mut golden.generation, hub.generation);
    if resolved_by > hub.generation {
        return Err(Failure::new(
            Code::OutdatedConfiguration,
            "a newer configuration resolved this record; this function has an older one",
        ));
    }
    let members = || golden.members.iter().filter_map(|m| if *m == source.source { Some(source) } else { known.members.get(m) });
    let fields = resolve(members(), hub.object(golden.object), &hub.limits)?;
    golden.deleted = members().all(SourceRecord::is_deleted);
    let before = std::mem::replace(&mut golden.fields, fields);
    Ok(differences(before, &golden.fields))
}

fn differences(before: BTreeMap<FieldName, Resolved>, after: &BTreeMap<FieldName, Resolved>) -> FieldDifferences {
    let names: BTreeSet<&FieldName> = before.keys().chain(after.keys()).collect();
    let value = |fields: &BTreeMap<FieldName, Resolved>, name: &FieldName| fields.get(name).map(|r| r.value.clone());
    let pairs = names.into_iter().map(|name| (name.clone(), (value(&before, name), value(after, name))));
    pairs.filter(|(_, (old, new))| old != new).collect()
}

/// Moves the links of retired records to the survivor, at every destination.
fn move_links(survivor: &GoldenId, retired: &[GoldenRecord], policy: &ObjectPolicy, links: &mut LinkMap) {
    for (destination, record) in policy.destinations.keys().flat_map(|d| retired.iter().map(move |r| (d, &r.id))) {
        // A record that has no link yet gets one all the same, so that no worker begins one for it.
        let moved = links.entry((record.clone(), destination.clone())).or_default().retire(survivor);
        if !moved.is_new() {
            links.entry((survivor.clone(), destination.clone())).or_default().absorb(survivor, record, moved);
        }
    }
}
