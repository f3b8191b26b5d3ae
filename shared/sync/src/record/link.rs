//! Links: the tie between a golden record and its object at one destination.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, FieldName, Fields, GoldenId, ObjectType, Stamp, Value};
use serde::{Deserialize, Serialize};

use super::stored::{Stored, as_number, version_of};
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Item, Key, Store, Table};
use crate::seal::Vault;

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

/// Links by golden record and destination.
pub type LinkMap = BTreeMap<(GoldenId, ConnectionName), Link>;

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
    pub fn key(destination: &str, object: ObjectType, record: &str) -> Key {
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

/// Reads a link.
pub async fn read_link<P: Store + Clock>(ports: &P, vault: &Vault, item: &Item) -> Result<Link, Failure> {
    let mut link: Link = vault.unseal(ports, item).await?;
    link.version = version_of(item);
    Ok(link)
}
