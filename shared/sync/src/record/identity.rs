//! Identity keys: what joins source records into one cluster, and which golden record a key leads to in the store.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{GoldenId, KeyHash, ObjectType, RemoteId};
use serde::{Deserialize, Serialize};

use super::stored::{as_number, unchanged_since, version_of};
use crate::ports::{Attr, Condition, Item, Key, Table, Write};
use crate::seal::Vault;

/// The name of a key that is the remote id of an object.
pub const REMOTE_KEY: &str = "id";

/// How many other records a key remembers. A value that so many hold has stopped joining long before.
const MAX_OTHERS: usize = 20;

/// What a key is made of, and whether it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityKey {
    /// The field or fields of the policy (`email`, `phone`), [`REMOTE_KEY`], or the namespace of an id in another system.
    #[serde(rename = "n")]
    pub name: String,
    /// False for a value that many share: it tells people apart, but joins nobody.
    #[serde(rename = "j")]
    pub joins: bool,
}

/// Identity keys by their keyed hashes.
pub type IdentityKeys = BTreeMap<KeyHash, IdentityKey>;

/// Adds keys to others. A key that ever joined goes on joining.
pub fn add_keys(keys: &mut IdentityKeys, more: IdentityKeys) {
    for (hash, key) in more {
        let joined = keys.get(&hash).is_some_and(|known| known.joins);
        keys.insert(hash, IdentityKey { joins: key.joins || joined, ..key });
    }
}

/// Where an identity key leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The golden record that has the key, as the item names it. It may redirect since then.
    pub golden: GoldenId,
    /// Other records that hold the same value and are somebody else.
    pub others: BTreeSet<GoldenId>,
    /// Rises with every write; 0 for a claim that is not stored yet.
    pub version: u64,
}

impl Claim {
    /// The claim of a record on a key that nobody has yet.
    pub fn of(golden: &GoldenId) -> Claim {
        Claim { golden: golden.clone(), ..Claim::default() }
    }

    /// Reads the item of a key.
    pub fn read(item: &Item) -> Option<Claim> {
        let others = item.s("others").unwrap_or_default();
        Some(Claim {
            golden: item.s("golden")?.into(),
            others: others.split(',').filter(|id| !id.is_empty()).map(GoldenId::from).collect(),
            version: version_of(item),
        })
    }

    /// This claim with another record that holds the value; `None` if it is known already, or if there is no room for one more.
    pub fn with_other(&self, other: &GoldenId) -> Option<Claim> {
        let mut claim = self.clone();
        (claim.others.len() < MAX_OTHERS && claim.others.insert(other.clone())).then_some(claim)
    }

    /// Builds the write that stores the claim, if it is still at the version that was read.
    pub fn build_put(&self, object: ObjectType, hash: &str) -> Write {
        self.build(object, hash, unchanged_since(self.version))
    }

    /// Builds the write that makes a key lead to a record, whatever was stored. The time, in milliseconds, is the version: it differs
    /// from that of any claim that was read.
    pub fn build_overwrite(object: ObjectType, hash: &str, golden: &GoldenId, now_ms: i64) -> Write {
        let version = u64::try_from(now_ms).unwrap_or(0);
        Claim { version, ..Claim::of(golden) }.build(object, hash, Condition::Always)
    }

    fn build(&self, object: ObjectType, hash: &str, condition: Condition) -> Write {
        let others: Vec<&str> = self.others.iter().map(GoldenId::as_str).collect();
        let item = Item::new(identity_key(object, hash))
            .with("golden", Attr::S(self.golden.to_string()))
            .with("others", Attr::S(others.join(",")))
            .with("ver", Attr::N(as_number(self.version + 1)));
        Write::Put { table: Table::Links, item, condition }
    }
}

/// The key of the item that leads from an identity key, or from a remote id, to its golden record.
pub fn identity_key(object: ObjectType, hash: &str) -> Key {
    Key::new(format!("k#{object}#{hash}"), "key")
}

/// A remote object's id as an identity key of its own.
pub fn remote_hash(vault: &Vault, source: &RemoteId) -> KeyHash {
    vault.key_hash(&["remote", &source.connection, &source.object, &source.id])
}
