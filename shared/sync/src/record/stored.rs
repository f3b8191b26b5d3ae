//! What golden records, source records and links have in common: a version, and one sealed item.

use serde::Serialize;

use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Table, Write};
use crate::seal::Vault;

/// A versioned record that is sealed into one item.
pub trait Stored: Serialize {
    /// The table.
    const TABLE: Table;
    /// The version that was read; 0 for a new record.
    fn version(&self) -> u64;
    /// Attributes in the clear.
    fn plain(&self, item: Item) -> Item;
}

/// Builds the write that stores a record as its next version, if it is still at the version that was read. The data key must have
/// been loaded.
pub fn build_put<P: Clock, R: Stored>(ports: &P, vault: &Vault, key: Key, key_id: &str, record: &R) -> Result<Write, Failure> {
    build_put_as(ports, vault, key, key_id, record, record.version() + 1)
}

/// Builds the write that stores a record as this version, if it is still at the version that was read. The data key must have
/// been loaded.
pub fn build_put_as<P: Clock, R: Stored>(
    ports: &P,
    vault: &Vault,
    key: Key,
    key_id: &str,
    record: &R,
    version: u64,
) -> Result<Write, Failure> {
    let mut item = record.plain(Item::new(key)).with("ver", Attr::N(as_number(version)));
    vault.seal_into(ports, &mut item, key_id, record)?;
    Ok(Write::Put { table: R::TABLE, item, condition: unchanged_since(record.version()) })
}

/// The condition that a record is still at the version that was read.
pub fn unchanged_since(version: u64) -> Condition {
    if version == 0 { Condition::Absent } else { Condition::Equals("ver", Attr::N(as_number(version))) }
}

/// The version of a stored record.
pub(super) fn version_of(item: &Item) -> u64 {
    item.n("ver").and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
}

/// A version as a number attribute.
pub(super) fn as_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
