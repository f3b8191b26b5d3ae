//! What goes into a merge, and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ConnectionName, FieldName, GoldenId, KeyHash, Outcome, RemoteId, Value};

use crate::config::Hub;
use crate::record::audit::AUDIT_BYTES;
use crate::record::shortened::shorten_above;
use crate::record::{Claim, GoldenRecord, IdentityKeys, LinkMap, SourceRecord};

/// A change that is to be merged, and the circumstances.
#[derive(Debug, Clone, Copy)]
pub struct MergeInput<'a> {
    /// The configuration.
    pub hub: &'a Hub,
    /// The change.
    pub change: &'a Change,
    /// When the change was received. It is used where the provider gives no stamp.
    pub received_ms: i64,
    /// Where the change comes from a read: when that read began, by our clock.
    pub read_ms: Option<i64>,
    /// The time by our clock.
    pub now_ms: i64,
}

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

/// What the store holds that matters to a change, and what was hashed for it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The change's own source record.
    pub source: Option<SourceRecord>,
    /// The identity keys of the change.
    pub keys: IdentityKeys,
    /// Where those of the identity keys lead that were known before.
    pub leads: BTreeMap<KeyHash, Lead>,
    /// The clusters that the changed object itself is known to belong to: by its source record, its remote id or its hub id.
    pub own: BTreeSet<GoldenId>,
    /// True when something identifies the changed object: an identity key, or an id of its own.
    pub identified: bool,
    /// The id of the golden record that the change founds if it belongs to no cluster.
    pub founded_id: GoldenId,
    /// The live golden records that the change's identity keys, its source record and its hub id lead to. Where the change may end
    /// an object, also those that may be the same as these.
    pub clusters: Vec<GoldenRecord>,
    /// Which live record the id in a review leads to, for those of `clusters` that are there because of a review.
    pub reviewed: BTreeMap<GoldenId, GoldenId>,
    /// The members of those clusters.
    pub members: BTreeMap<RemoteId, SourceRecord>,
    /// The links of those clusters.
    pub links: LinkMap,
}

/// Values by field: before and after a change.
pub type FieldDifferences = BTreeMap<FieldName, (Option<Value>, Option<Value>)>;

/// Differences as the audit log stores them.
pub(super) fn for_audit(differences: &FieldDifferences) -> FieldDifferences {
    let short = |value: &Option<Value>| value.as_ref().map(|value| shorten_above(value, AUDIT_BYTES));
    differences.iter().map(|(name, (before, after))| (name.clone(), (short(before), short(after)))).collect()
}

/// What is to be stored of the keys of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The claims that change, by key.
    pub changed: BTreeMap<KeyHash, Claim>,
    /// The names of keys whose value joins no further records from now on.
    pub stopped: Vec<String>,
}

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
    /// What changes about where identity keys lead.
    pub claims: Claims,
    /// Records that may be the same, each with the names of the keys that say so: a person decides. Only those that are new.
    pub suggested: BTreeMap<GoldenId, BTreeSet<String>>,
    /// Other golden records that changed, because they may be the same.
    pub reviewed: Vec<GoldenRecord>,
    /// The links that changed.
    pub links: LinkMap,
    /// The destinations to which the golden record is dispatched.
    pub dispatch: BTreeSet<ConnectionName>,
    /// The golden values that changed, for the audit log.
    pub differences: FieldDifferences,
}

impl Merged {
    /// What the change was to the hub: a new record, one that joined a known one, or a change of what was known.
    pub fn novelty(&self) -> &'static str {
        match self.source.as_ref().is_some_and(|source| source.version == 0) {
            true if self.golden.members.len() > 1 => "joined",
            true => "new",
            false => "changed",
        }
    }
}
