//! Golden records: a cluster of source records and the values that survive.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldName, Fields, GoldenId, ObjectType, RemoteId, Stamp, Value};
use serde::{Deserialize, Serialize};

use super::identity::IdentityKeys;
use super::split::Split;
use super::stored::{Stored, as_number, number_of, version_of};
use super::summary::Summary;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Item, Key, Store, Table};
use crate::seal::Vault;

/// The value of a golden field, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The value; `Null` when every source that has the field has cleared it.
    pub value: Value,
    /// The source record that won.
    pub source: RemoteId,
    /// Since when the value counts.
    pub stamp: Stamp,
    /// The rule, as `explain` prints it.
    pub rule: String,
    /// True when the winner reported two different values with the same stamp.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// The one true record of a cluster of source records: the values that survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenRecord {
    /// Its id.
    pub id: GoldenId,
    /// Its canonical object type.
    pub object: ObjectType,
    /// Rises with every change of the record.
    #[serde(skip)]
    pub version: u64,
    /// Rises with every write of the record or of one of its members; each write checks it. So two changes of different members
    /// at the same time cannot both be merged with what the other one has replaced.
    #[serde(skip)]
    pub revision: u64,
    /// The generation of the configuration that resolved it.
    pub generation: u64,
    /// Since when configurations of that generation resolve it, by our clock, in milliseconds.
    #[serde(default)]
    pub generation_since_ms: i64,
    /// Its source records, up to the limit.
    pub members: BTreeSet<RemoteId>,
    /// What the source records beyond the limit contribute.
    #[serde(default, skip_serializing_if = "Summary::is_empty")]
    pub summary: Summary,
    /// The identity keys of its members.
    pub keys: IdentityKeys,
    /// Records that may be the same, with the names of the keys that say so. A person decides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reviews: BTreeMap<GoldenId, BTreeSet<String>>,
    /// A person's decisions about what does not belong together.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub splits: BTreeSet<Split>,
    /// The values that survive.
    pub fields: BTreeMap<FieldName, Resolved>,
    /// The golden record that it was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<GoldenId>,
    /// True when every member is deleted at its source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// True while nothing identifies any of its members. Then it creates nothing at any destination.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_key: bool,
}

impl GoldenRecord {
    /// A record without members, not stored yet.
    pub fn new(id: GoldenId, object: ObjectType) -> GoldenRecord {
        GoldenRecord {
            id,
            object,
            version: 0,
            revision: 0,
            generation: 0,
            generation_since_ms: 0,
            members: BTreeSet::new(),
            summary: Summary::default(),
            keys: IdentityKeys::new(),
            reviews: BTreeMap::new(),
            splits: BTreeSet::new(),
            fields: BTreeMap::new(),
            redirect: None,
            deleted: false,
            no_key: false,
        }
    }

    /// True when destinations may hold it: it is neither deleted at every source nor without a key.
    pub fn is_pushed(&self) -> bool {
        !self.deleted && !self.no_key
    }

    /// The plain values.
    pub fn values(&self) -> Fields {
        self.fields.iter().map(|(name, resolved)| (name.clone(), resolved.value.clone())).collect()
    }

    /// The key of its item.
    pub fn key(object: ObjectType, id: &str) -> Key {
        Key::new(format!("g#{object}#{id}"), "golden")
    }

    /// The id of the data key of its personal data.
    pub fn key_id(object: ObjectType, id: &str) -> String {
        format!("{object}#{id}")
    }

    /// True when a person has decided that source records of this record and of the other one do not belong together.
    pub fn must_stay_apart_from(&self, other: &GoldenRecord) -> bool {
        self.splits.iter().chain(&other.splits).any(|split| split.separates(&self.members, &other.members))
    }

    /// The source records that must not belong to this record.
    pub fn strangers(&self) -> impl Iterator<Item = &RemoteId> {
        self.splits.iter().filter_map(|split| split.opposite(&self.members)).flatten()
    }
}

impl Stored for GoldenRecord {
    const TABLE: Table = Table::Golden;
    const GUARD: &'static str = "rev";
    fn version(&self) -> u64 {
        self.version
    }
    fn guard(&self) -> u64 {
        self.revision
    }
    fn plain(&self, item: Item) -> Item {
        let item = item
            .with("object", Attr::S(self.object.name().into()))
            .with("record", Attr::S(self.id.to_string()))
            .with("gen", Attr::N(as_number(self.generation)))
            .with("deleted", Attr::Bool(self.deleted))
            .with("no_key", Attr::Bool(self.no_key));
        match &self.redirect {
            Some(target) => item.with("redirect", Attr::S(target.to_string())),
            None => item,
        }
    }
}

/// Reads a golden record.
pub async fn read_golden<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<GoldenRecord, Failure> {
    let mut record: GoldenRecord = vault.unseal(ports, item).await?;
    record.version = version_of(item);
    record.revision = number_of(item, "rev");
    Ok(record)
}

/// Reads a golden record by its id, following redirects.
pub async fn golden_by_id<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    object: ObjectType,
    id: &str,
) -> Result<Option<GoldenRecord>, Failure> {
    let mut id = GoldenId::from(id);
    for _ in 0..MAX_REDIRECTS {
        let Some(item) = ports.get(Table::Golden, &GoldenRecord::key(object, &id)).await? else { return Ok(None) };
        let record = read_golden(ports, vault, &item).await?;
        match record.redirect {
            Some(next) => id = next,
            None => return Ok(Some(record)),
        }
    }
    Err(Failure::new(Code::Bug, "a chain of redirects is too long"))
}

/// Longest chain of redirects that is followed.
const MAX_REDIRECTS: usize = 32;
