//! The records that the hub stores, and the keys of their items. `docs/architecture.md` has the table of keys.

pub mod golden;
pub mod journal;
pub mod link;
pub mod observation;
pub mod source;

use canonical::{KeyHash, ObjectType, RemoteId};
use serde::Serialize;

pub use golden::{GoldenRecord, Resolved, golden_by_id, read_golden};
pub use link::{Link, Seen, Sent, may_be_made_of, read_link};
pub use source::{SourceRecord, read_source};

use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Table, Write};
use crate::seal::Vault;

/// Where the pointer from an identity key (or a remote id) to its golden record lies.
pub fn identity_key(object: ObjectType, hash: &str) -> Key {
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

/// A versioned record that is sealed into one item.
pub trait Stored: Serialize {
    /// The table.
    const TABLE: Table;
    /// The version that was read; 0 for a new record.
    fn version(&self) -> u64;
    /// Attributes in the clear.
    fn plain(&self, item: Item) -> Item;
}

/// The write that stores a record as its next version, if it is still at the version that was read. The data key must have
/// been loaded.
pub fn put<P: Clock, R: Stored>(ports: &P, vault: &Vault, place: Key, key_id: &str, record: &R) -> Result<Write, Failure> {
    let mut item = record.plain(Item::new(place)).with("ver", Attr::N(as_number(record.version() + 1)));
    vault.seal_into(ports, &mut item, key_id, record)?;
    Ok(Write::Put { table: R::TABLE, item, condition: unchanged_since(record.version()) })
}
