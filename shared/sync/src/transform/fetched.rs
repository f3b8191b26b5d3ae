//! Envelopes of `reconcile`: one record that was read from a provider, or the finding that it does not exist.

use std::collections::BTreeSet;

use canonical::{Change, ChangeKind, Envelope, EventRef, Fetched, Lane, ObjectType, Outcome, QueueName, RemoteId, Stamp};
use providers::Provider;

use super::quarantine::key_with_drains;
use super::{AppliedChange, JournaledChange, Ports, Transform, combine_outcomes, dispatches_of, event_ref, held_reason};
use crate::batch::{Metric, measure_handled};
use crate::failure::{Code, Failure};
use crate::import::is_imported;
use crate::join::join;
use crate::outbox::{SecondLook, request_second_look};
use crate::ports::Table;
use crate::quarantine::quarantine_reason;
use crate::record::journal::{AccountLine, build_swept_put, close_account_line, entry_key};
use crate::record::{SourceRecord, identity_key, remote_hash};

impl<P: Ports> Transform<'_, P> {
    /// Reads the changes from the body of a fetched record. A record that was not found is absent, if the hub ever knew it. A
    /// record under another id than the one that was read is what the object was merged into.
    pub(super) async fn read_changes(&self, provider: &Provider, fetched: &Fetched, body: &[u8]) -> Result<Vec<Change>, Failure> {
        let source = &fetched.source;
        if fetched.missing {
            return Ok(self.read_absence(provider, fetched).await?.into_iter().collect());
        }
        let record = provider.record(&source.connection, &source.object, body);
        let mut changes = record.map_err(|m| Failure::new(Code::MalformedBody, m.to_string()))?;
        if !self.accepts(&source.connection, &changes) {
            return Ok(Vec::new());
        }
        let survivor = changes.first().filter(|change| is_redirected(source, change)).map(|change| change.source.id.clone());
        if let (Some(id), Some(object)) = (survivor, self.known_object(provider, source).await?) {
            changes.insert(0, change_of(fetched, object, ChangeKind::MergedInto { id }, fetched.read_at_ms));
        }
        Ok(changes)
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
        let (mut outcomes, mut others, mut novelty, mut set_aside) = (Vec::new(), Vec::new(), None, Vec::new());
        let changes = self.with_effects(&changes);
        for (index, change) in changes.iter().enumerate() {
            let entry_key = entry_key(self.vault, connection, &key_with_drains(&envelope.id, drains), index);
            let journaled = JournaledChange { change, entry_key: entry_key.clone() };
            let AppliedChange { entry, mut problems, .. } = self.apply_change(envelope, &own_event, journaled).await?;
            set_aside.append(&mut problems);
            outcomes.push(entry.outcome);
            others.push(entry.outcome_of_others);
            novelty.get_or_insert(entry.novelty.clone());
            if unique.is_empty() && *self.queue == QueueName::ingest(Lane::Bulk) {
                self.count_swept(&own_event, index, entry.outcome).await?;
            }
            metrics.push(Metric::count("fetched", 1.0, connection));
            if !entry.dispatched {
                self.send_dispatches(&dispatches_of(&entry, envelope)).await?;
                self.ports.write(vec![self.mark_dispatched(envelope, entry, entry_key)], None).await?;
            }
        }
        metrics.extend(measure_handled(false, connection));
        let combined = |outcomes: Vec<Outcome>| match outcomes.is_empty() {
            true => Outcome::Unchanged,
            false => combine_outcomes(outcomes.into_iter()),
        };
        let (first, others) = (combined(outcomes), combined(others));
        let reason = quarantine_reason(&set_aside).or_else(|| held_reason(first));
        self.close_causes(&unique, (first, others), reason.or(novelty.filter(|_| unique.iter().any(is_imported))).as_deref())
            .await
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

    /// Closes the account lines of the thin events that a read answers: the first with its outcome, the others with theirs. There
    /// may be more of them than a transaction holds, so each is closed by itself. A crash in between repeats safely: the journal
    /// entries of the read remember the outcomes.
    async fn close_causes(&self, causes: &[EventRef], outcomes: (Outcome, Outcome), reason: Option<&str>) -> Result<(), Failure> {
        let days = self.config.hub().journal_days;
        let closed = join(causes.iter().enumerate().map(|(n, event)| {
            let line = AccountLine { event, outcome: if n == 0 { outcomes.0 } else { outcomes.1 }, reason };
            async move { close_account_line(self.ports, line, days).await }
        }))
        .await;
        closed.into_iter().collect()
    }

    /// What it means that a read did not find a record; `None` when the hub never knew the record. One read proves nothing:
    /// providers answer from copies that lag, and a user may see less today than yesterday. So a second look is requested, after
    /// the provider's declared lag.
    async fn read_absence(&self, provider: &Provider, fetched: &Fetched) -> Result<Option<Change>, Failure> {
        let Some(object) = self.known_object(provider, &fetched.source).await? else { return Ok(None) };
        let confirmed = fetched.absent_since_ms.is_some();
        let since_ms = fetched.absent_since_ms.unwrap_or(fetched.read_at_ms);
        if !confirmed {
            let lag_ms = provider.manifest().api.lag_ms;
            request_second_look(self.ports, self.config, SecondLook { source: &fetched.source, since_ms, lag_ms }).await?;
        }
        Ok(Some(change_of(fetched, object, ChangeKind::Absent { confirmed }, since_ms)))
    }

    /// The canonical type of a record, if the hub knows it.
    async fn known_object(&self, provider: &Provider, source: &RemoteId) -> Result<Option<ObjectType>, Failure> {
        let Some(object) = provider.object_of(&source.object) else { return Ok(None) };
        let pointer = identity_key(object, &remote_hash(self.vault, source));
        // An object that the hub created may not have sent an event of its own yet: then only its identity key is stored.
        let known = self.ports.get(Table::Golden, &SourceRecord::key(self.vault, source)).await?.is_some()
            || self.ports.get(Table::Links, &pointer).await?.is_some();
        Ok(known.then_some(object))
    }
}

/// True when a change is about another object of the same kind than the one that was read.
fn is_redirected(read: &RemoteId, change: &Change) -> bool {
    change.source.connection == read.connection && change.source.object == read.object && change.source.id != read.id
}

/// A change of the object that was read, without values.
fn change_of(fetched: &Fetched, object: ObjectType, kind: ChangeKind, at_ms: i64) -> Change {
    Change {
        object,
        source: fetched.source.clone(),
        kind,
        stamp: Some(Stamp::at(at_ms)),
        fields: Default::default(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    }
}
