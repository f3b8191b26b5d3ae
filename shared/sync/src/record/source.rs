//! Source records: one object at one connection, with every observation of it.

use std::collections::BTreeMap;

use canonical::{FieldName, GoldenId, ObjectType, RemoteId, Stamp};
use serde::{Deserialize, Serialize};

use super::identity::IdentityKeys;
use super::observation::Observation;
use super::stored::{Stored, version_of};
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Item, Key, Store, Table};
use crate::seal::Vault;

/// One object at one connection, with every observation of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The object.
    pub source: RemoteId,
    /// Its canonical object type.
    pub object: ObjectType,
    /// The golden record that it belonged to when it was written. That record may redirect to another one since then.
    pub golden: GoldenId,
    /// Rises with every write; each write checks it.
    #[serde(skip)]
    pub version: u64,
    /// The observations, by field.
    pub fields: BTreeMap<FieldName, Observation>,
    /// Every identity key that it ever had.
    pub keys: IdentityKeys,
    /// When it was deleted at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Stamp>,
    /// When the source last reported that it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<Stamp>,
    /// True for records that the source marks as tests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// True while nothing identifies it: it never had an identity key or an id of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_key: bool,
}

impl SourceRecord {
    /// A record without observations, not stored yet.
    pub fn new(source: RemoteId, object: ObjectType, golden: GoldenId) -> SourceRecord {
        SourceRecord {
            source,
            object,
            golden,
            version: 0,
            fields: BTreeMap::new(),
            keys: IdentityKeys::new(),
            deleted: None,
            alive: None,
            test: false,
            no_key: false,
        }
    }

    /// True when the source's newest report is that the object was deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.is_some_and(|deleted| self.alive.is_none_or(|alive| alive <= deleted))
    }

    /// The key of its item. The id is hashed, because some providers' ids are e-mail addresses.
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
