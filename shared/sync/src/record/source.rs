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

/// How long after an event that reports a deletion a read may still show the object, in milliseconds: providers answer from
/// copies, and clocks differ.
const DELETION_LAG_MS: i64 = 60_000;

/// How much later than the last noted one a read must be to be noted, where nothing speaks against the object's existence, in
/// milliseconds.
const FOUND_STEP_MS: i64 = 7 * 86_400_000;

/// The finding of reads that an object is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// When the first of these reads began, by our clock, in milliseconds.
    pub since_ms: i64,
    /// True once a second look, after the provider's declared lag, did not find it either. Before that it proves nothing.
    pub confirmed: bool,
}

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
    /// When it was deleted at the source, as an event reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Stamp>,
    /// When the source last reported that it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<Stamp>,
    /// What reads that did not find it prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
    /// When the last read that found it began, by our clock, in milliseconds. Where nothing speaks against its existence, it is
    /// up to seven days older: otherwise each sweep would write each record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_ms: Option<i64>,
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
            absence: None,
            found_ms: None,
            test: false,
            no_key: false,
        }
    }

    /// True when there is evidence that the object no longer exists, and no later proof of its life: an event that reported its
    /// deletion, or two reads that did not find it.
    pub fn is_deleted(&self) -> bool {
        let found_after = |gone_ms: i64| self.found_ms.is_some_and(|found_ms| found_ms > gone_ms);
        let deleted =
            |deleted: Stamp| self.alive.is_none_or(|alive| alive <= deleted) && !found_after(deleted.at_ms + DELETION_LAG_MS);
        let absent = |absence: Absence| {
            let reported = self.alive.is_some_and(|alive| alive.at_ms > absence.since_ms);
            absence.confirmed && !reported && !found_after(absence.since_ms)
        };
        self.deleted.is_some_and(deleted) || self.absence.is_some_and(absent)
    }

    /// Notes that a read which began at this time found the object.
    pub fn note_found(&mut self, read_ms: i64) {
        let doubted = self.deleted.is_some() || self.absence.is_some();
        if doubted || self.found_ms.is_none_or(|known_ms| read_ms >= known_ms + FOUND_STEP_MS) {
            self.found_ms = self.found_ms.max(Some(read_ms));
        }
    }

    /// Notes that reads have not found the object since this time. Returns true if that was news.
    pub fn note_absent(&mut self, since_ms: i64, confirmed: bool) -> bool {
        let outlived = self.absence.is_some_and(|known| self.found_ms.is_some_and(|found_ms| found_ms > known.since_ms));
        let news = match self.absence {
            Some(known) if !outlived => confirmed && !known.confirmed,
            _ => self.found_ms.is_none_or(|found_ms| found_ms <= since_ms),
        };
        if news {
            self.absence = Some(Absence { since_ms, confirmed });
        }
        news
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
