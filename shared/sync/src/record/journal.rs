//! Which events were received, and the outcome of each.
//!
//! Two kinds of items. A *journal entry* recognises an event that was handled before, and remembers the dispatches that the event
//! caused until they are sent. An *account line* holds the outcome of one received event. The accounting equation counts these
//! lines, so a redelivery can never count twice.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, EventRef, GoldenId, ObjectType, Outcome};
use serde::{Deserialize, Serialize};

use super::stored::as_number;
use crate::batch::write_if;
use crate::failure::Failure;
use crate::outbox::{bounded, serialize};
use crate::ports::{Attr, Clock, Condition, Item, Key, Page, PortError, Store, Table, Write};
use crate::refused_webhooks::RefusedWebhooks;
use crate::seal::Vault;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Remembers that one change of one event was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The envelope that brought the event first.
    pub envelope: String,
    /// The event's index within that envelope.
    pub index: u32,
    /// When that envelope was received.
    pub received_at_ms: i64,
    /// How the change ended.
    pub outcome: Outcome,
    /// Whether the record was new, changed or unchanged to the hub; empty for an event that changes no record of its own.
    pub novelty: String,
    /// How further events end that the same read answers: its change is counted only once.
    pub outcome_of_others: Outcome,
    /// The object type of the golden record to dispatch; `None` when the event changes no record of its own.
    pub object: Option<ObjectType>,
    /// The golden record to dispatch.
    pub record: GoldenId,
    /// The version of that golden record.
    pub version: u64,
    /// Where the golden record is dispatched to.
    pub destinations: BTreeSet<ConnectionName>,
    /// True once every message that the event caused is on its queue.
    pub dispatched: bool,
}

/// The key of the journal entry of one change of an event.
pub fn entry_key(vault: &Vault, connection: &str, event_key: &str, change: usize) -> Key {
    Key::new(format!("e#{connection}#{}", vault.hash(&["event", connection, event_key])), format!("{change:03}"))
}

/// The key of the item that remembers which event a single-use proof came with.
pub fn proof_key(vault: &Vault, connection: &str, token: &str) -> Key {
    Key::new(format!("p#{connection}#{}", vault.hash(&["proof", connection, token])), "proof")
}

/// The key of the item that holds the number of a connection's last event.
pub fn sequence_key(connection: &str) -> Key {
    Key::new(format!("sequence#{connection}"), "sequence")
}

impl JournalEntry {
    /// The entry of an event that changes no record of its own.
    pub fn without_record(event: &EventRef, outcome: Outcome, dispatched: bool) -> JournalEntry {
        JournalEntry {
            envelope: event.envelope.clone(),
            index: event.index,
            received_at_ms: event.received_at_ms,
            outcome,
            novelty: String::new(),
            outcome_of_others: outcome,
            object: None,
            record: GoldenId::default(),
            version: 0,
            destinations: BTreeSet::new(),
            dispatched,
        }
    }

    /// The event that was handled first.
    pub fn first_event(&self, connection: &ConnectionName) -> EventRef {
        EventRef {
            connection: connection.clone(),
            envelope: self.envelope.clone(),
            index: self.index,
            received_at_ms: self.received_at_ms,
        }
    }

    /// True when another envelope, or another event of the same envelope, was handled first.
    pub fn is_of_another(&self, event: &EventRef) -> bool {
        self.envelope != event.envelope || self.index != event.index
    }

    /// Builds the write that stores the entry until `expires_s`.
    pub fn build_put(&self, key: Key, expires_s: i64, condition: Condition) -> Write {
        let item = Item::new(key)
            .with("envelope", Attr::S(self.envelope.clone()))
            .with("index", Attr::N(i64::from(self.index)))
            .with("received", Attr::N(self.received_at_ms))
            .with("outcome", Attr::S(self.outcome.name().into()))
            .with("novelty", Attr::S(self.novelty.clone()))
            .with("others", Attr::S(self.outcome_of_others.name().into()))
            .with("object", Attr::S(self.object.map_or("", ObjectType::name).into()))
            .with("record", Attr::S(self.record.to_string()))
            .with("version", Attr::N(as_number(self.version)))
            .with("destinations", Attr::S(self.destinations.iter().cloned().collect::<Vec<_>>().join(",")))
            .with("dispatched", Attr::Bool(self.dispatched))
            .with("ttl", Attr::N(expires_s));
        Write::Put { table: Table::Journal, item, condition }
    }

    /// Reads an entry.
    pub fn read(item: &Item) -> Option<JournalEntry> {
        let destinations = item.s("destinations").unwrap_or_default();
        Some(JournalEntry {
            envelope: item.s("envelope")?.to_owned(),
            index: u32::try_from(item.n("index")?).ok()?,
            received_at_ms: item.n("received")?,
            outcome: Outcome::parse(item.s("outcome")?)?,
            novelty: item.s("novelty").unwrap_or_default().to_owned(),
            outcome_of_others: Outcome::parse(item.s("others")?)?,
            object: item.s("object").and_then(|name| name.parse().ok()),
            record: item.s("record").unwrap_or_default().into(),
            version: item.n("version").and_then(|v| u64::try_from(v).ok()).unwrap_or(0),
            destinations: destinations.split(',').filter(|name| !name.is_empty()).map(ConnectionName::from).collect(),
            dispatched: item.attrs.get("dispatched") == Some(&Attr::Bool(true)),
        })
    }
}

/// The day of a time, in days since the epoch; part of the partition of account lines and retained events.
pub fn day(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// The partition of a connection's account lines of one day (days since the epoch).
pub fn account_partition(connection: &str, day: i64) -> String {
    format!("a#{connection}#{day}")
}

/// The key of an event's account line.
pub fn account_line_key(event: &EventRef) -> Key {
    Key::new(account_partition(&event.connection, day(event.received_at_ms)), format!("{}#{:06}", event.envelope, event.index))
}

/// The outcome of one received event.
#[derive(Debug, Clone, Copy)]
pub struct AccountLine<'a> {
    /// The event.
    pub event: &'a EventRef,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason of the outcome, stored up to the length of a dead letter's detail.
    pub reason: Option<&'a str>,
}

impl AccountLine<'_> {
    /// Builds the write that stores the line for as long as the journal is kept.
    pub fn build_put(&self, journal_days: u32, condition: Condition) -> Write {
        let expires_s = (self.event.received_at_ms + i64::from(journal_days) * DAY_MS) / 1000;
        let mut item = Item::new(account_line_key(self.event))
            .with("outcome", Attr::S(self.outcome.name().into()))
            .with("received", Attr::N(self.event.received_at_ms))
            .with("ttl", Attr::N(expires_s));
        if let Some(reason) = self.reason {
            item.attrs.insert("reason".into(), Attr::S(bounded(reason)));
        }
        Write::Put { table: Table::Journal, item, condition }
    }

    /// Builds the write that closes the line of an event that waited for `reconcile`; `None` when the line is closed already.
    pub async fn build_close<P: Store>(&self, ports: &P, journal_days: u32) -> Result<Option<Write>, Failure> {
        let condition = match outcome_of(ports, self.event).await? {
            None => Condition::Absent,
            Some(open @ (Outcome::InFlight | Outcome::Dead | Outcome::Held)) => {
                Condition::Equals("outcome", Attr::S(open.name().into()))
            }
            Some(_) => return Ok(None),
        };
        Ok(Some(self.build_put(journal_days, condition)))
    }
}

/// Closes the account line of an event that waited for `reconcile`, unless another worker has closed it.
pub async fn close_account_line<P: Store>(ports: &P, line: AccountLine<'_>, journal_days: u32) -> Result<(), Failure> {
    if let Some(write) = line.build_close(ports, journal_days).await? {
        write_if(ports, write).await?;
    }
    Ok(())
}

/// The outcome on an event's account line, if there is one.
pub async fn outcome_of<P: Store>(ports: &P, event: &EventRef) -> Result<Option<Outcome>, Failure> {
    let item = ports.get(Table::Journal, &account_line_key(event)).await?;
    Ok(item.and_then(|i| i.s("outcome").and_then(Outcome::parse)))
}

/// The partition of a connection's retained events of one day (days since the epoch).
pub fn retained_partition(connection: &str, day: i64) -> String {
    format!("k#{connection}#{day}")
}

/// An event that is not mapped and is stored as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedEvent {
    /// When the hub received it, in milliseconds since 1970.
    pub received_at_ms: i64,
    /// Its type, as the provider names it.
    pub event_type: String,
    /// The event as JSON.
    pub event: String,
}

/// Reads a connection's retained events of one day, the oldest first.
pub async fn retained_events<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    connection: &str,
    day: i64,
) -> Result<Vec<RetainedEvent>, Failure> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Journal, &retained_partition(connection, day), "", 1_000, after.as_ref()).await?;
        for item in &page.items {
            events.push(vault.unseal::<_, RetainedEvent>(ports, item).await?);
        }
        after = page.next;
        if after.is_none() {
            events.sort_by_key(|event| event.received_at_ms);
            return Ok(events);
        }
    }
}

/// What the account lines of one connection and one day add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayCount {
    /// The number of events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<(Outcome, u64)>,
    /// The number of events by the reason why fields of theirs were set aside.
    pub quarantined: BTreeMap<String, u64>,
    /// The number of records that changed something although no event had reported it: sweeps and comparisons brought them.
    pub swept: u64,
    /// The number of webhooks that `receive` refused, by reason. They are no events: nobody has proven to be their sender.
    pub refused: BTreeMap<String, u64>,
}

/// Counts a connection's events of one day by their outcomes.
pub async fn count_outcomes<P: Store>(ports: &P, connection: &str, day: i64) -> Result<Vec<(Outcome, u64)>, PortError> {
    let mut count = DayCount::default();
    count_lines(ports, connection, day, &mut count).await?;
    Ok(count.outcomes)
}

/// Counts what a connection's account lines, swept records and refused webhooks of one day say.
pub async fn count_day<P: Store>(ports: &P, connection: &str, day: i64) -> Result<DayCount, PortError> {
    let mut count = DayCount::default();
    count_lines(ports, connection, day, &mut count).await?;
    let mut after = None;
    loop {
        let page = ports.query(Table::Journal, &swept_partition(connection, day), "", 1_000, after.as_ref()).await?;
        count.swept += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    count_refused(ports, connection, day, &mut count.refused).await?;
    Ok(count)
}

async fn count_refused<P: Store>(
    ports: &P,
    connection: &str,
    day: i64,
    count: &mut BTreeMap<String, u64>,
) -> Result<(), PortError> {
    let mut after = None;
    loop {
        let page = ports.query(Table::Journal, &refused_partition(connection, day), "", 1_000, after.as_ref()).await?;
        for item in &page.items {
            let reasons: BTreeMap<String, u64> =
                item.s("reasons").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            reasons.into_iter().for_each(|(reason, requests)| *count.entry(reason).or_default() += requests);
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn count_lines<P: Store>(ports: &P, connection: &str, day: i64, count: &mut DayCount) -> Result<(), PortError> {
    count.outcomes = Outcome::ALL.iter().map(|o| (*o, 0)).collect();
    let mut after = None;
    loop {
        let page: Page = ports.query(Table::Journal, &account_partition(connection, day), "", 1_000, after.as_ref()).await?;
        for item in &page.items {
            let outcome = item.s("outcome").and_then(Outcome::parse);
            if let Some(known) = count.outcomes.iter_mut().find(|(o, _)| Some(*o) == outcome) {
                known.1 += 1;
            }
            if let (Some(Outcome::Quarantined), Some(reason)) = (outcome, item.s("reason")) {
                *count.quarantined.entry(reason.to_owned()).or_default() += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// When the last event of a connection was received, if that was within the last `days`.
pub async fn last_event_ms<P: Store + Clock>(ports: &P, connection: &str, days: i64) -> Result<Option<i64>, Failure> {
    let today = day(ports.now_ms());
    for ago in 0..days {
        let (mut last_ms, mut after) = (None, None);
        loop {
            let page =
                ports.query(Table::Journal, &account_partition(connection, today - ago), "", 1_000, after.as_ref()).await?;
            last_ms = page.items.iter().filter_map(|item| item.n("received")).max().max(last_ms);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if last_ms.is_some() {
            return Ok(last_ms);
        }
    }
    Ok(None)
}

/// The partition of the records of one day that changed something although no event had reported it.
pub fn swept_partition(connection: &str, day: i64) -> String {
    format!("w#{connection}#{day}")
}

/// Builds the write that counts a record which a sweep or a comparison brought. `event` names its envelope and the change.
pub fn build_swept_put(event: &EventRef, outcome: Outcome, journal_days: u32) -> Write {
    let expires_s = (event.received_at_ms + i64::from(journal_days) * DAY_MS) / 1000;
    let partition = swept_partition(&event.connection, day(event.received_at_ms));
    let item = Item::new(Key::new(partition, format!("{}#{:06}", event.envelope, event.index)))
        .with("outcome", Attr::S(outcome.name().into()))
        .with("ttl", Attr::N(expires_s));
    Write::Put { table: Table::Journal, item, condition: Condition::Always }
}

/// The partition of the counts of a connection's refused webhooks of one day (days since the epoch).
pub fn refused_partition(connection: &str, day: i64) -> String {
    format!("f#{connection}#{day}")
}

/// Builds the write that stores what one message reports of refused webhooks. A message that is delivered twice is stored once,
/// because its id is the key.
///
/// # Errors
/// A defect of the hub.
pub fn build_refused_put(refused: &RefusedWebhooks, message: &str, journal_days: u32) -> Result<Write, Failure> {
    let expires_s = (refused.until_ms + i64::from(journal_days) * DAY_MS) / 1000;
    let item = Item::new(Key::new(refused_partition(&refused.connection, day(refused.until_ms)), message))
        .with("reasons", Attr::S(serialize(&refused.reasons)?))
        .with("ttl", Attr::N(expires_s));
    Ok(Write::Put { table: Table::Journal, item, condition: Condition::Always })
}
