//! Links: the tie between a golden record and its object at one destination. A link is a state machine;
//! `docs/decisions/link-protocol.md` has its states, its transitions and the reason for each rule.

mod check;
mod join;
mod knowledge;
mod lease;
mod object;
mod push;
mod report;
mod set_aside;
#[cfg(test)]
mod table_test;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, GoldenId, ObjectType};
use serde::{Deserialize, Serialize};

pub use knowledge::{Knowledge, PushedField, ReadBack, Seen, Sent};
pub use lease::Lease;
pub use object::{LinkedObject, Object};
pub use push::Push;
pub use report::{Echo, Reported};
pub use set_aside::SetAside;
pub use write::Found;

use super::stored::{Stored, as_number, version_of};
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Item, Key, Store, Table};
use crate::seal::Vault;

/// The tie between a golden record and its object at one destination. It changes only by its methods, each of which is one
/// transition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Rises with every write; the store checks it.
    #[serde(skip)]
    pub version: u64,
    object: Object,
    push: Push,
    lease: Lease,
    knowledge: Knowledge,
    /// The newest golden version that the destination has, or has refused.
    pushed_version: u64,
    /// The golden version that the destination refused. A newer version, or an operator, tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<u64>,
    /// Other objects at the destination that stand for the same golden record.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    duplicates_to_merge: BTreeSet<String>,
    /// Duplicates that the destination refused to merge. A person must merge them there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    refused_duplicates: BTreeSet<String>,
    /// Records that were merged while an object was being created for them, and until when that object may still appear, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pending_creates: BTreeMap<GoldenId, i64>,
    /// Native properties that the destination refused, and that pushes leave out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set_aside: BTreeMap<String, SetAside>,
    /// Objects that hold a unique value of the record, as the destination reported, and whether that is certain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    key_holders: BTreeMap<String, bool>,
}

/// Links by golden record and destination.
pub type LinkMap = BTreeMap<(GoldenId, ConnectionName), Link>;

impl Link {
    /// The key of its item.
    pub fn key(destination: &str, object: ObjectType, record: &str) -> Key {
        Key::new(format!("l#{destination}#{object}#{record}"), "link")
    }

    /// Which object it stands for.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The object's id at the destination, also if the object is gone.
    pub fn remote_id(&self) -> Option<&str> {
        self.object.id()
    }

    /// True once the object was deleted at the destination.
    pub fn is_gone(&self) -> bool {
        matches!(self.object, Object::Gone(_))
    }

    /// True once the object carries the id of the golden record.
    pub fn is_marked(&self) -> bool {
        self.object.known().is_some_and(|object| object.marked)
    }

    /// The record whose link has taken this one over.
    pub fn moved_to(&self) -> Option<&GoldenId> {
        match &self.object {
            Object::MovedTo(survivor) => Some(survivor),
            _ => None,
        }
    }

    /// What became of the last push.
    pub fn push(&self) -> Push {
        self.push
    }

    /// Who may write.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What is known of the object.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// The newest golden version that the destination has, or has refused.
    pub fn pushed_version(&self) -> u64 {
        self.pushed_version
    }

    /// The golden version that the destination refused, until a push is confirmed.
    pub fn refused_at(&self) -> Option<u64> {
        self.refused_at
    }

    /// Other objects at the destination that stand for the same golden record.
    pub fn duplicates_to_merge(&self) -> &BTreeSet<String> {
        &self.duplicates_to_merge
    }

    /// Duplicates that the destination refused to merge.
    pub fn refused_duplicates(&self) -> &BTreeSet<String> {
        &self.refused_duplicates
    }

    /// Records whose object may still appear at the destination.
    pub fn pending_creates(&self) -> impl Iterator<Item = &GoldenId> {
        self.pending_creates.keys()
    }

    /// Objects that hold a unique value of the record, as the destination reported, and whether that is certain.
    pub fn key_holders(&self) -> &BTreeMap<String, bool> {
        &self.key_holders
    }

    /// True when `reconcile` need not push it: the destination has what was pushed last, or has refused it.
    fn is_in_sync(&self) -> bool {
        self.refused_at.is_some() || self.push == Push::Confirmed
    }

    /// True when the hub does not write to the object on its own any more.
    fn is_closed(&self) -> bool {
        self.refused_at.is_some() || matches!(self.object, Object::Gone(_) | Object::MovedTo(_))
    }
}

impl Stored for Link {
    const TABLE: Table = Table::Links;
    fn version(&self) -> u64 {
        self.version
    }
    fn plain(&self, item: Item) -> Item {
        debug_assert!(self.check().is_ok(), "{:?}: {self:?}", self.check());
        let item = item
            .with("pushed_version", Attr::N(as_number(self.pushed_version)))
            .with("in_sync", Attr::Bool(self.is_in_sync()))
            .with("closed", Attr::Bool(self.is_closed()))
            .with("gone", Attr::Bool(self.is_gone()));
        let item = match self.set_aside.values().map(|set_aside| set_aside.generation).min() {
            Some(generation) => item.with("set_aside_under", Attr::N(as_number(generation))),
            None => item,
        };
        let item = match self.set_aside.values().filter_map(|set_aside| set_aside.until_ms).min() {
            Some(until_ms) => item.with("set_aside_until", Attr::N(until_ms)),
            None => item,
        };
        match self.remote_id() {
            Some(id) => item.with("remote", Attr::S(id.to_owned())),
            None => item,
        }
    }
}

/// Reads a link.
pub async fn read_link<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<Link, Failure> {
    let mut link: Link = vault.unseal(ports, item).await?;
    link.version = version_of(item);
    Ok(link)
}
