//! The audit log: which values of a golden record changed, and what was pushed to which destination. Entries are only added.

use canonical::ObjectType;
use serde::Serialize;

use super::golden::GoldenRecord;
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Table, Write};
use crate::seal::Vault;

/// Values of more bytes than this are [shortened](super::shortened) in an entry, so that it always fits one item.
pub const AUDIT_BYTES: usize = 2_000;

/// What an entry is about.
#[derive(Debug, Clone, Copy)]
pub struct AuditSubject<'a> {
    /// The object type of the golden record.
    pub object: ObjectType,
    /// The golden record.
    pub record: &'a str,
    /// Its version after the change.
    pub version: u64,
    /// What wrote the entry: `transform`, or the destination of a push.
    pub writer: &'a str,
}

/// The partition of a golden record's entries. They sort by version, then by writer, then by time.
pub fn audit_partition(object: ObjectType, record: &str) -> String {
    format!("r#{object}#{record}")
}

/// Builds the write of an entry, sealed under the golden record's data key, which must have been loaded.
///
/// The log is append-only by condition, not only by habit: the entry's key must not exist yet. The key ends with the time and
/// with random digits, so each call has a key of its own, and the condition never stands in the way of a change, not even
/// after tables were restored from a backup and versions repeat. That no change has two entries is the business of the
/// transaction that the entry is written in. There are three ways to repeat it. The store is sent the same transaction again
/// (its answer was lost): the client token makes it succeed without writing. The message is delivered again: `transform` finds
/// the journal entry, which must be absent for the transaction, and `upsert` finds the link at this version; neither writes a
/// second entry. Two workers try at the same time: the condition on the version of the golden record or of the link lets one
/// of them through.
pub fn build_audit_put<P: Clock, T: Serialize>(
    ports: &P,
    vault: &Vault,
    subject: AuditSubject<'_>,
    entry: &T,
) -> Result<Write, Failure> {
    let AuditSubject { object, record, version, writer } = subject;
    let at_ms = ports.now_ms();
    let sort_key = format!("{version:012}#{writer}#{at_ms:013}#{:016x}", ports.random());
    let mut item = Item::new(Key::new(audit_partition(object, record), sort_key)).with("at", Attr::N(at_ms));
    vault.seal_into(ports, &mut item, &GoldenRecord::key_id(object, record), entry)?;
    Ok(Write::Put { table: Table::Audit, item, condition: Condition::Absent })
}
