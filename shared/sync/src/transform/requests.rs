//! What a body cannot tell itself: records that thin events name, and what was lost between events. `reconcile` is asked for it.

use canonical::{Envelope, EventRef, FetchRequest, Outcome, QueueName, ReadRequest, RemoteId, SweepRequest};
use providers::{InboundEvent, Sequence};

use super::{Ended, Ports, Transform, all_sent};
use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Condition, Item, Key, Outgoing, Table, Write, WriteError};
use crate::record::journal::{Entry, Kept, account, day, entry_key, kept_partition, outcome_of, proof_key, sequence_key};

/// How often the number of a connection's last event is noted against other workers.
const NOTES: usize = 4;

impl<P: Ports> Transform<'_, P> {
    /// A thin event: asks `reconcile` to read what it names, unless it tells of our own write. Its account line stays in flight until
    /// the read is merged.
    pub(super) async fn thin(
        &self,
        envelope: &Envelope,
        event: &InboundEvent,
        place: &EventRef,
        sources: &[RemoteId],
    ) -> Result<Ended, Failure> {
        let requests = |cause: &EventRef| {
            let fetch = |source: &RemoteId| {
                let (cause, trace) = (Some(cause.clone()), envelope.trace.clone());
                ReadRequest::Fetch(FetchRequest { source: source.clone(), cause, not_before: event.stamp, trace })
            };
            sources.iter().map(fetch).collect()
        };
        let key = entry_key(self.vault, &envelope.connection, &event.key, 0);
        if self.is_our_write(event, sources).await? {
            // What was asked for before it could be known as ours stays asked for.
            let item = Entry::without_record(place, Outcome::Echo, true).item(key.clone(), self.expires(envelope));
            if write_if(self.ports, Write::Put { table: Table::Journal, item, condition: Condition::Absent }).await? {
                return Ok(Ended::with(Outcome::Echo));
            }
        }
        self.asked(envelope, place, key, requests).await
    }

    /// An event about more than it can tell: asks `reconcile` to compare. Each counts, also when it says the same as an earlier
    /// one: what it stands for happened again.
    pub(super) async fn compare(
        &self,
        envelope: &Envelope,
        place: &EventRef,
        objects: &[String],
        reason: &str,
    ) -> Result<Ended, Failure> {
        let request = |cause: &EventRef| {
            vec![ReadRequest::Sweep(SweepRequest {
                connection: envelope.connection.clone(),
                objects: objects.to_vec(),
                reason: reason.to_owned(),
                cause: Some(cause.clone()),
                trace: envelope.trace.clone(),
            })]
        };
        let key = entry_key(self.vault, &envelope.connection, &format!("{}#{}", envelope.id, place.index), 0);
        self.asked(envelope, place, key, request).await
    }

    /// Sends requests once, and leaves the event in flight until they are answered.
    async fn asked(
        &self,
        envelope: &Envelope,
        place: &EventRef,
        key: Key,
        requests: impl Fn(&EventRef) -> Vec<ReadRequest>,
    ) -> Result<Ended, Failure> {
        let fresh = Entry::without_record(place, Outcome::InFlight, false);
        let item = fresh.item(key.clone(), self.expires(envelope));
        let put = Write::Put { table: Table::Journal, item, condition: Condition::Absent };
        let entry = if write_if(self.ports, put).await? {
            fresh
        } else {
            let item = self.ports.get(Table::Journal, &key).await?;
            item.as_ref().and_then(Entry::read).ok_or_else(|| Failure::new(Code::Contention, "a journal entry vanished"))?
        };
        let duplicate = entry.is_of_another(place);
        let cause = EventRef {
            connection: envelope.connection.clone(),
            envelope: entry.envelope.clone(),
            index: entry.index,
            received_at_ms: entry.received_at_ms,
        };
        let mut ended = Ended::with(if duplicate { Outcome::Duplicate } else { entry.outcome });
        if !entry.dispatched {
            // Before the question: its answer may be there before the next line runs, and must be the last word.
            if !duplicate {
                self.open(place).await?;
            }
            self.ask(&envelope.connection, &requests(&cause)).await?;
            let item = Entry { dispatched: true, ..entry }.item(key, self.expires(envelope));
            ended.close.push(Write::Put { table: Table::Journal, item, condition: Condition::Always });
        }
        Ok(ended)
    }

    /// Opens the account line of an event that is about to ask, also where an earlier try of it was parked.
    async fn open(&self, place: &EventRef) -> Result<(), Failure> {
        let condition = match outcome_of(self.ports, place).await? {
            None => Condition::Absent,
            Some(Outcome::Dead) => Condition::Equals("outcome", Attr::S(Outcome::Dead.name().into())),
            Some(_) => return Ok(()),
        };
        let write = account(place, Outcome::InFlight, None, self.config.hub().journal_days, condition);
        write_if(self.ports, write).await?;
        Ok(())
    }

    async fn ask(&self, connection: &str, requests: &[ReadRequest]) -> Result<(), Failure> {
        let mut messages = Vec::new();
        for request in requests {
            let body = serde_json::to_string(request).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
            messages.push(Outgoing { group: Some(connection.to_owned()), ..Outgoing::new(body) });
        }
        all_sent(self.ports.send(&QueueName::fetch(), messages).await)
    }

    /// Keeps an event as it came, once, sealed like everything that may be personal.
    pub(super) async fn keep(
        &self,
        envelope: &Envelope,
        event: &InboundEvent,
        place: &EventRef,
        (reason, text): (&str, &str),
    ) -> Result<Ended, Failure> {
        if text.len() > self.config.hub().limits.item_bytes {
            return Err(Failure::new(Code::CapExceeded, format!("an event of {} bytes is more than one item holds", text.len())));
        }
        let partition = kept_partition(&envelope.connection, day(envelope.received_at_ms));
        // A repetition may come the next day: what counts once is the key, not the day.
        let entry = entry_key(self.vault, &envelope.connection, &event.key, 0);
        self.vault.load(self.ports, &partition, true).await?;
        let mut item = Item::new(Key::new(partition.clone(), entry.pk.clone())).with("ttl", Attr::N(self.expires(envelope)));
        let kept = Kept { received_at_ms: envelope.received_at_ms, event_type: event.event_type.clone(), event: text.to_owned() };
        self.vault.seal_into(self.ports, &mut item, &partition, &kept)?;
        let fresh = Entry::without_record(place, Outcome::Ignored, true);
        let writes = vec![
            Write::Put { table: Table::Journal, item, condition: Condition::Always },
            Write::Put {
                table: Table::Journal,
                item: fresh.item(entry.clone(), self.expires(envelope)),
                condition: Condition::Absent,
            },
        ];
        match self.ports.write(writes, None).await {
            Ok(()) => Ok(Ended::because(Outcome::Ignored, reason)),
            Err(WriteError::Conflict { .. }) => {
                let first = self.ports.get(Table::Journal, &entry).await?.as_ref().and_then(Entry::read);
                match first {
                    Some(first) if first.is_of_another(place) => Ok(Ended::with(Outcome::Duplicate)),
                    Some(_) => Ok(Ended::because(Outcome::Ignored, reason)),
                    None => Err(Failure::new(Code::Contention, "an event that is kept was in use by another worker")),
                }
            }
            Err(WriteError::Port(error)) => Err(error.into()),
        }
    }

    /// Notes the number of the last event, and asks for a comparison when some before it did not come. Events that are only late
    /// cost a comparison too many.
    pub(super) async fn note_sequence(&self, envelope: &Envelope, sequence: Sequence) -> Result<(), Failure> {
        let place = sequence_key(&envelope.connection);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for _ in 0..NOTES {
            let stored = self.ports.get(Table::Journal, &place).await?.and_then(|item| item.n("last"));
            let seen = stored.map(|last| u64::try_from(last).unwrap_or(0));
            let missing = seen.map_or(0, |seen| sequence.missing_after(seen));
            if seen.is_some_and(|seen| seen >= sequence.last) {
                return Ok(());
            }
            if missing > 0 {
                tracing::warn!(connection = %envelope.connection, missing, before = sequence.first, trace = %envelope.trace, "events did not come");
                let request = SweepRequest {
                    connection: envelope.connection.clone(),
                    objects: Vec::new(),
                    reason: format!("{missing} events before number {} did not come", sequence.first),
                    cause: None,
                    trace: envelope.trace.clone(),
                };
                self.ask(&envelope.connection, &[ReadRequest::Sweep(request)]).await?;
            }
            let item = Item::new(place.clone()).with("last", Attr::N(number(sequence.last)));
            let condition = stored.map_or(Condition::Absent, |last| Condition::Equals("last", Attr::N(last)));
            if write_if(self.ports, Write::Put { table: Table::Journal, item, condition }).await? {
                return Ok(());
            }
        }
        Err(Failure::new(Code::Contention, "the number of the last event"))
    }

    /// Where a proof does not cover the event, it counts for one event only.
    pub(super) async fn spend_proof(&self, envelope: &Envelope, event: &InboundEvent) -> Result<(), Failure> {
        let Some(token) = &event.once else { return Ok(()) };
        let place = proof_key(self.vault, &envelope.connection, token);
        let key = self.vault.hash(&["event", &envelope.connection, &event.key]);
        let item = Item::new(place.clone()).with("event", Attr::S(key.clone())).with("ttl", Attr::N(self.expires(envelope)));
        if write_if(self.ports, Write::Put { table: Table::Journal, item, condition: Condition::Absent }).await? {
            return Ok(());
        }
        match self.ports.get(Table::Journal, &place).await? {
            Some(item) if item.s("event") != Some(&key) => {
                Err(Failure::new(Code::ProofReused, "its signature came with another event before"))
            }
            _ => Ok(()),
        }
    }
}
