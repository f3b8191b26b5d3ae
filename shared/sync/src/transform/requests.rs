//! Events whose body does not hold the data: `reconcile` is requested to read the records that a thin event names, or what events
//! that were lost would have reported.

use canonical::{Envelope, EventRef, FetchRequest, Outcome, ReadRequest, RemoteId, SweepRequest};
use providers::Sequence;

use super::{EventResult, Incoming, Ports, Transform};
use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::outbox::send_read_requests;
use crate::ports::{Attr, Condition, Item, Key, Table, Write};
use crate::record::journal::{AccountLine, JournalEntry, entry_key, outcome_of, sequence_key};

/// How often storing the number of a connection's last event is tried against other workers.
const MAX_SEQUENCE_WRITES: usize = 4;

impl<P: Ports> Transform<'_, P> {
    /// Handles a thin event: requests the records that it names, unless it only reports the hub's own write. Its account line
    /// stays in flight until the read is merged.
    pub(super) async fn request_fetch(&self, incoming: &Incoming<'_>, sources: &[RemoteId]) -> Result<EventResult, Failure> {
        let Incoming { envelope, event, event_ref, .. } = incoming;
        let requests = |cause: &EventRef| {
            let fetch = |source: &RemoteId| {
                let (cause, trace) = (Some(cause.clone()), envelope.trace.clone());
                ReadRequest::Fetch(FetchRequest {
                    source: source.clone(),
                    cause,
                    not_before: event.stamp,
                    absent_since_ms: None,
                    trace,
                })
            };
            sources.iter().map(fetch).collect()
        };
        let key = entry_key(self.vault, &envelope.connection, &event.key, 0);
        if self.is_our_write(event, sources).await? {
            // An entry that exists already belongs to a request that was sent before the event was known to be an echo: that
            // request goes on.
            let entry = JournalEntry::without_record(event_ref, Outcome::Echo, true);
            if write_if(self.ports, entry.build_put(key.clone(), self.expires_s(envelope), Condition::Absent)).await? {
                return Ok(EventResult::new(Outcome::Echo));
            }
        }
        self.request_once(incoming, key, requests).await
    }

    /// Handles an event that reports lost or unlisted changes: requests a sweep. Its idempotency key does not count here: each
    /// delivery means that changes happened again, so each requests a sweep.
    pub(super) async fn request_sweep(
        &self,
        incoming: &Incoming<'_>,
        objects: &[String],
        reason: &str,
    ) -> Result<EventResult, Failure> {
        let Incoming { envelope, event_ref, .. } = incoming;
        let request = |cause: &EventRef| {
            vec![ReadRequest::Sweep(SweepRequest {
                connection: envelope.connection.clone(),
                objects: objects.to_vec(),
                reason: reason.to_owned(),
                cause: Some(cause.clone()),
                trace: envelope.trace.clone(),
            })]
        };
        let key = entry_key(self.vault, &envelope.connection, &format!("{}#{}", envelope.id, event_ref.index), 0);
        self.request_once(incoming, key, request).await
    }

    /// Sends requests once, and leaves the event in flight until they are answered.
    async fn request_once(
        &self,
        incoming: &Incoming<'_>,
        key: Key,
        requests: impl Fn(&EventRef) -> Vec<ReadRequest>,
    ) -> Result<EventResult, Failure> {
        let Incoming { envelope, event_ref, .. } = incoming;
        let fresh = JournalEntry::without_record(event_ref, Outcome::InFlight, false);
        let entry = if write_if(self.ports, fresh.build_put(key.clone(), self.expires_s(envelope), Condition::Absent)).await? {
            fresh
        } else {
            let item = self.ports.get(Table::Journal, &key).await?;
            let stored = item.as_ref().and_then(JournalEntry::read);
            stored.ok_or_else(|| Failure::new(Code::Contention, "a journal entry vanished"))?
        };
        let duplicate = entry.is_of_another(event_ref);
        let mut result = EventResult::new(if duplicate { Outcome::Duplicate } else { entry.outcome });
        if !entry.dispatched {
            // The line is opened before the request is sent: the answer may close it before this function goes on, and must not
            // be overwritten.
            if !duplicate {
                self.open_account_line(event_ref).await?;
            }
            let cause = entry.first_event(&envelope.connection);
            send_read_requests(self.ports, &requests(&cause)).await?;
            result.close.push(self.mark_dispatched(envelope, entry, key));
        }
        Ok(result)
    }

    /// Opens the account line of an event that waits for `reconcile`, also when an earlier attempt of it was parked.
    async fn open_account_line(&self, event: &EventRef) -> Result<(), Failure> {
        let condition = match outcome_of(self.ports, event).await? {
            None => Condition::Absent,
            Some(Outcome::Dead) => Condition::Equals("outcome", Attr::S(Outcome::Dead.name().into())),
            Some(_) => return Ok(()),
        };
        let line = AccountLine { event, outcome: Outcome::InFlight, reason: None };
        write_if(self.ports, line.build_put(self.config.hub().journal_days, condition)).await?;
        Ok(())
    }

    /// Stores the number of a connection's last event, and requests a sweep when events before it did not arrive. Events that are
    /// only late cause a sweep that was not necessary.
    pub(super) async fn check_sequence(&self, envelope: &Envelope, sequence: Sequence) -> Result<(), Failure> {
        let key = sequence_key(&envelope.connection);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for _ in 0..MAX_SEQUENCE_WRITES {
            let stored = self.ports.get(Table::Journal, &key).await?.and_then(|item| item.n("last"));
            let seen = stored.map(|last| u64::try_from(last).unwrap_or(0));
            let missing = seen.map_or(0, |seen| sequence.missing_after(seen));
            if seen.is_some_and(|seen| seen >= sequence.last) {
                return Ok(());
            }
            if missing > 0 {
                tracing::warn!(connection = %envelope.connection, missing, before = sequence.first, trace = %envelope.trace, "events did not arrive");
                let request = SweepRequest {
                    connection: envelope.connection.clone(),
                    objects: Vec::new(),
                    reason: format!("{missing} events before number {} did not arrive", sequence.first),
                    cause: None,
                    trace: envelope.trace.clone(),
                };
                send_read_requests(self.ports, &[ReadRequest::Sweep(request)]).await?;
            }
            let item = Item::new(key.clone()).with("last", Attr::N(number(sequence.last)));
            let condition = stored.map_or(Condition::Absent, |last| Condition::Equals("last", Attr::N(last)));
            if write_if(self.ports, Write::Put { table: Table::Journal, item, condition }).await? {
                return Ok(());
            }
        }
        Err(Failure::new(Code::Contention, "other workers kept storing the number of the last event"))
    }
}
