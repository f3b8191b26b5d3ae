//! `transform`: envelopes in, golden records out, dispatches to the destinations. The only function that writes golden records.
//!
//! What happens to an envelope: decode it, split it into events, and for each change of each event: read what is known, merge
//! (pure), and write the result in one transaction. Then send the dispatches and close the account line. Deleting the SQS message
//! is the commit point. A crash before it repeats safely, because the journal entry is written together with the observations and
//! remembers which dispatches are still to be sent. Where the body does not hold the data, `reconcile` is requested to read it
//! (`requests.rs`), unless the event only reports the hub's own write (`echo.rs`). What `reconcile` read comes back as an envelope
//! of its own (`fetched.rs`).

pub mod clusters;
mod decide;
mod echo;
pub mod effects;
mod fetched;
mod fuse;
pub mod identity;
mod long_values;
pub mod merge;
mod observe;
mod other_messages;
pub mod plan;
mod proof;
mod quarantine;
mod regroup;
mod requests;
mod retain;
pub mod shared_values;
pub mod survivorship;
pub mod transaction;

use std::cell::RefCell;
use std::collections::BTreeSet;

use canonical::{Change, ConnectionName, Dispatch, Envelope, EnvelopeKind, EventRef, Outcome, Problem, QueueName};
use providers::{EventBody, Inbound, InboundEvent};

use crate::batch::{BatchReport, Invocation, Metric, check_deadline, finish_delivery, is_error, measure_handled, write_if};
use crate::config::Config;
use crate::envelope;
use crate::failure::{AtStage, Code, Disposition, Failure, Stage};
use crate::join::join;
use crate::mutant::{Mutant, mutant};
use crate::outbox::{self, DeadLetter, send_dead_letter};
use crate::ports::{Attr, Blob, Clock, Condition, Delivery, Key, Queue, Secrets, Store, Table, Write, WriteError};
use crate::quarantine::quarantine_reason;
use crate::record::journal::{AccountLine, DAY_MS, JournalEntry, entry_key, outcome_of};
use crate::seal::Vault;
use crate::transform::effects::derive_changes;
use crate::transform::fuse::BatchFuses;
use crate::transform::long_values::{set_long_values_aside, set_longest_aside};
use crate::transform::plan::Merged;
use crate::transform::quarantine::{SetAside, drains_of, key_with_drains};
use crate::transform::transaction::Transaction;

/// The ports that `transform` needs.
pub trait Ports: Store + Queue + Blob + Secrets + Clock {}
impl<T: Store + Queue + Blob + Secrets + Clock> Ports for T {}

/// The reason on the account line of an event that is held because nothing identifies its object.
pub const NO_KEY: &str = "no key";

/// How many plans are tried for one change while other workers keep winning the write.
const MAX_PLANS: usize = 8;

/// What one invocation of `transform` works with.
struct Transform<'a, P> {
    ports: &'a P,
    config: &'a Config,
    vault: &'a Vault,
    queue: &'a QueueName,
    deadline_ms: i64,
    /// What is counted besides the outcomes of events.
    counted: RefCell<Vec<Metric>>,
    fuses: BatchFuses,
}

/// Handles a batch of envelopes.
pub async fn handle_batch<P: Ports>(
    invocation: Invocation<'_, P>,
    vault: &Vault,
    queue: &QueueName,
    deliveries: Vec<Delivery>,
) -> BatchReport {
    let Invocation { ports, config, deadline_ms } = invocation;
    let transform =
        &Transform { ports, config, vault, queue, deadline_ms, counted: RefCell::default(), fuses: BatchFuses::default() };
    let results = join(deliveries.iter().map(|delivery| async move {
        let mut metrics = Vec::new();
        let result = transform.handle_envelope(delivery, &mut metrics).await;
        if let (Err(_), Ok(envelope)) = (&result, envelope::parse(&delivery.body)) {
            metrics.extend(measure_handled(is_error(&result), &envelope.connection));
        }
        let on_park = async |failure: &Failure| transform.close_parked_events(delivery, failure).await;
        let keep = finish_delivery(invocation, queue, delivery, result, on_park).await;
        (keep.then(|| delivery.id.clone()), metrics)
    }))
    .await;
    transform.store_fuse_counts().await;
    let mut report = BatchReport::default();
    for (failed, metrics) in results {
        report.failures.extend(failed);
        report.metrics.extend(metrics);
    }
    report.metrics.append(&mut transform.counted.borrow_mut());
    report
}

/// The result of one event, and what is still to be done for it.
struct EventResult {
    outcome: Outcome,
    reason: Option<String>,
    dispatches: Vec<(ConnectionName, Dispatch)>,
    /// Writes that mark journal entries as dispatched.
    close: Vec<Write>,
}

impl EventResult {
    fn new(outcome: Outcome) -> EventResult {
        EventResult { outcome, reason: None, dispatches: Vec::new(), close: Vec::new() }
    }

    fn with_reason(outcome: Outcome, reason: impl Into<String>) -> EventResult {
        EventResult { reason: Some(reason.into()), ..EventResult::new(outcome) }
    }
}

/// One event of an envelope that is being handled.
struct Incoming<'a> {
    envelope: &'a Envelope,
    event: &'a InboundEvent,
    event_ref: EventRef,
    /// How often the event was drained from quarantine.
    drains: i64,
}

/// One change, and the key of the journal entry that recognises it.
struct JournaledChange<'a> {
    change: &'a Change,
    entry_key: Key,
}

/// The result of a change.
struct AppliedChange {
    entry: JournalEntry,
    /// True when another envelope, or another event of it, had brought the change before.
    duplicate: bool,
    /// Fields that were set aside; none for a duplicate.
    problems: Vec<Problem>,
}

/// The outcome of an event with several changes: the first of this list that any of them has.
fn combine_outcomes(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    const ORDER: &[Outcome] = &[
        Outcome::Quarantined,
        Outcome::Held,
        Outcome::Applied,
        Outcome::Unchanged,
        Outcome::Superseded,
        Outcome::Echo,
        Outcome::Duplicate,
        Outcome::Ignored,
    ];
    outcomes.min_by_key(|o| ORDER.iter().position(|x| x == o).unwrap_or(usize::MAX)).unwrap_or(Outcome::Ignored)
}

/// Why an event is held.
fn held_reason(outcome: Outcome) -> Option<String> {
    (outcome == Outcome::Held).then(|| NO_KEY.to_owned())
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
    async fn handle_envelope(&self, delivery: &Delivery, metrics: &mut Vec<Metric>) -> Result<(), Failure> {
        check_deadline(self.ports, self.deadline_ms)?;
        let envelope = match envelope::parse(&delivery.body) {
            Ok(envelope) => envelope,
            Err(failure) => return self.handle_other_message(delivery, failure).await,
        };
        if self.hold_if_blown(&envelope, delivery).await? {
            return Ok(());
        }
        let (_, provider) = self.config.connection(&envelope.connection)?;
        let body = envelope::read_body(self.ports, &envelope).await?;
        match &envelope.kind {
            EnvelopeKind::Fetched(fetched) => {
                let changes = self.read_changes(&provider, fetched, &body).await?;
                if let Some(reason) = quarantine_reason(changes.iter().flat_map(|change| &change.problems)) {
                    let aside = SetAside { index: None, event_type: &fetched.source.object, reason: &reason };
                    self.keep_quarantined(&envelope, delivery, aside).await?;
                }
                self.handle_fetched(&envelope, fetched, changes, drains_of(delivery), metrics).await
            }
            EnvelopeKind::Webhook => {
                let inbound = Inbound {
                    connection: &envelope.connection,
                    headers: &envelope.headers,
                    target: &envelope.target,
                    body: &body,
                };
                let events =
                    provider.events(&inbound).map_err(|m| Failure::new(Code::MalformedBody, m.to_string()).at(Stage::Decode))?;
                // When an operator redrives one event of an envelope, the message names it.
                let only: Option<u32> = delivery.attributes.get("event").and_then(|index| index.parse().ok());
                for event in events.iter().filter(|e| only.is_none_or(|index| e.index == index)) {
                    check_deadline(self.ports, self.deadline_ms)?;
                    let outcome = self.handle_event(&envelope, event, delivery).await?;
                    metrics.push(Metric::count(outcome.name(), 1.0, &envelope.connection));
                    metrics.extend(measure_handled(outcome == Outcome::Dead, &envelope.connection));
                }
                match provider.sequence(&body) {
                    Some(sequence) => self.check_sequence(&envelope, sequence).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Handles one event up to its account line. A failure that concerns only this event parks only this event.
    async fn handle_event(&self, envelope: &Envelope, event: &InboundEvent, delivery: &Delivery) -> Result<Outcome, Failure> {
        let drains = drains_of(delivery);
        let incoming = Incoming { envelope, event, event_ref: event_ref(envelope, event.index), drains };
        let event_ref = &incoming.event_ref;
        let result = match self.handle_event_body(&incoming).await.at(Stage::Plan) {
            Ok(result) => result,
            // What was set aside before is set aside again: it must not be lost where only its message would be parked.
            Err(failure) if failure.disposition() == Disposition::Park && drains > 0 => {
                EventResult::with_reason(Outcome::Quarantined, failure.code.name())
            }
            Err(failure) if failure.disposition() == Disposition::Park => {
                // When another event of the envelope is retried, this one comes again: it is parked only once.
                let redriven = delivery.attributes.contains_key("event");
                if !redriven && outcome_of(self.ports, event_ref).await? == Some(Outcome::Dead) {
                    return Ok(Outcome::Dead);
                }
                let (code, detail, event) = (failure.code, &*failure.chain(), Some(event.index));
                let letter = DeadLetter { origin: self.queue, body: &delivery.body, code, detail, event };
                send_dead_letter(self.ports, letter).await?;
                tracing::error!(code = %failure.code, stage = failure.stage_name(), detail, envelope = %envelope.id, index = event_ref.index, "an event is parked");
                EventResult::with_reason(Outcome::Dead, failure.code.name())
            }
            Err(failure) => return Err(failure),
        };
        if let (Outcome::Quarantined, Some(reason)) = (result.outcome, &result.reason) {
            let aside = SetAside { index: Some(event.index), event_type: &event.event_type, reason };
            self.keep_quarantined(envelope, delivery, aside).await?;
        }
        self.send_dispatches(&result.dispatches).await?;
        let mut writes = result.close;
        if result.outcome != Outcome::InFlight {
            let line = AccountLine { event: event_ref, outcome: result.outcome, reason: result.reason.as_deref() };
            writes.push(line.build_put(self.config.hub().journal_days, Condition::Always));
        }
        if !writes.is_empty() {
            self.ports.write(writes, None).await?;
        }
        tracing::info!(outcome = result.outcome.name(), connection = %envelope.connection, event = %event.event_type, version = event.version.as_deref(), envelope = %envelope.id, index = event.index, trace = %envelope.trace, "event");
        Ok(result.outcome)
    }

    async fn handle_event_body(&self, incoming: &Incoming<'_>) -> Result<EventResult, Failure> {
        self.spend_proof(incoming).await?;
        match &incoming.event.body {
            EventBody::Ignored { reason } => {
                // An ignored event has no journal entry: each repetition is ignored again, not counted as a duplicate.
                Ok(EventResult::with_reason(Outcome::Ignored, reason.clone()))
            }
            EventBody::Retained { reason, event } => self.retain_event(incoming, reason, event).await,
            EventBody::Sweep { objects, reason } => self.request_sweep(incoming, objects, reason).await,
            EventBody::Malformed { reason } => Err(Failure::new(Code::MalformedEvent, reason.clone())),
            EventBody::Fetch(sources) => self.request_fetch(incoming, sources).await,
            EventBody::Changes(changes) => {
                if !self.accepts(&incoming.envelope.connection, changes) {
                    let reason = "a test record; `test_records` of its connection lets it in";
                    return Ok(EventResult::with_reason(Outcome::Ignored, reason));
                }
                self.apply_changes(incoming, &self.with_effects(changes)).await
            }
        }
    }

    /// True unless a change comes from a test record and the connection does not allow them: test records would end in the CRM
    /// beside real customers.
    fn accepts(&self, connection: &str, changes: &[Change]) -> bool {
        let test_records = self.config.hub().connections.get(connection).is_some_and(|c| c.test_records);
        test_records || !changes.iter().any(|change| change.test)
    }

    /// The changes without values that are too long, followed by those that the configured effects derive from them.
    fn with_effects(&self, changes: &[Change]) -> Vec<Change> {
        let mut all = changes.to_vec();
        all.iter_mut().for_each(|change| set_long_values_aside(change, self.config.hub().limits.field_bytes));
        let derived: Vec<Change> = all.iter().flat_map(|change| derive_changes(self.config.hub(), change)).collect();
        all.extend(derived);
        all
    }

    async fn apply_changes(&self, incoming: &Incoming<'_>, changes: &[Change]) -> Result<EventResult, Failure> {
        let Incoming { envelope, event, event_ref, drains } = incoming;
        let event_key = key_with_drains(&event.key, *drains);
        let mut outcomes = Vec::new();
        let mut problems = Vec::new();
        let mut result = EventResult::new(Outcome::Ignored);
        for (index, change) in changes.iter().enumerate() {
            let entry_key = entry_key(self.vault, &envelope.connection, &event_key, index);
            let journaled = JournaledChange { change, entry_key: entry_key.clone() };
            let AppliedChange { entry, duplicate, problems: mut set_aside } =
                match self.apply_change(envelope, event_ref, journaled).await {
                    Ok(applied) => applied,
                    Err(failure) => {
                        // The changes before this one are stored: what they call for must not wait until this one can be applied.
                        self.send_dispatches(&result.dispatches).await?;
                        if !result.close.is_empty() {
                            self.ports.write(result.close, None).await?;
                        }
                        return Err(failure);
                    }
                };
            outcomes.push(if duplicate { Outcome::Duplicate } else { entry.outcome });
            problems.append(&mut set_aside);
            if !entry.dispatched {
                result.dispatches.extend(dispatches_of(&entry, envelope));
                result.close.push(self.mark_dispatched(envelope, entry, entry_key));
            }
        }
        result.outcome = combine_outcomes(outcomes.into_iter());
        result.reason = quarantine_reason(&problems).or_else(|| held_reason(result.outcome));
        Ok(result)
    }

    /// When the journal forgets an envelope's events, in seconds since the epoch.
    fn expires_s(&self, envelope: &Envelope) -> i64 {
        (envelope.received_at_ms + i64::from(self.config.hub().journal_days) * DAY_MS) / 1000
    }

    /// Builds the write that marks a journal entry as dispatched.
    fn mark_dispatched(&self, envelope: &Envelope, entry: JournalEntry, key: Key) -> Write {
        JournalEntry { dispatched: true, ..entry }.build_put(key, self.expires_s(envelope), Condition::Always)
    }

    /// Merges one change and writes everything that follows from it in one transaction.
    async fn apply_change(
        &self,
        envelope: &Envelope,
        event_ref: &EventRef,
        journaled: JournaledChange<'_>,
    ) -> Result<AppliedChange, Failure> {
        let JournaledChange { change, entry_key } = journaled;
        let (ports, vault, hub) = (self.ports, self.vault, self.config.hub());
        let read_ms = match &envelope.kind {
            EnvelopeKind::Fetched(fetched) if fetched.source.connection == change.source.connection => Some(fetched.read_at_ms),
            _ => None,
        };
        let mut change = change.clone();
        for attempt in 0..MAX_PLANS {
            if let Some(item) = self.ports.get(Table::Journal, &entry_key).await? {
                let entry = JournalEntry::read(&item).ok_or_else(|| Failure::new(Code::CorruptItem, "a journal entry"))?;
                let duplicate = entry.is_of_another(event_ref);
                let problems = if duplicate { Vec::new() } else { change.problems };
                return Ok(AppliedChange { duplicate, entry, problems });
            }
            let transaction = Transaction { ports, vault, hub, change: &change, event: event_ref, read_ms };
            let plan = transaction.plan().await?;
            let entry = entry_of(&plan, envelope, event_ref);
            let mut writes = match transaction.build_writes(&plan).await {
                Err(failure) if failure.code == Code::CapExceeded && set_longest_aside(&mut change) => continue,
                writes => writes?,
            };
            let put = entry.build_put(entry_key.clone(), self.expires_s(envelope), Condition::Absent);
            if mutant(Mutant::JournalBeforeObservations) {
                self.ports.write(vec![put], None).await?;
            } else {
                writes.push(put);
            }
            if writes.is_empty() {
                return Ok(AppliedChange { entry, duplicate: false, problems: change.problems });
            }
            let token = format!("{}-{}-{}-{attempt}-{}", envelope.id, event_ref.index, change.object, change.source.id);
            match self.ports.write(writes, Some(&self.vault.hash(&["token", &token, &self.ports.random().to_string()]))).await {
                Ok(()) => {
                    if let Some(reason) = quarantine_reason(&change.problems) {
                        tracing::warn!(code = %Code::BadField, reason, connection = %envelope.connection, envelope = %envelope.id, index = event_ref.index, trace = %envelope.trace, "fields are set aside");
                    }
                    self.report_identity(&change, &plan);
                    self.note_for_fuses(&change, &plan, envelope);
                    return Ok(AppliedChange { entry, duplicate: false, problems: change.problems });
                }
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        Err(Failure::new(Code::Contention, format!("{MAX_PLANS} plans in a row lost against other workers")))
    }

    /// Logs and counts what a stored merge means for later ones.
    fn report_identity(&self, change: &Change, plan: &Merged) {
        for key in &plan.claims.stopped {
            tracing::warn!(key, object = %change.object, record = %plan.golden.id, "a value leads to too many different records and joins no further ones");
            self.counted.borrow_mut().push(Metric::count("values_stopped", 1.0, &change.source.connection));
        }
        for other in plan.suggested.keys() {
            tracing::warn!(object = %change.object, record = %plan.golden.id, %other, "two records may be the same: `hub review list`");
            self.counted.borrow_mut().push(Metric::count("reviews_opened", 1.0, &change.source.connection));
        }
    }

    async fn send_dispatches(&self, dispatches: &[(ConnectionName, Dispatch)]) -> Result<(), Failure> {
        let destinations: BTreeSet<&ConnectionName> = dispatches.iter().map(|(destination, _)| destination).collect();
        for destination in destinations {
            let here = dispatches.iter().filter(|(to, _)| to == destination).map(|(_, dispatch)| dispatch);
            outbox::send_dispatches(self.ports, destination, here).await?;
        }
        Ok(())
    }

    /// Closes the account lines of an envelope that is parked as a whole: each of its events without an outcome ends as dead.
    async fn close_parked_events(&self, delivery: &Delivery, failure: &Failure) -> Result<(), Failure> {
        let Ok(envelope) = envelope::parse(&delivery.body) else { return Ok(()) };
        if drains_of(delivery) > 0 {
            // Only quarantine remembers that it was drained; a redrive from the dead letters would count as a duplicate.
            let index = delivery.attributes.get("event").and_then(|index| index.parse().ok());
            self.keep_quarantined(&envelope, delivery, SetAside { index, event_type: "", reason: failure.code.name() }).await?;
        }
        let events = self.events_of(&envelope).await;
        for event in &events {
            let condition = match outcome_of(self.ports, event).await? {
                None => Condition::Absent,
                Some(Outcome::InFlight) => Condition::Equals("outcome", Attr::S(Outcome::InFlight.name().into())),
                Some(_) => continue,
            };
            let line = AccountLine { event, outcome: Outcome::Dead, reason: Some(failure.code.name()) };
            write_if(self.ports, line.build_put(self.config.hub().journal_days, condition)).await?;
        }
        Ok(())
    }

    /// The events that an envelope holds, or whose reads it answers.
    async fn events_of(&self, envelope: &Envelope) -> Vec<EventRef> {
        match &envelope.kind {
            EnvelopeKind::Fetched(fetched) => fetched.causes.clone(),
            EnvelopeKind::Webhook => {
                let count = self.count_events(envelope).await;
                (0..count.max(1)).map(|index| event_ref(envelope, index)).collect()
            }
        }
    }

    async fn count_events(&self, envelope: &Envelope) -> u32 {
        let Ok((_, provider)) = self.config.connection(&envelope.connection) else { return 1 };
        let Ok(body) = envelope::read_body(self.ports, envelope).await else { return 1 };
        let inbound =
            Inbound { connection: &envelope.connection, headers: &envelope.headers, target: &envelope.target, body: &body };
        provider.events(&inbound).map_or(1, |events| u32::try_from(events.len()).unwrap_or(u32::MAX))
    }
}

fn entry_of(plan: &Merged, envelope: &Envelope, event_ref: &EventRef) -> JournalEntry {
    JournalEntry {
        envelope: envelope.id.clone(),
        index: event_ref.index,
        received_at_ms: envelope.received_at_ms,
        outcome: plan.outcome,
        novelty: plan.novelty().to_owned(),
        outcome_of_others: match plan.outcome {
            Outcome::Applied if plan.echo => Outcome::Echo,
            Outcome::Applied => Outcome::Unchanged,
            outcome => outcome,
        },
        object: Some(plan.golden.object),
        record: plan.golden.id.clone(),
        version: plan.next_version,
        destinations: plan.dispatch.clone(),
        dispatched: plan.dispatch.is_empty(),
    }
}

/// The messages that a journal entry calls for.
fn dispatches_of(entry: &JournalEntry, envelope: &Envelope) -> Vec<(ConnectionName, Dispatch)> {
    let Some(object) = entry.object else { return Vec::new() };
    let dispatch = Dispatch {
        object,
        record: entry.record.clone(),
        version: entry.version,
        trace: envelope.trace.clone(),
        received_at_ms: envelope.received_at_ms,
    };
    entry.destinations.iter().map(|destination| (destination.clone(), dispatch.clone())).collect()
}
