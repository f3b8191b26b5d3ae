//! Events whose fields were set aside, sealed and as they came, so that they can be handled again after the mapping was corrected.

use canonical::QueueName;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};
use crate::seal::Vault;

/// The message attribute by which a drained event is known; its value says how often the event was drained.
pub const DRAIN: &str = "drain";

/// The partition of a connection's quarantined events of one day (days since the epoch).
pub fn quarantine_partition(connection: &str, day: i64) -> String {
    format!("q#{connection}#{day}")
}

/// An event of which fields were set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedEvent {
    /// When the hub received it, in milliseconds since 1970.
    pub received_at_ms: i64,
    /// Its type, as the provider names it; of a record that was read, the provider's name of the object.
    pub event_type: String,
    /// The fields with their paths, and what is wrong with each.
    pub reason: String,
    /// The ingest queue that it came by.
    pub queue: QueueName,
    /// Its index in the envelope; `None` for a record that was read.
    pub index: Option<u32>,
    /// The envelope, as it was in the queue.
    pub message: String,
}

/// A quarantined event and its item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The item's key.
    pub key: Key,
    /// How often the event was drained.
    pub drains: i64,
    /// The event.
    pub event: QuarantinedEvent,
}

/// Builds the write that keeps an event. The data key of the key's partition must have been loaded.
pub fn build_quarantine_put<P: Clock>(ports: &P, vault: &Vault, stored: &StoredEvent, expires_s: i64) -> Result<Write, Failure> {
    let mut item = Item::new(stored.key.clone()).with("drains", Attr::N(stored.drains)).with("ttl", Attr::N(expires_s));
    vault.seal_into(ports, &mut item, &stored.key.pk, &stored.event)?;
    Ok(Write::Put { table: Table::Journal, item, condition: Condition::Always })
}

/// Builds the write that removes an event that was sent again. It fails when the event was set aside once more meanwhile.
pub fn build_quarantine_delete(stored: &StoredEvent) -> Write {
    let condition = Condition::Equals("drains", Attr::N(stored.drains));
    Write::Delete { table: Table::Journal, key: stored.key.clone(), condition }
}

/// Reads a connection's quarantined events of one day, the oldest first.
pub async fn quarantined_events<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    connection: &str,
    day: i64,
) -> Result<Vec<StoredEvent>, Failure> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Journal, &quarantine_partition(connection, day), "", 100, after.as_ref()).await?;
        for item in &page.items {
            let event = vault.unseal::<_, QuarantinedEvent>(ports, item).await?;
            events.push(StoredEvent { key: item.key.clone(), drains: item.n("drains").unwrap_or(0), event });
        }
        after = page.next;
        if after.is_none() {
            events.sort_by_key(|stored| stored.event.received_at_ms);
            return Ok(events);
        }
    }
}
