//! Source records: one object at one connection, with every observation of it.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldName, GoldenId, KeyHash, ObjectType, RemoteId, Stamp};
use serde::{Deserialize, Serialize};

use super::observation::Observation;
use super::stored::{Stored, version_of};
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Item, Key, Store, Table};
use crate::seal::Vault;

/// One object at one connection, with everything that it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Which object.
    pub source: RemoteId,
    /// The canonical object.
    pub object: ObjectType,
    /// The golden record that it belonged to when it was written; that one may since redirect to another.
    pub golden: GoldenId,
    /// Rises with every write; the store checks it.
    #[serde(skip)]
    pub version: u64,
    /// What it said, by field.
    pub fields: BTreeMap<FieldName, Observation>,
    /// Hashes of every identity key that it ever had.
    pub keys: BTreeSet<KeyHash>,
    /// When it was deleted at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Stamp>,
    /// When it was last seen alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<Stamp>,
    /// True for records that the source marks as tests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

impl SourceRecord {
    /// A record of which nothing is known yet.
    pub fn new(source: RemoteId, object: ObjectType, golden: GoldenId) -> SourceRecord {
        SourceRecord {
            source,
            object,
            golden,
            version: 0,
            fields: BTreeMap::new(),
            keys: BTreeSet::new(),
            deleted: None,
            alive: None,
            test: false,
        }
    }

    /// True while the source's last word is that the object is gone.
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some_and(|deleted| self.alive.is_none_or(|alive| alive <= deleted))
    }

    /// Where it lies. The id is hashed, since some providers' ids are e-mail addresses.
    pub fn key(vault: &Vault, source: &RemoteId) -> Key {
        let hash = vault.hash(&["source", &source.connection, &source.object, &source.id]);
        Key::new(format!("s#{}/{}/{hash}", source.connection, source.object), "source")
    }
}

impl Stored for SourceRecord {
    const TABLE: Table = Table::Golden;
    fn version(&self) -> u64 {
        self.version
    }
    fn plain(&self, item: Item) -> Item {
        item.with("golden", Attr::S(self.golden.to_string())).with("object", Attr::S(self.object.name().into()))
    }
}

/// Reads a source record.
pub async fn read_source<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<SourceRecord, Failure> {
    let mut record: SourceRecord = vault.unseal(ports, item).await?;
    record.version = version_of(item);
    Ok(record)
}
