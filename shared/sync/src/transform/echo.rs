//! Thin events about what the hub itself wrote, known without reading the record. Without this each push would cost a read for
//! each property that it changed.

use canonical::RemoteId;
use providers::{InboundEvent, WriteHint};

use super::{Ports, Transform};
use crate::failure::Failure;
use crate::mutant::{Mutant, mutant};
use crate::ports::Table;
use crate::record::{Link, golden_by_id, identity_key, read_link, remote_hash};

impl<P: Ports> Transform<'_, P> {
    /// True when a thin event only reports what the hub wrote and knows to be there, so that a read could bring nothing new. False in
    /// doubt.
    pub(super) async fn is_our_write(&self, event: &InboundEvent, sources: &[RemoteId]) -> Result<bool, Failure> {
        let (Some(hint), Some(stamp), [source]) = (&event.write_hint, event.stamp, sources) else { return Ok(false) };
        let (_, provider) = self.config.connection(&source.connection)?;
        let Some(object) = provider.object_of(&source.object) else { return Ok(false) };
        let written = self.config.hub().object(object).destinations.get(&source.connection);
        if written != Some(&source.object) || mutant(Mutant::EchoAsObservation) {
            return Ok(false);
        }
        let key = identity_key(object, &remote_hash(self.vault, source));
        let Some(pointer) = self.ports.get(Table::Links, &key).await? else { return Ok(false) };
        let record = pointer.s("golden").unwrap_or_default();
        let Some(golden) = golden_by_id(self.ports, self.vault, object, record).await? else { return Ok(false) };
        let link_key = Link::key(&source.connection, object, &golden.id);
        let Some(item) = self.ports.get(Table::Links, &link_key).await? else { return Ok(false) };
        let link = read_link(self.ports, self.vault, &item).await?;
        if !link.is_live_as(&source.id) {
            return Ok(false);
        }
        let tolerance = self.config.hub().limits.echo_ms;
        Ok(match hint {
            WriteHint::Created => link.has_created(stamp, tolerance),
            WriteHint::HubId(id) => link.is_marked() && golden.id == id.as_str(),
            WriteHint::Fields(fields) => {
                !fields.is_empty() && fields.iter().all(|(field, value)| link.explains(field, value, stamp, tolerance))
            }
        })
    }
}
