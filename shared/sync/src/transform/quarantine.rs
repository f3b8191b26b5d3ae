//! Keeping events whose fields were set aside: the record goes on without them, and the event waits for a corrected mapping.

use canonical::Envelope;

use super::{Ports, Transform};
use crate::failure::Failure;
use crate::outbox::serialize;
use crate::ports::{Delivery, Key};
use crate::record::journal::day;
use crate::record::quarantined::{DRAIN, QuarantinedEvent, StoredEvent, build_quarantine_put, quarantine_partition};

/// Which event of an envelope was set aside, and why.
pub(super) struct SetAside<'a> {
    pub index: Option<u32>,
    pub event_type: &'a str,
    pub reason: &'a str,
}

/// How often an event was drained; 0 for one that came by itself.
pub(super) fn drains_of(delivery: &Delivery) -> i64 {
    delivery.attributes.get(DRAIN).and_then(|drains| drains.parse().ok()).unwrap_or(0)
}

/// The idempotency key of an event: each draining handles it once more.
pub(super) fn key_with_drains(key: &str, drains: i64) -> String {
    if drains == 0 { key.to_owned() } else { format!("{key}#{DRAIN}#{drains}") }
}

impl<P: Ports> Transform<'_, P> {
    /// Keeps an event, sealed, because it may hold personal data. One that is too large for an item is not kept.
    pub(super) async fn keep_quarantined(
        &self,
        envelope: &Envelope,
        delivery: &Delivery,
        aside: SetAside<'_>,
    ) -> Result<(), Failure> {
        let SetAside { index, event_type, reason } = aside;
        let event = QuarantinedEvent {
            received_at_ms: envelope.received_at_ms,
            event_type: event_type.to_owned(),
            reason: reason.to_owned(),
            queue: self.queue.clone(),
            index,
            message: delivery.body.clone(),
        };
        let bytes = serialize(&event)?.len();
        if bytes > self.config.hub().limits.item_bytes {
            tracing::warn!(connection = %envelope.connection, envelope = %envelope.id, bytes, "a quarantined event is too large to be kept");
            return Ok(());
        }
        let partition = quarantine_partition(&envelope.connection, day(envelope.received_at_ms));
        let key = Key::new(partition, format!("{}#{:06}", envelope.id, index.unwrap_or(0)));
        self.vault.ensure_key(self.ports, &key.pk).await?;
        let stored = StoredEvent { key, drains: drains_of(delivery), event };
        self.ports.write(vec![build_quarantine_put(self.ports, self.vault, &stored, self.expires_s(envelope))?], None).await?;
        Ok(())
    }
}
