//! Events that nothing is mapped for and that are stored as they came, for an operator to read.

use canonical::Outcome;

use super::{EventResult, Incoming, Ports, Transform};
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Condition, Item, Key, Table, Write, WriteError};
use crate::record::journal::{JournalEntry, RetainedEvent, day, entry_key, retained_partition};

impl<P: Ports> Transform<'_, P> {
    /// Stores an event as it came, once, and sealed, because it may hold personal data.
    pub(super) async fn retain_event(&self, incoming: &Incoming<'_>, reason: &str, text: &str) -> Result<EventResult, Failure> {
        let Incoming { envelope, event, event_ref, .. } = incoming;
        if text.len() > self.config.hub().limits.item_bytes {
            return Err(Failure::new(Code::CapExceeded, format!("an event of {} bytes does not fit one item", text.len())));
        }
        let partition = retained_partition(&envelope.connection, day(envelope.received_at_ms));
        // A repetition may arrive on another day, in another partition: the journal entry recognises it all the same.
        let entry_key = entry_key(self.vault, &envelope.connection, &event.key, 0);
        let expires_s = self.expires_s(envelope);
        self.vault.ensure_key(self.ports, &partition).await?;
        let mut item = Item::new(Key::new(partition.clone(), entry_key.pk.clone())).with("ttl", Attr::N(expires_s));
        let retained = RetainedEvent {
            received_at_ms: envelope.received_at_ms,
            event_type: event.event_type.clone(),
            event: text.to_owned(),
        };
        self.vault.seal_into(self.ports, &mut item, &partition, &retained)?;
        let entry = JournalEntry::without_record(event_ref, Outcome::Ignored, true);
        let writes = vec![
            Write::Put { table: Table::Journal, item, condition: Condition::Always },
            entry.build_put(entry_key.clone(), expires_s, Condition::Absent),
        ];
        let stored = || EventResult::with_reason(Outcome::Ignored, reason);
        match self.ports.write(writes, None).await {
            Ok(()) => Ok(stored()),
            Err(WriteError::Conflict { .. }) => {
                let first = self.ports.get(Table::Journal, &entry_key).await?.as_ref().and_then(JournalEntry::read);
                match first {
                    Some(first) if first.is_of_another(event_ref) => Ok(EventResult::new(Outcome::Duplicate)),
                    Some(_) => Ok(stored()),
                    None => Err(Failure::new(Code::Contention, "another worker was storing the same retained event")),
                }
            }
            Err(WriteError::Port(error)) => Err(error.into()),
        }
    }
}
