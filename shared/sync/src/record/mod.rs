//! The records that the hub stores, and how they lie in the tables. `docs/architecture.md` has the table of keys.

pub mod journal;
pub mod observation;

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldName, Fields, GoldenId, KeyHash, ObjectType, RemoteId, Stamp, Value};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};
use crate::record::observation::Observation;
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
    pub fn place(vault: &Vault, source: &RemoteId) -> Key {
        let hash = vault.hash(&["source", &source.connection, &source.object, &source.id]);
        Key::new(format!("s#{}/{}/{hash}", source.connection, source.object), "source")
    }
}

/// How a golden field came to its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The value; `Null` when every source that has the field has cleared it.
    pub value: Value,
    /// The source record that won.
    pub source: RemoteId,
    /// Since when its value counts.
    pub stamp: Stamp,
    /// The rule, as `explain` prints it.
    pub rule: String,
    /// True when the winner said two different things with one stamp.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// One true record: a cluster of source records and the values that survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenRecord {
    /// Its id.
    pub id: GoldenId,
    /// The canonical object.
    pub object: ObjectType,
    /// Rises with every change; the store checks it.
    #[serde(skip)]
    pub version: u64,
    /// The configuration that resolved it.
    pub generation: u64,
    /// Its source records.
    pub members: BTreeSet<RemoteId>,
    /// The hashes of the identity keys of its members.
    pub keys: BTreeSet<KeyHash>,
    /// The values that survive.
    pub fields: BTreeMap<FieldName, Resolved>,
    /// The record that it was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<GoldenId>,
    /// True when every member is deleted at its source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Pairs of members that a person has taken apart; they never link again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub splits: BTreeSet<(RemoteId, RemoteId)>,
}

impl GoldenRecord {
    /// The plain values.
    pub fn values(&self) -> Fields {
        self.fields.iter().map(|(name, resolved)| (name.clone(), resolved.value.clone())).collect()
    }

    /// Where it lies.
    pub fn place(object: ObjectType, id: &str) -> Key {
        Key::new(format!("g#{object}#{id}"), "golden")
    }

    /// The id of the data key of its personal data.
    pub fn key_id(object: ObjectType, id: &str) -> String {
        format!("{object}#{id}")
    }
}

/// What was last sent for a field, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The canonical value, as the destination would give it back.
    #[serde(rename = "v")]
    pub value: Value,
    /// The destination's stamp of the write; `None` until its answer is known, and for good where it was lost.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// When it was about to be sent, by our clock, in milliseconds.
    #[serde(rename = "i")]
    pub intended_ms: i64,
}

/// What a destination holds in a field, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The canonical value.
    #[serde(rename = "v")]
    pub value: Value,
    /// By the destination's clock.
    #[serde(rename = "t")]
    pub stamp: Stamp,
}

/// The tie between a golden record and its object at one destination, with the lease under which it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Rises with every write; the store checks it.
    #[serde(skip)]
    pub version: u64,
    /// The object's id there.
    #[serde(default)]
    pub remote: Option<String>,
    /// True once the object carries our id.
    #[serde(default)]
    pub marked: bool,
    /// When we created the object, by the destination's clock; `None` also where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Stamp>,
    /// What is there, by field.
    #[serde(default)]
    pub seen: BTreeMap<FieldName, Seen>,
    /// What was found by field that no source has told us: such a field is left alone until it, or what took its place, is heard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unheard: BTreeMap<FieldName, Seen>,
    /// What we sent lately, by field, the oldest first.
    #[serde(default)]
    pub sent: BTreeMap<FieldName, Vec<Sent>>,
    /// The native values of the last settled push, to compare renderings with.
    #[serde(default)]
    pub pushed: serde_json::Map<String, serde_json::Value>,
    /// What the destination made of the last settled push, by field: a value that it truncates or rewrites is not pushed again
    /// and again.
    #[serde(default)]
    pub back: Fields,
    /// The golden version of the last settled push.
    #[serde(default)]
    pub pushed_version: u64,
    /// True from before a push until its outcome is known.
    #[serde(default)]
    pub open: bool,
    /// Until when the lease is held, in milliseconds; 0 when free.
    #[serde(default)]
    pub lease_until: i64,
    /// Rises with every lease.
    #[serde(default)]
    pub fence: u64,
    /// True when a fenced-out worker may have changed the destination: read back before the next push.
    #[serde(default)]
    pub dirty: bool,
    /// True when the object was deleted at the destination; never undone on our own.
    #[serde(default)]
    pub gone: bool,
    /// True when the destination refused the record; a newer version tries again.
    #[serde(default)]
    pub rejected: bool,
    /// Other objects at the destination that turned out to be the same thing: merge tasks.
    #[serde(default)]
    pub orphans: BTreeSet<String>,
    /// Until when a worker that held an expired lease may still write, in milliseconds: after that the destination is looked at
    /// once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again: Option<i64>,
    /// Records that were merged into this one while an object was being created for them, and until when that object may still
    /// appear, in milliseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub strays: BTreeMap<GoldenId, i64>,
    /// The record that this link moved to when its golden record was merged.
    #[serde(default)]
    pub moved_to: Option<GoldenId>,
}

/// True when a destination may have made one value of another: cut it, or changed its case, spaces or punctuation.
pub fn may_be_made_of(made: &Value, sent: &Value) -> bool {
    let (Value::Text(made), Value::Text(sent)) = (made, sent) else { return made == sent };
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    !made.is_empty() && (sent.starts_with(made.as_str()) || plain(made) == plain(sent))
}

/// How many sent values a link remembers per field.
const SENT_KEPT: usize = 6;

impl Link {
    /// Where it lies.
    pub fn place(destination: &str, object: ObjectType, record: &str) -> Key {
        Key::new(format!("l#{destination}#{object}#{record}"), "link")
    }

    /// Makes the link stand for this object. What is known of another object says nothing about it.
    pub fn point_to(&mut self, id: String) {
        if self.remote.as_ref().is_some_and(|remote| *remote != id) {
            self.seen.clear();
            self.pushed.clear();
            self.back.clear();
            self.created = None;
            self.unheard.clear();
        }
        self.orphans.remove(&id);
        self.remote = Some(id);
    }

    /// Remembers what is about to be sent.
    pub fn intend(&mut self, field: &FieldName, value: Value, now_ms: i64) {
        self.remember(field, Sent { value, stamp: None, intended_ms: now_ms });
    }

    /// Adds to what was sent lately.
    pub fn remember(&mut self, field: &FieldName, sent: Sent) {
        let ring = self.sent.entry(field.clone()).or_default();
        ring.push(sent);
        if ring.len() > SENT_KEPT {
            ring.remove(0);
        }
    }

    /// Notes that a source has told what the object holds in a field. An older value says nothing about what was found.
    pub fn hear(&mut self, field: &FieldName, value: &Value, stamp: Stamp) -> bool {
        let heard = self.unheard.get(field).is_some_and(|found| found.value == *value || found.stamp <= stamp);
        heard && self.unheard.remove(field).is_some()
    }

    /// True when a value of this time is a settled write of ours, by the destination's clock.
    pub fn has_written(&self, field: &FieldName, value: &Value, stamp: Stamp, tolerance_ms: i64) -> bool {
        let settled = |sent: &Sent| sent.stamp.is_some_and(|written| stamp.at_ms <= written.at_ms + tolerance_ms);
        self.sent.get(field).is_some_and(|ring| ring.iter().any(|sent| sent.value == *value && settled(sent)))
    }

    /// Forgets the values of the open push, which surely was not made.
    pub fn forget_open(&mut self) {
        self.open = false;
        for ring in self.sent.values_mut() {
            if ring.last().is_some_and(|sent| sent.stamp.is_none()) {
                ring.pop();
            }
        }
    }

    /// Notes that the destination will not take this version: nobody asks again on his own, only a newer version or a person.
    pub fn reject(&mut self, version: u64) {
        self.rejected = true;
        self.pushed_version = self.pushed_version.max(version);
    }

    /// Asks to look at the destination when it is time to.
    pub fn look_due(&mut self, now_ms: i64) {
        if self.look_again.is_some_and(|at| at <= now_ms) {
            self.look_again = None;
            self.dirty = true;
        }
    }

    /// True when this is the object that the link stands for, or one that was its object before a merge.
    pub fn is_about(&self, id: &str, marked: bool) -> bool {
        match &self.remote {
            Some(remote) => remote == id || self.orphans.contains(id),
            None => marked,
        }
    }

    /// Notes what a destination holds, unless something newer is known.
    pub fn see(&mut self, field: &FieldName, value: &Value, stamp: Stamp) -> bool {
        match self.seen.get_mut(field) {
            Some(seen) if seen.stamp > stamp => false,
            Some(seen) => {
                let changed = seen.value != *value;
                *seen = Seen { value: value.clone(), stamp };
                changed
            }
            None => {
                self.seen.insert(field.clone(), Seen { value: value.clone(), stamp });
                true
            }
        }
    }
}

/// Where the pointer from an identity key (or a remote id) to its golden record lies.
pub fn key_place(object: ObjectType, hash: &str) -> Key {
    Key::new(format!("k#{object}#{hash}"), "key")
}

/// The identity key of a remote object itself.
pub fn remote_hash(vault: &Vault, source: &RemoteId) -> KeyHash {
    vault.key_hash(&["remote", &source.connection, &source.object, &source.id])
}

fn version_of(item: &Item) -> u64 {
    item.n("ver").and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
}

fn as_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The condition under which a record that was read at this version may be written.
pub fn unchanged_since(version: u64) -> Condition {
    if version == 0 { Condition::Absent } else { Condition::Equals("ver", Attr::N(as_number(version))) }
}

/// Reads a source record.
pub async fn read_source<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<SourceRecord, Failure> {
    let mut record: SourceRecord = vault.unseal(ports, item).await?;
    record.version = version_of(item);
    Ok(record)
}

/// Reads a golden record.
pub async fn read_golden<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<GoldenRecord, Failure> {
    let mut record: GoldenRecord = vault.unseal(ports, item).await?;
    record.version = version_of(item);
    Ok(record)
}

/// Reads a link.
pub async fn read_link<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<Link, Failure> {
    let mut link: Link = vault.unseal(ports, item).await?;
    link.version = version_of(item);
    Ok(link)
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
        let Some(item) = ports.get(Table::Golden, &GoldenRecord::place(object, &id)).await? else { return Ok(None) };
        let record = read_golden(ports, vault, &item).await?;
        match record.redirect {
            Some(next) => id = next,
            None => return Ok(Some(record)),
        }
    }
    Err(Failure::new(crate::failure::Code::Bug, "a chain of redirects is too long"))
}

/// Longest chain of redirects that is followed.
const MAX_REDIRECTS: usize = 32;

/// A versioned record that is sealed into one item.
pub trait Stored: Serialize {
    /// The table.
    const TABLE: Table;
    /// The version that was read; 0 for a new record.
    fn version(&self) -> u64;
    /// Attributes in the clear.
    fn plain(&self, item: Item) -> Item;
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

impl Stored for GoldenRecord {
    const TABLE: Table = Table::Golden;
    fn version(&self) -> u64 {
        self.version
    }
    fn plain(&self, item: Item) -> Item {
        let item = item
            .with("object", Attr::S(self.object.name().into()))
            .with("record", Attr::S(self.id.to_string()))
            .with("gen", Attr::N(as_number(self.generation)))
            .with("deleted", Attr::Bool(self.deleted));
        match &self.redirect {
            Some(target) => item.with("redirect", Attr::S(target.to_string())),
            None => item,
        }
    }
}

impl Stored for Link {
    const TABLE: Table = Table::Links;
    fn version(&self) -> u64 {
        self.version
    }
    fn plain(&self, item: Item) -> Item {
        let item = item
            .with("lease", Attr::N(self.lease_until))
            .with("pushed", Attr::N(as_number(self.pushed_version)))
            .with("settled", Attr::Bool(self.rejected || !self.open && !self.dirty))
            .with("gone", Attr::Bool(self.gone || self.rejected || self.moved_to.is_some()));
        match &self.remote {
            Some(remote) => item.with("remote", Attr::S(remote.clone())),
            None => item,
        }
    }
}

/// The write that stores a record as its next version, if it is still at the version that was read. The data key must have
/// been loaded.
pub fn put<P: Clock, R: Stored>(ports: &P, vault: &Vault, place: Key, key_id: &str, record: &R) -> Result<Write, Failure> {
    let mut item = record.plain(Item::new(place)).with("ver", Attr::N(as_number(record.version() + 1)));
    vault.seal_into(ports, &mut item, key_id, record)?;
    Ok(Write::Put { table: R::TABLE, item, condition: unchanged_since(record.version()) })
}
