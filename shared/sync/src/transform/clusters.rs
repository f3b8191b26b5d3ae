//! Which of the known clusters a change belongs to. Pure. `docs/decisions/identity.md` has the rules and the reason for each.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{GoldenId, KeyHash};

use super::plan::Known;
use crate::config::ObjectPolicy;
use crate::record::{Claim, GoldenRecord, IdentityKey, IdentityKeys, add_keys};

/// A key of a change that leads somewhere already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// The stored claim.
    pub claim: Claim,
    /// The live record that has the key.
    pub golden: GoldenId,
    /// The live records that hold the value and are not the same: `golden`, and the others.
    pub holders: BTreeSet<GoldenId>,
}

/// The clusters that a change belongs to, and what its keys say of others.
pub(super) struct Belonging<'k> {
    /// The clusters that the change joins. Without any, it founds one.
    pub joined: Vec<&'k GoldenRecord>,
    /// Keys whose value another record holds that is somebody else.
    pub shared: BTreeSet<&'k KeyHash>,
}

/// Decides which clusters a change belongs to. The record that its object is known to be comes first. Other clusters are joined
/// by keys, the strong ones before the weak ones.
pub(super) fn find_belonging<'k>(known: &'k Known, policy: &ObjectPolicy) -> Belonging<'k> {
    let joined: Vec<&GoldenRecord> = known.clusters.iter().filter(|cluster| known.own.contains(&cluster.id)).collect();
    let mut keys = known.keys.clone();
    joined.iter().for_each(|cluster| add_keys(&mut keys, cluster.keys.clone()));
    let mut belonging = Belonging { joined, shared: BTreeSet::new() };
    for (hash, key, lead) in evidence(known, policy) {
        if belonging.joined.iter().any(|cluster| cluster.id == lead.golden) {
            continue;
        }
        let Some(cluster) = known.clusters.iter().find(|cluster| cluster.id == lead.golden) else { continue };
        if policy.is_weak(&key.name) && are_told_apart(policy, &keys, &cluster.keys) {
            belonging.shared.insert(hash);
        } else if lead.holders.len() <= policy.people_per_value {
            add_keys(&mut keys, cluster.keys.clone());
            belonging.joined.push(cluster);
        }
    }
    belonging
}

/// The keys that lead somewhere, the strong ones first. The order is the same wherever the hub learns of them.
fn evidence<'k>(known: &'k Known, policy: &ObjectPolicy) -> Vec<(&'k KeyHash, &'k IdentityKey, &'k Lead)> {
    let leads = known.leads.iter().filter_map(|(hash, lead)| Some((hash, known.keys.get(hash)?, lead)));
    let mut evidence: Vec<_> = leads.collect();
    evidence.sort_by_key(|(hash, key, lead)| (policy.is_weak(&key.name), &key.name, &lead.golden, *hash));
    evidence
}

/// True when both sides have values of the same strong key, and none in common.
fn are_told_apart(policy: &ObjectPolicy, one: &IdentityKeys, other: &IdentityKeys) -> bool {
    let values = |keys: &'_ IdentityKeys, name: &str| -> BTreeSet<KeyHash> {
        keys.iter().filter(|(_, key)| key.name == name).map(|(hash, _)| hash.clone()).collect()
    };
    policy.strong.iter().any(|name| {
        let (one, other) = (values(one, name), values(other, name));
        !one.is_empty() && !other.is_empty() && one.is_disjoint(&other)
    })
}

/// What is to be stored of the keys of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The claims that change, by key.
    pub changed: BTreeMap<KeyHash, Claim>,
    /// The names of keys whose value joins no further records from now on.
    pub stopped: Vec<String>,
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
