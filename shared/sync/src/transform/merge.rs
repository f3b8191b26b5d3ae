//! The heart: one change of one source object, merged into the cluster that it belongs to. Pure: what is stored goes in, what
//! is to be stored comes out.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{
    Change, ChangeKind, ConnectionName, FieldName, FieldValue, GoldenId, KeyHash, Outcome, RemoteId, Stamp, Value, find_field,
};

use crate::config::{Hub, ObjectPolicy, Survivorship};
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::record::observation::{Observation, Observed, Point};
use crate::record::{GoldenRecord, Link, Sent, SourceRecord, may_be_made_of, remote_hash};
use crate::seal::Vault;
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

/// The identity keys of a change, hashed: its own remote id, its other ids, and its policy's key fields.
pub fn identity_keys(vault: &Vault, policy: &ObjectPolicy, change: &Change, source: Option<&SourceRecord>) -> BTreeSet<KeyHash> {
    let mut keys = BTreeSet::from([remote_hash(vault, &change.source)]);
    if let ChangeKind::MergedInto { id } = &change.kind {
        keys.insert(remote_hash(vault, &RemoteId { id: id.clone(), ..change.source.clone() }));
    }
    for (namespace, id) in change.external_ids.iter().filter(|(namespace, _)| namespace != HUB_NAMESPACE) {
        keys.insert(vault.key_hash(&["external", change.object.name(), namespace, id]));
    }
    let value = |field: &str| -> Option<String> {
        let current = match change.fields.get(field) {
            Some(f) => &f.value,
            None => source?.fields.get(field)?.current()?.value,
        };
        current.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    for key in &policy.keys {
        let parts: Option<Vec<String>> = key.split('+').map(value).collect();
        let Some(parts) = parts else { continue };
        if parts.iter().any(|part| policy.blocked.iter().any(|pattern| blocks(pattern, part))) {
            continue;
        }
        let mut hashed = vec!["field", change.object.name(), key];
        hashed.extend(parts.iter().map(String::as_str));
        keys.insert(vault.key_hash(&hashed));
    }
    keys
}

/// The namespace of [`Change::external_ids`] in which a destination hands back the golden record's id.
pub const HUB_NAMESPACE: &str = "hub";

/// True when a value of an identity key stands for many (`info@*`): it joins nobody.
pub fn blocks(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => value.starts_with(prefix),
        None => value == pattern,
    }
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
    let mut observer = Observer { hub, policy, change, received_ms, now_ms, seen_differs: false, tally: Tally::default() };
    let marked = change.external_ids.iter().any(|(namespace, _)| namespace == HUB_NAMESPACE);
    let link = links.get_mut(&own_link).filter(|link| link.is_about(&change.source.id, marked));
    observer.observe(&mut source, link, known, &golden)?;

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

/// What the golden record holds in a field before the change.
fn ours<'k>(known: &'k Known, golden: &GoldenRecord, name: &FieldName) -> Option<&'k Value> {
    known.clusters.iter().find(|c| c.id == golden.id)?.fields.get(name).map(|r| &r.value)
}

/// How long a request whose answer was lost may still take effect at a destination, in milliseconds.
const LATE_EFFECT_MS: i64 = 900_000;

/// How long after its lease a creation may still take effect, in milliseconds.
const LATE_CREATE_MS: i64 = 30_000;

/// How the fields of a change fared.
#[derive(Debug, Default)]
struct Tally {
    changed: usize,
    same: usize,
    older: usize,
    echo: usize,
}

struct Observer<'a> {
    hub: &'a Hub,
    policy: &'a ObjectPolicy,
    change: &'a Change,
    received_ms: i64,
    now_ms: i64,
    /// True when a destination holds something else than the golden record in a field that we write there.
    seen_differs: bool,
    tally: Tally,
}

impl Observer<'_> {
    fn observe(
        &mut self,
        source: &mut SourceRecord,
        mut link: Option<&mut Link>,
        known: &Known,
        golden: &GoldenRecord,
    ) -> Result<(), Failure> {
        let (stamp, _) = self.bounded(self.change.stamp.unwrap_or(Stamp::at(self.received_ms)));
        match &self.change.kind {
            ChangeKind::Delete { .. } => self.delete(source, link.as_deref_mut(), stamp),
            ChangeKind::MergedInto { id } => {
                if let Some(link) = link.as_deref_mut() {
                    if !link.orphans.remove(&self.change.source.id) {
                        link.point_to(id.clone());
                    } else if link.remote.as_ref() != Some(id) {
                        link.orphans.insert(id.clone());
                    }
                    link.marked = false;
                    link.dirty = true;
                }
                self.delete(source, None, stamp);
            }
            ChangeKind::Snapshot | ChangeKind::Partial | ChangeKind::Restored => {
                if let (ChangeKind::Restored, Some(link)) = (&self.change.kind, link.as_deref_mut()) {
                    link.gone &= self.is_orphan(link);
                }
                if source.alive.is_none_or(|alive| alive < stamp) {
                    source.alive = Some(stamp);
                }
            }
        }
        let explicit = matches!(self.change.fields.get("explicit").map(|f| &f.value), Some(Value::Bool(true)));
        for (name, field) in &self.change.fields {
            if find_field(self.change.object, name).is_none() {
                // Words that only qualify others, such as an effect's `explicit`.
                continue;
            }
            let (stamp, clamped) = self.bounded(field.stamp.or(self.change.stamp).unwrap_or(Stamp::at(self.received_ms)));
            let value = self.absolute(name, &field.value);
            if let Some(link) = link.as_deref_mut() {
                // A link speaks the destination's own language: references as they stand there.
                let there = &field.value;
                let orphan = self.is_orphan(link);
                if !orphan {
                    self.compare_with_golden(link, name, there, &value, known, golden);
                }
                let since = |written: Stamp| {
                    let own = source.fields.get(name).and_then(Observation::current);
                    own.is_some_and(|c| *c.value != value && c.stamp > written)
                };
                let echo = self.echo(link, name, field, stamp, since)?;
                if !orphan {
                    link.see(name, there, stamp);
                    self.seen_differs |= link.hear(name, there, stamp) && ours(known, golden, name) != Some(&value);
                }
                if echo && !mutant(Mutant::EchoAsObservation) {
                    self.tally.echo += 1;
                    continue;
                }
            }
            let stamp = if mutant(Mutant::LastWriteWinsByArrival) { Stamp::at(self.now_ms) } else { stamp };
            let observation = source.fields.entry(name.clone()).or_default();
            if let (Survivorship::MostRestrictive, Value::Text(level)) = (self.policy.rule(name).0, &value) {
                observation.add_level(level, stamp, explicit && level == "granted");
            }
            let stated = matches!(self.change.kind, ChangeKind::Partial);
            match observation.add(Point { value, stamp, stated, flagged: field.flagged || clamped }) {
                Observed::Changed => self.tally.changed += 1,
                Observed::Same => self.tally.same += 1,
                Observed::Older => self.tally.older += 1,
            }
        }
        if let (ChangeKind::Snapshot, Some(link)) = (&self.change.kind, link)
            && !self.is_orphan(link)
        {
            // What a whole record does not mention any more is gone.
            let at = self.change.stamp.unwrap_or(Stamp::at(self.received_ms));
            link.unheard.retain(|name, found| self.change.fields.contains_key(name) || found.stamp > at);
        }
        Ok(())
    }

    fn delete(&mut self, source: &mut SourceRecord, link: Option<&mut Link>, stamp: Stamp) {
        if source.deleted.is_none_or(|deleted| deleted < stamp) {
            source.deleted = Some(stamp);
            self.tally.changed += 1;
        } else {
            self.tally.older += 1;
        }
        if let Some(link) = link
            && source.is_deleted()
        {
            // Losing a merge task is what merge tasks are for.
            link.gone |= !link.orphans.remove(&self.change.source.id);
        }
    }

    /// True when the change comes from an object that only waits to be merged: it is not what the link writes to.
    fn is_orphan(&self, link: &Link) -> bool {
        link.orphans.contains(&self.change.source.id)
    }

    /// A stamp that lies too far in our future is brought back to the bound and flagged.
    fn bounded(&self, stamp: Stamp) -> (Stamp, bool) {
        let bound = self.now_ms + self.hub.limits.future_ms;
        if stamp.at_ms > bound { (Stamp { at_ms: self.received_ms, ..stamp }, true) } else { (stamp, false) }
    }

    /// A reference within the connection becomes the full remote id, so that it means the same in every cluster.
    fn absolute(&self, field: &str, value: &Value) -> Value {
        let is_ref = find_field(self.change.object, field).is_some_and(|f| matches!(f.kind, canonical::FieldKind::Ref(_)));
        match value {
            Value::Text(text) if is_ref => match text.split_once(':') {
                Some((object, id)) => Value::Text(format!("{}/{object}/{id}", self.change.source.connection)),
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    fn compare_with_golden(
        &mut self,
        link: &Link,
        name: &FieldName,
        there: &Value,
        value: &Value,
        known: &Known,
        golden: &GoldenRecord,
    ) {
        let ours = ours(known, golden, name);
        let differs = match link.back.get(name) {
            Some(back) => back != there,
            None => ours.is_some_and(|ours| ours != value),
        };
        if link.sent.contains_key(name) && differs {
            self.seen_differs = true;
        }
    }

    /// True when the value is our own write coming back. An open push whose outcome is not known yet makes some values
    /// undecidable: the event waits for it.
    ///
    /// A value with a stamp of its own is our write if it is not newer than that write, by the destination's clock. A value of a
    /// snapshot that is stamped as a whole only is our last write unless the source has said something else since: that is how
    /// A → B → A stays real. A write whose answer was lost may still take effect for a while.
    fn echo(
        &self,
        link: &Link,
        name: &FieldName,
        field: &FieldValue,
        stamp: Stamp,
        said_since: impl Fn(Stamp) -> bool,
    ) -> Result<bool, Failure> {
        let value = &field.value;
        let Some(ring) = link.sent.get(name) else { return Ok(false) };
        let tolerance = self.hub.limits.echo_ms;
        let may_come_back = |sent: &Sent| {
            sent.stamp.is_none() && stamp.at_ms <= sent.intended_ms + LATE_EFFECT_MS && may_be_made_of(value, &sent.value)
        };
        if link.has_written(name, value, stamp, tolerance) || ring.iter().any(may_come_back) {
            return Ok(true);
        }
        let own_stamp = field.stamp.is_some() || matches!(self.change.kind, ChangeKind::Partial);
        // What we had last written when the snapshot was taken; what we wrote about then may be in it or not.
        let stamps = || ring.iter().rev().filter_map(|sent| Some((&sent.value, sent.stamp?)));
        let about_then = stamps().filter(|(_, written)| (stamp.at_ms + 1..=stamp.at_ms + tolerance).contains(&written.at_ms));
        // An object that waits to be merged was written under another link, whose writes are among these: any of them may be its last.
        let last = if self.is_orphan(link) { usize::MAX } else { 1 };
        let by_then = stamps().filter(|(_, written)| written.at_ms <= stamp.at_ms).take(last);
        if let (false, Some((_, written))) = (own_stamp, by_then.chain(about_then).find(|(sent, _)| *sent == value)) {
            return Ok(!said_since(written));
        }
        let known_older = link.seen.get(name).is_some_and(|seen| stamp < seen.stamp);
        if link.open && ring.last().is_some_and(|sent| sent.stamp.is_none()) && !known_older {
            return Err(Failure::new(Code::PushOpen, format!("a push of `{name}` is not settled yet")));
        }
        Ok(false)
    }

    fn outcome(&self, values_changed: bool) -> Outcome {
        let t = &self.tally;
        if !self.change.problems.is_empty() {
            return Outcome::Quarantined;
        }
        match () {
            () if values_changed => Outcome::Applied,
            () if t.echo > 0 && t.changed == 0 => Outcome::Echo,
            () if t.changed + t.same > 0 => Outcome::Unchanged,
            () if t.older > 0 => Outcome::Superseded,
            () => Outcome::Unchanged,
        }
    }
}
