//! Imports: what a connection held before the hub knew it is taken in, because somebody asks for it.
//!
//! An import reads object types page by page, in the lowest lane. Its progress is one item of `control`, and each page is one
//! message, which requests the next one: nothing begins anew because time ran out. What becomes of each record is an account line,
//! like that of an event, so that the end report counts what happened and not what was sent.

use std::collections::BTreeMap;

use canonical::{ConnectionName, EventRef, Fields, ImportRequest, Outcome, ReadRequest};
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure};
use crate::outbox::{send_read_request_after, serialize};
use crate::ports::{Attr, Item, Key, Queue, Store, Table, Write, WriteError};
use crate::record::journal::{account_partition, day};
use crate::record::unchanged_since;

/// Records per minute, unless the import says otherwise.
pub const DEFAULT_PER_MINUTE: u32 = 600;

/// How an envelope's id of an imported record begins.
const PREFIX: &str = "import-";

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// It reads.
    Running,
    /// An operator paused it.
    Paused,
    /// The canary share is in; the rest waits for an operator.
    CanaryDone,
    /// Everything in scope was read.
    Done,
    /// An operator ended it before its end.
    Discarded,
}

impl ImportState {
    /// The state in words.
    pub const fn name(self) -> &'static str {
        match self {
            ImportState::Running => "running",
            ImportState::Paused => "paused",
            ImportState::CanaryDone => "waiting after the canary share",
            ImportState::Done => "done",
            ImportState::Discarded => "discarded",
        }
    }
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The value is this one.
    Equal,
    /// The value is another one, or there is none.
    NotEqual,
    /// The value is this one or comes after it.
    AtLeast,
    /// The value is this one or comes before it.
    AtMost,
}

/// A condition on a canonical field of the records that an import takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The canonical field.
    pub field: String,
    /// How its value is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: String,
}

impl Filter {
    /// Reads `field=value`, `field!=value`, `field>=value` or `field<=value`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Filter> {
        use Comparison::{AtLeast, AtMost, Equal, NotEqual};
        for (sign, comparison) in [("!=", NotEqual), (">=", AtLeast), ("<=", AtMost), ("=", Equal)] {
            if let Some((field, value)) = text.split_once(sign) {
                return Some(Filter { field: field.trim().to_owned(), comparison, value: value.trim().to_owned() });
            }
        }
        None
    }

    /// True when the values of a record fit. Numbers compare as numbers, everything else as text.
    pub fn fits(&self, values: &Fields) -> bool {
        let value = values.get(self.field.as_str()).filter(|value| !value.is_null()).map(ToString::to_string);
        let order = value.as_deref().map(|value| match (value.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(own), Ok(other)) => own.total_cmp(&other),
            _ => value.cmp(self.value.as_str()),
        });
        match self.comparison {
            Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::NotEqual => order.is_none_or(std::cmp::Ordering::is_ne),
            Comparison::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
            Comparison::AtMost => order.is_some_and(std::cmp::Ordering::is_le),
        }
    }
}

/// Which records an import takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The native object types, in the order in which they are read.
    pub objects: Vec<String>,
    /// All of these must fit.
    pub filters: Vec<Filter>,
    /// At most so many records.
    pub sample: Option<u64>,
}

/// Where an import goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The index of the object type.
    pub object: usize,
    /// The stamp of the newest record that was read, in milliseconds: where it begins anew if the cursor expires.
    pub since_ms: i64,
    /// The provider's cursor of the next page; `None` for the first one.
    pub cursor: Option<String>,
    /// The records of the last page with that stamp: the next page may begin with them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edge: Vec<String>,
    /// Rises with every page.
    pub step: u64,
}

/// Which share of the records is taken, in hundredths of all by a hash of their ids: those from `from` on, below `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The first hundredth.
    pub from: u32,
    /// The hundredth after the last.
    pub to: u32,
}

impl Share {
    /// All records.
    pub const ALL: Share = Share { from: 0, to: 100 };

    /// True for a record of the share. The same id is always in the same hundredth.
    pub fn holds(self, id: &str) -> bool {
        // FNV-1a: it only has to spread ids evenly.
        let hash =
            id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let hundredth = u32::try_from((hash >> 32) % 100).unwrap_or(0);
        (self.from..self.to).contains(&hundredth)
    }
}

/// An import of a connection. There is at most one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Tells it from earlier ones.
    pub id: String,
    /// The connection.
    pub connection: ConnectionName,
    /// Which records it takes.
    pub scope: Scope,
    /// Records per minute.
    pub per_minute: u32,
    /// The share that it takes now.
    pub share: Share,
    /// How far it is.
    pub state: ImportState,
    /// When it began, by our clock, in milliseconds.
    pub started_ms: i64,
    /// Where it goes on.
    pub position: Position,
    /// Records read.
    pub read: u64,
    /// Records that were sent to `ingest`.
    pub taken: u64,
    /// Rises with every write; each write checks it.
    #[serde(skip)]
    pub version: u64,
}

impl Import {
    /// An import that begins now.
    pub fn new(connection: &str, scope: Scope, per_minute: u32, canary_percent: Option<u32>, now_ms: i64) -> Import {
        Import {
            id: format!("{now_ms:x}"),
            connection: connection.into(),
            scope,
            per_minute: per_minute.max(1),
            share: Share { to: canary_percent.unwrap_or(100).clamp(1, 100), ..Share::ALL },
            state: ImportState::Running,
            started_ms: now_ms,
            position: Position::default(),
            read: 0,
            taken: 0,
            version: 0,
        }
    }

    /// The event that stands for a record in the account.
    pub fn event(&self, index: usize) -> EventRef {
        EventRef {
            connection: self.connection.clone(),
            envelope: format!("{}{:08}", self.envelope_prefix(), self.position.step),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            received_at_ms: self.started_ms,
        }
    }

    fn envelope_prefix(&self) -> String {
        format!("{PREFIX}{}-", self.id)
    }

    /// How long the next page waits after a page with so many records, in seconds.
    pub fn wait_s(&self, records: usize) -> u32 {
        let seconds = (records as u64 * 60).div_ceil(u64::from(self.per_minute));
        u32::try_from(seconds.min(900)).unwrap_or(900)
    }

    /// True once the sample is complete.
    pub fn is_sampled(&self) -> bool {
        self.scope.sample.is_some_and(|sample| self.taken >= sample)
    }

    /// Goes on with the next page, with the next object type, or to the end.
    pub fn advance(&mut self, cursor: Option<String>) {
        self.position.step += 1;
        if cursor.is_none() {
            self.position = Position { object: self.position.object + 1, step: self.position.step, ..Position::default() };
        }
        self.position.cursor = cursor;
        if self.position.object >= self.scope.objects.len() || self.is_sampled() {
            self.state = if self.share.to < 100 && !self.is_sampled() { ImportState::CanaryDone } else { ImportState::Done };
        }
    }

    /// Takes the records that the canary share left.
    pub fn go_on_after_canary(&mut self) {
        self.share = Share { from: self.share.to, to: 100 };
        self.position = Position { step: self.position.step + 1, ..Position::default() };
        self.state = ImportState::Running;
    }
}

/// True for an event that stands for an imported record.
pub fn is_imported(event: &EventRef) -> bool {
    event.envelope.starts_with(PREFIX)
}

fn import_key(connection: &str) -> Key {
    Key::new(format!("import#{connection}"), "import")
}

/// The last import of a connection.
pub async fn read_import<P: Store>(ports: &P, connection: &str) -> Result<Option<Import>, Failure> {
    let Some(item) = ports.get(Table::Control, &import_key(connection)).await? else { return Ok(None) };
    let mut import: Import = serde_json::from_str(item.s("import").unwrap_or_default())
        .map_err(|_| Failure::new(Code::CorruptItem, format!("the import of `{connection}` cannot be read")))?;
    import.version = item.n("ver").and_then(|version| u64::try_from(version).ok()).unwrap_or(0);
    Ok(Some(import))
}

/// Stores an import as its next version. Returns false if somebody else has stored it since it was read.
pub async fn store_import<P: Store>(ports: &P, import: &mut Import) -> Result<bool, Failure> {
    let next = i64::try_from(import.version + 1).unwrap_or(i64::MAX);
    let item = Item::new(import_key(&import.connection)).with("import", Attr::S(serialize(import)?)).with("ver", Attr::N(next));
    let write = Write::Put { table: Table::Control, item, condition: unchanged_since(import.version) };
    match ports.write(vec![write], None).await {
        Ok(()) => {
            import.version += 1;
            Ok(true)
        }
        Err(WriteError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Requests the next page of an import, after a wait in seconds.
pub async fn send_step<P: Queue>(ports: &P, import: &Import, wait_s: u32) -> Result<(), Failure> {
    let request = ImportRequest { connection: import.connection.clone(), import: import.id.clone(), step: import.position.step };
    send_read_request_after(ports, &ReadRequest::Import(request), wait_s).await
}

/// What became of the records of an import so far, counted from their account lines: `new`, `joined`, `changed`, or the outcome.
pub async fn count_results<P: Store>(ports: &P, import: &Import) -> Result<BTreeMap<String, u64>, Failure> {
    let (partition, prefix) = (account_partition(&import.connection, day(import.started_ms)), import.envelope_prefix());
    let (mut counts, mut after) = (BTreeMap::new(), None);
    loop {
        let page = ports.query(Table::Journal, &partition, &prefix, 1_000, after.as_ref()).await?;
        for item in &page.items {
            let outcome = item.s("outcome").unwrap_or_default();
            let result = if outcome == Outcome::Applied.name() { item.s("reason").unwrap_or(outcome) } else { outcome };
            *counts.entry(result.to_owned()).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use canonical::Value;

    use super::*;

    #[test]
    fn a_filter_compares_text_and_numbers() {
        let values: Fields = [("country", "DE"), ("employees", "90"), ("created_at", "2025-03-01T00:00:00.000Z")]
            .into_iter()
            .map(|(name, value)| (name.into(), Value::text(value)))
            .collect();
        let fits = |text: &str| Filter::parse(text).is_some_and(|filter| filter.fits(&values));
        for text in ["country=DE", "country != AT", "employees>=9", "created_at>=2025-01-01", "phone!=x", "employees<=90"] {
            assert!(fits(text), "{text}");
        }
        for text in ["country=AT", "employees>=100", "created_at<=2025-01-01", "phone=x", "phone>=a"] {
            assert!(!fits(text), "{text}");
        }
        assert_eq!(Filter::parse("country"), None);
    }

    #[test]
    fn the_canary_and_the_rest_are_everything_once() {
        let canary = Share { to: 5, ..Share::ALL };
        let rest = Share { from: 5, to: 100 };
        let ids: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let taken = ids.iter().filter(|id| canary.holds(id)).count();
        assert!((350..650).contains(&taken), "{taken} of 10,000");
        assert!(ids.iter().all(|id| canary.holds(id) != rest.holds(id)));
    }
}
