//! Envelopes of `reconcile`: one record that was read from a provider, or the finding that it does not exist.

use std::collections::BTreeSet;

use canonical::{Change, ChangeKind, Envelope, EventRef, Fetched, Lane, Outcome, QueueName, Stamp};
use providers::Provider;

use super::quarantine::key_with_drains;
use super::{AppliedChange, JournaledChange, Ports, Transform, dispatches_of, event_ref};
use crate::batch::{Metric, measure_handled};
use crate::failure::{Code, Failure};
use crate::ports::Table;
use crate::record::journal::{AccountLine, build_swept_put, close_account_line, entry_key};
use crate::record::{SourceRecord, identity_key, remote_hash};

impl<P: Ports> Transform<'_, P> {
    /// Reads the changes from the body of a fetched record. A record that does not exist is a deletion, if the hub ever knew it.
    pub(super) async fn read_changes(&self, provider: &Provider, fetched: &Fetched, body: &[u8]) -> Result<Vec<Change>, Failure> {
        let source = &fetched.source;
        let changes = if fetched.missing {
            self.delete_if_known(provider, fetched).await?.into_iter().collect()
        } else {
            let record = provider.record(&source.connection, &source.object, body);
            record.map_err(|m| Failure::new(Code::MalformedBody, m.to_string()))?
        };
        Ok(if self.accepts(&source.connection, &changes) { changes } else { Vec::new() })
    }

    /// Merges what `reconcile` read. A snapshot is not recognised by its content, since A → B → A is real, and it need not be: a
    /// repetition changes nothing. The journal entry under the envelope's own id only remembers what is still to be dispatched
    /// after a crash.
    pub(super) async fn handle_fetched(
        &self,
        envelope: &Envelope,
        fetched: &Fetched,
        changes: Vec<Change>,
        drains: i64,
        metrics: &mut Vec<Metric>,
    ) -> Result<(), Failure> {
        let connection = &fetched.source.connection;
        let own_event = event_ref(envelope, 0);
        let unique: Vec<EventRef> = fetched.causes.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let mut causes: &[EventRef] = &unique;
        for (index, change) in self.with_effects(&changes).iter().enumerate() {
            let entry_key = entry_key(self.vault, connection, &key_with_drains(&envelope.id, drains), index);
            let journaled = JournaledChange { change, entry_key: entry_key.clone(), causes };
            let AppliedChange { entry, .. } = self.apply_change(envelope, &own_event, journaled).await?;
            causes = &[];
            if unique.is_empty() && *self.queue == QueueName::ingest(Lane::Bulk) {
                self.count_swept(&own_event, index, entry.outcome).await?;
            }
            metrics.push(Metric::count("fetched", 1.0, connection));
            if !entry.dispatched {
                self.send_dispatches(&dispatches_of(&entry, envelope)).await?;
                self.ports.write(vec![self.mark_dispatched(envelope, entry, entry_key)], None).await?;
            }
        }
        for event in causes {
            let line = AccountLine { event, outcome: Outcome::Unchanged, reason: None };
            close_account_line(self.ports, line, self.config.hub().journal_days).await?;
        }
        metrics.extend(measure_handled(false, connection));
        Ok(())
    }

    /// Counts a record that changed something although no event had reported it. Sweeps and comparisons come by the bulk lane, and
    /// without an event that caused them.
    async fn count_swept(&self, envelope: &EventRef, change: usize, outcome: Outcome) -> Result<(), Failure> {
        if !matches!(outcome, Outcome::Applied | Outcome::Quarantined) {
            return Ok(());
        }
        let event = EventRef { index: u32::try_from(change).unwrap_or(u32::MAX), ..envelope.clone() };
        self.ports.write(vec![build_swept_put(&event, outcome, self.config.hub().journal_days)], None).await?;
        Ok(())
    }

    /// The deletion of a record that a read did not find; `None` when the hub never knew the record.
    async fn delete_if_known(&self, provider: &Provider, fetched: &Fetched) -> Result<Option<Change>, Failure> {
        let Some(object) = provider.object_of(&fetched.source.object) else { return Ok(None) };
        let source_key = SourceRecord::key(self.vault, &fetched.source);
        let pointer = identity_key(object, &remote_hash(self.vault, &fetched.source));
        // An object that the hub created may not have sent an event of its own yet: then only its identity key is stored.
        if self.ports.get(Table::Golden, &source_key).await?.is_none() && self.ports.get(Table::Links, &pointer).await?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(Change {
            object,
            source: fetched.source.clone(),
            kind: ChangeKind::Delete { privacy: false },
            stamp: Some(Stamp::at(fetched.read_at_ms)),
            fields: Default::default(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
            id_of_event: false,
        }))
    }
}
