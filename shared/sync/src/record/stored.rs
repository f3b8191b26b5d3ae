//! What golden records, source records and links have in common: a version, and one sealed item.

use serde::Serialize;

use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Table, Write};
use crate::seal::Vault;

/// A versioned record that is sealed into one item.
pub trait Stored: Serialize {
    /// The table.
    const TABLE: Table;
    /// The attribute that each write compares and raises.
    const GUARD: &'static str = "ver";
    /// The version that was read; 0 for a new record.
    fn version(&self) -> u64;
    /// What the guard was when the record was read; 0 for a new record.
    fn guard(&self) -> u64 {
        self.version()
    }
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
    if R::GUARD != "ver" {
        item = item.with(R::GUARD, Attr::N(as_number(record.guard() + 1)));
    }
    vault.seal_into(ports, &mut item, key_id, record)?;
    let bytes = item.b("sealed").map_or(0, <[u8]>::len);
    if bytes > ITEM_BYTES {
        let detail = format!("an item of the table {} would have {bytes} bytes, the limit is {ITEM_BYTES}", R::TABLE.name());
        return Err(Failure::new(Code::CapExceeded, detail));
    }
    Ok(Write::Put { table: R::TABLE, item, condition: unchanged(record) })
}

/// The largest sealed part of an item, in bytes: DynamoDB takes items up to 400 kB.
const ITEM_BYTES: usize = 390_000;

/// The condition that nobody has written a record since it was read.
pub fn unchanged<R: Stored>(record: &R) -> Condition {
    still(R::GUARD, record.guard())
}

/// The condition that an item is still at the version that was read; 0 for an item that is not stored yet.
pub fn unchanged_since(version: u64) -> Condition {
    still("ver", version)
}

fn still(attribute: &'static str, number: u64) -> Condition {
    if number == 0 { Condition::Absent } else { Condition::Equals(attribute, Attr::N(as_number(number))) }
}

/// The version of a stored record.
pub(super) fn version_of(item: &Item) -> u64 {
    number_of(item, "ver")
}

/// A count in an attribute; 0 where it is missing.
pub(super) fn number_of(item: &Item, attribute: &str) -> u64 {
    item.n(attribute).and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
}

/// A version as a number attribute.
pub(super) fn as_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
