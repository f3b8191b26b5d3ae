//! Proofs that count once: a signature that does not cover the event must not come with another event.

use super::{Incoming, Ports, Transform};
use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Condition, Item, Table, Write};
use crate::record::journal::proof_key;

impl<P: Ports> Transform<'_, P> {
    /// Remembers the proof of an event that is not covered by it, so that the same proof is accepted with no other event.
    pub(super) async fn spend_proof(&self, incoming: &Incoming<'_>) -> Result<(), Failure> {
        let Incoming { envelope, event, .. } = incoming;
        let Some(token) = &event.single_use_token else { return Ok(()) };
        let proof_key = proof_key(self.vault, &envelope.connection, token);
        let event_hash = self.vault.hash(&["event", &envelope.connection, &event.key]);
        let item = Item::new(proof_key.clone())
            .with("event", Attr::S(event_hash.clone()))
            .with("ttl", Attr::N(self.expires_s(envelope)));
        if write_if(self.ports, Write::Put { table: Table::Journal, item, condition: Condition::Absent }).await? {
            return Ok(());
        }
        match self.ports.get(Table::Journal, &proof_key).await? {
            Some(item) if item.s("event") != Some(&event_hash) => {
                Err(Failure::new(Code::ProofReused, "its signature came with another event before"))
            }
            _ => Ok(()),
        }
    }
}
