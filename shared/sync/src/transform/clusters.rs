//! Which of the known clusters a change belongs to. Pure. `docs/decisions/identity.md` has the rules and the reason for each.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ConnectionName, FieldName, GoldenId, KeyHash, RemoteId};

use super::plan::{Claims, Known, Lead};
use crate::config::ObjectPolicy;
use crate::record::{Claim, GoldenRecord, IdentityKey, IdentityKeys, Object, REMOTE_KEY, SourceRecord, add_keys};

/// The clusters that a change belongs to, and what its keys say of others.
pub(super) struct Belonging<'k> {
    /// The clusters that the change joins. Without any, it founds one.
    pub joined: Vec<&'k GoldenRecord>,
    /// Keys whose value another record holds that is somebody else.
    pub shared: BTreeSet<&'k KeyHash>,
    /// Clusters that may be the same, with the names of the keys that say so: a person decides.
    pub suggested: BTreeMap<GoldenId, BTreeSet<String>>,
}

/// Decides which clusters a change belongs to. The record that its object is known to be comes first. Other clusters are joined
/// by keys, the strong ones before the weak ones. `gone` is true if the changed object no longer exists.
pub(super) fn find_belonging<'k>(change: &'k Change, known: &'k Known, policy: &'k ObjectPolicy, gone: bool) -> Belonging<'k> {
    let mut group = Group::own(change, known, policy, gone);
    let mut belonging = Belonging { joined: Vec::new(), shared: BTreeSet::new(), suggested: BTreeMap::new() };
    for (hash, key, lead) in evidence(known, policy) {
        if group.clusters.iter().any(|cluster| cluster.id == lead.golden) {
            continue;
        }
        let Some(cluster) = known.clusters.iter().find(|cluster| cluster.id == lead.golden) else { continue };
        let distinguished = policy.is_weak(&key.name) && are_distinguished(policy, &group.keys, &cluster.keys);
        if distinguished || group.must_stay_apart_from(cluster) {
            belonging.shared.insert(hash);
        } else if lead.holders.len() > policy.people_per_value {
            // The value says no longer who it is.
        } else if group.has_other_objects_than(cluster) {
            belonging.suggested.entry(cluster.id.clone()).or_default().insert(key.name.clone());
        } else {
            group.add(cluster);
        }
    }
    if gone {
        group.add_made_anew();
    }
    // What a later key has joined is no suggestion any more.
    belonging.suggested.retain(|id, _| group.clusters.iter().all(|cluster| cluster.id != *id));
    belonging.joined = group.clusters;
    belonging
}

/// The objects that exist at each destination.
type LiveObjects<'k> = BTreeMap<&'k ConnectionName, BTreeSet<&'k str>>;

/// The clusters that are one with the change so far.
struct Group<'k> {
    known: &'k Known,
    policy: &'k ObjectPolicy,
    clusters: Vec<&'k GoldenRecord>,
    keys: IdentityKeys,
    objects: LiveObjects<'k>,
    /// The changed object, if it no longer exists.
    gone: Option<&'k RemoteId>,
}

impl<'k> Group<'k> {
    /// The clusters that the changed object itself is known to belong to; the one of its source record comes first.
    fn own(change: &'k Change, known: &'k Known, policy: &'k ObjectPolicy, gone: bool) -> Group<'k> {
        let keys = known.keys.clone();
        let gone = gone.then_some(&change.source);
        let mut group = Group { known, policy, clusters: Vec::new(), keys, objects: LiveObjects::new(), gone };
        if let Some((destination, native)) = policy.destinations.get_key_value(&change.source.connection)
            && gone.is_none()
            && *native == change.source.object
        {
            group.objects.entry(destination).or_default().insert(&change.source.id);
        }
        let is_member = |cluster: &&GoldenRecord| cluster.members.contains(&change.source);
        let mut own: Vec<&GoldenRecord> = known.clusters.iter().filter(|cluster| known.own.contains(&cluster.id)).collect();
        own.sort_by_key(|cluster| !is_member(cluster));
        for cluster in own {
            let stranger = cluster.strangers().any(|source| *source == change.source);
            if !group.must_stay_apart_from(cluster) && !stranger {
                group.add(cluster);
            }
        }
        group
    }

    fn add(&mut self, cluster: &'k GoldenRecord) {
        add_keys(&mut self.keys, cluster.keys.clone());
        for (destination, ids) in self.live_objects(cluster) {
            self.objects.entry(destination).or_default().extend(ids);
        }
        self.clusters.push(cluster);
    }

    fn must_stay_apart_from(&self, cluster: &GoldenRecord) -> bool {
        self.clusters.iter().any(|own| own.must_stay_apart_from(cluster))
    }

    /// True when both have an object at the same destination, and not the same one.
    fn has_other_objects_than(&self, cluster: &'k GoldenRecord) -> bool {
        let theirs = self.live_objects(cluster);
        theirs.iter().any(|(destination, ids)| self.objects.get(destination).is_some_and(|own| own.is_disjoint(ids)))
    }

    /// The objects of a cluster at each destination where it has any: that of its link, and those that it was made from.
    fn live_objects(&self, cluster: &'k GoldenRecord) -> LiveObjects<'k> {
        let known = self.known;
        let exists = |source: &Option<&SourceRecord>| source.is_some_and(|source| !source.is_deleted());
        let mut objects = LiveObjects::new();
        for (destination, native) in &self.policy.destinations {
            let link = known.links.get(&(cluster.id.clone(), destination.clone()));
            let linked = link.and_then(|link| match link.object() {
                Object::Live(object) => Some(object.id.as_str()),
                _ => None,
            });
            let here = cluster.members.iter().filter(|member| member.connection == *destination && member.object == *native);
            let own = known.source.as_ref();
            let record = |member: &RemoteId| own.filter(|own| own.source == *member).or_else(|| known.members.get(member));
            let made_from = here.filter(|member| exists(&record(member))).map(|member| member.id.as_str());
            let is_gone = |id: &str| self.gone.is_some_and(|gone| gone.connection == *destination && gone.id == id);
            let ids: BTreeSet<&str> = made_from.chain(linked).filter(|id| !is_gone(id)).collect();
            if !ids.is_empty() {
                objects.insert(destination, ids);
            }
        }
        objects
    }

    /// Adds the clusters of which only the object that is gone now was a reason to doubt that they are the same: a person has
    /// deleted it and made it anew, and the new object was seen first.
    fn add_made_anew(&mut self) {
        let known = self.known;
        let reviews: Vec<_> = self.clusters.iter().flat_map(|own| own.reviews.keys().map(|id| (*own, id))).collect();
        for (own, id) in reviews {
            let Some(other) = known.clusters.iter().find(|cluster| known.reviewed.get(id) == Some(&cluster.id)) else { continue };
            let added = self.clusters.iter().any(|cluster| cluster.id == other.id);
            let doubted = self.must_stay_apart_from(other) || self.has_other_objects_than(other);
            if !added && !doubted && self.have_the_same_key(own, other) {
                self.add(other);
            }
        }
    }

    /// True when both records have the same values of a strong key today. That one had them once is not enough: an address passes
    /// from one person to another.
    fn have_the_same_key(&self, one: &GoldenRecord, other: &GoldenRecord) -> bool {
        let same = |field: &str| {
            let field = FieldName::from(field);
            let [one, other] = [one, other].map(|record| record.fields.get(&field).map(|resolved| &resolved.value));
            one.is_some_and(|value| !value.is_null()) && one == other
        };
        self.policy.strong.iter().any(|key| key.split('+').all(same))
    }
}

/// The keys that lead somewhere, the strong ones first. The order is the same wherever the hub learns of them.
fn evidence<'k>(known: &'k Known, policy: &ObjectPolicy) -> Vec<(&'k KeyHash, &'k IdentityKey, &'k Lead)> {
    let leads = known.leads.iter().filter_map(|(hash, lead)| Some((hash, known.keys.get(hash)?, lead)));
    // The change's own remote id has led to its own cluster already.
    let mut evidence: Vec<_> = leads.filter(|(_, key, _)| key.name != REMOTE_KEY).collect();
    evidence.sort_by_key(|(hash, key, lead)| (policy.is_weak(&key.name), &key.name, &lead.golden, *hash));
    evidence
}

/// True when both sides have values of the same strong key, and none in common.
fn are_distinguished(policy: &ObjectPolicy, one: &IdentityKeys, other: &IdentityKeys) -> bool {
    let values = |keys: &'_ IdentityKeys, name: &str| -> BTreeSet<KeyHash> {
        keys.iter().filter(|(_, key)| key.name == name).map(|(hash, _)| hash.clone()).collect()
    };
    policy.strong.iter().any(|name| {
        let (one, other) = (values(one, name), values(other, name));
        !one.is_empty() && !other.is_empty() && one.is_disjoint(&other)
    })
}

/// The claims of the record that a change became a part of.
pub(super) fn claims(known: &Known, policy: &ObjectPolicy, survivor: &GoldenId, belonging: &Belonging<'_>) -> Claims {
    let mut claims = Claims::default();
    for (hash, key) in known.keys.iter().filter(|(_, key)| key.joins) {
        let Some(lead) = known.leads.get(hash) else {
            claims.changed.insert(hash.clone(), Claim::of(survivor));
            continue;
        };
        let is_holder = belonging.joined.iter().any(|cluster| lead.holders.contains(&cluster.id));
        if is_holder || !belonging.shared.contains(hash) {
            continue;
        }
        if let Some(claim) = lead.claim.with_other(survivor) {
            claims.changed.insert(hash.clone(), claim);
            if lead.holders.len() == policy.people_per_value {
                claims.stopped.push(key.name.clone());
            }
        }
    }
    claims
}
