//! What came in and how it ended.
//!
//! Two kinds of items. An *event entry* recognises an event that was handled before and remembers what it caused until that has
//! been dispatched. An *account line* holds the outcome of one received event; the accounting equation is the count of these
//! lines, so a redelivery can never count twice.

use canonical::{EventRef, GoldenId, ObjectType, Outcome};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Page, PortError, Store, Table, Write};
use crate::seal::Vault;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Remembers that one change of one event was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The envelope that was first.
    pub envelope: String,
    /// The event's index within it.
    pub index: u32,
    /// When that envelope was received.
    pub received_at_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// The record and version to dispatch, and the destinations, comma-separated; empty when there is nothing to dispatch.
    pub object: Option<ObjectType>,
    /// See `object`.
    pub record: GoldenId,
    /// See `object`.
    pub version: u64,
    /// See `object`.
    pub destinations: String,
    /// True once everything that it caused is on its queue.
    pub dispatched: bool,
}

/// Where the entry of an event's change lies.
pub fn entry_key(vault: &Vault, connection: &str, event_key: &str, change: usize) -> Key {
    Key::new(format!("e#{connection}#{}", vault.hash(&["event", connection, event_key])), format!("{change:03}"))
}

/// Where a proof that counts once remembers its event.
pub fn proof_key(vault: &Vault, connection: &str, token: &str) -> Key {
    Key::new(format!("p#{connection}#{}", vault.hash(&["proof", connection, token])), "proof")
}

/// Where the number of a connection's last event lies.
pub fn sequence_key(connection: &str) -> Key {
    Key::new(format!("sequence#{connection}"), "sequence")
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Entry {
    /// The entry of an event that changes no record of its own.
    pub fn without_record(place: &EventRef, outcome: Outcome, dispatched: bool) -> Entry {
        Entry {
            envelope: place.envelope.clone(),
            index: place.index,
            received_at_ms: place.received_at_ms,
            outcome,
            object: None,
            record: GoldenId::default(),
            version: 0,
            destinations: String::new(),
            dispatched,
        }
    }

    /// True when another envelope, or another event of it, had brought the event first.
    pub fn is_of_another(&self, place: &EventRef) -> bool {
        self.envelope != place.envelope || self.index != place.index
    }

    /// The item of an entry.
    pub fn item(&self, place: Key, expires_s: i64) -> Item {
        Item::new(place)
            .with("envelope", Attr::S(self.envelope.clone()))
            .with("index", Attr::N(i64::from(self.index)))
            .with("received", Attr::N(self.received_at_ms))
            .with("outcome", Attr::S(self.outcome.name().into()))
            .with("object", Attr::S(self.object.map_or("", ObjectType::name).into()))
            .with("record", Attr::S(self.record.to_string()))
            .with("version", Attr::N(number(self.version)))
            .with("destinations", Attr::S(self.destinations.clone()))
            .with("dispatched", Attr::Bool(self.dispatched))
            .with("ttl", Attr::N(expires_s))
    }

    /// Reads an entry.
    pub fn read(item: &Item) -> Option<Entry> {
        Some(Entry {
            envelope: item.s("envelope")?.to_owned(),
            index: u32::try_from(item.n("index")?).ok()?,
            received_at_ms: item.n("received")?,
            outcome: Outcome::parse(item.s("outcome")?)?,
            object: item.s("object").and_then(|name| name.parse().ok()),
            record: item.s("record").unwrap_or_default().into(),
            version: item.n("version").and_then(|v| u64::try_from(v).ok()).unwrap_or(0),
            destinations: item.s("destinations").unwrap_or_default().to_owned(),
            dispatched: item.attrs.get("dispatched") == Some(&Attr::Bool(true)),
        })
    }
}

/// The day part of an account line's partition.
pub fn day(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// The partition of a connection's account lines of one day (days since the epoch).
pub fn account_partition(connection: &str, day: i64) -> String {
    format!("a#{connection}#{day}")
}

/// Where an event's account line lies.
pub fn account_line_key(event: &EventRef) -> Key {
    Key::new(account_partition(&event.connection, day(event.received_at_ms)), format!("{}#{:06}", event.envelope, event.index))
}

/// The write of an account line.
pub fn account(event: &EventRef, outcome: Outcome, reason: Option<&str>, journal_days: u32, condition: Condition) -> Write {
    let expires = (event.received_at_ms + i64::from(journal_days) * DAY_MS) / 1000;
    let mut item = Item::new(account_line_key(event))
        .with("outcome", Attr::S(outcome.name().into()))
        .with("received", Attr::N(event.received_at_ms))
        .with("ttl", Attr::N(expires));
    if let Some(reason) = reason {
        item.attrs.insert("reason".into(), Attr::S(reason.to_owned()));
    }
    Write::Put { table: Table::Journal, item, condition }
}

/// The partition of what was kept of a connection on one day (days since the epoch).
pub fn kept_partition(connection: &str, day: i64) -> String {
    format!("k#{connection}#{day}")
}

/// An event that is kept as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When the hub received it, in milliseconds since 1970.
    pub received_at_ms: i64,
    /// Its type, as the provider names it.
    pub event_type: String,
    /// The event as JSON.
    pub event: String,
}

/// What was kept of a connection on one day, the oldest first.
pub async fn kept<P: Store + Clock>(ports: &P, vault: &Vault, connection: &str, day: i64) -> Result<Vec<Kept>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Journal, &kept_partition(connection, day), "", 1_000, after.as_ref()).await?;
        for item in &page.items {
            all.push(vault.unseal::<_, Kept>(ports, item).await?);
        }
        after = page.next;
        if after.is_none() {
            all.sort_by_key(|kept| kept.received_at_ms);
            return Ok(all);
        }
    }
}

/// The outcome on an event's account line, if there is one.
pub async fn outcome_of<P: Store>(ports: &P, event: &EventRef) -> Result<Option<Outcome>, Failure> {
    let item = ports.get(Table::Journal, &account_line_key(event)).await?;
    Ok(item.and_then(|i| i.s("outcome").and_then(Outcome::parse)))
}

/// The write that closes the account line of an event that asked `reconcile`, unless it was closed already.
pub async fn settled<P: Store>(
    ports: &P,
    cause: &EventRef,
    outcome: Outcome,
    reason: Option<&str>,
    journal_days: u32,
) -> Result<Option<Write>, Failure> {
    let was = outcome_of(ports, cause).await?;
    let condition = match was {
        None => Condition::Absent,
        Some(open @ (Outcome::InFlight | Outcome::Dead)) => Condition::Equals("outcome", Attr::S(open.name().into())),
        Some(_) => return Ok(None),
    };
    Ok(Some(account(cause, outcome, reason, journal_days, condition)))
}

/// Counts the outcomes of a connection's events of one day.
pub async fn totals<P: Store>(ports: &P, connection: &str, day: i64) -> Result<Vec<(Outcome, u64)>, PortError> {
    let mut counts: Vec<(Outcome, u64)> = Outcome::ALL.iter().map(|o| (*o, 0)).collect();
    let mut after = None;
    loop {
        let page: Page = ports.query(Table::Journal, &account_partition(connection, day), "", 1_000, after.as_ref()).await?;
        for item in &page.items {
            let outcome = item.s("outcome").and_then(Outcome::parse);
            if let Some(count) = counts.iter_mut().find(|(o, _)| Some(*o) == outcome) {
                count.1 += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}
