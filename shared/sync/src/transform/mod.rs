//! `transform`: envelopes in, golden records out, dispatches to the destinations. The only function that writes golden records.
//!
//! The story of an envelope: decode → split into events → for each event and object: read what is known, merge (pure), write all
//! of it in one transaction → dispatch → close the account line. The SQS delete is the commit point: a crash anywhere before
//! it repeats safely, because the journal entry is written with the observations and remembers what is still to be dispatched.
//! What a body cannot tell itself is asked of `reconcile` (`asked.rs`), unless it is what we wrote ourselves (`echo.rs`).

mod echo;
pub mod effects;
pub mod identity;
pub mod merge;
mod observe;
mod requests;
pub mod survivorship;
pub mod transaction;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonical::{
    BodyRef, Change, ChangeKind, ConnectionName, Dispatch, Envelope, EnvelopeKind, EventRef, Fetched, Outcome, QueueName, Stamp,
};
use providers::{EventBody, Inbound, InboundEvent, Provider};

use crate::batch::{BatchReport, Metric, check_deadline, dead_letter, settle, write_if};
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::join::join;
use crate::mutant::{Mutant, mutant};
use crate::ports::{Blob, Clock, Condition, Delivery, Outgoing, Queue, Secrets, Store, Table, Write, WriteError};
use crate::record::journal::{DAY_MS, Entry, account, entry_key, outcome_of, settled};
use crate::record::{identity_key, remote_hash};
use crate::seal::Vault;
use crate::transform::effects::expand;
use crate::transform::merge::Merged;

/// Everything that transform needs of the outside.
pub trait Ports: Store + Queue + Blob + Secrets + Clock {}
impl<T: Store + Queue + Blob + Secrets + Clock> Ports for T {}

/// How often a plan is made anew after another worker was faster.
const PLANS: usize = 8;

/// What an invocation works with.
pub struct Transform<'a, P> {
    ports: &'a P,
    config: &'a Config,
    vault: &'a Vault,
    queue: &'a QueueName,
    deadline_ms: i64,
}

/// Handles a batch of envelopes.
pub async fn handle_batch<P: Ports>(
    ports: &P,
    config: &Config,
    vault: &Vault,
    queue: &QueueName,
    deliveries: Vec<Delivery>,
    deadline_ms: i64,
) -> BatchReport {
    let transform = &Transform { ports, config, vault, queue, deadline_ms };
    let ended = join(deliveries.iter().map(|delivery| async move {
        let mut metrics = Vec::new();
        let result = transform.envelope(delivery, &mut metrics).await;
        let parked = async |failure: &Failure| transform.close_parked(delivery, failure).await;
        let kept = settle(ports, config.hub(), queue, delivery, result, parked).await;
        (kept.then(|| delivery.id.clone()), metrics)
    }))
    .await;
    let mut report = BatchReport::default();
    for (kept, metrics) in ended {
        report.failures.extend(kept);
        report.metrics.extend(metrics);
    }
    report
}

/// What one event came to.
struct Ended {
    outcome: Outcome,
    reason: Option<String>,
    dispatches: Vec<(ConnectionName, Dispatch)>,
    /// Entries to be marked as dispatched: their writes.
    close: Vec<Write>,
}

impl Ended {
    fn with(outcome: Outcome) -> Ended {
        Ended { outcome, reason: None, dispatches: Vec::new(), close: Vec::new() }
    }

    fn because(outcome: Outcome, reason: impl Into<String>) -> Ended {
        Ended { reason: Some(reason.into()), ..Ended::with(outcome) }
    }
}

/// The outcome of an event with several changes: the one that says most.
fn strongest(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    const ORDER: &[Outcome] = &[
        Outcome::Quarantined,
        Outcome::Applied,
        Outcome::Unchanged,
        Outcome::Superseded,
        Outcome::Echo,
        Outcome::Duplicate,
        Outcome::Ignored,
    ];
    outcomes.min_by_key(|o| ORDER.iter().position(|x| x == o).unwrap_or(usize::MAX)).unwrap_or(Outcome::Ignored)
}

fn event_ref(envelope: &Envelope, index: u32) -> EventRef {
    EventRef {
        connection: envelope.connection.clone(),
        envelope: envelope.id.clone(),
        index,
        received_at_ms: envelope.received_at_ms,
    }
}

impl<P: Ports> Transform<'_, P> {
    async fn envelope(&self, delivery: &Delivery, metrics: &mut Vec<Metric>) -> Result<(), Failure> {
        check_deadline(self.ports, self.deadline_ms)?;
        let envelope: Envelope =
            serde_json::from_str(&delivery.body).map_err(|e| Failure::new(Code::BadMessage, format!("not an envelope: {e}")))?;
        let (_, provider) = self.config.connection(&envelope.connection)?;
        let body = self.body(&envelope).await?;
        match &envelope.kind {
            EnvelopeKind::Fetched(fetched) => self.fetched(&envelope, &provider, fetched, &body, metrics).await,
            EnvelopeKind::Webhook => {
                let inbound = Inbound {
                    connection: &envelope.connection,
                    headers: &envelope.headers,
                    target: &envelope.target,
                    body: &body,
                };
                let events = provider.events(&inbound).map_err(|m| Failure::new(Code::MalformedBody, m.to_string()))?;
                // An operator's redrive of one event of an envelope names it.
                let only: Option<u32> = delivery.attributes.get("event").and_then(|index| index.parse().ok());
                for event in events.iter().filter(|e| only.is_none_or(|index| e.index == index)) {
                    check_deadline(self.ports, self.deadline_ms)?;
                    let outcome = self.event(&envelope, event, delivery).await?;
                    metrics.push(Metric::count(outcome.name(), 1.0, &envelope.connection));
                }
                match provider.sequence(&body) {
                    Some(sequence) => self.note_sequence(&envelope, sequence).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn body(&self, envelope: &Envelope) -> Result<Vec<u8>, Failure> {
        match &envelope.body {
            BodyRef::Text(text) => Ok(text.clone().into_bytes()),
            BodyRef::Base64(text) => {
                STANDARD.decode(text).map_err(|_| Failure::new(Code::BadMessage, "the envelope's body is not base64"))
            }
            BodyRef::Blob(key) => self
                .ports
                .get_blob(key)
                .await?
                .ok_or_else(|| Failure::new(Code::BadMessage, "the envelope's body is no longer in the bucket")),
        }
    }

    /// One event, to its account line. A failure that concerns this event alone parks it alone.
    async fn event(&self, envelope: &Envelope, event: &InboundEvent, delivery: &Delivery) -> Result<Outcome, Failure> {
        let place = event_ref(envelope, event.index);
        let ended = match self.event_body(envelope, event, &place).await {
            Ok(ended) => ended,
            Err(failure) if failure.disposition() == crate::failure::Disposition::Park => {
                let body = delivery.body.clone();
                // A neighbour's retry brings the whole envelope back: what is parked already is parked once.
                let redriven = delivery.attributes.contains_key("event");
                if !redriven && outcome_of(self.ports, &place).await? == Some(Outcome::Dead) {
                    return Ok(Outcome::Dead);
                }
                dead_letter(self.ports, self.queue, body, failure.code, &failure.detail, Some(event.index)).await?;
                tracing::error!(code = %failure.code, detail = %failure.detail, envelope = %envelope.id, index = event.index, "an event is parked");
                Ended::because(Outcome::Dead, failure.code.name())
            }
            Err(failure) => return Err(failure),
        };
        self.dispatch(&ended.dispatches).await?;
        let mut writes = ended.close;
        if ended.outcome != Outcome::InFlight {
            let days = self.config.hub().journal_days;
            writes.push(account(&place, ended.outcome, ended.reason.as_deref(), days, Condition::Always));
        }
        if !writes.is_empty() {
            self.ports.write(writes, None).await?;
        }
        tracing::info!(outcome = ended.outcome.name(), connection = %envelope.connection, event = %event.event_type, version = event.version.as_deref(), envelope = %envelope.id, index = event.index, trace = %envelope.trace, "event");
        Ok(ended.outcome)
    }

    async fn event_body(&self, envelope: &Envelope, event: &InboundEvent, place: &EventRef) -> Result<Ended, Failure> {
        self.spend_proof(envelope, event).await?;
        match &event.body {
            EventBody::Ignored { reason } => {
                // A repeated event that nothing is mapped for is ignored each time it comes: it has no entry to repeat.
                Ok(Ended::because(Outcome::Ignored, reason.clone()))
            }
            EventBody::Kept { reason, event: text } => self.keep(envelope, event, place, (reason, text)).await,
            EventBody::Reconcile { objects, reason } => self.compare(envelope, place, objects, reason).await,
            EventBody::Malformed { reason } => Err(Failure::new(Code::MalformedEvent, reason.clone())),
            EventBody::Fetch(sources) => self.thin(envelope, event, place, sources).await,
            EventBody::Changes(changes) => {
                if !self.wants(&envelope.connection, changes) {
                    return Ok(Ended::because(Outcome::Ignored, "a test record; `test_records` of its connection lets it in"));
                }
                let mut all = changes.clone();
                all.extend(changes.iter().flat_map(|change| expand(self.config.hub(), change)));
                self.changes(envelope, &event.key, place, &all).await
            }
        }
    }

    /// Test records count only where the connection says so: they would end in the CRM beside real customers.
    fn wants(&self, connection: &str, changes: &[Change]) -> bool {
        let test_records = self.config.hub().connections.get(connection).is_some_and(|c| c.test_records);
        test_records || !changes.iter().any(|change| change.test)
    }

    async fn changes(&self, envelope: &Envelope, key: &str, place: &EventRef, changes: &[Change]) -> Result<Ended, Failure> {
        let mut outcomes = Vec::new();
        let mut ended = Ended::with(Outcome::Ignored);
        for (index, change) in changes.iter().enumerate() {
            let entry_key = entry_key(self.vault, &envelope.connection, key, index);
            let (entry, duplicate) = self.change(envelope, place, change, &entry_key, &[]).await?;
            outcomes.push(if duplicate { Outcome::Duplicate } else { entry.outcome });
            if !entry.dispatched {
                ended.dispatches.extend(dispatches(&entry, envelope));
                let done = Entry { dispatched: true, ..entry };
                let item = done.item(entry_key, self.expires(envelope));
                ended.close.push(Write::Put { table: Table::Journal, item, condition: Condition::Always });
            }
        }
        ended.outcome = strongest(outcomes.into_iter());
        Ok(ended)
    }

    fn expires(&self, envelope: &Envelope) -> i64 {
        (envelope.received_at_ms + i64::from(self.config.hub().journal_days) * DAY_MS) / 1000
    }

    /// Merges one change and writes everything that follows from it in one transaction. Returns the journal entry, and whether
    /// it was another envelope that had brought the event first.
    async fn change(
        &self,
        envelope: &Envelope,
        place: &EventRef,
        change: &Change,
        entry_key: &crate::ports::Key,
        causes: &[EventRef],
    ) -> Result<(Entry, bool), Failure> {
        for attempt in 0..PLANS {
            if let Some(item) = self.ports.get(Table::Journal, entry_key).await? {
                let entry = Entry::read(&item).ok_or_else(|| Failure::new(Code::CorruptItem, "a journal entry"))?;
                let duplicate = entry.is_of_another(place);
                return Ok((entry, duplicate));
            }
            let plan = transaction::plan(self.ports, self.vault, self.config.hub(), change, envelope.received_at_ms).await?;
            let entry = entry_of(&plan, envelope, place);
            let mut writes = transaction::writes(self.ports, self.vault, &plan, change, place).await?;
            let item = entry.item(entry_key.clone(), self.expires(envelope));
            let put = Write::Put { table: Table::Journal, item, condition: Condition::Absent };
            if mutant(Mutant::JournalBeforeObservations) {
                self.ports.write(vec![put], None).await?;
            } else {
                writes.push(put);
            }
            for (n, cause) in causes.iter().enumerate() {
                // One read answers all of them; what it changed is counted once.
                let outcome = match plan.outcome {
                    Outcome::Applied if n > 0 && plan.echo => Outcome::Echo,
                    Outcome::Applied if n > 0 => Outcome::Unchanged,
                    outcome => outcome,
                };
                if let Some(write) = settled(self.ports, cause, outcome, None, self.config.hub().journal_days).await? {
                    writes.push(write);
                }
            }
            if writes.is_empty() {
                return Ok((entry, false));
            }
            let token = format!("{}-{}-{}-{attempt}-{}", envelope.id, place.index, change.object, change.source.id);
            match self.ports.write(writes, Some(&self.vault.hash(&["token", &token, &self.ports.random().to_string()]))).await {
                Ok(()) => return Ok((entry, false)),
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        Err(Failure::new(Code::Contention, format!("{} plans in a row lost against other workers", PLANS)))
    }

    /// What `reconcile` read. Snapshots are not recognised by content (A → B → A is real), and need not be: a repetition changes
    /// nothing. The entry under the envelope's own id only remembers what is still to be dispatched after a crash.
    async fn fetched(
        &self,
        envelope: &Envelope,
        provider: &Provider,
        fetched: &Fetched,
        body: &[u8],
        metrics: &mut Vec<Metric>,
    ) -> Result<(), Failure> {
        let source = &fetched.source;
        let changes = if fetched.missing {
            self.vanished(provider, fetched).await?
        } else {
            provider
                .record(&source.connection, &source.object, body)
                .map_err(|m| Failure::new(Code::MalformedBody, m.to_string()))?
        };
        let place = event_ref(envelope, 0);
        let changes = if self.wants(&source.connection, &changes) { changes } else { Vec::new() };
        let mut all = changes.clone();
        all.extend(changes.iter().flat_map(|change| expand(self.config.hub(), change)));
        let unique: Vec<EventRef> = fetched.causes.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let mut causes: &[EventRef] = &unique;
        for (index, change) in all.iter().enumerate() {
            let entry_key = entry_key(self.vault, &source.connection, &envelope.id, index);
            let (entry, _) = self.change(envelope, &place, change, &entry_key, causes).await?;
            causes = &[];
            metrics.push(Metric::count("fetched", 1.0, &source.connection));
            if !entry.dispatched {
                self.dispatch(&dispatches(&entry, envelope).collect::<Vec<_>>()).await?;
                let item = Entry { dispatched: true, ..entry }.item(entry_key, self.expires(envelope));
                let done = Write::Put { table: Table::Journal, item, condition: Condition::Always };
                self.ports.write(vec![done], None).await?;
            }
        }
        for cause in causes {
            if let Some(write) = settled(self.ports, cause, Outcome::Unchanged, None, self.config.hub().journal_days).await? {
                write_if(self.ports, write).await?;
            }
        }
        Ok(())
    }

    /// A read that found nothing is a delete, if we ever knew the object.
    async fn vanished(&self, provider: &Provider, fetched: &Fetched) -> Result<Vec<Change>, Failure> {
        let Some(object) = provider.object_of(&fetched.source.object) else { return Ok(Vec::new()) };
        let place = crate::record::SourceRecord::key(self.vault, &fetched.source);
        let pointer = identity_key(object, &remote_hash(self.vault, &fetched.source));
        // What we created ourselves may not have said a word of its own yet.
        if self.ports.get(Table::Golden, &place).await?.is_none() && self.ports.get(Table::Links, &pointer).await?.is_none() {
            return Ok(Vec::new());
        }
        Ok(vec![Change {
            object,
            source: fetched.source.clone(),
            kind: ChangeKind::Delete { privacy: false },
            stamp: Some(Stamp::at(fetched.read_at_ms)),
            fields: Default::default(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
        }])
    }

    async fn dispatch(&self, dispatches: &[(ConnectionName, Dispatch)]) -> Result<(), Failure> {
        let destinations: BTreeSet<&ConnectionName> = dispatches.iter().map(|(destination, _)| destination).collect();
        for destination in destinations {
            let mut messages = Vec::new();
            for (_, dispatch) in dispatches.iter().filter(|(d, _)| d == destination) {
                let body = serde_json::to_string(dispatch).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
                messages.push(Outgoing::new(body));
            }
            all_sent(self.ports.send(&QueueName::upsert(destination), messages).await)?;
        }
        Ok(())
    }

    /// The envelope as a whole is parked: each of its events that has no outcome yet ends as dead.
    async fn close_parked(&self, delivery: &Delivery, failure: &Failure) -> Result<(), Failure> {
        let Ok(envelope) = serde_json::from_str::<Envelope>(&delivery.body) else { return Ok(()) };
        let days = self.config.hub().journal_days;
        let reason = Some(failure.code.name());
        let events: Vec<EventRef> = match &envelope.kind {
            EnvelopeKind::Fetched(fetched) => fetched.causes.clone(),
            EnvelopeKind::Webhook => {
                let count = self.count_events(&envelope).await;
                (0..count.max(1)).map(|index| event_ref(&envelope, index)).collect()
            }
        };
        for event in events {
            let condition = match outcome_of(self.ports, &event).await? {
                None => Condition::Absent,
                Some(Outcome::InFlight) => Condition::Equals("outcome", crate::ports::Attr::S(Outcome::InFlight.name().into())),
                Some(_) => continue,
            };
            write_if(self.ports, account(&event, Outcome::Dead, reason, days, condition)).await?;
        }
        Ok(())
    }

    async fn count_events(&self, envelope: &Envelope) -> u32 {
        let Ok((_, provider)) = self.config.connection(&envelope.connection) else { return 1 };
        let Ok(body) = self.body(envelope).await else { return 1 };
        let inbound =
            Inbound { connection: &envelope.connection, headers: &envelope.headers, target: &envelope.target, body: &body };
        provider.events(&inbound).map_or(1, |events| u32::try_from(events.len()).unwrap_or(u32::MAX))
    }
}

fn all_sent(results: Vec<Result<(), crate::ports::PortError>>) -> Result<(), Failure> {
    for result in results {
        result?;
    }
    Ok(())
}

fn entry_of(plan: &Merged, envelope: &Envelope, place: &EventRef) -> Entry {
    Entry {
        envelope: envelope.id.clone(),
        index: place.index,
        received_at_ms: envelope.received_at_ms,
        outcome: plan.outcome,
        object: Some(plan.golden.object),
        record: plan.golden.id.clone(),
        version: plan.next_version,
        destinations: plan.dispatch.iter().cloned().collect::<Vec<_>>().join(","),
        dispatched: plan.dispatch.is_empty(),
    }
}

/// The messages that an entry calls for.
fn dispatches(entry: &Entry, envelope: &Envelope) -> impl Iterator<Item = (ConnectionName, Dispatch)> {
    let object = entry.object;
    entry.destinations.split(',').filter(|d| !d.is_empty()).filter_map(move |destination| {
        let dispatch = Dispatch {
            object: object?,
            record: entry.record.clone(),
            version: entry.version,
            trace: envelope.trace.clone(),
            received_at_ms: envelope.received_at_ms,
        };
        Some((destination.into(), dispatch))
    })
}
