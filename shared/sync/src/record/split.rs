//! Splits: a person's decisions that source records do not belong together. They beat every identity key.

use std::collections::BTreeSet;

use canonical::RemoteId;
use serde::{Deserialize, Serialize};

/// The decision that no source record of one side belongs together with one of the other side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Split {
    /// One side.
    pub left: BTreeSet<RemoteId>,
    /// The other side.
    pub right: BTreeSet<RemoteId>,
}

impl Split {
    /// The split between two clusters, by their members.
    pub fn between(one: &BTreeSet<RemoteId>, other: &BTreeSet<RemoteId>) -> Split {
        let (one, other) = (one.clone(), other.clone());
        // The same split, whichever record comes first.
        if one <= other { Split { left: one, right: other } } else { Split { left: other, right: one } }
    }

    /// True when the split stands between these members.
    pub fn separates(&self, one: &BTreeSet<RemoteId>, other: &BTreeSet<RemoteId>) -> bool {
        let across = |one: &BTreeSet<RemoteId>, other| !self.left.is_disjoint(one) && !self.right.is_disjoint(other);
        across(one, other) || across(other, one)
    }

    /// The side on which none of these members is, if the other side has some.
    pub(super) fn opposite(&self, members: &BTreeSet<RemoteId>) -> Option<&BTreeSet<RemoteId>> {
        match (self.left.is_disjoint(members), self.right.is_disjoint(members)) {
            (false, _) => Some(&self.right),
            (true, false) => Some(&self.left),
            (true, true) => None,
        }
    }

    /// What is left of the split when it no longer stands between these two clusters.
    pub fn without(&self, one: &BTreeSet<RemoteId>, other: &BTreeSet<RemoteId>) -> Vec<Split> {
        let once = |split: &Split, one: &BTreeSet<RemoteId>, other: &BTreeSet<RemoteId>| {
            let (inside, outside): (BTreeSet<_>, BTreeSet<_>) =
                split.left.iter().cloned().partition(|source| one.contains(source));
            let rest: BTreeSet<_> = split.right.difference(other).cloned().collect();
            [(outside, split.right.clone()), (inside, rest)].map(|(left, right)| Split { left, right })
        };
        let all = once(self, one, other).into_iter().flat_map(|split| once(&split, other, one));
        all.filter(|split| !split.left.is_empty() && !split.right.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &str) -> BTreeSet<RemoteId> {
        ids.chars().map(|id| RemoteId { connection: "c".into(), object: "o".into(), id: id.to_string() }).collect()
    }

    #[test]
    fn joining_two_clusters_takes_back_only_what_stood_between_them() {
        let split = Split { left: set("ab"), right: set("cd") };
        let stands =
            |splits: &[Split], one: &str, other: &str| splits.iter().any(|split| split.separates(&set(one), &set(other)));
        for (one, other) in [("a", "c"), ("c", "a")] {
            let rest = split.without(&set(one), &set(other));
            assert!(!stands(&rest, "a", "c"), "{rest:?}");
            for (one, other) in [("a", "d"), ("b", "c"), ("d", "b")] {
                assert!(stands(&rest, one, other), "{one}{other}: {rest:?}");
            }
        }
        assert_eq!(split.without(&set("ab"), &set("dc")), []);
    }
}
